"""`hashed`: every weight is one ω, up to sign."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from subspace_nn.common.errors import InputError
from subspace_nn.projections import kernels
from subspace_nn.projections._affine import AffineHash
from subspace_nn.projections._store import Storable
from subspace_nn.projections.base import Needs

if TYPE_CHECKING:
    from subspace_nn.projections.kernels.hashed import Blocks
    from subspace_nn.projections.kernels.loops import Loops
    from subspace_nn.projections.kernels.table import Table

#: Largest number of indices that are stored by default: 256 MiB.
STORED = 1 << 26
#: From this d on kernels compute them. For a smaller one the hashes of all blocks take too much
#: memory, and a CPU's kernel reads those that are stored.
LEAST = 64


@final
class Hashed(Storable):
    """Each weight is one free parameter with a random sign; PᵀP = I exactly.

    The weights are cut into blocks of d. In block b, place j takes the parameter (a_b j + c_b) mod
    d, an affine hash (Carter and Wegman, "Universal classes of hash functions", 1979). Its
    multiplier a_b is coprime to d, so each full block uses every parameter once: no ω is unused,
    and the numbers of weights per parameter differ by at most one. With n_k weights on parameter k,

        (P ω)_i = s_i ω_k / √n_k,    k = (a_b j + c_b) mod d,  i = b d + j,  s_i = ±1.

    The idea is older than subspaces. HashedNets (Chen, Wilson, Tyree, Weinberger and Chen,
    "Compressing neural networks with the hashing trick", ICML 2015) share weights by a hash with
    random signs, in each layer and without θ0; the signs are those of Weinberger et al., "Feature
    hashing for large scale multitask learning" (2009). Groups over all layers at once, balanced by
    a random permutation but without signs and θ0, are in the code of PRANC (Nooralinejad et al.,
    "PRANC: Pseudo random networks for compacting deep models", 2022). Uni-LoRA (Li et al., 2025)
    has one-hot isometric rows for all LoRA factors of a model, without signs.

    P ω has the same bits everywhere. The sums of Pᵀ g have one order on a CPU, one on other devices
    and one in the kernels for each, for any number of threads; up to D = 2^18 the two orders on a
    CPU are the same where the indices are stored.

    Cost: one gather of D numbers forward, one scattered sum of D numbers backward, and a few d
    numbers. Stored, the indices take 4 bytes per weight from their first use on. Recomputed, as in
    `hashed:recomputed`, nothing is kept: each product computes indices and signs again, 2^18 at a
    time. `benchmarks/roofline.py` measures both. On a GPU with Triton, and on a CPU with Numba (the
    extra "fast") and D ≥ 2^16, kernels compute the indices in registers if d ≥ 64: a product takes
    one pass over θ, and 24 or 16 bytes per block of d weights are kept, stored or not. For a
    smaller d the CPU's kernel reads the stored indices, of 1 byte per weight.

    Args:
        D: number of weights, at least 1.
        dim: number of free parameters d, 1 ≤ d ≤ D and d < 2^30.
        seed: any integer from 0 to 2^64 - 1.
        store: whether to keep the indices; by default if D is at most 2^26. P ω is the same to the
            bit, Pᵀ g to rounding, as its sums have another order.

    Raises:
        InputError: if an argument is out of range.

    Example:
        >>> P = Hashed(D=5, dim=2)
        >>> (P @ torch.tensor([1.0, 10.0])).abs().sort().values
        tensor([0.7071, 0.7071, 5.7735, 5.7735, 5.7735])
    """

    kind = "hashed"

    def __init__(self, D: int, dim: int, seed: int = 0, *, store: bool | None = None) -> None:
        super().__init__(D, dim, seed)
        if dim >= 1 << 30:
            raise InputError(f"hashed takes dim below 2^30 (indices are int32), got {dim:,}.")
        self.store = D <= STORED if store is None else store
        self._hash = AffineHash(self.D, self.dim, self.seed)
        self._index: dict[torch.device, Tensor] = {}
        self._blocks: dict[torch.device, Blocks | Loops | Table] = {}
        self._norms: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        if kernel := self._kernel_for(omega):
            return kernel.place(omega, rows)
        # The indices point into [ω, -ω], so that the sign costs nothing.
        signed = torch.cat(2 * self._copies * (omega,), dim=-1)
        signed.mul_(self._norms_on(omega.device, omega.dtype))
        if self.store:
            return signed.index_select(-1, self._index_on(omega.device)[rows])
        theta = omega.new_empty((*omega.shape[:-1], rows.stop - rows.start))
        for weights, index in self._hash.indices(omega.device, rows):
            torch.index_select(signed, -1, index, out=theta[..., _within(weights, rows)])
        return theta

    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        if kernel := self._kernel_for(gradient):
            return kernel.collect(gradient, rows).to(gradient.dtype)
        # Half-precision sums of thousands of terms lose most of their digits.
        wide = torch.promote_types(gradient.dtype, torch.float32)
        size = 2 * self._copies * self.dim
        sums = gradient.new_zeros((*gradient.shape[:-1], size), dtype=wide)
        for weights, index in self._indices(gradient.device, rows):
            part = gradient[..., _within(weights, rows)].to(wide)
            self._add(part, index, sums, first=weights.start == rows.start)
        if self._copies > 1:
            sums = sums.unflatten(-1, (2, self._copies, self.dim)).sum(-2).flatten(-2)
        plus, minus = sums.split(self.dim, dim=-1)
        norm = self._norms_on(gradient.device, wide)[: self.dim]
        return (plus - minus).mul_(norm).to(gradient.dtype)

    def _gathered(self, rows: slice) -> tuple[Tensor, Tensor]:
        dtype = torch.int16 if 2 * self.dim <= 1 << 15 else torch.int32
        cpu = torch.device("cpu")
        return self._table(rows, dtype, cpu), self._norm(cpu)

    def _add(
        self,
        part: Tensor,  # (*, n)
        index: Tensor,  # (n,)
        sums: Tensor,  # (*, 2 d), or more where there are copies
        *,
        first: bool,
    ) -> None:
        """Add some numbers of g where their indices point to, in place."""
        if not part.is_cpu:  # which add several numbers to one place in an order left to chance
            sums += _sum_of_blocks(part, index.long(), self.dim, sums.shape[-1])
            return
        # Adding 10^7 numbers of one sign to each other one by one, float32 stops growing.
        apart = not first and 2 * sums.shape[-1] <= part.shape[-1]
        to = torch.zeros_like(sums) if apart else sums
        if part.dim() == 1:
            to.index_add_(0, index, part)
        else:
            to.scatter_add_(-1, index.long().expand(part.shape), part)
        if apart:
            sums += to

    def stored_bytes(self) -> int:
        """Bytes of the indices, hashes and norms held at this moment, on all devices."""
        held = *self._index.values(), *self._norms.values(), *self._blocks.values()
        return sum(part.nbytes for part in held)

    def _kernel_for(self, *operands: Tensor) -> "Blocks | Loops | Table | None":
        """What computes products with these on their device; None where plain torch does."""
        device = operands[0].device
        small = device.type == "cpu" and self.D < kernels.LARGE
        read = device.type == "cpu" and self.store and self.dim < LEAST
        if small or (self.dim < LEAST and not read) or not kernels.take(*operands):
            return None
        if device not in self._blocks:
            norm = self._norm(device)
            if read:
                index = self._table(slice(0, self.D), torch.uint8, device)
                made = kernels.load("table").Table(self.dim, index.numpy(), norm)
            else:
                made = kernels.kernel(device).of(self._hash, norm)
            self._blocks[device] = made
        return self._blocks[device]

    def needs(self) -> Needs:
        """A few vectors of D numbers."""
        return Needs.linear(self.D)

    @property
    def _copies(self) -> int:
        """The indices point into ω and -ω, where they are recomputed into two copies of each."""
        return 1 if self.store else 2

    def _index_on(self, device: torch.device) -> Tensor:
        """The index into [ω, -ω] of each weight, int32 (D,)."""
        if device not in self._index:
            self._index[device] = self._table(slice(0, self.D), torch.int32, device)
        return self._index[device]

    def _table(self, rows: slice, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The index into [ω, -ω] of some weights."""
        index = torch.empty(rows.stop - rows.start, dtype=dtype, device=device)
        for weights, part in self._hash.indices(device, rows):
            index[_within(weights, rows)] = part % self.dim + self.dim * (part >= 2 * self.dim)
        return index

    def _norms_on(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        """1/√n_k and then -1/√n_k, each as often as there are copies: (2 d,) or (4 d,)."""
        if not self.store:
            return self._signed_norms(device, dtype)
        if (device, dtype) not in self._norms:
            self._norms[device, dtype] = self._signed_norms(device, dtype)
        return self._norms[device, dtype]

    def _signed_norms(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        norm = self._norm(device).to(dtype)
        return torch.cat(self._copies * (norm,) + self._copies * (-norm,))

    def _norm(self, device: torch.device) -> Tensor:
        """1/√n_k, float64 (d,)."""
        full, rest = divmod(self.D, self.dim)
        # Not torch.sqrt: with MKL, one root in a hundred has another last bit than IEEE 754 gives.
        norm, other = (1 / math.sqrt(count) for count in (full, full + 1))
        norms = torch.full((self.dim,), norm, dtype=torch.float64, device=device)
        multiplier, offset = self._hash.hashes(range(full, full + 1), device)
        norms[(multiplier * torch.arange(rest, device=device) + offset) % self.dim] = other
        return norms

    def _indices(self, device: torch.device, rows: slice) -> Iterator[tuple[slice, Tensor]]:
        """Which weights, and their indices into ω and -ω, which the next ones overwrite."""
        if not self.store:
            return self._hash.indices(device, rows)
        index = self._index_on(device)
        return ((weights, index[weights]) for weights, *_ in self._hash.pieces(device, rows))


def _within(weights: slice, rows: slice) -> slice:
    """Where some weights are among the rows that contain them."""
    return slice(weights.start - rows.start, weights.stop - rows.start)


def _sum_of_blocks(part: Tensor, places: Tensor, dim: int, size: int) -> Tensor:
    """Sum part (*, n) at places (n,) < size, no two of them equal in a block of d: (*, size)."""
    blocks = -(-len(places) // dim)
    block = torch.arange(len(places), device=places.device) // dim
    spread = part.new_zeros((*part.shape[:-1], blocks * size))
    spread.scatter_(-1, (places + block * size).expand(part.shape), part)
    return spread.unflatten(-1, (blocks, size)).sum(-2)
