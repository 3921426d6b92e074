"""`fastfood`, `hadamard` and the Walsh-Hadamard transform on a CPU, by Numba."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from subspace_nn.projections.kernels import _transforms
from subspace_nn.projections.kernels.passes import OnePass, Tensors, empty, share, wide

#: Weights of a part, and blocks at least, so that the parts' sums take little memory.
_PART, _BLOCKS = 1 << 18, 8


def fwht_(x: np.ndarray, n: int) -> None:
    """H_n times each row, in place, on several threads: the bits of `fwht` with `portable`.

    Args:
        x: the rows, contiguous, one after another: shape (rows · n,).
        n: a power of two.
    """
    h, rows = _transforms.plan(n)
    block, tile = max(h, _transforms.BLOCK), _transforms.BLOCK
    _share(lambda a, b: _transforms.low(x[a:b], h, block), len(x), block)
    while h < n:
        high = functools.partial(_transforms.high, x, h, rows)
        _share(lambda a, b, high=high: high(a // tile, b // tile), len(x), tile)
        h, rows = h * rows, 64


@dataclass(frozen=True)
class Stack(OnePass):
    """The tables of `fastfood`.

    Attributes:
        signs: B of each block, int8 (L, b).
        order: Π of all blocks, int32.
        inverse: its inverse, int32.
        gauss: G of all blocks, float32.
        scale: √(b / D) / b.
    """

    signs: np.ndarray
    order: np.ndarray
    inverse: np.ndarray
    gauss: np.ndarray
    scale: float

    @property
    def nbytes(self) -> int:
        """Bytes held: none of its own."""
        return 0

    def _cut(self, start: int, stop: int) -> list[slice]:
        block = self.signs.shape[1]
        width = max(_PART // block, _BLOCKS) * block
        cuts = range(start - start % width + width, stop, width)
        return [slice(a, b) for a, b in zip((start, *cuts), (*cuts, stop), strict=True)]

    def _source(self, omega: Tensor) -> np.ndarray:
        return (omega.to(wide(omega.dtype)) * self.scale).numpy()

    def _fill(
        self, part: slice, thetas: Tensors, origins: np.ndarray | None, source: np.ndarray
    ) -> None:
        tables = self.signs, self.order, self.gauss
        _transforms.stack(*thetas, origins, source, *tables, part.start, part.stop)

    def _room(self, count: int, dtype: torch.dtype) -> np.ndarray:
        return torch.zeros(count, self.dim, dtype=dtype, device="cpu").numpy()

    def _add(self, room: np.ndarray, number: int, part: slice, gradients: Tensors) -> None:
        tables = self.signs, self.inverse, self.gauss
        _transforms.unstack(*gradients, room[number], *tables, part.start, part.stop)

    def _total(self, room: np.ndarray) -> np.ndarray:
        return functools.reduce(np.add, room) * room.dtype.type(self.scale)


@dataclass(frozen=True)
class Fold(OnePass):
    """The columns of `hadamard`, for d ≤ n; only all rows at once.

    Attributes:
        D: number of weights.
        core: the order n of the transform.
        key: of the stream of signs.
        columns: the column of each parameter, int64 (d,).
    """

    D: int
    core: int
    key: np.uint64
    columns: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes held: none of its own."""
        return 0

    def _cut(self, start: int, stop: int) -> list[slice]:
        cuts = range(start + _PART, stop, _PART)
        return [slice(a, b) for a, b in zip((start, *cuts), (*cuts, stop), strict=True)]

    def _source(self, omega: Tensor) -> np.ndarray:
        values = omega.to(wide(omega.dtype)) * (1 / math.sqrt(self.core))
        y = empty((self.core,), values.dtype).numpy()
        y[:] = 0
        y[self.columns] = values.numpy()
        fwht_(y, self.core)
        y[: self.D - self.core] *= y.dtype.type(math.sqrt(0.5))
        return y

    def _fill(
        self, part: slice, thetas: Tensors, origins: np.ndarray | None, source: np.ndarray
    ) -> None:
        _transforms.unfold(*thetas, origins, source, self.key, part.start, part.stop)

    def _room(self, count: int, dtype: torch.dtype) -> np.ndarray:  # noqa: ARG002  # all share it
        return empty((self.D,), dtype).numpy()

    def _add(self, room: np.ndarray, number: int, part: slice, gradients: Tensors) -> None:  # noqa: ARG002
        _transforms.fold(*gradients, room, self.key, part.start, part.stop)

    def _total(self, room: np.ndarray) -> np.ndarray:
        y, twice = room[: self.core], room[self.core :]
        y[: len(twice)] += twice
        y[: len(twice)] *= y.dtype.type(math.sqrt(0.5))
        fwht_(y, self.core)
        return y[self.columns] * y.dtype.type(1 / math.sqrt(self.core))


def _share(work: Callable[[int, int], None], count: int, block: int) -> None:
    """Do some work for all of so many numbers, from one to another, in whole blocks."""
    width = max(_PART // block, 1) * block
    share(lambda part: work(part * width, min((part + 1) * width, count)), -(-count // width))
