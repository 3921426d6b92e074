"""`hashed` and `sparse` on a CPU: all tensors in one pass over memory, by Numba.

    place      θ_i = θ0_i + step · Σ s_i u_k,    u = ω / √n, with one k in each group of parameters
    collect    v_k = 1/√n_k · Σ_i s_i (step · g_i)    over the rows i of parameter k

θ has the bits of plain torch. Up to 2^18 weights are one part, in which positive and negative terms
are summed apart, as there with stored indices: then `collect` has the bits of plain torch, too. For
more weights there is one sum for each parameter: two may be more than the first cache holds.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from subspace_nn import bits
from subspace_nn.projections._affine import AffineHash
from subspace_nn.projections.kernels import _loops
from subspace_nn.projections.kernels.passes import OnePass, Tensors, wide

#: Weights of a part, and blocks of d weights at least, so that the parts' sums take little memory.
_PART, _BLOCKS = 1 << 18, 32


@dataclass(frozen=True)
class Loops(OnePass):
    """The hashes of all blocks of each group of parameters.

    Attributes:
        dims: the first parameter of each group, and d.
        blocks: the first block of each group, and the number of all.
        hashes: keys of the streams of signs, and a and c of each block: uint64.
        norm: 1/√n of each parameter, float64 (d,).
        norms: the same in the dtypes that were needed.
    """

    dims: np.ndarray
    blocks: np.ndarray
    hashes: tuple[np.ndarray, np.ndarray, np.ndarray]
    norm: Tensor
    norms: dict[torch.dtype, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, hashes: AffineHash, norm: Tensor, *more: AffineHash) -> "Loops":
        """Compute them.

        Args:
            hashes: of the map, or of the first group.
            norm: 1/√n of each parameter, float64 (d,), on a CPU.
            more: of the other groups.

        Returns:
            16 bytes a block of d weights, and the norms.
        """
        groups = (hashes, *more)
        drawn = (group.hashes(range(group.blocks), norm.device) for group in groups)
        a, c = (torch.cat(parts).numpy().view(np.uint64) for parts in zip(*drawn, strict=True))
        keys = np.array([bits.key(group.seed, "hashed/sign") for group in groups], np.uint64)
        dims, blocks = ([group.dim for group in groups], [group.blocks for group in groups])
        return cls(len(norm), np.cumsum([0, *dims]), np.cumsum([0, *blocks]), (keys, a, c), norm)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(held.nbytes for held in (*self.hashes, self.norm, *self.norms.values()))

    def _cut(self, start: int, stop: int) -> list[slice]:
        width = max(_PART // self.dim, _BLOCKS) * self.dim
        cuts = range(start - start % self.dim + width, stop, width)
        return [slice(a, b) for a, b in zip((start, *cuts), (*cuts, stop), strict=True)]

    def _source(self, omega: Tensor) -> np.ndarray:
        """ω / √n, rounded in ω's dtype."""
        values = omega * self._norm(omega.dtype)
        return values.to(wide(omega.dtype)).contiguous().numpy()

    def _fill(
        self, part: slice, thetas: Tensors, origins: np.ndarray | None, source: np.ndarray
    ) -> None:
        _loops.place(*thetas, origins, source, *self._all, part.start, part.stop)

    def _room(self, count: int, dtype: torch.dtype) -> np.ndarray:
        width = 2 * self.dim if count == 1 else self.dim
        return torch.empty(count, width, dtype=dtype, device="cpu").numpy()

    def _add(self, room: np.ndarray, number: int, part: slice, gradients: Tensors) -> None:
        room[number] = 0
        shift = self.dim if len(room) == 1 else None
        _loops.collect(*gradients, room[number], shift, *self._all, part.start, part.stop)

    def _total(self, room: np.ndarray) -> np.ndarray:
        sums = np.add.reduce(room)
        norm = self._norm(torch.from_numpy(sums).dtype).numpy()
        return (sums[: self.dim] - sums[self.dim :] if len(room) == 1 else sums) * norm

    @property
    def _all(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.dims, self.blocks, *self.hashes

    def _norm(self, dtype: torch.dtype) -> Tensor:
        """1/√n in a dtype, kept."""
        if dtype not in self.norms:
            self.norms[dtype] = self.norm.to(dtype)
        return self.norms[dtype]
