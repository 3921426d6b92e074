"""JSON that may come from anyone: finite numbers, bounded depth, text that can be written."""

import json
from typing import Any, NoReturn

#: Levels of lists and objects inside one another.
MAX_DEPTH = 32

#: Whole numbers lie between -LIMIT and LIMIT: every seed of 64 bits does.
LIMIT = 2**64

#: Larger files are not read.
MAX_BYTES = 64 * 2**20


def loads(content: bytes) -> Any:
    """Parse JSON, or say why it is not used.

    Args:
        content: UTF-8, at most 64 MiB.

    Returns:
        The value.

    Raises:
        ValueError: if it is no JSON, too large, nested more than 32 levels deep, or holds NaN, an
            infinite number, a whole number beyond ±2^64, or half of a surrogate pair.

    Example:
        >>> loads(b'{"dim": 10}')
        {'dim': 10}
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"{len(content):,} bytes, of which at most {MAX_BYTES:,} are read")
    try:
        value = json.loads(content, parse_constant=_refuse, parse_int=_whole, parse_float=_finite)
    except RecursionError:
        value = None
        deep = True
    else:
        deep = not _is_within(value, MAX_DEPTH)
    if deep:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    if b"\\u" in content:
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair has no UTF-8
    return value


def round_trip(value: object) -> Any:
    """A value as it is read again after it was written as JSON: a tuple becomes a list.

    Args:
        value: anything.

    Returns:
        The value that `loads` gives.

    Raises:
        ValueError: if `loads` would refuse it, or JSON cannot hold it.

    Example:
        >>> round_trip({"layers": (64, 64)})
        {'layers': [64, 64]}
    """
    try:
        return loads(json.dumps(value, allow_nan=False).encode())
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number that JSON knows")


def _whole(text: str) -> int:
    if len(text) > len(str(LIMIT)) + 1 or not -LIMIT <= int(text) <= LIMIT:
        raise ValueError(f"the whole number {text[:25]}… lies beyond ±2^64")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise ValueError(f"the number {text[:25]} is too large")
    return value


def _is_within(value: object, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    inside = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(
        _is_within(one, levels - 1) for one in inside if isinstance(one, (dict, list))
    )
