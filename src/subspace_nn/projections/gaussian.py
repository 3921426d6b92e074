"""`gaussian`: a dense matrix of normal numbers, its columns of unit norm."""

import math
from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor

from subspace_nn import bits
from subspace_nn.projections._store import Storable
from subspace_nn.projections.base import Needs

#: Entries of a recomputed P that exist at a time: 2 MiB, within a cache.
_BLOCK = 1 << 18

#: Largest number of entries that are stored by default: 256 MiB in float32.
_STORED = 1 << 26


@final
class Gaussian(Storable):
    """Independent normal entries, each column divided by its norm.

        P_ij = g_ij / ‖g_j‖,    g_ij = normal number i d + j of the stream `gaussian`

    It is the dense projection of Li, Farkhoor, Liu and Yosinski, "Measuring the intrinsic
    dimension of objective landscapes" (ICLR 2018). Stored, the matrix is kept in the dtype and on
    the device of the operand. Recomputed, nothing of size D·d exists: each product, forward and
    backward, draws the rows again, about 2^18 entries at a time.

    Isometric up to its `distortion`, about 2 √(d/D) + d/D. P depends on ln, cos, sin and sums of
    unspecified order: it is the same everywhere to a tolerance (about 1e-14 in float64), not to the
    bit. If it is recomputed for an operand of float32 or less and an even d, the numbers are
    computed in float32 in half the time, to about 1e-6 √(1/D); one in two thousand, near 0, may be
    off by 2.4e-4 √(1/D).

    Cost: O(D d) time forward and backward. Recomputed, drawing D·d normal numbers outweighs the
    product; 8 d bytes for the norms are kept. Their first computation draws all of P. Stored, one
    product with a dense matrix; D·d numbers are kept.

    Args:
        D: number of weights, at least 1.
        dim: number of free parameters d, 1 ≤ d ≤ D.
        seed: any integer from 0 to 2^64 - 1.
        store: whether to keep the matrix; by default if D·d is at most 2^26. P is the same to
            rounding.

    Raises:
        InputError: if D, dim or seed is out of range.

    Example:
        >>> P, stored = Gaussian(D=100, dim=5, store=False), Gaussian(D=100, dim=5)
        >>> bool((P.dense().norm(dim=0) - 1).abs().max() < 1e-14)
        True
        >>> torch.allclose(P @ torch.ones(5), stored @ torch.ones(5), atol=1e-6)
        True
        >>> P.stored_bytes(), stored.stored_bytes()
        (40, 2040)
    """

    kind = "gaussian"
    portable = False

    def __init__(self, D: int, dim: int, seed: int = 0, *, store: bool | None = None) -> None:
        super().__init__(D, dim, seed)
        self.store = D * dim <= _STORED if store is None else store
        self._norms: Tensor | None = None
        self._matrix: Tensor | None = None

    @property
    def distortion(self) -> float:
        """The bound x (2 + x) with x = (√d + 1) / √D, and at most d - 1.

        Let μ be the mean of ‖g_j‖, a little below √D. Davidson and Szarek, "Local operator theory,
        random matrices and Banach spaces" (2001, theorem II.13; Vershynin, "Introduction to the
        non-asymptotic analysis of random matrices", 2012, corollary 5.35) bound the largest
        singular value of G = (g_ij): it exceeds √D + √d + t with a probability of at most
        exp(-t²/2). The same holds for the largest of P, divided by μ: the directions of normal
        columns are independent of their lengths, so P μ is the mean of G given P, and a norm of a
        mean is at most the mean of the norm (Jensen, for the exponential moments behind the bound).
        Below 1 the deviation is the lesser one: about 2 x - x², where it is 2 x + x² above.

        t = 1 is the margin. The theorem's tail is the worst case of any Lipschitz function; the
        singular value itself varies by d^(-1/6) only (Johnstone, 2001; for columns of unit norm
        Bao, Pan and Zhou, 2012), so that fewer than 1 seed in 100 lies beyond: the tests count
        them. From d = 10 and D = 100 on, the median of ‖PᵀP - I‖ is at least half of the bound;
        for smaller d the margin makes up most of it.

        At most d - 1, since PᵀP has no negative eigenvalue and a trace of d.
        """
        x = (math.sqrt(self.dim) + 1) / math.sqrt(self.D)
        return min(self.dim - 1.0, x * (2 + x))

    def stored_bytes(self) -> int:
        """Bytes of the norms and the matrix held now."""
        return sum(t.nbytes for t in (self._norms, self._matrix) if t is not None)

    def needs(self) -> Needs:
        """D·d draws; they are held only if P is stored."""
        entries = self.D * self.dim
        stored, draws = (6 * entries, 2) if self.store else (0, 5)
        return Needs(entries, 64 * self.D + stored, 3e-8 * entries * draws)

    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        if self.store:
            return omega @ self._like(omega)[rows].T
        wide = torch.promote_types(omega.dtype, torch.float32)
        scaled = (omega / self._norms_on(omega.device)).to(wide)
        halves = scaled[..., ::2].contiguous(), scaled[..., 1::2].contiguous()
        theta = omega.new_empty((*omega.shape[:-1], rows.stop - rows.start))
        for block, *columns in self._halves(omega.device, wide, rows):
            even, odd = (half @ part.T for half, part in zip(halves, columns, strict=True))
            theta[..., block] = even.add_(odd)
        return theta

    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        if self.store:
            return gradient @ self._like(gradient)[rows]
        wide = torch.promote_types(gradient.dtype, torch.float32)
        sums = gradient.new_zeros((*gradient.shape[:-1], self.dim), dtype=wide)
        for block, even, odd in self._halves(gradient.device, wide, rows):
            part = gradient[..., block].to(wide)
            sums[..., ::2] += part @ even
            sums[..., 1::2] += part @ odd
        return (sums / self._norms_on(gradient.device)).to(gradient.dtype)

    def _blocks(self, rows: slice) -> Iterator[tuple[slice, int]]:
        """Cut rows into blocks: the place of each among them, and its first row."""
        step = max(1, bits.piece(_BLOCK) // self.dim)
        for begin in range(rows.start, rows.stop, step):
            end = min(begin + step, rows.stop)
            yield slice(begin - rows.start, end - rows.start), begin

    def _gauss(self, device: torch.device, rows: slice) -> Iterator[tuple[slice, Tensor]]:
        """Rows of G block by block: the block's place among them, and float64 (n, d)."""
        for block, begin in self._blocks(rows):
            start, count = begin * self.dim, (block.stop - block.start) * self.dim
            yield block, bits.normal(self.seed, "gaussian", start, count, device).view(-1, self.dim)

    def _halves(
        self, device: torch.device, dtype: torch.dtype, rows: slice
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """The same blocks as the even and the odd columns, computed in a dtype."""
        if self.dim % 2:
            for block, gauss in self._gauss(device, rows):
                yield block, gauss[:, ::2].to(dtype), gauss[:, 1::2].to(dtype)
            return
        # The two normal numbers of a word lie side by side in one row.
        half = self.dim // 2
        for block, begin in self._blocks(rows):
            count = (block.stop - block.start) * half
            words = bits.words(self.seed, "gaussian", begin * half, count, device)
            radius = (words >> 32).bitwise_and_(0xFFFFFFFF).to(dtype).add_(0.5).mul_(2.0**-32)
            # The highest words round to u = 1 in float32; no radius is 0, as none is in float64.
            radius = radius.log_().mul_(-2).clamp_(min=2.0**-32).sqrt_().view(-1, half)
            angle = words.bitwise_and_(0xFFFFFFFF).to(dtype).mul_(2 * math.pi * 2.0**-32)
            angle = angle.view(-1, half)
            yield block, angle.cos().mul_(radius), angle.sin_().mul_(radius)

    def _norms_on(self, device: torch.device) -> Tensor:
        """‖g_j‖, float64 (d,)."""
        if self._norms is None:
            squares = torch.zeros(self.dim, dtype=torch.float64, device=device)
            for _, gauss in self._gauss(device, slice(0, self.D)):
                squares += gauss.square().sum(0)
            self._norms = squares.sqrt()
        return self._norms.to(device)

    def _like(self, x: Tensor) -> Tensor:
        """P in the dtype and on the device of x, (D, d); computed again if either changes."""
        held = self._matrix
        if held is None or (held.dtype, held.device) != (x.dtype, x.device):
            norms = self._norms_on(x.device)
            self._matrix = held = x.new_empty(self.shape)
            for rows, gauss in self._gauss(x.device, slice(0, self.D)):
                held[rows] = (gauss / norms).to(x.dtype)
        return held
