"""The grammar that names many runs, in a sweep file and in words of a command line."""

import collections
import itertools
import json
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.runs.run import Run

#: Runs of one sweep at most: a range is refused before it fills the memory.
MAX_RUNS = 1_000_000

_RANGE = re.compile(r"range\((\d{1,19}), *(\d{1,19})\)")
_KEYS = ("task", "defaults", "grid")


#: The sweeps of the package, which go by a name: `subspace-nn sweep conv-small-2017`.
_PACKAGED = files("subspace_nn.runs") / "sweeps"


def packaged() -> list[str]:
    """The names of the packaged sweeps.

    Returns:
        The names, sorted.

    Example:
        >>> "conv-small-2017" in packaged()
        True
    """
    return sorted(file.name.removesuffix(".toml") for file in _PACKAGED.iterdir())


def read(path: Path) -> str:
    """The content of a sweep file: the user's own, or a packaged one by its name.

    Args:
        path: of a file; or NAME, NAME.toml or experiments/NAME.toml for a packaged one.

    Returns:
        Its text.

    Raises:
        InputError: if there is none, or it cannot be read.
    """
    name = path.name.removesuffix(".toml")
    own = path.exists() or path.parent.as_posix() not in {".", "experiments"}
    if not own and name in packaged():
        return (_PACKAGED / f"{name}.toml").read_text(encoding="utf-8")
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The sweep file {path} cannot be read: {error}.") from None


def opening(text: str) -> str:
    """The comment that a sweep file opens with.

    Args:
        text: content of the file.

    Returns:
        One line; empty if it opens with none.
    """
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return " ".join(line.lstrip("# ") for line in lines)


def parse(
    text: str, overrides: Mapping[str, Any] | None = None, *, task: str | None = None
) -> list[Run]:
    """Read a sweep file.

    It is TOML: `task` (default "mnist"), a table `[defaults]`, and any number of tables `[[grid]]`.
    The values of a grid override the defaults. A list, or the text "range(a, b)", is an axis, and
    the runs of a grid are all combinations.

    Args:
        text: content of the file.
        overrides: values that override the defaults and every grid.
        task: overrides the task of the file.

    Returns:
        The runs in order, each once.

    Raises:
        InputError: if it is not TOML, or a run is not valid; every problem is named once.

    Example:
        >>> runs = parse('''
        ... [defaults]
        ... model = "fc"
        ... [[grid]]
        ... dim = [10, 30]
        ... seed = "range(0, 3)"
        ... ''')
        >>> len(runs)
        6
    """
    try:
        content = tomllib.loads(text)
    except ValueError as error:  # also a number of thousands of digits
        raise InputError(f"not TOML: {error}.") from None
    except RecursionError:
        raise InputError("not TOML that is read here: nested too deep.") from None
    if unknown := [unknown_name("key", key, _KEYS) for key in content if key not in _KEYS]:
        raise InputError(*unknown)
    name = task or content.get("task", "mnist")
    defaults, grids = content.get("defaults", {}), content.get("grid", [{}])
    tables = [defaults, *grids] if isinstance(grids, list) else [grids]
    problems = [] if isinstance(name, str) else [f"task must be a text, got {name!r}."]
    if not isinstance(grids, list) or not all(isinstance(table, dict) for table in tables):
        problems.append("expected a table [defaults] and tables [[grid]].")
    if problems:
        raise InputError(*problems)
    return expand(name, [{**defaults, **grid, **(overrides or {})} for grid in grids])


def parse_assignments(words: Sequence[str]) -> dict[str, Any]:
    """Read words of a command line in the same grammar: `dim=10,30 seed=range(0,5)`.

    Args:
        words: each `name=value`. The value is written as in TOML; a comma makes a list, and
            anything else is text.

    Returns:
        Values by name.

    Raises:
        InputError: if a word has no `=`, or a name is given twice.

    Example:
        >>> parse_assignments(["model=conv", "dim=10,30", "seed=range(0,2)"])
        {'model': 'conv', 'dim': [10, 30], 'seed': 'range(0,2)'}
    """
    if wrong := [word for word in words if "=" not in word]:
        raise InputError(*(f"expected name=value, got {word!r}." for word in wrong))
    pairs = [(name, value) for name, _, value in (word.partition("=") for word in words)]
    counts = collections.Counter(name for name, _ in pairs)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise InputError(*(f"{name} is given twice: write {name}=A,B for both." for name in twice))
    return {name: _value(value) for name, value in pairs}


def is_axis(text: str | None) -> bool:
    """Whether a value of the command line stands for several.

    Args:
        text: as typed.

    Returns:
        Whether it is a list or a range.

    Example:
        >>> is_axis("10,30"), is_axis("range(0, 3)"), is_axis("layerwise:hashed")
        (True, True, False)
    """
    value = None if text is None else _value(text)
    return isinstance(value, list) or _range(value) is not None


def as_word(value: Any) -> str:
    """Write a value so that `parse_assignments` reads it; a text without quotes if possible.

    Args:
        value: a value of JSON.

    Returns:
        The text behind the `=`.

    Example:
        >>> as_word("conv"), as_word("2017"), as_word(True), as_word([1, 2])
        ('conv', '"2017"', 'true', '[1, 2]')
    """
    plain = isinstance(value, str) and parse_assignments([f"x={value}"])["x"] == value
    return value if plain else json.dumps(value, ensure_ascii=False)


def expand(task: str, grids: Iterable[Mapping[str, Any]]) -> list[Run]:
    """List all runs of some grids.

    Args:
        task: a name, or `package.module:function`.
        grids: values by name; lists and ranges are axes.

    Returns:
        The runs in order, each once.

    Raises:
        InputError: if a run is not valid, or there are more than a million; every problem is named
            once.
    """
    grids = list(grids)
    if (size := sum(map(_size, grids))) > MAX_RUNS:
        raise InputError(
            f"These axes name {size:,} runs, of which a sweep takes at most {MAX_RUNS:,}. Name "
            "fewer values, or several sweeps."
        )
    runs: dict[str, Run] = {}
    problems: dict[str, None] = {
        f"{name} has no values.": None
        for grid in grids
        for name, values in grid.items()
        if not len(axis(values))
    }
    for arguments in itertools.chain.from_iterable(_combinations(grid) for grid in grids):
        try:
            run = Run.of(task, arguments)
        except InputError as error:
            problems |= dict.fromkeys(error.problems)
        else:
            runs[run.id] = run
    if problems:
        raise InputError(*problems)
    return list(runs.values())


def _combinations(grid: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    axes = [[(name, value) for value in axis(values)] for name, values in grid.items()]
    return (dict(choice) for choice in itertools.product(*axes))


def _size(grid: Mapping[str, Any]) -> int:
    """Number of combinations, without making one."""
    lengths = (
        int(found[2]) - int(found[1]) if (found := _range(values)) else len(axis(values))
        for values in grid.values()
    )
    return math.prod(max(length, 0) for length in lengths)


def _range(values: Any) -> re.Match[str] | None:
    return _RANGE.fullmatch(values) if isinstance(values, str) else None


def axis(values: Any) -> Sequence[Any]:
    """The values that one value of a grid stands for.

    Args:
        values: a list, the text "range(a, b)", or anything else.

    Returns:
        The values.

    Example:
        >>> list(axis("range(1, 4)")), axis(7)
        ([1, 2, 3], [7])
    """
    if found := _range(values):
        return range(int(found[1]), int(found[2]))
    return values if isinstance(values, list) else [values]


def _value(text: str) -> Any:
    """Read a value as TOML would, in which a bare word is a text and a bare comma makes a list."""
    if _RANGE.fullmatch(text):
        return text
    try:
        content = tomllib.loads(f"value = {text}")
    except ValueError:
        content = dict[str, Any]()
    except RecursionError:
        raise InputError(f"{text[:20]}… is nested too deep.") from None
    if content.keys() == {"value"}:
        return content["value"]
    return [_value(part) for part in text.split(",")] if "," in text else text
