"""`sparse`: every weight is a signed sum of a few ω, one from each of s groups."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from subspace_nn import bits
from subspace_nn.projections import hashed, kernels
from subspace_nn.projections._store import Storable
from subspace_nn.projections.base import Needs
from subspace_nn.projections.hashed import STORED, Hashed

if TYPE_CHECKING:
    from subspace_nn.projections.kernels.loops import Loops


@final
class Sparse(Storable):
    """Each weight is a signed sum of s free parameters; a density of s/d, about 1/√D.

    ω is cut into s groups of almost equal size, and each group has a `hashed` map to all weights,
    with its own seed:

        P = [H_1 | H_2 | … | H_s],    s = d / √D to the nearest whole number, at least 1

    Of the maps with independent entries (Achlioptas, "Database-friendly random projections", 2003),
    1/√D is the density of Li, Hastie and Church, "Very sparse random projections" (2006), and of
    Li, Farkhoor, Liu and Yosinski (2018). With independent entries, a share of exp(-d/√D) of
    the rows is empty, and those weights are frozen. Exactly s entries, one in each group, are the
    block construction of Kane and Nelson, "Sparser Johnson–Lindenstrauss transforms" (2014), the
    OSNAP of Nelson and Nguyễn (2013). Below d = 1.5 √D, s is 1 and P is a `hashed` map.

    Coverage: a hashed map gives every weight one parameter of its group and every parameter of the
    group a weight, as no group is larger than D. Groups share no column. So every row has exactly s
    non-zero entries, which never coincide or cancel, and no column is empty.

    Every column belongs to a hashed map, so its norm is exactly 1. P ω is a sum of s terms, each
    with the same bits everywhere, added in the order of the groups in float32 or wider: it has the
    same bits everywhere.

    Cost: s gathers of D numbers forward, s scattered sums of D numbers backward. Stored, 4 s bytes
    per weight hold the indices from their first use on; recomputed, nothing is kept. On a CPU with
    Numba (the extra "fast") and D ≥ 2^16 a product takes one pass over θ and keeps 16 bytes per
    block of d/s weights and group.

    Args:
        D: number of weights, at least 1.
        dim: number of free parameters d, 1 ≤ d ≤ D.
        seed: any integer from 0 to 2^64 - 1.
        store: whether to keep the indices; by default if s D is at most 2^26. P ω is the same to
            the bit, Pᵀ g to rounding, as its sums have another order.

    Raises:
        InputError: if an argument is out of range.

    Example:
        >>> P = Sparse(D=100, dim=30)
        >>> P.nonzeros
        3
        >>> (P.dense() != 0).sum(1).unique()
        tensor([3])
    """

    kind = "sparse"

    def __init__(self, D: int, dim: int, seed: int = 0, *, store: bool | None = None) -> None:
        super().__init__(D, dim, seed)
        s = self.nonzeros
        self.store = s * D <= STORED if store is None else store
        bounds = (group * self.dim // s for group in range(s + 1))
        seeds = (word % (1 << 64) for word in bits.words(self.seed, "sparse", 0, s).tolist())
        self._maps = tuple(
            Hashed(self.D, end - begin, own, store=self.store)
            for (begin, end), own in zip(pairwise(bounds), seeds, strict=True)
        )
        self._loops: Loops | None = None

    @property
    def nonzeros(self) -> int:
        """Non-zero entries s per row: d / √D rounded, halves up, and at least 1.

        In integers: the largest s with (2 s - 1)² D ≤ 4 d².
        """
        return max(1, (math.isqrt(4 * self.dim**2 // self.D) + 1) // 2)

    @property
    def distortion(self) -> float:
        """The bound x (2 + x) with x = (√((1 - 1/s) d) + 1) / √D, and at most s - 1.

        PPᵀ is the sum of s projections H_m H_mᵀ of rank d/s. Were they in free position, as
        independent random projections are for large D, its largest eigenvalue would be
        (√(1 - t) + √((s - 1) t))² with t = d / (s D) (the free sum of s Bernoulli laws: Nica and
        Speicher, "Lectures on the combinatorics of free probability", 2006), which is at most
        (1 + √((1 - 1/s) d / D))²; the smallest is nearer to 1. For s → ∞ this is the edge of
        `gaussian`; a smaller s is better, because PᵀP has an exact identity for each group. The
        1/√D in x is the margin for the chance of a seed. That such maps embed at all is proven
        with worse constants by Nelson and Nguyễn (2013) and Cohen (2016); that fewer than 1 seed
        in 100 lies beyond this bound is measured: the tests count them. For D ≥ 100 the median of
        ‖PᵀP - I‖ is at least half of it.

        At most s - 1 for every seed, since PPᵀ is a sum of s projections: exactly 0 for s = 1.
        """
        s = self.nonzeros
        x = (math.sqrt((1 - 1 / s) * self.dim) + 1) / math.sqrt(self.D)
        return min(s - 1.0, x * (2 + x))

    def stored_bytes(self) -> int:
        """Bytes of the indices, hashes and norms held now, on all devices."""
        held = self._loops.nbytes if self._loops else 0
        return held + sum(group.stored_bytes() for group in self._maps)

    def needs(self) -> Needs:
        """The hashes of s numbers per weight, and their indices if they are stored."""
        D, s = self.D, self.nonzeros
        return Needs(D * s, (64 + 8 * s) * D, 1e-7 * D * s)

    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        # Half precision would lose a digit in the sum.
        wide = _widened(omega)
        if loops := self._kernel_for(omega):
            return loops.place(wide, rows).to(omega.dtype)
        groups = wide.split([group.dim for group in self._maps], dim=-1)
        theta = self._maps[0]._matvec_rows(groups[0], rows)
        for group, omegas in zip(self._maps[1:], groups[1:], strict=True):
            theta += group._matvec_rows(omegas, rows)
        return theta.to(omega.dtype)

    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        if loops := self._kernel_for(gradient):
            return loops.collect(gradient, rows).to(gradient.dtype)
        wide = _widened(gradient)
        sums = [group._rmatvec_rows(wide, rows) for group in self._maps]
        return torch.cat(sums, dim=-1).to(gradient.dtype)

    def _kernel_for(self, *operands: Tensor) -> "Loops | None":
        small = self.D < kernels.LARGE or self._maps[0].dim < hashed.LEAST
        if small or not (operands[0].is_cpu and kernels.take(*operands)):
            return None
        if not self._loops:
            groups = [group._hash for group in self._maps]
            norms = torch.cat([group._norm(operands[0].device) for group in self._maps])
            self._loops = kernels.kernel(operands[0].device).of(groups[0], norms, *groups[1:])
        return self._loops


def _widened(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
