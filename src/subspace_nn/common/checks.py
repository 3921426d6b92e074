"""Checks of what a caller gives: whole numbers, numbers, names. None of them imports PyTorch.

A NumPy scalar and a tensor or array without dimensions are numbers; True and False are not. Each
check returns sentences and raises nothing, so that a caller can report several mistakes together.
"""

import math
from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from subspace_nn.common.errors import InputError, unknown_name

#: Types that are Python's own; `type`, not `isinstance`, for np.float64 is a float.
_OWN = frozenset((int, float, bool, str, type(None)))


@runtime_checkable
class _Scalar(Protocol):
    """What NumPy scalars, and arrays and tensors of one number, have in common."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def item(self) -> Any: ...


def plain(value: Any) -> Any:
    """A value with Python's own numbers in place of NumPy's and of tensors without dimensions.

    Args:
        value: anything; lists, tuples and mappings are searched.

    Returns:
        The value; lists, tuples and mappings are copied.

    Example:
        >>> import numpy as np
        >>> plain({"dim": np.int64(3), "loss": [np.float32(0.5)], "model": "fc"})
        {'dim': 3, 'loss': [0.5], 'model': 'fc'}
    """
    if type(value) in _OWN:  # the usual case; to look for a protocol takes microseconds
        return value
    match value:
        case _Scalar(shape=()):
            return value.item()
        case dict():
            return {plain(name): plain(item) for name, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case tuple() if type(value) is tuple:
            return tuple(plain(item) for item in value)
    return value


def whole(name: str, value: object, low: int, high: int | None = None) -> list[str]:
    """Check a whole number.

    Args:
        name: what it is.
        value: what was given.
        low: smallest valid value.
        high: largest valid value; None if there is no limit.

    Returns:
        One sentence if it is not a whole number within the limits, else none.

    Example:
        >>> whole("dim", 0, 1, 10), whole("dim", True, 1, 10), whole("dim", 3, 1, 10)
        (['dim must be a whole number from 1 to 10, got 0.'], \
['dim must be a whole number from 1 to 10, got True.'], [])
    """
    found = plain(value)
    if is_whole(found) and low <= found and (high is None or found <= high):
        return []
    limits = f"of at least {low:,}" if high is None else f"from {low:,} to {high:,}"
    return [f"{name} must be a whole number {limits}, got {found!r}."]


def number(
    name: str,
    value: object,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> list[str]:
    """Check a finite number.

    Args:
        name: what it is.
        value: what was given.
        least: smallest valid value.
        above: a limit that is not valid itself.
        most: largest valid value.
        below: a limit that is not valid itself.

    Returns:
        One sentence if it is not a finite number within the limits, else none.

    Example:
        >>> number("lr", -1, above=0, most=1000), number("dropout", 0.5, least=0, below=1)
        (['lr must be a number above 0 and at most 1,000, got -1.'], [])
    """
    found = plain(value)
    if is_number(found) and least <= found <= most and above < found < below:
        return []
    words = (("of at least", least), ("above", above), ("at most", most), ("below", below))
    limits = " and ".join(f"{word} {limit:,g}" for word, limit in words if math.isfinite(limit))
    return [f"{name} must be a number{' ' * bool(limits)}{limits}, got {found!r}."]


def one_of(name: str, value: object, valid: Iterable[str]) -> list[str]:
    """Check a name.

    Args:
        name: what it is the name of.
        value: what was given.
        valid: the valid names.

    Returns:
        One sentence if it is none of them, with the nearest suggested, else none.

    Example:
        >>> one_of("model", "cnov", ["conv", "fc"])
        ["Unknown model 'cnov'. Did you mean 'conv'? Valid: conv, fc."]
    """
    names = list(valid)
    return [] if value in names else [unknown_name(name, value, names)]


def is_whole(value: object) -> bool:
    """Whether a plain value is a whole number; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether a plain value is a finite number; True and False are not."""
    if is_whole(value):
        return True
    return isinstance(value, float) and math.isfinite(value)


def require(*problems: Iterable[str]) -> None:
    """Refuse what checks found.

    Args:
        *problems: the sentences of each check.

    Raises:
        InputError: if there is any sentence, with all of them.

    Example:
        >>> require(whole("dim", 5, 1), number("lr", 0.4, above=0))
    """
    if found := [problem for each in problems for problem in each]:
        raise InputError(*found)


__all__ = ["is_number", "is_whole", "number", "one_of", "plain", "require", "whole"]
