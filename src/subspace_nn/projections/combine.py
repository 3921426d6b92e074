"""Projections made of others: P + Q, [P | Q], P Q and the block diagonal."""

import math
from collections.abc import Iterator
from typing import Any, final

import torch
from torch import Tensor

from subspace_nn.common.errors import InputError
from subspace_nn.projections.base import Needs, Projection, RowWise


class Combination(RowWise):
    """The base of maps that consist of other maps.

    A combination is portable if all of its parts are: their products have the same bits and are
    combined in one order. Its seed, from which a `Subspace` draws θ0, is that of the first part. It
    has no name: to load a checkpoint, pass the same combination, `load(path, module, projection)`.
    An anchor of a part is one more direction. Rows of a combination cost rows of its parts.

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
        """Bytes held by the parts."""
        return sum(part.stored_bytes() for part in self.parts)

    @final
    def needs(self) -> Needs:
        """The needs of all parts, and two vectors of D numbers."""
        own = Needs(0, 16 * self.D, 0.0)
        return sum((part.needs() for part in self.parts), start=own)

    def _recipe(self) -> tuple[Any, ...]:
        return *super()._recipe(), tuple(part._recipe() for part in self.parts)

    def _identity(self) -> tuple[Any, ...]:
        return *super()._recipe(), tuple(part._identity() for part in self.parts)

    def __repr__(self) -> str:
        """The parts."""
        return f"{type(self).__name__}({', '.join(map(repr, self.parts))})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the parts."""
        return type(self), self.parts


@final
class Sum(Combination):
    """(P + Q + …) ω = P ω + Q ω + …: `P + Q`.

    Not isometric: for independent isometric parts ‖(P + Q) ω‖² is about 2 ‖ω‖², and only the bounds
    0 and 4 ‖ω‖² are certain. A `Subspace` divides steps by this √2 (`widening`), so the learning
    rate keeps its meaning.

    Coverage is that of the parts, except where their entries cancel. That has probability 0 if one
    part has entries of a continuous distribution (`gaussian`); with two `hashed` maps it happens to
    about one weight in 2d.

    Cost: time and storage of the parts, and a sum of D numbers (forward) or d (backward) per part.

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
        """The factor for independent parts: mean squares of row norms add.

        Args:
            begin: index of the first row.
            end: index after the last row.

        Returns:
            1 / √(Σ 1 / w²) with the factors w of the parts.
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

    Each part has its own free parameters. For example, it joins known directions (a `Dense` map)
    with random ones.

    Not isometric: the columns of each part are orthonormal, but not orthogonal to those of another
    part. For two exact parts ‖P ω‖² lies between 0 and 2 ‖ω‖², near ‖ω‖² only if d is far below D.
    Coverage is that of the parts.

    Cost: time and storage of the parts, and a forward sum of D numbers per part.

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
        """The exact factor: squares of row norms add.

        Args:
            begin: index of the first row.
            end: index after the last row.

        Returns:
            1 / √(Σ 1 / w²) with the factors w of the parts.
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
    """Each part maps its own parameters to its own weights.

        P (ω, ψ, …) = (P ω, Q ψ, …)

    It is as isometric as its parts and covers what they cover. `Layerwise` applies it to the
    tensors of a net; here each group of weights can have any kind and any share of d.

    Cost: time and storage of the parts, and a forward copy of D numbers. Rows cost only the parts
    that contain them.

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
        """The factor of the blocks with these rows; √(n/d) in one of n weights and d parameters.

        Args:
            begin: index of the first row.
            end: index after the last row.

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

    Exactly isometric if both maps are. With a `hashed` map after a `hadamard` one, every weight
    depends on every ω at the cost of a transform of k numbers instead of D.

    Coverage: every ω is used if P is injective, as it is for δ < 1. A weight whose row of P has one
    entry, as in `hashed`, is covered if Q covers. A row with several entries can cancel if neither
    map has entries of a continuous distribution.

    Cost: time and storage of the two maps. Rows cost rows of P and all of Q ω.

    Args:
        outer: the map P from R^k to R^D.
        inner: the map Q from R^d to R^k.

    Raises:
        InputError: if the inner map does not give as many numbers as the outer one takes.

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
        """The factor for an inner map that is independent of the outer one.

        Args:
            begin: index of the first row.
            end: index after the last row.

        Returns:
            The outer map's factor for these rows times the inner map's for all of its rows.
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
    """At least float32: intermediate results must not be rounded to half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _total(terms: list[Tensor]) -> Tensor:
    """The sum, from the first term on."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term  # not in place: a part may have returned its own tensor
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
