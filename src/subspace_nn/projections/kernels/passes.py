"""What all kernels on a CPU share: tensors, their parts, half precision, threads."""

import abc
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from subspace_nn.projections.pages import PAGES

#: Weights from which on memory is not the heap's.
_LARGE = 1 << 21
_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}
#: The dtypes of θ0 that are added to moves of a dtype.
_ADDED = {
    torch.float32: {torch.float32, torch.float16, torch.bfloat16},
    torch.float64: {torch.float64},
}


class Tensors(NamedTuple):
    """Consecutive rows, as compiled loops take them.

    Attributes:
        at: address of each tensor.
        bounds: the first row of each, and the row behind all.
        steps: a factor for each.
    """

    at: np.ndarray
    bounds: np.ndarray
    steps: np.ndarray


@dataclass(frozen=True)
class OnePass(abc.ABC):
    """Places and collects any tensors that are consecutive rows, in one pass over memory.

    Several threads share the rows, which are cut at the same places for any number of threads, and
    the sums of the parts are added in order: no bit depends on that number.

    Attributes:
        at_once: whether several tensors take one call.
        dim: number of parameters d.
    """

    at_once: ClassVar[bool] = True
    dim: int

    @abc.abstractmethod
    def _cut(self, start: int, stop: int) -> list[slice]:
        """Some rows in parts."""

    @abc.abstractmethod
    def _source(self, omega: Tensor) -> np.ndarray:
        """What all rows are made of, for ω of shape (d,), in at least float32."""

    @abc.abstractmethod
    def _fill(
        self, part: slice, thetas: Tensors, origins: np.ndarray | None, source: np.ndarray
    ) -> None:
        """θ0 + step · P[rows] ω for the tensors' rows that are in a part."""

    @abc.abstractmethod
    def _room(self, count: int, dtype: torch.dtype) -> np.ndarray:
        """Memory for the sums of a number of parts, which a part's thread clears."""

    @abc.abstractmethod
    def _add(self, room: np.ndarray, number: int, part: slice, gradients: Tensors) -> None:
        """Step · P[rows]ᵀ g for the tensors' rows that are in a part, to its sums."""

    @abc.abstractmethod
    def _total(self, room: np.ndarray) -> np.ndarray:
        """The sum of all parts, shape (d,)."""

    @staticmethod
    def takes(omega: Tensor, *origins: Tensor) -> bool:
        """As `Kernel` says."""
        return omega.dtype in _NUMPY and all(
            origin.dtype in _ADDED[omega.dtype]
            and type(origin) in {Tensor, torch.nn.Parameter}
            and origin.is_contiguous()
            for origin in origins
        )

    def place(
        self, omega: Tensor, rows: slice, origin: Tensor | None = None, step: float = 1.0
    ) -> Tensor:
        """As `Kernel` says."""
        if origin is not None:
            return self.place_all(omega, rows.start, [origin], [step])[0]
        count, n = math.prod(omega.shape[:-1]), rows.stop - rows.start
        theta = empty((*omega.shape[:-1], n), wide(omega.dtype))
        vectors = omega.detach().reshape(count, self.dim)
        for vector, out in zip(vectors, theta.view(count, n), strict=True):
            self._place([out], None, vector, rows.start, [step])
        return theta.to(omega.dtype)

    def place_all(
        self, omega: Tensor, start: int, origins: Sequence[Tensor], steps: Sequence[float]
    ) -> list[Tensor]:
        """θ0 + step · P ω of consecutive tensors.

        Args:
            omega: shape (d,).
            start: the first tensor's first row.
            origins: θ0 of each tensor, as for `place`.
            steps: a factor for each tensor.

        Returns:
            Tensors like those of θ0.
        """
        thetas = [_like(origin) for origin in origins]
        self._place(thetas, origins, omega.detach(), start, steps)
        return thetas

    def collect(self, gradient: Tensor, rows: slice, step: float = 1.0) -> Tensor:
        """As `Kernel` says."""
        if gradient.dim() == 1:
            return self.collect_all([gradient], rows.start, [step])
        count = math.prod(gradient.shape[:-1])
        vectors = gradient.reshape(count, rows.stop - rows.start)
        sums = torch.empty(count, self.dim, dtype=wide(gradient.dtype), device="cpu")
        for vector, total in zip(vectors, sums, strict=True):
            total.copy_(self.collect_all([vector], rows.start, [step]))
        return sums.view(*gradient.shape[:-1], self.dim)

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
        dtypes = {gradient.dtype for gradient in gradients}
        dtype = functools.reduce(torch.promote_types, dtypes, torch.float32)
        held = [gradient.contiguous() for gradient in gradients]
        bounds = _bounds(held, start)
        parts = self._cut(start, int(bounds[-1]))
        after = len(held) == 1  # fewer numbers are scaled after
        factors = np.array([1.0] if after else steps, _NUMPY[dtype])
        room = self._room(len(parts), dtype)
        direct = _addresses(held) if dtypes == {dtype} else None

        def add(number: int) -> None:
            part, at = parts[number], direct
            if at is None:
                copies = torch.empty(part.stop - part.start, dtype=dtype, device="cpu")
                for tensor, some, there in _pieces(bounds, part):
                    copies[there] = held[tensor].detach().view(-1)[some]
                at = _along(copies, bounds, part)
            self._add(room, number, part, Tensors(at, bounds, factors))

        share(add, len(parts))
        total = torch.from_numpy(self._total(room))
        return total.mul_(steps[0]) if after else total

    def _place(
        self,
        thetas: Sequence[Tensor],
        origins: Sequence[Tensor] | None,
        omega: Tensor,
        start: int,
        steps: Sequence[float],
    ) -> None:
        """Place tensors; where θ0 is in half precision, from a part's moves in float32."""
        bounds, source = _bounds(thetas, start), self._source(omega)
        parts = self._cut(start, int(bounds[-1]))
        factors, to = np.array(steps, source.dtype), _addresses(thetas)
        at = None if origins is None else _addresses(origins)
        dtype = wide(omega.dtype)
        direct = origins is None or all(origin.dtype == dtype for origin in origins)

        def fill(number: int) -> None:
            part = parts[number]
            if direct:
                self._fill(part, Tensors(to, bounds, factors), at, source)
                return
            moves = torch.empty(part.stop - part.start, dtype=dtype, device="cpu")
            at_moves = _along(moves, bounds, part)
            self._fill(part, Tensors(at_moves, bounds, factors), None, source)
            for tensor, some, there in _pieces(bounds, part):
                theta0 = origins[tensor].detach().view(-1)[some]
                torch.add(moves[there], theta0, out=thetas[tensor].view(-1)[some])

        share(fill, len(parts))


def share(work: Callable[[int], None], count: int) -> None:
    """Do some work for each part, on as many threads as PyTorch has.

    The caller's is one of the threads. Another may wait for milliseconds for a core, so each takes
    parts when it is free: consecutive ones, which is faster, and fewer towards the end.

    Args:
        work: takes the number of a part.
        count: number of parts.
    """
    threads = max(1, min(torch.get_num_threads(), count))
    runs = iter(_runs(count, threads))

    def take() -> None:
        for run in runs:
            for number in run:
                work(number)

    if threads == 1:
        take()
        return
    with ThreadPoolExecutor(threads - 1) as pool:  # one that lived longer would not survive a fork
        others = [pool.submit(take) for _ in range(threads - 1)]
        take()
        for other in others:
            other.result()


def _runs(count: int, threads: int) -> list[range]:
    """Consecutive parts: a share of what remains, again and again; all of them for one thread."""
    runs: list[range] = []
    done = 0
    while done < count:
        size = -(-(count - done) // (2 * threads)) if threads > 1 else count
        runs.append(range(done, done + size))
        done += size
    return runs


def empty(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """An uninitialised tensor on the CPU, in pages of its own where it is large.

    Args:
        shape: its shape.
        dtype: its dtype.

    Returns:
        The tensor.
    """
    if (size := math.prod(shape)) > _LARGE:
        return PAGES.empty(size, dtype).view(shape)
    return torch.empty(shape, dtype=dtype, device="cpu")


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype of sums.

    Args:
        dtype: of what is summed.

    Returns:
        It, or float32, whichever is wider.
    """
    return torch.promote_types(dtype, torch.float32)


def _bounds(tensors: Sequence[Tensor], start: int) -> np.ndarray:
    """The first row of each of consecutive tensors, and the row behind all."""
    sizes = (tensor.numel() for tensor in tensors)
    return np.array([*itertools.accumulate(sizes, initial=start)], np.int64)


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


def _like(origin: Tensor) -> Tensor:
    return (
        torch.empty_like(origin) if origin.numel() <= _LARGE else empty(origin.shape, origin.dtype)
    )
