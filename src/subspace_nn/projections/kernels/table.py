"""`hashed` with few parameters on a CPU: all tensors in one pass over memory, by Numba.

As in `loops.py`, but an index into [u, -u] is read, where that computes it: a hash for every few
weights takes longer. θ has the bits of plain torch, and up to 2^18 weights so have the sums of
`collect`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from subspace_nn.projections.kernels import _loops
from subspace_nn.projections.kernels.passes import OnePass, Tensors, wide

#: Weights of a part.
_PART = 1 << 18


@dataclass(frozen=True)
class Table(OnePass):
    """The index of each weight.

    Attributes:
        index: into [u, -u], uint8 (D,).
        norm: 1/√n of each parameter, float64 (d,).
    """

    index: np.ndarray
    norm: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.index.nbytes + self.norm.nbytes

    def _cut(self, start: int, stop: int) -> list[slice]:
        cuts = range(start + _PART, stop, _PART)
        return [slice(a, b) for a, b in zip((start, *cuts), (*cuts, stop), strict=True)]

    def _source(self, omega: Tensor) -> np.ndarray:
        values = (omega * self.norm.to(omega.dtype)).to(wide(omega.dtype))
        return torch.cat((values, -values)).numpy()

    def _fill(
        self, part: slice, thetas: Tensors, origins: np.ndarray | None, source: np.ndarray
    ) -> None:
        _loops.place_stored(*thetas, origins, source, self.index, part.start, part.stop)

    def _room(self, count: int, dtype: torch.dtype) -> np.ndarray:
        return torch.empty(count, 2 * self.dim, dtype=dtype, device="cpu").numpy()

    def _add(self, room: np.ndarray, number: int, part: slice, gradients: Tensors) -> None:
        room[number] = 0
        _loops.collect_stored(*gradients, room[number], self.index, part.start, part.stop)

    def _total(self, room: np.ndarray) -> np.ndarray:
        plus, minus = np.split(np.add.reduce(room), 2)
        return (plus - minus) * self.norm.to(torch.from_numpy(plus).dtype).numpy()
