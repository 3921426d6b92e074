"""How many numbers are worked on at a time.

Long vectors are made and multiplied in pieces that fit a processor's cache. P must not depend on
their size. `pieces_of` makes pieces small, so that a test of a short vector sees many of them.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

_SIZE: ContextVar[int | None] = ContextVar("size of a piece", default=None)


def piece(usual: int) -> int:
    """The number of numbers to work on at a time.

    Args:
        usual: the fastest number, at least 1.

    Returns:
        The usual number, or a smaller one inside of `pieces_of`.

    Example:
        >>> piece(1 << 17)
        131072
    """
    size = _SIZE.get()
    return usual if size is None else min(size, usual)


@contextmanager
def pieces_of(size: int) -> Generator[None]:
    """Work on at most this many numbers at a time, in this thread or task.

    Args:
        size: at least 1.

    Example:
        >>> with pieces_of(16):
        ...     piece(1 << 17)
        16
    """
    token = _SIZE.set(size)
    try:
        yield
    finally:
        _SIZE.reset(token)


__all__ = ["piece", "pieces_of"]
