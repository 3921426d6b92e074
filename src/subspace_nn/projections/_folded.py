"""Extend a short isometric map to all D weights, for `hadamard` and `kronecker`."""

import abc
import math
from typing import final

import torch
from torch import Tensor

from subspace_nn import bits
from subspace_nn.projections.base import Projection


class Folded(Projection):
    """P = F A, where A maps ω isometrically to n ≤ D coordinates and F folds these out to D.

    Fast isometric maps exist for certain sizes only. Padding θ to the next size would waste time
    and destroy the isometry; leaving weights out would freeze them. So the *core* A has the largest
    possible size n with D/2 < n ≤ D, and weight i takes coordinate i mod n with a random sign:

        (P ω)_i = s_i (A ω)_(i mod n) / √c,    c = the number of weights on that coordinate, 1 or 2

    F has orthonormal columns, like the map of `hashed`, which folds out ω itself. So PᵀP = AᵀA = I.

    If d > n, ω is longer than the core and n is nearly D. Then there are d coordinates, and the
    core, which is square and so orthogonal, is applied twice: to the first n of them, then, after
    random signs, to the last n. A product of orthogonal matrices is orthogonal and mixes them all.

    A kind passes `core` to `__init__` and implements the four products with A. Rows of P need the
    signs of these rows only and keep nothing; for d > n they cost all of P.

    Args:
        D: number of weights, at least 1.
        dim: number of free parameters d, 1 ≤ d ≤ D.
        seed: any integer from 0 to 2^64 - 1.
        core: the size n, D/2 < n ≤ D.

    Raises:
        InputError: if an argument is out of range.
    """

    def __init__(self, D: int, dim: int, seed: int, core: int) -> None:
        super().__init__(D, dim, seed)
        self.core = core
        self._signs: dict[torch.device, tuple[Tensor, Tensor]] = {}

    @abc.abstractmethod
    def _core(self, omega: Tensor) -> Tensor:
        """A ω for omega of shape (*, min(d, n)): shape (*, n), a new tensor."""

    @abc.abstractmethod
    def _core_adjoint(self, y: Tensor) -> Tensor:
        """Aᵀ y for y of shape (*, n): shape (*, min(d, n)), a new tensor."""

    @abc.abstractmethod
    def _core_rows(self, omega: Tensor, rows: slice) -> Tensor:
        """A[rows] ω for some rows, and d ≤ n: a new tensor, with the bits of `_core`."""

    @abc.abstractmethod
    def _core_rows_adjoint(self, y: Tensor, rows: slice) -> Tensor:
        """A[rows]ᵀ y for some rows, and d ≤ n: shape (*, d), a new tensor."""

    @final
    def _matvec(self, omega: Tensor) -> Tensor:
        if kernel := self._kernel_for(omega):
            return kernel.place(omega, slice(0, self.D))
        outer, middle = self._signs_on(omega.device)
        y, extra = omega.to(_wide(omega)), self.dim - self.core
        if extra > 0:
            y = torch.cat((self._core(y[..., : self.core]), y[..., self.core :]), -1).mul_(middle)
            y[..., extra:] = self._core(y[..., extra:])
        else:
            y = self._core(y)
        twice = y[..., : self.D - y.shape[-1]].mul_(math.sqrt(0.5))
        theta = y.new_empty((*y.shape[:-1], self.D)).copy_(outer)
        theta[..., : y.shape[-1]].mul_(y)
        theta[..., y.shape[-1] :].mul_(twice)
        return theta.to(omega.dtype)

    @final
    def _rmatvec(self, gradient: Tensor) -> Tensor:
        if kernel := self._kernel_for(gradient):
            return kernel.collect(gradient, slice(0, self.D)).to(gradient.dtype)
        outer, middle = self._signs_on(gradient.device)
        wide, extra = gradient.to(_wide(gradient)), self.dim - self.core
        signed = (
            torch.empty_like(wide, memory_format=torch.contiguous_format).copy_(outer).mul_(wide)
        )
        y, twice = signed.tensor_split([max(self.core, self.dim)], dim=-1)
        y[..., : twice.shape[-1]].add_(twice).mul_(math.sqrt(0.5))
        if extra > 0:
            y[..., extra:] = self._core_adjoint(y[..., extra:])
            y.mul_(middle)
            y = torch.cat((self._core_adjoint(y[..., : self.core]), y[..., self.core :]), -1)
        else:
            y = self._core_adjoint(y)
        return y.to(gradient.dtype)

    @final
    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        if self.dim > self.core:
            return super()._matvec_rows(omega, rows)
        wide = omega.to(_wide(omega))
        theta = wide.new_empty((*omega.shape[:-1], rows.stop - rows.start))
        for among, coordinates in self._fold(rows):
            y = self._core_rows(wide, coordinates)
            self._halve_(y, coordinates)
            theta[..., among] = y
        return theta.mul_(self._row_signs(rows, omega.device)).to(omega.dtype)

    @final
    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        if self.dim > self.core:
            return super()._rmatvec_rows(gradient, rows)
        signed = gradient.to(_wide(gradient)) * self._row_signs(rows, gradient.device)
        sums = signed.new_zeros((*gradient.shape[:-1], self.dim))
        for among, coordinates in self._fold(rows):
            y = signed[..., among].contiguous()
            self._halve_(y, coordinates)
            sums += self._core_rows_adjoint(y, coordinates)
        return sums.to(gradient.dtype)

    def stored_bytes(self) -> int:
        """Bytes of the signs held now, on all devices: 1 per weight, 2 if d > n."""
        return sum(s.nbytes for pair in self._signs.values() for s in pair)

    def _fold(self, rows: slice) -> list[tuple[slice, slice]]:
        """Runs of rows on consecutive coordinates, two at most: where among the rows, and which."""
        n, length = self.core, rows.stop - rows.start
        first = min(max(n - rows.start, 0), length)  # rows below n
        runs = [
            (slice(0, first), slice(rows.start, rows.start + first)),
            (slice(first, length), slice(rows.start + first - n, rows.stop - n)),
        ]
        return [(among, coordinates) for among, coordinates in runs if among.start < among.stop]

    def _halve_(self, y: Tensor, coordinates: slice) -> None:
        """Multiply the coordinates that two weights share by 1/√2, in place."""
        y[..., : max(self.D - self.core - coordinates.start, 0)].mul_(math.sqrt(0.5))

    def _row_signs(self, rows: slice, device: torch.device) -> Tensor:
        """Signs of some weights, int8: the stored ones, or else recomputed and not kept."""
        if device in self._signs:
            return self._signs[device][0][rows]
        count = rows.stop - rows.start
        return bits.signs(self.seed, f"{self.kind}/sign", rows.start, count, device)

    def _signs_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Signs of the weights, int8 (D,), and between two cores, int8 (d,); (0,) for one core."""
        if device not in self._signs:
            between = self.dim if self.dim > self.core else 0
            self._signs[device] = (
                bits.signs(self.seed, f"{self.kind}/sign", 0, self.D, device),
                bits.signs(self.seed, f"{self.kind}/middle", 0, between, device),
            )
        return self._signs[device]


def _wide(x: Tensor) -> torch.dtype:
    """At least float32: half-precision sums of thousands of terms lose most of their digits."""
    return torch.promote_types(x.dtype, torch.float32)
