"""`layerwise`: each tensor or layer has its own subspace."""

import bisect
import functools
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, final

from torch import Tensor

from subspace_nn import bits
from subspace_nn.common.checks import whole
from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.projections.base import Needs, Projection, RowWise
from subspace_nn.projections.combine import BlockDiagonal
from subspace_nn.projections.hashed import Hashed

#: Ways to group θ by name: one group per tensor or per layer. A number is a third way.
GROUPS = ("tensor", "layer")

#: Rules that share out the free parameters.
SHARES = ("weights", "root", "equal")


@final
class Layerwise(RowWise):
    """A block-diagonal P: each group of tensors has its own map and its own share of d.

    The tensors of θ are cut into m groups of consecutive tensors. Group g, with n_g weights, gets
    d_g of the d free parameters and its own map, of any kind and with its own seed:

        P = P_1 ⊕ P_2 ⊕ … ⊕ P_m,    P_g of size n_g × d_g,    Σ n_g = D,    Σ d_g = d

    Groups are the tensors themselves; or the layers, that is consecutive tensors whose names are
    equal up to the last dot (`fc1.weight` and `fc1.bias`); or, for a number k, consecutive tensors
    whose layers' names are equal in their first k parts (the blocks of a transformer).

    Shares are in proportion to a weight w_g: the number of weights n_g ("weights"), its square root
    ("root"), or 1 ("equal"); but at least 1 and at most n_g each. That is, the quotas
    q_g = min(max(λ w_g, 1), n_g) with the one λ for which they sum to d; rounded down, and the
    parameters that are left go one each to the groups with the largest remainders, the first of
    equal ones first. The arithmetic is exact; √n is taken in steps of 2^-20, rounded down.

    Random bases for each compartment of a net are Gressmann, Eaton-Rosen and Luschi, "Improving
    neural network training in low dimensional random bases" (2020); one Fastfood for each tensor is
    what the code for Aghajanyan, Zettlemoyer and Gupta, "Intrinsic dimensionality explains the
    effectiveness of language model fine-tuning" (2020) does. Their trained scale of each tensor,
    which makes θ non-linear in the free parameters, is no part of P but the option
    `scale="learned"` of `subspace_nn.Subspace`, for every kind.

    It is as isometric as the kind, as PᵀP is block-diagonal, too. Steps have the scale of their
    group, σ √(n_g/d_g) in place of σ √(D/d), so the learning rate means the same under every rule
    (`widening`). P has the same bits everywhere if the kind has.

    Cost: that of the kind, in m products, and a copy of D numbers, forward and backward. Rows cost
    only the groups that contain them.

    Args:
        D: number of weights, at least 1.
        dim: number of free parameters d, m ≤ d ≤ D.
        seed: any integer from 0 to 2^64 - 1.
        tensors: the number of weights of each tensor of θ by its name, in order; a `Subspace` that
            makes the projection by name gives its own. One tensor of D weights by default.
        of: the kind of the groups' maps, a subclass of `Projection` that is made with (D, dim,
            seed); `Hashed` by default.
        group: how θ is cut: "tensor" (default), "layer", or a number k of at least 1.
        share: rule that shares out d: "weights" (default), "root" or "equal".

    Attributes:
        sizes: n_g of each group.
        dims: d_g of each group.
        blocks: the block-diagonal map, whose `parts` are the groups' maps.

    Raises:
        InputError: if an argument is out of range, the tensors do not add up to D, or the kind
            cannot be made with a group's share.

    Example:
        >>> tensors = {"conv.weight": 250, "conv.bias": 10, "fc.weight": 735, "fc.bias": 5}
        >>> P = Layerwise(D=1000, dim=50, tensors=tensors, group="layer")
        >>> P.sizes, P.dims
        ((260, 740), (13, 37))
        >>> Layerwise(D=1000, dim=50, tensors=tensors).dims
        (12, 1, 36, 1)
    """

    kind = "layerwise"
    takes_tensors = True

    def __init__(
        self,
        D: int,
        dim: int,
        seed: int = 0,
        *,
        tensors: Mapping[str, int] | None = None,
        of: type[Projection] = Hashed,
        group: str | int = "tensor",
        share: str = "weights",
    ) -> None:
        super().__init__(D, dim, seed)
        D, dim = self.D, self.dim
        self.tensors = {"theta": D} if tensors is None else dict(tensors)
        self.of, self.group, self.share = of, group, share
        _check_options(self.tensors, D, group, share)
        self.sizes = _sizes(self.tensors, group)
        self.dims = _share_out(dim, self.sizes, share)
        seeds = (
            word % (1 << 64) for word in bits.words(seed, "layerwise", 0, len(self.sizes)).tolist()
        )
        self.blocks = BlockDiagonal(*map(of, self.sizes, self.dims, seeds))
        self.portable = self.blocks.portable

    @classmethod
    def parse_words(
        cls, words: Sequence[str], kinds: Mapping[str, type[Projection]]
    ) -> dict[str, Any]:
        """Parse a name such as `layerwise:hadamard:layer:root`: words in any order, all optional.

        Args:
            words: at most one kind, one of `GROUPS` or a number, one of `SHARES`.
            kinds: every kind by its name.

        Returns:
            `of`, `group` and `share`, if words set them.

        Raises:
            InputError: if a word is unknown, or two words set the same option.

        Example:
            >>> Layerwise.parse_words(["layer", "hashed"], {"hashed": Hashed})
            {'group': 'layer', 'of': <class 'subspace_nn.projections.hashed.Hashed'>}
        """
        inner = {name: kind for name, kind in kinds.items() if not kind.takes_tensors}
        options: dict[str, Any] = {}
        for word in words:
            option, value = _meaning(word, inner)
            if option in options:
                raise InputError(f"layerwise: {':'.join(words)!r} gives {option!r} twice.")
            options[option] = value
        return options

    @property
    def label(self) -> str:
        """The name with all its words, each kind with its version."""
        return f"{super().label}:{self.of.kind}/{self.of.version}:{self.group}:{self.share}"

    @property
    def distortion(self) -> float:
        """The largest of the groups' own.

        If the kind's bound holds for nearly every seed, m groups are m chances to exceed it.
        """
        return self.blocks.distortion

    def widening(self, begin: int, end: int) -> float:
        """√(n_g/d_g) for rows within one group.

        Args:
            begin: index of the first row.
            end: index after the last row.

        Returns:
            The factor.
        """
        return self.blocks.widening(begin, end)

    def stored_bytes(self) -> int:
        """Bytes held by the groups' maps."""
        return self.blocks.stored_bytes()

    def needs(self) -> Needs:
        """The needs of the groups' maps."""
        return self.blocks.needs()

    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        return self.blocks._matvec_rows(omega, rows)

    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        return self.blocks._rmatvec_rows(gradient, rows)

    def _recipe(self) -> tuple[Any, ...]:
        return *super()._recipe(), (self.of.kind, self.of.version), self.sizes, self.dims

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the recipe alone."""
        options = {"of": self.of, "group": self.group, "share": self.share}
        make = functools.partial(type(self), tensors=self.tensors, **options)
        return make, (self.D, self.dim, self.seed)


def _share_out(dim: int, sizes: Sequence[int], share: str = "weights") -> tuple[int, ...]:
    """Share d free parameters out among groups, as `Layerwise` states.

    Args:
        dim: how many parameters, from the number of groups to the sum of the sizes.
        sizes: the number of weights of each group, each at least 1.
        share: one of `SHARES`.

    Returns:
        The parameters of each group, from 1 to its size, which sum to dim.

    Raises:
        InputError: if dim is less than the number of groups.

    Example:
        >>> _share_out(10, [100, 100, 1])
        (5, 4, 1)
        >>> _share_out(10, [900, 100, 4], "root")
        (7, 2, 1)
    """
    if dim < len(sizes):
        raise InputError(
            f"layerwise needs a free parameter for each of the {len(sizes)} groups, got dim={dim}. "
            "Raise dim, or make fewer groups, as with layerwise:layer."
        )
    quotas = _quotas(dim, sizes, [_weight(size, share) for size in sizes])
    dims = [math.floor(quota) for quota in quotas]
    order = sorted(range(len(sizes)), key=lambda g: dims[g] - quotas[g])  # stable
    for g in order[: dim - sum(dims)]:
        dims[g] += 1
    return tuple(dims)


def _weight(size: int, share: str) -> int:
    """The weight of a group in the sharing; a common factor has no effect."""
    if share == "equal":
        return 1
    return size if share == "weights" else math.isqrt(size << 40)


def _quotas(dim: int, sizes: Sequence[int], weights: Sequence[int]) -> list[Fraction]:
    """min(max(λ w, 1), n) for each group, with the λ for which they sum to dim."""

    def quotas(level: Fraction) -> list[Fraction]:
        return [
            min(max(level * w, Fraction(1)), Fraction(n))
            for n, w in zip(sizes, weights, strict=True)
        ]

    # The sum is linear in λ between these, and grows by the weights of the groups within bounds.
    edges = sorted({Fraction(b, w) for n, w in zip(sizes, weights, strict=True) for b in (1, n)})
    low = edges[bisect.bisect_right(edges, dim, key=lambda edge: sum(quotas(edge))) - 1]
    slope = sum(w for n, w in zip(sizes, weights, strict=True) if 1 <= low * w < n)
    missing = Fraction(dim - sum(quotas(low)))
    return quotas(low + missing / slope) if missing else quotas(low)


def _sizes(tensors: Mapping[str, int], group: str | int) -> tuple[int, ...]:
    """The number of weights of each group; empty tensors make no group."""

    def key(name: str) -> str | list[str]:
        if group == "tensor":
            return name
        layer = name.split(".")[:-1]
        return layer if group == "layer" else layer[: int(group)]

    groups = itertools.groupby(tensors, key)
    sizes = (sum(tensors[name] for name in names) for _, names in groups)
    return tuple(size for size in sizes if size)


def _meaning(word: str, kinds: Mapping[str, type[Projection]]) -> tuple[str, Any]:
    """The option that a word sets, and its value."""
    if word in kinds:
        return "of", kinds[word]
    if word in GROUPS:
        return "group", word
    if re.fullmatch(r"[1-9][0-9]?", word):
        return "group", int(word)
    if word in SHARES:
        return "share", word
    valid = [*kinds, *GROUPS, "1 to 99", *SHARES]
    raise InputError(unknown_name("word of layerwise", word, valid))


def _check_options(tensors: Mapping[str, int], D: int, group: str | int, share: str) -> None:
    problems = []
    if (total := sum(tensors.values())) != D or min(tensors.values()) < 0:
        problems.append(
            f"layerwise: the tensors must have D = {D:,} weights together, none below 0; "
            f"got {total:,} in {list(tensors.values())}."
        )
    if group not in GROUPS and whole("group", group, 1):
        problems.append(unknown_name("group of layerwise", group, [*GROUPS, "1, 2, 3 and so on"]))
    if share not in SHARES:
        problems.append(unknown_name("share of layerwise", share, SHARES))
    if problems:
        raise InputError(*problems)


__all__ = ["GROUPS", "SHARES", "Layerwise"]
