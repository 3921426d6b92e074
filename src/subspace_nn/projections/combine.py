"""Projections made of projections: P + Q, [P | Q], P Q and the block diagonal."""

import math
from collections.abc import Iterator
from typing import Any, final

import torch
from torch import Tensor

from subspace_nn.common.errors import InputError
from subspace_nn.projections.base import Needs, Projection, RowWise


class Combination(RowWise):
    """What maps made of other maps share: everything that is asked of all the parts.

    A combination is portable if all of its parts are: their products have the same bits, and
    what is done with these, weight by weight, has one order. Its seed, which a `Subspace` draws θ0
    with, is that of the first part. It has no name: a checkpoint that was saved with one is loaded
    by giving it again, `load(path, module, projection)`. An anchor in a part has no effect but as
    a direction.

    Args:
        parts: at least one.
        D: number of weights of the whole.
        dim: number of free parameters d of the whole.

    Raises:
        InputError: if D or dim is out of range.
    """

    def __init__(self, parts: tuple[Projection, ...], D: int, dim: int) -> None:
        super().__init__(D, dim, parts[0].seed)
        self.parts = parts
        self.portable = all(part.portable for part in parts)

    @final
    def stored_bytes(self) -> int:
        """Bytes that the parts hold."""
        return sum(part.stored_bytes() for part in self.parts)

    @final
    def needs(self) -> Needs:
        """Those of the parts together, and two vectors of D numbers."""
        own = Needs(0, 16 * self.D, 0.0)
        return sum((part.needs() for part in self.parts), start=own)

    def _recipe(self) -> tuple[Any, ...]:
        return *super()._recipe(), tuple(part._recipe() for part in self.parts)

    def __repr__(self) -> str:
        """The parts."""
        return f"{type(self).__name__}({', '.join(map(repr, self.parts))})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the parts."""
        return type(self), self.parts


@final
class Sum(Combination):
    """(P + Q + …) ω = P ω + Q ω + …: `P + Q`.

    Not isometric: with isometric parts that are at random to one another ‖(P + Q) ω‖² is about
    2 ‖ω‖², and nothing better than 0 to 4 times is certain. A `Subspace` divides steps by that √2
    (`widening`), so that one learning rate does here too.

    Coverage is that of the parts but where their entries cancel: never, but with probability 0, if
    one of them has entries of a continuous distribution (`gaussian`); for two `hashed` maps in
    about one weight of 2d.

    Cost: that of the parts, in time and bytes kept, and a sum of D numbers (forward) or d
    (backward) for each.

    Args:
        *parts: projections of one shape (D, d), at least one.

    Raises:
        InputError: if there is none, or they have different shapes.

    Example:
        >>> from subspace_nn.projections import Gaussian, Hashed
        >>> P = Gaussian(D=100, dim=5) + Hashed(D=100, dim=5)
        >>> torch.equal(P.dense(), P.parts[0].dense() + P.parts[1].dense())
        True
    """

    kind = "sum"

    def __init__(self, *parts: Projection) -> None:
        _check_parts("Sum", parts)
        _check_equal("Sum: the parts must have one shape (D, d)", [part.shape for part in parts])
        super().__init__(parts, *parts[0].shape)

    @property
    def distortion(self) -> float:
        """The bound (√(1 + δ_1) + √(1 + δ_2) + …)² - 1 from the parts' own δ: 3 for two exact ones.

        A part's norm is at most √(1 + δ), norms add, and PᵀP has no negative eigenvalue.
        """
        return sum(math.sqrt(1 + part.distortion) for part in self.parts) ** 2 - 1

    def widening(self, begin: int, end: int) -> float:
        """As for parts that are at random to one another: mean squares of norms add.

        Args:
            begin: number of the first row.
            end: number of the row behind the last.

        Returns:
            1 / √(Σ 1 / w²) with the parts' own w.
        """
        return _widen_sum(self.parts, begin, end)

    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        wide = _widened(omega)
        return _total([part._matvec_rows(wide, rows) for part in self.parts]).to(omega.dtype)

    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        wide = _widened(gradient)
        return _total([part._rmatvec_rows(wide, rows) for part in self.parts]).to(gradient.dtype)


@final
class HStack(Combination):
    """[P | Q | …] (ω, ψ, …) = P ω + Q ψ + …: `P | Q`, the sum of the subspaces.

    Each part has free parameters of its own. It joins directions that were found to matter (a
    `Dense` map) with random ones, for example.

    Not isometric: two parts have orthonormal columns each, but those of one are not orthogonal to
    those of the other. ‖P ω‖² is between 0 and 2 times ‖ω‖² for two exact parts, and near 1 only
    where d is far below D. Coverage is that of the parts, whose columns are apart.

    Cost: that of the parts, in time and bytes kept, and forward a sum of D numbers for each.

    Args:
        *parts: projections with one D, at least one; their numbers of parameters add up to at
            most D.

    Raises:
        InputError: if there is none, they have different D, or more parameters than weights.

    Example:
        >>> from subspace_nn.projections import Hashed
        >>> P = Hashed(D=100, dim=5) | Hashed(D=100, dim=7, seed=1)
        >>> P.shape
        (100, 12)
    """

    kind = "hstack"

    def __init__(self, *parts: Projection) -> None:
        _check_parts("HStack", parts)
        _check_equal("HStack: the parts must have one number of weights D", [p.D for p in parts])
        super().__init__(parts, parts[0].D, sum(part.dim for part in parts))

    @property
    def distortion(self) -> float:
        """The bound (1 + δ_1) + (1 + δ_2) + … - 1 from the parts' own δ: 1 for two exact ones.

        PPᵀ is the sum of the parts' own, whose norms are at most 1 + δ; it has the eigenvalues of
        PᵀP, none of which is negative.
        """
        return sum(1 + part.distortion for part in self.parts) - 1

    def widening(self, begin: int, end: int) -> float:
        """Exactly what follows from the parts: the squares of rows add.

        Args:
            begin: number of the first row.
            end: number of the row behind the last.

        Returns:
            1 / √(Σ 1 / w²) with the parts' own w.
        """
        return _widen_sum(self.parts, begin, end)

    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        pieces = _split(_widened(omega), self.parts)
        terms = [part._matvec_rows(x, rows) for part, x in zip(self.parts, pieces, strict=True)]
        return _total(terms).to(omega.dtype)

    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        return torch.cat([part._rmatvec_rows(gradient, rows) for part in self.parts], dim=-1)


@final
class BlockDiagonal(Combination):
    """Each part maps its own parameters to its own weights, one after another.

        P (ω, ψ, …) = (P ω, Q ψ, …)

    Isometric as the parts are, and covering as they are. `Layerwise` is one with the blocks of a
    net; with this class each group of weights can have any kind and any share of d.

    Cost: that of the parts, in time and bytes kept, and forward a copy of D numbers.

    Args:
        *parts: projections, at least one, in the order of their weights in θ.

    Raises:
        InputError: if there is none.

    Example:
        >>> from subspace_nn.projections import Hashed, Identity
        >>> P = BlockDiagonal(Hashed(D=90, dim=5), Identity(D=10, dim=10))
        >>> P.shape, P.distortion
        ((100, 15), 0.0)
    """

    kind = "block-diagonal"

    def __init__(self, *parts: Projection) -> None:
        _check_parts("BlockDiagonal", parts)
        super().__init__(parts, sum(part.D for part in parts), sum(part.dim for part in parts))

    @property
    def distortion(self) -> float:
        """The largest of the parts."""
        return max(part.distortion for part in self.parts)

    def widening(self, begin: int, end: int) -> float:
        """From the blocks that the rows lie in; √(n/d) within one of n weights and d parameters.

        Args:
            begin: number of the first row.
            end: number of the row behind the last.

        Returns:
            The factor.
        """
        squares = 0.0
        for part, _, own in self._overlaps(slice(begin, end)):
            squares += (own.stop - own.start) / part.widening(own.start, own.stop) ** 2
        return math.sqrt((end - begin) / squares)

    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        pieces = (
            part[own]._matvec(omega[..., columns]) for part, columns, own in self._overlaps(rows)
        )
        return torch.cat(list(pieces), dim=-1)

    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        sums = gradient.new_zeros((*gradient.shape[:-1], self.dim))
        begin = 0
        for part, columns, own in self._overlaps(rows):
            end = begin + own.stop - own.start
            sums[..., columns] = part[own]._rmatvec(gradient[..., begin:end])
            begin = end
        return sums

    def _overlaps(self, rows: slice) -> Iterator[tuple[Projection, slice, slice]]:
        """Parts with some of these rows: the part, its place in ω, and which rows of its own."""
        row = column = 0
        for part in self.parts:
            own = slice(max(rows.start - row, 0), min(rows.stop - row, part.D))
            if own.start < own.stop:
                yield part, slice(column, column + part.dim), own
            row, column = row + part.D, column + part.dim


@final
class Composition(Combination):
    """(P Q) ω = P (Q ω): `P @ Q`, a subspace of a subspace.

    Isometric exactly if both are. Such as a `hashed` map after a `hadamard` one: every weight
    depends on every ω, at the cost of a transform of k numbers instead of D.

    Coverage: no ω is unused if P is injective, as it is for δ < 1. A weight whose row of P has one
    entry, as in `hashed`, is covered if Q is; a row with several can cancel, if neither map has
    entries of a continuous distribution.

    Cost: that of the two maps, in time and bytes kept.

    Args:
        outer: the map P from R^k to R^D.
        inner: the map Q from R^d to R^k.

    Raises:
        InputError: if the inner map does not give what the outer one takes.

    Example:
        >>> from subspace_nn.projections import Hadamard, Hashed
        >>> P = Hashed(D=1000, dim=100) @ Hadamard(D=100, dim=10)
        >>> P.shape, P.distortion
        ((1000, 10), 0.0)
    """

    kind = "composition"

    def __init__(self, outer: Projection, inner: Projection) -> None:
        _check_parts("Composition", (outer, inner))
        if outer.dim != inner.D:
            raise InputError(
                f"Composition: the outer map takes {outer.dim:,} numbers, and the inner one must "
                f"give as many; it gives {inner.D:,}."
            )
        super().__init__((outer, inner), outer.D, inner.dim)

    @property
    def distortion(self) -> float:
        """The bound (1 + δ_outer) (1 + δ_inner) - 1 from the parts' own δ: 0 for two exact ones.

        QᵀPᵀPQ - I = Qᵀ(PᵀP - I)Q + (QᵀQ - I), whose norms are at most δ_outer (1 + δ_inner) and
        δ_inner.
        """
        outer, inner = self.parts
        return outer.distortion * (1 + inner.distortion) + inner.distortion

    def widening(self, begin: int, end: int) -> float:
        """As for an inner map that is at random to the outer one.

        Args:
            begin: number of the first row.
            end: number of the row behind the last.

        Returns:
            The outer map's own for these rows, times the inner map's for all of its.
        """
        outer, inner = self.parts
        return outer.widening(begin, end) * inner.widening(0, inner.D)

    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        outer, inner = self.parts
        middle = inner._matvec(_widened(omega))
        return outer._matvec_rows(middle, rows).to(omega.dtype)

    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        outer, inner = self.parts
        middle = outer._rmatvec_rows(_widened(gradient), rows)
        return inner._rmatvec(middle).to(gradient.dtype)


def _widened(x: Tensor) -> Tensor:
    """At least float32: what lies between two products should not be rounded to half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _total(terms: list[Tensor]) -> Tensor:
    """The sum, from the first term on."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term  # a part may have returned what it holds
    return total


def _split(omega: Tensor, parts: tuple[Projection, ...]) -> tuple[Tensor, ...]:
    return omega.split([part.dim for part in parts], dim=-1)


def _widen_sum(parts: tuple[Projection, ...], begin: int, end: int) -> float:
    return 1 / math.sqrt(sum(part.widening(begin, end) ** -2 for part in parts))


def _check_parts(name: str, parts: tuple[Projection, ...]) -> None:
    odd = [type(part).__name__ for part in parts if not isinstance(part, Projection)]
    if odd or not parts:
        raise InputError(f"{name} takes projections, at least one; got {', '.join(odd) or 'none'}.")


def _check_equal(expected: str, got: list[Any]) -> None:
    if len(set(got)) > 1:
        raise InputError(f"{expected}, got {', '.join(map(str, got))}.")


__all__ = ["BlockDiagonal", "Combination", "Composition", "HStack", "Sum"]
