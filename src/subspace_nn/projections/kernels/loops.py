"""`hashed` on a CPU: place and collect a range of rows in one pass over memory, by Numba.

    place      θ_i = θ0_i + s_i u_k,    u = step · (ω / √n), rounded as plain torch rounds it
    collect    v_k = step / √n_k · Σ_i s_i g_i    over the rows i of parameter k

Several threads share the rows. Each sum is cut at the same rows for any number of threads, and its
parts are added in order: no bit depends on that number.
"""

import functools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from subspace_nn import bits
from subspace_nn.projections._affine import AffineHash
from subspace_nn.projections.kernels import _loops
from subspace_nn.projections.pages import PAGES

#: Weights of a part, and blocks of d weights at least, so that the parts' sums take little memory.
_PART, _BLOCKS = 1 << 18, 32
#: Weights from which on memory is not the heap's.
_LARGE = 1 << 21


@dataclass(frozen=True)
class Loops:
    """The hashes of all blocks of d weights.

    Attributes:
        key: of the stream of signs.
        hashes: a and c of each block, uint64.
        norm: 1/√n of each parameter, float64 (d,).
    """

    key: np.uint64
    hashes: tuple[np.ndarray, np.ndarray]
    norm: Tensor

    @classmethod
    def of(cls, hashes: AffineHash, norm: Tensor) -> "Loops":
        """Compute them.

        Args:
            hashes: of the map.
            norm: 1/√n of each parameter, float64 (d,), on a CPU.

        Returns:
            16 bytes a block of d weights, and the norms.
        """
        a, c = (x.numpy().view(np.uint64) for x in hashes.hashes(range(hashes.blocks), norm.device))
        return cls(np.uint64(bits.key(hashes.seed, "hashed/sign")), (a, c), norm)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(held.nbytes for held in (*self.hashes, self.norm))

    @staticmethod
    def takes(omega: Tensor, origin: Tensor) -> bool:
        """Whether `place` takes a θ0 with an ω.

        Args:
            omega: ω.
            origin: θ0.

        Returns:
            False where plain torch must add them.
        """
        plain = type(origin) in {Tensor, torch.nn.Parameter} and origin.is_contiguous()
        return plain and omega.dtype == _wide(omega.dtype) == _wide(origin.dtype)

    def place(
        self, omega: Tensor, rows: slice, origin: Tensor | None = None, step: float = 1.0
    ) -> Tensor:
        """θ0 + step · P[rows] ω: the bits of the same in plain torch.

        Args:
            omega: shape (*, d).
            rows: which, with a start and a stop.
            origin: θ0 of these rows, n numbers in any shape, contiguous, where ω has no batch
                dimensions: in ω's dtype, or in half precision where that is float32; None for zero.
            step: a factor, 1 by default.

        Returns:
            Shape (*, n) in ω's dtype, or shape and dtype of θ0.
        """
        values = omega.detach() * self.norm.to(omega.dtype)
        values = (values if step == 1 else values.mul_(step)).to(_wide(omega.dtype))
        shape = (*omega.shape[:-1], rows.stop - rows.start) if origin is None else origin.shape
        out = _empty(shape, values.dtype if origin is None else origin.dtype)
        theta0 = None if origin is None else origin.detach().view(-1)
        vectors = values.reshape(math.prod(omega.shape[:-1]), len(self.norm)).numpy()
        thetas = out.view(len(vectors), rows.stop - rows.start)

        def fill(part: slice) -> None:
            own = slice(part.start - rows.start, part.stop - rows.start)
            before = None if theta0 is None else theta0[own]
            for vector, theta in zip(vectors, thetas, strict=True):
                self._fill(theta[own], before, vector, part)

        _share(fill, self._parts(rows))
        return out if theta0 is not None else out.to(omega.dtype)

    def collect(self, gradient: Tensor, rows: slice, step: float = 1.0) -> Tensor:
        """Step · P[rows]ᵀ g, its sums in at least float32 and in one fixed order.

        Args:
            gradient: g of these rows, shape (*, n).
            rows: which, with a start and a stop.
            step: a factor, 1 by default.

        Returns:
            Shape (*, d), in g's dtype or float32, whichever is wider.
        """
        wide = _wide(gradient.dtype)
        count, n = math.prod(gradient.shape[:-1]), rows.stop - rows.start
        flat = gradient.detach().reshape(count, n)
        parts = self._parts(rows)
        sums = torch.zeros(len(parts), len(flat), len(self.norm), dtype=wide, device="cpu")

        def add(part: slice) -> None:
            own = slice(part.start - rows.start, part.stop - rows.start)
            for vector, total in zip(flat, sums[parts.index(part)].numpy(), strict=True):
                some = vector[own].to(wide).numpy()
                self._run(_loops.collect, part, total, some)

        _share(add, parts)
        total = functools.reduce(Tensor.add_, sums).mul_(self.norm.to(wide))
        total = total if step == 1 else total.mul_(step)
        return total.view(*gradient.shape[:-1], -1)

    def _fill(self, out: Tensor, origin: Tensor | None, vector: np.ndarray, part: slice) -> None:
        """Place a part; where θ0 is in half precision, from numbers of its size in float32."""
        if origin is None or origin.dtype == _wide(origin.dtype):
            theta0 = None if origin is None else origin.numpy()
            self._run(_loops.place, part, out.numpy(), theta0, vector)
            return
        moves = torch.empty(out.shape, dtype=_wide(origin.dtype), device="cpu")
        self._run(_loops.place, part, moves.numpy(), None, vector)
        torch.add(moves, origin, out=out)

    def _run(self, loop: Callable[..., None], part: slice, *operands: Any) -> None:
        loop(*operands, *self.hashes, self.key, part.start, part.stop)

    def _parts(self, rows: slice) -> list[slice]:
        """Some rows, cut at whole blocks of d weights."""
        dim = len(self.norm)
        width = max(_PART // dim, _BLOCKS) * dim
        cuts = range(rows.start - rows.start % dim + width, rows.stop, width)
        return [slice(a, b) for a, b in zip((rows.start, *cuts), (*cuts, rows.stop), strict=True)]


def _share(work: Callable[[slice], None], parts: Sequence[slice]) -> None:
    """Do some work for each part, on as many threads as PyTorch has."""
    threads = min(torch.get_num_threads(), len(parts))
    if threads == 1:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:  # one that lived longer would not survive a fork
        for _ in pool.map(work, parts):
            pass


def _empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """An uninitialised tensor, in pages of its own where it is large."""
    if (size := math.prod(shape)) > _LARGE:
        return PAGES.empty(size, dtype).view(shape)
    return torch.empty(shape, dtype=dtype, device="cpu")


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
