"""`hashed`: every weight is one ω, up to sign."""

import torch
from torch import Tensor

from subspace_nn import bits
from subspace_nn.errors import InputError
from subspace_nn.projections.base import Projection


class Hashed(Projection):
    """Each weight tied to one free parameter with a random sign; PᵀP = I exactly.

    The weights are cut into blocks of d. In block b, place j is tied to the parameter
    (a_b j + c_b) mod d, an affine hash (Carter and Wegman, "Universal classes of hash functions",
    1979) whose multiplier a_b is coprime to d, so that each full block uses every parameter once:
    no ω is ever unused and their numbers of weights differ by at most one. With n_k weights on
    parameter k,

        (P ω)_i = s_i ω_k / √n_k,    k = (a_b j + c_b) mod d,  i = b d + j,  s_i = ±1.

    Weight sharing by hashing is Chen et al., "Compressing neural networks with the hashing
    trick" (2015), with the signs of Weinberger et al. (2009); one-hot isometric rows for all
    layers together are Li et al., "Uni-LoRA" (2025), without the signs.

    Cost: one gather of D numbers forward, one scattered sum of D numbers backward; 4 bytes a
    weight are kept for the indices once they are first needed.

    Args:
        D: number of weights, at least 1.
        dim: number of free parameters d, 1 ≤ d ≤ D and d < 2^30.
        seed: any integer from 0 to 2^64 - 1.

    Raises:
        InputError: if an argument is out of range.

    Example:
        >>> P = Hashed(D=5, dim=2)
        >>> (P @ torch.tensor([1.0, 10.0])).abs().sort().values
        tensor([0.7071, 0.7071, 5.7735, 5.7735, 5.7735])
    """

    kind = "hashed"

    def __init__(self, D: int, dim: int, seed: int = 0) -> None:
        super().__init__(D, dim, seed)
        if dim >= 1 << 30:
            raise InputError(f"hashed takes dim below 2^30 (indices are int32), got {dim:,}.")
        self._tables: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def _matvec(self, omega: Tensor) -> Tensor:
        index, norm = self._on(omega.device)
        scaled = omega * norm.to(omega.dtype)
        # The table points into [ω, -ω], so that the sign costs nothing.
        return torch.cat((scaled, -scaled), dim=-1).index_select(-1, index)

    def _rmatvec(self, gradient: Tensor) -> Tensor:
        index, norm = self._on(gradient.device)
        # Half-precision sums of thousands of terms lose most of their digits.
        wide = torch.promote_types(gradient.dtype, torch.float32)
        sums = gradient.new_zeros((*gradient.shape[:-1], 2 * self.dim), dtype=wide)
        sums.index_add_(-1, index, gradient.to(wide))
        plus, minus = sums.split(self.dim, dim=-1)
        return ((plus - minus) * norm.to(wide)).to(gradient.dtype)

    def stored_bytes(self) -> int:
        """Bytes of the index tables and norms held at this moment, on all devices."""
        return sum(t.nbytes for tables in self._tables.values() for t in tables)

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The index into [ω, -ω] of each weight, int32 (D,), and 1/√n_k, float64 (d,)."""
        if device not in self._tables:
            parameter = self._parameters_of_weights(device)
            counts = torch.bincount(parameter, minlength=self.dim)
            negative = bits.signs(self.seed, "hashed/sign", 0, self.D, device) < 0
            index = parameter.add_(negative, alpha=self.dim).to(torch.int32)
            self._tables[device] = index, counts.double().sqrt().reciprocal()
        return self._tables[device]

    def _parameters_of_weights(self, device: torch.device) -> Tensor:
        """Index k of the parameter of each weight, int64 (D,)."""
        blocks = -(-self.D // self.dim)
        multiplier = self._multipliers(blocks, device)
        offset = bits.below(self.dim, bits.words(self.seed, "hashed/offset", 0, blocks, device))
        place = torch.arange(self.dim, device=device)
        k = (multiplier[:, None] * place + offset[:, None]) % self.dim
        return k.flatten()[: self.D]

    def _multipliers(self, blocks: int, device: torch.device) -> Tensor:
        """For each block the first of its candidates that is coprime to d, int64 (blocks,)."""
        dim = torch.tensor(self.dim, device=device)
        chosen = torch.zeros(blocks, dtype=torch.int64, device=device)
        open_ = torch.ones(blocks, dtype=torch.bool, device=device)
        trial = 0
        while bool(open_.any()):
            stream = f"hashed/multiplier/{trial}"
            candidate = bits.below(self.dim, bits.words(self.seed, stream, 0, blocks, device))
            coprime = torch.gcd(candidate, dim) == 1
            chosen = torch.where(open_ & coprime, candidate, chosen)
            open_ &= ~coprime
            trial += 1
        return chosen
