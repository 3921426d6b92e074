"""`fastfood`, `hadamard` and the Walsh-Hadamard transform on a GPU, in Triton.

A transform takes one pass over memory if it fits in the registers of a program; a larger one takes
another for every seven stages more. A product takes two passes with `fastfood`, and one more than
its transform with `hadamard`. θ0 + step · P ω has the bits of the same operations in plain torch.
"""

import abc
import math
import struct
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from subspace_nn.projections.kernels import _walsh
from subspace_nn.projections.kernels.launch import launch
from subspace_nn.projections.kernels.passes import wide

#: Bytes of the numbers that a program transforms, at most, and of a tile of a larger transform.
_MOST, _TILE = 1 << 16, 1 << 14
#: Rows of a tile, at most.
_ROWS = 128
#: Blocks of `fastfood` that a program sums, and words of 64 signs that one draws.
_DEPTH, _WORDS = 16, 16
#: The dtypes of θ0 that are added to moves of a dtype.
_ADDED = {
    torch.float32: {torch.float32, torch.float16, torch.bfloat16, torch.float64},
    torch.float64: {torch.float64},
}


def fwht(x: Tensor, out: Tensor, n: int) -> None:
    """H_n times each row, with the bits of `fwht` with `portable`.

    Args:
        x: contiguous rows of n numbers, one after another, in float32 or float64.
        out: for the result, contiguous; may be x.
        n: a power of two.
    """
    tile = _TILE // x.itemsize
    h = n if n <= _MOST // x.itemsize else tile
    _start(_walsh.low, -(-x.numel() // max(h, tile)), out, x, x.numel(), N=h, TILE=max(h, tile))
    while h < n:
        rows = min(_ROWS, n // h)
        _start(_walsh.high, x.numel() // tile, out, h, ROWS=rows, WIDTH=tile // rows)
        h *= rows


@dataclass(frozen=True)
class _Vectors(abc.ABC):
    """Batches of `place` and `collect`, vector by vector."""

    at_once: ClassVar[bool] = False
    dim: int

    @abc.abstractmethod
    def _fill(
        self, out: Tensor, origin: Tensor | None, omega: Tensor, rows: slice, step: float
    ) -> None:
        """θ0 + step · P[rows] ω of a vector, into out."""

    @abc.abstractmethod
    def _total(self, gradient: Tensor, rows: slice) -> Tensor:
        """P[rows]ᵀ g of a vector, in at least float32."""

    @staticmethod
    def takes(omega: Tensor, *origins: Tensor) -> bool:
        """As `Kernel` says."""
        added = _ADDED.get(omega.dtype, set())
        return all(o.is_contiguous() and o.dtype in added for o in origins)

    def place(
        self, omega: Tensor, rows: slice, origin: Tensor | None = None, step: float = 1.0
    ) -> Tensor:
        """As `Kernel` says."""
        if origin is not None:
            out = torch.empty_like(origin)
            self._fill(out, origin, omega, rows, step)
            return out
        shape = (*omega.shape[:-1], rows.stop - rows.start)
        theta = omega.new_empty(shape)
        for vector, out in zip(omega.reshape(-1, self.dim), _vectors(theta), strict=True):
            self._fill(out, None, vector, rows, step)
        return theta

    def collect(self, gradient: Tensor, rows: slice, step: float = 1.0) -> Tensor:
        """As `Kernel` says."""
        shape = (*gradient.shape[:-1], self.dim)
        sums = gradient.new_empty(shape, dtype=wide(gradient.dtype))
        for vector, out in zip(_vectors(gradient.contiguous()), _vectors(sums), strict=True):
            out.copy_(self._total(vector, rows))
        return sums if step == 1 else sums.mul_(step)


@dataclass(frozen=True)
class Stack(_Vectors):
    """The tables of `fastfood`, for blocks that a program can transform.

    Attributes:
        signs: B of each block, int8 (L, b).
        order: Π of all blocks, int32.
        inverse: its inverse, int32.
        gauss: G of each block, float32 (L, b).
        scale: √(b / D) / b.
    """

    signs: Tensor
    order: Tensor
    inverse: Tensor
    gauss: Tensor
    scale: float

    @classmethod
    def of(cls, dim: int, tables: tuple[Tensor, Tensor, Tensor, Tensor], scale: float) -> "Stack":
        """With the tables of a projection.

        Args:
            dim: number of parameters d.
            tables: B of each block, int8 (L, b); Π of all and its inverse, int32; G, float32.
            scale: √(b / D) / b.

        Returns:
            It holds no more than these.
        """
        return cls(dim, *tables, scale)

    @staticmethod
    def fits(block: int, dtype: torch.dtype) -> bool:
        """Whether a program can transform a block.

        Args:
            block: its order b.
            dtype: of ω or a gradient.

        Returns:
            False where plain torch must multiply.
        """
        return block <= _MOST // wide(dtype).itemsize

    def _fill(
        self, out: Tensor, origin: Tensor | None, omega: Tensor, rows: slice, step: float
    ) -> None:
        """θ0 + step · P[rows] ω of a vector, into out."""
        b = self.signs.shape[1]
        blocks, before = self._blocks(rows)
        values = omega.to(wide(omega.dtype)) * self.scale
        x = values.new_empty((len(blocks), b))
        _start(_walsh.spread, len(blocks), x, values, self.signs[blocks.start :], self.dim, N=b)
        tables = self.order[before:], self.gauss[blocks.start :]
        _start(
            _walsh.settle, len(blocks), out, out if origin is None else origin, x, *tables,
            before, rows.start, rows.stop, _bits(step), ADD=origin is not None, N=b,
        )  # fmt: skip

    def _total(self, gradient: Tensor, rows: slice) -> Tensor:
        """P[rows]ᵀ g of a vector."""
        b = self.signs.shape[1]
        blocks, before = self._blocks(rows)
        x = gradient.new_empty((len(blocks), b), dtype=wide(gradient.dtype))
        _start(
            _walsh.lift, len(blocks), x, gradient, self.gauss[blocks.start :],
            before, rows.start, rows.stop, N=b,
        )  # fmt: skip
        sums = x.new_empty((-(-len(blocks) // _DEPTH), self.dim))
        _start(
            _walsh.gather, len(sums), sums, x, self.inverse[before:], self.signs[blocks.start :],
            before, len(blocks), self.dim, N=b, DEPTH=_DEPTH,
        )  # fmt: skip
        return sums.sum(0).mul_(self.scale)

    def _blocks(self, rows: slice) -> tuple[range, int]:
        """The blocks that contain some rows, and the first row of these blocks."""
        b = self.signs.shape[1]
        blocks = range(rows.start // b, -(-rows.stop // b))
        return blocks, blocks.start * b


@dataclass(frozen=True)
class Fold(_Vectors):
    """The columns of `hadamard`, for d ≤ n; only all rows at once.

    Attributes:
        D: number of weights.
        core: the order n of the transform.
        key: of the stream of signs.
        columns: the column of each parameter, int64 (d,).
    """

    D: int
    core: int
    key: int
    columns: Tensor

    @classmethod
    def of(cls, D: int, core: int, key: int, columns: Tensor) -> "Fold":
        """With these columns.

        Args:
            D: number of weights.
            core: the order n of the transform.
            key: of the stream of signs.
            columns: the column of each parameter, int64 (d,).

        Returns:
            It holds no more than these.
        """
        return cls(len(columns), D, core, key, columns)

    def _fill(
        self,
        out: Tensor,
        origin: Tensor | None,
        omega: Tensor,
        rows: slice,  # noqa: ARG002  # all of them
        step: float,
    ) -> None:
        """θ0 + step · P ω of a vector, into out."""
        values = omega.to(wide(omega.dtype)) * (1 / math.sqrt(self.core))
        y = values.new_zeros(self.core).index_copy_(0, self.columns, values)
        fwht(y, y, self.core)
        _start(
            _walsh.unfold, -(-self.D // (64 * _WORDS)), out, out if origin is None else origin, y,
            self.key, self.core, self.D, _bits(math.sqrt(0.5)), _bits(step),
            ADD=origin is not None, WORDS=_WORDS,
        )  # fmt: skip

    def _total(self, gradient: Tensor, rows: slice) -> Tensor:  # noqa: ARG002
        """Pᵀ g of a vector."""
        y = gradient.new_empty(self.core, dtype=wide(gradient.dtype))
        _start(
            _walsh.fold, -(-self.core // (64 * _WORDS)), y, gradient,
            self.key, self.core, self.D, _bits(math.sqrt(0.5)), WORDS=_WORDS,
        )  # fmt: skip
        fwht(y, y, self.core)
        return y[self.columns].mul_(1 / math.sqrt(self.core))


def _vectors(x: Tensor) -> Tensor:
    return x.view(-1, x.shape[-1])


def _bits(factor: float) -> int:
    """Of a float64, as a whole number."""
    return struct.unpack("q", struct.pack("d", factor))[0]


def _start(program: Any, count: int, *operands: Any, **constants: Any) -> None:
    """Start a number of programs, without fused products and sums."""
    warps = max(4, min(16, constants.get("N", 0) // 1024))
    launch(program, count, *operands, **constants, num_warps=warps, enable_fp_fusion=False)
