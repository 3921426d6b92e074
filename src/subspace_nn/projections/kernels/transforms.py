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


def fwht(x: Tensor, out: Tensor, n: int) -> None:
    """H_n times each row, on several threads: the bits of `fwht` with `portable`.

    Args:
        x: contiguous rows of n numbers, one after another, in float32 or float64.
        out: for the result, contiguous.
        n: a power of two.
    """
    _transform(out.copy_(x).view(-1).numpy(), n)


def _transform(x: np.ndarray, n: int) -> None:
    """The same in place, of rows one after another: shape (rows · n,)."""
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

    @staticmethod
    def fits(block: int, dtype: torch.dtype) -> bool:  # noqa: ARG004
        """Whether blocks of an order can be transformed: all."""
        return True

    @classmethod
    def of(cls, dim: int, tables: tuple[Tensor, Tensor, Tensor, Tensor], scale: float) -> "Stack":
        """With the tables of a projection.

        Args:
            dim: number of parameters d.
            tables: B of each block, int8 (L, b); Π of all and its inverse, int32; G, float32.
            scale: √(b / D) / b.

        Returns:
            Arrays in the memory of these tensors.
        """
        signs, order, inverse, gauss = (table.numpy() for table in tables)
        return cls(dim, signs, order, inverse, gauss.reshape(-1), scale)

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
        return torch.empty(count, self.dim, dtype=dtype, device="cpu").numpy()

    def _add(self, room: np.ndarray, number: int, part: slice, gradients: Tensors) -> None:
        room[number] = 0
        tables = self.signs, self.inverse, self.gauss
        _transforms.unstack(*gradients, room[number], *tables, part.start, part.stop)

    def _total(self, room: np.ndarray) -> np.ndarray:
        return np.add.reduce(room) * room.dtype.type(self.scale)


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

    @classmethod
    def of(cls, D: int, core: int, key: int, columns: Tensor) -> "Fold":
        """With these columns.

        Args:
            D: number of weights.
            core: the order n of the transform.
            key: of the stream of signs.
            columns: the column of each parameter, int64 (d,).

        Returns:
            An array in the memory of the tensor.
        """
        return cls(len(columns), D, core, np.uint64(key), columns.numpy())

    def _cut(self, start: int, stop: int) -> list[slice]:
        cuts = range(start + _PART, stop, _PART)
        return [slice(a, b) for a, b in zip((start, *cuts), (*cuts, stop), strict=True)]

    def _source(self, omega: Tensor) -> np.ndarray:
        values = omega.to(wide(omega.dtype)) * (1 / math.sqrt(self.core))
        y = empty((self.core,), values.dtype).numpy()
        y[:] = 0
        y[self.columns] = values.numpy()
        _transform(y, self.core)
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
        _transform(y, self.core)
        return y[self.columns] * y.dtype.type(1 / math.sqrt(self.core))


def _share(work: Callable[[int, int], None], count: int, block: int) -> None:
    """Do some work for a range of numbers, in whole blocks."""
    width = max(_PART // block, 1) * block
    share(lambda part: work(part * width, min((part + 1) * width, count)), -(-count // width))
