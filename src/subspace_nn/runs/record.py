"""The record of a run, and the schema that every reader relies on."""

import hashlib
import json
import re
import reprlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal, NotRequired, TypedDict

from subspace_nn.common import strict_json
from subspace_nn.common.errors import InputError

DONE, FAILED = "done", "failed"

#: Raised when the same arguments come to mean another run.
VERSION = 1

_MAX_NAME = 500


class Record(TypedDict):
    """The record of one run, as JSON holds it.

    Attributes:
        id: 16 hexadecimal digits made from the task and its arguments.
        task: name of a built-in task, or `package.module:function`.
        arguments: all of the task's arguments by name.
        status: whether the run is done or has failed.
        result: the values that the task returned; empty if the run failed.
        error: the traceback, if the run failed.
        seconds: wall time.
        started: when it began, UTC, in ISO 8601.
        environment: versions, hardware, commit.
        command: the command line that made the run, if there was one.
    """

    id: str
    task: str
    arguments: dict[str, Any]
    status: Literal["done", "failed"]
    result: dict[str, Any]
    error: NotRequired[str]
    seconds: float
    started: str
    environment: dict[str, Any]
    command: NotRequired[str]


def run_id(task: str, arguments: Mapping[str, Any]) -> str:
    """The id of a run.

    Args:
        task: its name.
        arguments: all of them, values of JSON.

    Returns:
        16 hexadecimal digits.

    Example:
        >>> run_id("mnist", {"dim": 10})
        '823d4b6724aca147'
    """
    content = {"task": task, "arguments": dict(arguments), "version": VERSION}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def decode(content: bytes) -> Record:
    """Read a record from anyone's file; nothing it names is imported or built.

    Args:
        content: the bytes of one JSON object.

    Returns:
        The record; `result` is empty if the run failed.

    Raises:
        InputError: if it is no record; the message names every key that is wrong.
    """
    try:
        return check(strict_json.loads(content))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"not JSON that is read here: {error}") from None


def check(content: Any) -> Record:
    """A record, if a value is one.

    Args:
        content: a value of JSON.

    Returns:
        The record; `result` is empty if the run failed.

    Raises:
        InputError: if it is none; the message names every key that is wrong.
    """
    if not isinstance(content, dict):
        raise InputError(f"expected an object, got {reprlib.repr(content)}")
    needed = _NEEDED | {"result" if content.get("status") == DONE else "error"}
    if problems := _problems("", content, _FIELDS, needed):
        raise InputError(*problems)
    record: Any = {"result": {}} | content
    problems = argument_problems(record["arguments"]) + result_problems(record["result"])
    expected = run_id(record["task"], record["arguments"])
    if record["id"] != expected:
        problems.append(f"id must be {expected} for these arguments, got {record['id']}")
    if problems:
        raise InputError(*problems)
    return record


def argument_problems(arguments: Mapping[str, Any]) -> list[str]:
    """Check the arguments that mean the same for all tasks.

    Args:
        arguments: of a run.

    Returns:
        One clause for each problem.

    Example:
        >>> argument_problems({"dim": [3]})
        ['dim must be a number, a text or null, got [3]']
    """
    return _problems("", arguments, _ARGUMENTS)


def result_problems(result: Mapping[str, Any]) -> list[str]:
    """Check the values of a result that mean the same for all tasks.

    Args:
        result: of a run.

    Returns:
        One clause for each problem.

    Example:
        >>> result_problems({"D": 1.5})
        ['D of the result must be a whole number of at least 1, got 1.5']
    """
    return _problems(" of the result", result, _RESULT)


_Field = tuple[str, Callable[[Any], bool]]


def _problems(
    where: str,
    content: Mapping[str, Any],
    fields: Mapping[str, _Field],
    needed: frozenset[str] = frozenset(),
) -> list[str]:
    found = [f"{name}{where} is missing" for name in sorted(needed - content.keys())]
    return found + [
        f"{name}{where} must be {words}, got {reprlib.repr(content[name])}"
        for name, (words, fits) in fields.items()
        if name in content and not fits(content[name])
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _is_value(value: Any) -> bool:
    return value is None or isinstance(value, str) or _is_number(value)


def _is_whole(least: int) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63
    )


def _is_time(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


_HEX = re.compile(r"[0-9a-f]{16}")
_FIELDS: dict[str, _Field] = {
    "id": ("16 hexadecimal digits", lambda v: isinstance(v, str) and bool(_HEX.fullmatch(v))),
    "task": ("a name", lambda v: _is_text(v) and len(v) <= _MAX_NAME),
    "arguments": ("values by name", lambda v: isinstance(v, dict)),
    "status": ("done or failed", lambda v: v in (DONE, FAILED)),  # v may be a list
    "result": ("values by name", lambda v: isinstance(v, dict)),
    "error": ("a text", _is_text),
    "seconds": ("a number from 0 to 10^10", lambda v: _is_number(v) and 0 <= v <= 10**10),
    "started": ("a time with its zone, as 2026-01-31T12:00:00+00:00", _is_time),
    "environment": (
        "plain values by name",
        lambda v: isinstance(v, dict) and all(map(_is_plain, v.values())),
    ),
    "command": ("a text", lambda v: isinstance(v, str)),
}
_NEEDED = frozenset(("id", "task", "arguments", "status", "seconds", "started", "environment"))
_ARGUMENTS: dict[str, _Field] = {
    "dim": ("a number, a text or null", _is_value),
    "projection": ("a text or null", lambda v: v is None or isinstance(v, str)),
}
_RESULT: dict[str, _Field] = {
    "D": ("a whole number of at least 1", _is_whole(1)),
    "dim": ("a number, a text or null", _is_value),
    "checkpoint_bytes": ("a whole number of at least 0", _is_whole(0)),
}
