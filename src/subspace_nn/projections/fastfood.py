"""`fastfood`: a Gaussian matrix imitated by two Walsh-Hadamard transforms."""

import math
from typing import final

import torch
from torch import Tensor

from subspace_nn import bits
from subspace_nn.projections import kernels
from subspace_nn.projections.base import Kernel, Needs, RowWise
from subspace_nn.projections.fwht import fwht

#: The share of seeds for which `Fastfood.distortion` may be exceeded.
_FAILURE = 1e-2


@final
class Fastfood(RowWise):
    """Stacked blocks H G Π H B with nearly Gaussian entries, in D log d time; PᵀP ≈ I.

    With b the power of two from d up and H the Walsh-Hadamard matrix of order b divided by √b,
    block l maps ω, with zeros behind it, to b weights, by

        V_l = H G_l Π_l H B_l,    P = √(b / D) [V_0; V_1; …],  cut to D rows and d columns

    with B_l random signs, Π_l a random permutation and G_l a diagonal of b Gaussians divided by
    their root mean square, so that every block has the Frobenius norm √b. So the columns of P have
    norm 1 in expectation, exactly. All blocks are independent. The entries of P follow a
    continuous distribution (d > 1): none is zero but with probability 0. For d = 1 P is signs.

    Fastfood is Le, Sarlós and Smola, "Fastfood: approximating kernel expansions in loglinear time"
    (2013), here without its diagonal S, which gives rows the norms of Gaussian ones. For subspaces
    of weights it was used by Li et al., "Measuring the intrinsic dimension of objective landscapes"
    (2018), with one block padded to a power of two above D, and by Aghajanyan, Zettlemoyer and
    Gupta, "Intrinsic dimensionality explains the effectiveness of language model fine-tuning"
    (2020). `Hadamard` costs the same and is an exact isometry.

    The Gaussians are the same everywhere to a tolerance, so P is too (about 1e-7), not to the bit.

    Cost: with N = b ⌈D/b⌉, the size of all whole blocks, 2 N log2 b additions, forward and
    backward. From its first use on it keeps 13 N bytes; a product works on three tensors of N
    numbers. N is less than D + 2 d: little more than D if d is far below D, and up to 2 D if one
    block holds all. Rows cost the whole blocks that contain them, and the tables of all. On a CPU
    with Numba (the extra "fast") and D ≥ 2^16 a block goes through both transforms in the cache.

    Args:
        D: number of weights, at least 1.
        dim: number of free parameters d, 1 ≤ d ≤ D.
        seed: any integer from 0 to 2^64 - 1.

    Raises:
        InputError: if an argument is out of range.

    Example:
        >>> P = Fastfood(D=10_000, dim=3)
        >>> (P @ torch.tensor([2.0, 3.0, 6.0])).norm().round(decimals=1)
        tensor(7.)
    """

    kind = "fastfood"
    portable = False

    def __init__(self, D: int, dim: int, seed: int = 0) -> None:
        super().__init__(D, dim, seed)
        self._tables: dict[torch.device, tuple[Tensor, Tensor, Tensor, Tensor]] = {}
        self._stacks: dict[torch.device, Kernel] = {}

    @property
    def block(self) -> int:
        """The order b of the blocks: the smallest power of two of at least d."""
        return 1 << (self.dim - 1).bit_length()

    @property
    def distortion(self) -> float:
        """A bound on the spectral norm of PᵀP - I for all but one seed in a hundred.

        With L whole blocks, PᵀP is a part of (b / D) Σ U_l G_l² U_lᵀ with orthogonal U_l. Taken
        over G_l, E exp(s U_l G_l² U_lᵀ) is at most that of one χ² with one degree of freedom,
        times I: it is that for free Gaussians, and dividing by the root mean square makes the
        squares smaller in convex order. So by the matrix Laplace transform (Tropp, "User-friendly
        tail bounds for sums of random matrices", 2012, theorem 3.6) the extreme eigenvalues of the
        sum are beyond Chernoff's bounds of a χ² with L degrees of freedom with at most b times
        its probability:

            P(λ_max ≥ L x), x > 1,  and  P(λ_min ≤ L x), x < 1:  at most b (x exp(1 - x))^(L / 2)

        A last block that is cut only adds, and less than a whole one. What one sees for D ≫ d is
        near √(8 d / D), the edge of the semicircle law; the bound is two to four times that.
        """
        b, D = self.block, self.D
        if b == 1:
            return 0.0
        up, down = -(-D // b), D // b
        budget = 2 * math.log(2 * b / _FAILURE)
        above = _solve(budget / up, 1.0, 2 + 2 * budget / up) * up * b / D - 1
        below = 1 - _solve(budget / down, 1.0, 0.0) * down * b / D if down else 1.0
        return max(above, below)

    def stored_bytes(self) -> int:
        """Bytes of the signs, permutations and Gaussians held now, on all devices."""
        return sum(t.nbytes for tables in self._tables.values() for t in tables)

    def needs(self) -> Needs:
        """A few vectors of D numbers."""
        return Needs.linear(self.D)

    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        if kernel := self._kernel_for(omega):
            return kernel.place(omega, rows)
        blocks, place = self._covering(rows)
        B, order, _, G = self._on(omega.device, blocks)
        wide = torch.promote_types(omega.dtype, torch.float32)
        x = torch.nn.functional.pad(omega.to(wide) * self._scale, (0, self.block - self.dim))
        x = x.new_empty((*x.shape[:-1], *B.shape)).copy_(B).mul_(x[..., None, :])
        y = fwht(x)
        torch.index_select(y.flatten(-2), -1, order, out=x.flatten(-2))
        fwht(x.mul_(G), out=y)
        return y.flatten(-2)[..., place].to(omega.dtype)

    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        if kernel := self._kernel_for(gradient):
            return kernel.collect(gradient, rows).to(gradient.dtype)
        blocks, place = self._covering(rows)
        B, _, inverse, G = self._on(gradient.device, blocks)
        wide = torch.promote_types(gradient.dtype, torch.float32)
        x = torch.nn.functional.pad(gradient.to(wide), (place.start, B.numel() - place.stop))
        x = x.contiguous().unflatten(-1, B.shape)
        y = fwht(x).mul_(G)
        torch.index_select(y.flatten(-2), -1, inverse, out=x.flatten(-2))
        x = fwht(x, out=y).mul_(B).sum(-2)[..., : self.dim]
        return x.mul(self._scale).to(gradient.dtype)

    def _kernel_for(self, *operands: Tensor) -> Kernel | None:
        device = operands[0].device
        small = device.type == "cpu" and self.D < kernels.LARGE
        if small or not kernels.take(*operands):
            return None
        transforms = kernels.for_transforms(device)
        if transforms is None or not transforms.Stack.fits(self.block, operands[0].dtype):
            return None
        if device not in self._stacks:
            made = transforms.Stack.of(self.dim, self._all_on(device), self._scale)
            self._stacks[device] = made
        return self._stacks[device]

    def _covering(self, rows: slice) -> tuple[slice, slice]:
        """The blocks that contain some rows, and the place of these among all of the blocks'."""
        b = self.block
        blocks = slice(rows.start // b, -(-rows.stop // b))
        return blocks, slice(rows.start - blocks.start * b, rows.stop - blocks.start * b)

    @property
    def _scale(self) -> float:
        """√(b / D), and 1/√b of each of the two transforms."""
        return 1 / math.sqrt(self.block * self.D)

    def _on(self, device: torch.device, blocks: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of some blocks B, int8, and G, float32, (L, b); between them Π and its inverse."""
        B, order, inverse, G = self._all_on(device)
        if blocks == slice(0, len(B)):
            return B, order, inverse, G
        first = blocks.start * self.block
        some = slice(first, blocks.stop * self.block)
        return B[blocks], order[some] - first, inverse[some] - first, G[blocks]

    def _all_on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same of all blocks, the permutations as int32."""
        if device not in self._tables:
            b = self.block
            shape = -(-self.D // b), b
            count = shape[0] * b
            words = bits.words(self.seed, "fastfood/permutation", 0, count, device).view(shape)
            order = words.sort(dim=1, stable=True).indices
            del words
            order += torch.arange(0, count, b, device=device)[:, None]
            inverse = torch.empty(count, dtype=torch.int32, device=device)
            inverse[order.flatten()] = torch.arange(count, dtype=torch.int32, device=device)
            order = order.flatten().to(torch.int32)
            G = bits.normal(self.seed, "fastfood/gauss", 0, count, device).view(shape)
            # A word in 2^32 gives the Gaussian 0, which no scaling makes 1.
            G = G / G.square().mean(1, keepdim=True).sqrt() if b > 1 else torch.ones_like(G)
            self._tables[device] = (
                bits.signs(self.seed, "fastfood/sign", 0, count, device).view(shape),
                order,
                inverse,
                G.to(torch.float32),
            )
        return self._tables[device]


def _solve(level: float, inside: float, outside: float) -> float:
    """The x between with x - 1 - ln x = level, which grows from inside, where it is less."""
    for _ in range(60):
        x = (inside + outside) / 2
        if x - 1 - math.log(x) < level:
            inside = x
        else:
            outside = x
    return outside
