"""`hashed` and `sparse` on a CPU: all tensors in one pass over memory, by Numba.

    place      θ_i = θ0_i + step · Σ s_i u_k,    u = ω / √n, with one k in each group of parameters
    collect    v_k = 1/√n_k · Σ_i s_i (step · g_i)    over the rows i of parameter k

Several threads share the rows. Each sum is cut at the same rows for any number of threads, and its
parts are added in order: no bit depends on that number. Positive and negative terms are summed
apart, as plain torch does with stored indices. Up to 2^18 weights are one part: then `collect` has
the bits of plain torch, too.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

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
_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


@dataclass(frozen=True)
class Loops:
    """The hashes of all blocks of each group of parameters.

    Attributes:
        at_once: whether several tensors take one call.
        dims: the first parameter of each group, and d.
        blocks: the first block of each group, and the number of all.
        hashes: keys of the streams of signs, and a and c of each block: uint64.
        norm: 1/√n of each parameter, float64 (d,).
        norms: the same in the dtypes that were needed.
    """

    at_once: ClassVar[bool] = True
    dims: np.ndarray
    blocks: np.ndarray
    hashes: tuple[np.ndarray, ...]
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
        return cls(np.cumsum([0, *dims]), np.cumsum([0, *blocks]), (keys, a, c), norm)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(held.nbytes for held in (*self.hashes, self.norm, *self.norms.values()))

    @staticmethod
    def takes(omega: Tensor, *origins: Tensor) -> bool:
        """Whether `place` takes a θ0 with an ω.

        Args:
            omega: ω.
            origins: θ0.

        Returns:
            False where plain torch must add them.
        """
        return omega.dtype == _wide(omega.dtype) and all(
            type(origin) in {Tensor, torch.nn.Parameter}
            and origin.is_contiguous()
            and omega.dtype == _wide(origin.dtype)
            for origin in origins
        )

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
        if origin is not None:
            return self.place_all(omega, rows.start, [origin], [step])[0]
        n, values = rows.stop - rows.start, self._values(omega)
        theta = _empty((*omega.shape[:-1], n), values.dtype)
        count = math.prod(omega.shape[:-1])
        for vector, out in zip(values.view(count, -1), theta.view(count, n), strict=True):
            self._fill([out], None, vector, rows.start, [step])
        return theta.to(omega.dtype)

    def place_all(
        self, omega: Tensor, start: int, origins: Sequence[Tensor], steps: Sequence[float]
    ) -> list[Tensor]:
        """θ0 + step · P ω of consecutive tensors: the bits of the same in plain torch.

        Args:
            omega: shape (d,).
            start: the first tensor's first row.
            origins: θ0 of each tensor, as for `place`.
            steps: a factor for each tensor.

        Returns:
            Tensors like those of θ0.
        """
        thetas = [_like(origin) for origin in origins]
        self._fill(thetas, origins, self._values(omega), start, steps)
        return thetas

    def collect(self, gradient: Tensor, rows: slice, step: float = 1.0) -> Tensor:
        """Step · P[rows]ᵀ g, its sums in at least float32 and in one fixed order.

        Args:
            gradient: g of these rows, shape (*, n).
            rows: which, with a start and a stop.
            step: a factor, 1 by default.

        Returns:
            Shape (*, d), in g's dtype or float32, whichever is wider.
        """
        count = math.prod(gradient.shape[:-1])
        vectors = gradient.reshape(count, rows.stop - rows.start)
        sums = self.norm.new_empty((count, len(self.norm)), dtype=_wide(gradient.dtype))
        for vector, total in zip(vectors, sums, strict=True):
            total.copy_(self.collect_all([vector], rows.start, [step]))
        return sums.view(*gradient.shape[:-1], len(self.norm))

    def collect_all(
        self, gradients: Sequence[Tensor], start: int, steps: Sequence[float]
    ) -> Tensor:
        """The sum of step · P[rows]ᵀ g over consecutive tensors.

        Args:
            gradients: g of each tensor, in any shape.
            start: the first tensor's first row.
            steps: a factor for each tensor.

        Returns:
            Shape (d,), in the tensors' dtype or float32, whichever is wider.
        """
        wide = functools.reduce(torch.promote_types, (g.dtype for g in gradients), torch.float32)
        held = [gradient.contiguous() for gradient in gradients]
        bounds, parts = self._parts(held, start)
        after = len(held) == 1  # fewer numbers are scaled after
        factors = np.array([1.0] if after else steps, _NUMPY[wide])
        sums = np.zeros((len(parts), 2 * len(self.norm)), factors.dtype)
        direct = _addresses(held) if all(part.dtype == wide for part in held) else None

        def add(number: int) -> None:
            part, at = parts[number], direct
            if at is None:
                copies = torch.empty(part.stop - part.start, dtype=wide, device="cpu")
                for tensor, some, there in _pieces(bounds, part):
                    copies[there] = held[tensor].detach().view(-1)[some]
                at = _along(copies, bounds, part)
            self._run(_loops.collect, part, sums[number], at, bounds, factors)

        _share(add, len(parts))
        both, dim = functools.reduce(np.add, sums), len(self.norm)
        total = torch.from_numpy(both[:dim] - both[dim:]).mul_(self._norm(wide))
        return total.mul_(steps[0]) if after else total

    def _norm(self, dtype: torch.dtype) -> Tensor:
        """1/√n in a dtype, kept."""
        if dtype not in self.norms:
            self.norms[dtype] = self.norm.to(dtype)
        return self.norms[dtype]

    def _values(self, omega: Tensor) -> Tensor:
        """ω / √n, rounded in ω's dtype, and then in at least float32."""
        return (omega.detach() * self._norm(omega.dtype)).to(_wide(omega.dtype)).contiguous()

    def _fill(
        self,
        thetas: Sequence[Tensor],
        origins: Sequence[Tensor] | None,
        values: Tensor,
        start: int,
        steps: Sequence[float],
    ) -> None:
        """Place tensors; where θ0 is in half precision, from a part's moves in float32."""
        bounds, parts = self._parts(thetas, start)
        vector, factors = values.numpy(), np.array(steps, _NUMPY[values.dtype])
        to, at = _addresses(thetas), None if origins is None else _addresses(origins)
        direct = origins is None or all(origin.dtype == values.dtype for origin in origins)

        def fill(number: int) -> None:
            part = parts[number]
            if direct:
                self._run(_loops.place, part, to, at, bounds, factors, vector)
                return
            moves = torch.empty(part.stop - part.start, dtype=values.dtype, device="cpu")
            along = _along(moves, bounds, part)
            self._run(_loops.place, part, along, None, bounds, factors, vector)
            for tensor, some, there in _pieces(bounds, part):
                theta0 = origins[tensor].detach().view(-1)[some]
                torch.add(moves[there], theta0, out=thetas[tensor].view(-1)[some])

        _share(fill, len(parts))

    def _run(self, loop: Callable[..., None], part: slice, *operands: Any) -> None:
        loop(*operands, self.dims, self.blocks, *self.hashes, part.start, part.stop)

    def _parts(self, flat: Sequence[Tensor], start: int) -> tuple[np.ndarray, list[slice]]:
        """The first row of each tensor, and behind all; the rows, cut at whole blocks of d."""
        sizes = (tensor.numel() for tensor in flat)
        bounds = np.array([*itertools.accumulate(sizes, initial=start)], np.int64)
        stop, dim = int(bounds[-1]), len(self.norm)
        width = max(_PART // dim, _BLOCKS) * dim
        cuts = range(start - start % dim + width, stop, width)
        parts = [slice(a, b) for a, b in zip((start, *cuts), (*cuts, stop), strict=True)]
        return bounds, parts


def _addresses(tensors: Sequence[Tensor]) -> np.ndarray:
    return np.array([tensor.data_ptr() for tensor in tensors], np.int64)


def _along(vector: Tensor, bounds: np.ndarray, part: slice) -> np.ndarray:
    """Addresses of tensors as if they lay one after another in a vector of a part."""
    return vector.data_ptr() + (bounds[:-1] - part.start) * vector.itemsize


def _pieces(bounds: np.ndarray, part: slice) -> Iterator[tuple[int, slice, slice]]:
    """Each tensor that has rows of a part: its number, the rows in it, and in the part."""
    for tensor, (begin, end) in enumerate(itertools.pairwise(bounds.tolist())):
        a, b = max(begin, part.start), min(end, part.stop)
        if a < b:
            yield tensor, slice(a - begin, b - begin), slice(a - part.start, b - part.start)


def _share(work: Callable[[int], None], count: int) -> None:
    """Do some work for each of so many parts, on as many threads as PyTorch has."""
    threads = min(torch.get_num_threads(), count)
    if threads == 1:
        for number in range(count):
            work(number)
        return
    with ThreadPoolExecutor(threads) as pool:  # one that lived longer would not survive a fork
        for _ in pool.map(work, range(count)):
            pass


def _like(origin: Tensor) -> Tensor:
    return (
        torch.empty_like(origin) if origin.numel() <= _LARGE else _empty(origin.shape, origin.dtype)
    )


def _empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """An uninitialised tensor, in pages of its own where it is large."""
    if (size := math.prod(shape)) > _LARGE:
        return PAGES.empty(size, dtype).view(shape)
    return torch.empty(shape, dtype=dtype, device="cpu")


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
