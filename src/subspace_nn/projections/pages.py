"""Memory for weights that come and go: on a CPU, in pages that are not the heap's."""

import mmap
import sys
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

#: Pages that wait for their next weight, at most this many of them.
SPARE = 2


class Pages:
    """Gives out memory for vectors, and takes that of dead ones back.

    From the heap, each weight would leave a hole that an activation takes a part of, so that the
    next weight does not fit into it: glibc's heap grows by a whole copy of the model. And the
    system clears every new page, which takes longer than to fill it: so a few are kept.

    Example:
        >>> Pages().empty(3, torch.float32).shape
        torch.Size([3])
    """

    def __init__(self) -> None:
        self._held: list[mmap.mmap] = []
        self._lock = threading.Lock()

    def empty(self, count: int, dtype: torch.dtype) -> Tensor:
        """An uninitialised vector.

        Args:
            count: of its numbers, at least 1.
            dtype: theirs.

        Returns:
            A tensor whose memory no other that lives has.
        """
        size = count * dtype.itemsize
        with self._lock:
            held, counts = self._held, _references(self._held)
            free = [pages for pages, count in zip(held, counts, strict=True) if count == _UNUSED]
            used = [pages for pages, count in zip(held, counts, strict=True) if count != _UNUSED]
            fitting = [pages for pages in free if len(pages) >= size]
            pages = min(fitting, key=len, default=None) or _mapped(size)
            spare = [other for other in free if other is not pages]
            self._held = [*used, *spare[-SPARE:], pages]
            return torch.frombuffer(pages, dtype=dtype, count=count)


def _mapped(size: int) -> mmap.mmap:
    """New memory of this process: by default a fork would share it."""
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _references(held: Sequence[Any]) -> list[int]:
    """References to each: a tensor holds one to its pages."""
    return [sys.getrefcount(pages) for pages in held]


#: References to pages that no tensor is in, as `_references` counts them.
_UNUSED = _references([bytearray(1)])[0]

#: The memory of all weights that are made one by one.
PAGES = Pages()

__all__ = ["PAGES", "Pages"]
