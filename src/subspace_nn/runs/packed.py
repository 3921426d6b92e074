"""The records of a sweep in one file of JSON lines, small enough to commit."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from subspace_nn.common import strict_json
from subspace_nn.common.errors import InputError
from subspace_nn.runs import record as schema
from subspace_nn.runs.record import Record

FORMAT = "subspace-nn records/1"

#: Values that many records share: written once, in the first line, and referred to by number.
_SHARED = ("environment", "command")
#: Answers of measurements by the names of their files, in the first line if there are any.
_ANSWERS = "measurements"

#: Points of a loss curve that are kept, means over equal spans.
CURVE_POINTS = 20


def encode(records: Sequence[Record], answers: Mapping[str, Any] | None = None) -> bytes:
    """Pack records.

    The first line holds the format, the environments, the commands and the answers; each record is
    a line. `loss_curve` of a result is averaged down to 20 points.

    Args:
        records: in the order of their lines.
        answers: contents of the files of measurements, by name; none by default.

    Returns:
        The bytes of the file; the same for the same records.
    """
    shared: dict[str, dict[str, int]] = {name: {} for name in _SHARED}
    lines = [_line(_packed(record, shared)) for record in records]
    values = {name: [json.loads(text) for text in known] for name, known in shared.items()}
    head = {"format": FORMAT} | values | ({_ANSWERS: answers} if answers else {})
    return "".join([_line(head), *lines]).encode()


def answers(line: bytes) -> dict[str, Any]:
    """The answers of measurements in a packed file.

    Args:
        line: the first of the file.

    Returns:
        Contents of the files of measurements, by name; whether they make sense is not checked.

    Raises:
        InputError: if it is not the first line of such a file.
    """
    found = _head(line).get(_ANSWERS, {})
    if not isinstance(found, dict):
        raise InputError(f"{_ANSWERS} in the first line must be values by name")
    return found


def decode(lines: Iterable[bytes]) -> Iterator[Record | InputError]:
    """Read packed records from anyone's file.

    Args:
        lines: of the file.

    Yields:
        Each record; for a line that holds none, the error that says why.

    Raises:
        InputError: if the first line is not that of such a file.
    """
    lines = iter(lines)
    shared = _shared(_head(next(lines, b"")))
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        try:
            yield schema.check(_unpacked(strict_json.loads(line), shared))
        except InputError as error:
            yield InputError(*(f"line {number}: {problem}" for problem in error.problems))
        except ValueError as error:
            yield InputError(f"line {number}: not JSON that is read here: {error}")


def _head(line: bytes) -> dict[str, Any]:
    try:
        head = strict_json.loads(line)
    except ValueError as error:
        raise InputError(f"the first line is not JSON that is read here: {error}") from None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise InputError(f'the first line must say "format": "{FORMAT}"')
    return head


def _shared(head: Mapping[str, Any]) -> dict[str, list[Any]]:
    shared = {name: head.get(name, []) for name in _SHARED}
    if wrong := [name for name, values in shared.items() if not isinstance(values, list)]:
        raise InputError(*(f"{name} in the first line must be a list" for name in wrong))
    return shared


def _line(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def _packed(record: Record, shared: dict[str, dict[str, int]]) -> dict[str, Any]:
    content: dict[str, Any] = {**record, "result": _with_short_curve(record["result"])}
    for name, known in shared.items():
        if name in content:
            text = json.dumps(content[name], sort_keys=True)
            content[name] = known.setdefault(text, len(known))
    return content


def _unpacked(content: Any, shared: Mapping[str, list[Any]]) -> Any:
    if not isinstance(content, dict):
        return content
    for name, values in shared.items():
        number = content.get(name)
        if type(number) is int and 0 <= number < len(values):
            content[name] = values[number]
    return content


def _with_short_curve(result: Mapping[str, Any]) -> dict[str, Any]:
    curve = result.get("loss_curve")
    if not isinstance(curve, list) or not all(type(value) in {int, float} for value in curve):
        return dict(result)
    return {**result, "loss_curve": averages(curve, CURVE_POINTS)}


def averages(values: Sequence[float], count: int) -> list[float]:
    """Means over spans of equal length.

    Args:
        values: any number of them.
        count: number of spans; the values themselves are returned if they are no more.

    Returns:
        At most `count` means, with six significant digits.

    Example:
        >>> averages([1.0, 2.0, 3.0, 4.0], 2)
        [1.5, 3.5]
    """
    if len(values) <= count:
        return list(values)
    edges = [len(values) * i // count for i in range(count + 1)]
    spans = ((values[a:b], b - a) for a, b in itertools.pairwise(edges))
    return [float(f"{sum(value / n for value in span):.6g}") for span, n in spans]
