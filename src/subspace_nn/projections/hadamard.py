"""`hadamard`: every weight depends on every ω, in D log D time."""

import math
from typing import final

import torch
from torch import Tensor

from subspace_nn import bits
from subspace_nn.projections import kernels
from subspace_nn.projections._folded import Folded
from subspace_nn.projections.base import Kernel, Needs, check_sizes
from subspace_nn.projections.fwht import (
    fwht_block,
    fwht_block_adjoint,
    fwht_columns,
    fwht_rows,
)


@final
class Hadamard(Folded):
    """Random columns of a Walsh-Hadamard matrix, with random signs of its rows; PᵀP = I exactly.

    With n = 2^⌊log2 D⌋ and d ≤ n: cut the n columns of the Hadamard matrix H into d strata as
    equal as possible and take one column s_k from each, at random. Weight i takes row i mod n:

        (P ω)_i = σ_i / √(c_i n) Σ_k (-1)^popcount((i mod n) & s_k) ω_k,    σ_i = ±1

    where c_i, 1 or 2, is the number of weights on that row. So all entries of P are ±1/√n, or
    ±1/√(2n) in the D - n pairs of weights that share a row up to sign: no weight is frozen and
    none stands out, whatever D, and θ is not padded. For d > n two orthogonal transforms are
    composed, one of the first n coordinates and one, after random signs, of the last n: then
    d > D/2, a weight depends on most ω, and the rows of P have norm 1 or 1/√2.

    This is the transposed subsampled randomised Hadamard transform of Ailon and Chazelle, "The fast
    Johnson-Lindenstrauss transform and approximate nearest neighbors" (2009), in the form of
    Tropp, "Improved analysis of the subsampled randomized Hadamard transform" (2011), for any D.

    All sums have a fixed order, so that P ω has the same bits everywhere.

    Cost: D log2 D additions, forward and backward. From its first use on it keeps 1 byte per weight
    (2 if d > n) and 8 per ω; a product works on three tensors of D numbers. m rows cost their
    memory; their adjoint costs m log2 m + d additions, but forward up to n log2 m + 2 n, because
    the sums must keep the order of the whole transform. If d > n, rows cost all of P. On a CPU with
    Numba (the extra "fast"), D ≥ 2^16 and d ≤ n all of P takes a few passes over θ, and signs are
    not kept.

    Args:
        D: number of weights, at least 1.
        dim: number of free parameters d, 1 ≤ d ≤ D.
        seed: any integer from 0 to 2^64 - 1.

    Raises:
        InputError: if an argument is out of range.

    Example:
        >>> P = Hadamard(D=6, dim=2)
        >>> P.dense().abs()[2:4]
        tensor([[0.5000, 0.5000],
                [0.5000, 0.5000]], dtype=torch.float64)
    """

    kind = "hadamard"

    def __init__(self, D: int, dim: int, seed: int = 0) -> None:
        D, dim = check_sizes(D, dim)
        super().__init__(D, dim, seed, core=1 << D.bit_length() - 1)
        self._columns: dict[torch.device, Tensor] = {}
        self._folds: dict[torch.device, Kernel] = {}

    def _kernel_for(self, *operands: Tensor) -> Kernel | None:
        device = operands[0].device
        small = device.type == "cpu" and self.D < kernels.LARGE
        if small or self.dim > self.core or not kernels.take(*operands):
            return None
        transforms = kernels.for_transforms(device)
        if transforms and device not in self._folds:
            key, columns = bits.key(self.seed, "hadamard/sign"), self._columns_on(device)
            self._folds[device] = transforms.Fold.of(self.D, self.core, key, columns)
        return self._folds.get(device)

    def _core(self, omega: Tensor) -> Tensor:
        columns = self._columns_on(omega.device)
        return fwht_columns(omega * (1 / math.sqrt(self.core)), columns, self.core)

    def _core_adjoint(self, y: Tensor) -> Tensor:
        return fwht_rows(y, self._columns_on(y.device)).mul_(1 / math.sqrt(self.core))

    def _core_rows(self, omega: Tensor, rows: slice) -> Tensor:
        columns = self._columns_on(omega.device)
        return fwht_block(omega * (1 / math.sqrt(self.core)), columns, self.core, rows)

    def _core_rows_adjoint(self, y: Tensor, rows: slice) -> Tensor:
        return fwht_block_adjoint(y, self._columns_on(y.device), rows).mul_(
            1 / math.sqrt(self.core)
        )

    def stored_bytes(self) -> int:
        """Bytes of the signs and column numbers held now, on all devices."""
        return super().stored_bytes() + sum(t.nbytes for t in self._columns.values())

    def needs(self) -> Needs:
        """A few vectors of D numbers."""
        return Needs.linear(self.D)

    def _columns_on(self, device: torch.device) -> Tensor:
        """The column s_k of each ω, ascending, int64 (min(d, n),)."""
        if device not in self._columns:
            count = min(self.dim, self.core)
            edges = torch.arange(count + 1, device=device) * self.core // count
            word = bits.words(self.seed, "hadamard/column", 0, count, device)
            # The upper 63 bits of the word, modulo the width of the stratum.
            place = bits.below(edges.diff(), word)
            self._columns[device] = place.add_(edges[:-1])
        return self._columns[device]
