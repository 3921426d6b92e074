"""A file that asks several questions, as a sweep file names many runs."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subspace_nn.common.errors import InputError
from subspace_nn.dimension.catalogue import question
from subspace_nn.dimension.measurement import BUDGET, check
from subspace_nn.dimension.question import Question
from subspace_nn.runs.task import importable


@dataclass(frozen=True)
class Planned:
    """A measurement to be made.

    Attributes:
        question: what is asked, checked.
        folder: of its records and its answer.
        budget: maximum number of new runs.
        first: dimensions to try first.
    """

    question: Question
    folder: Path
    budget: int = BUDGET
    first: Sequence[int] = ()


_FLOATS = frozenset(("threshold", "precision", "confidence", "probe"))


def folder_of(task: str) -> Path:
    """The folder of the records of a task, if none is given."""
    return Path("results") / "measure" / importable(task).replace(":", "-")


def parse(text: str) -> list[Planned]:
    r"""The measurements that a file names.

    A file is TOML: any number of tables `[[measure]]`, each with `task`, and if it likes with
    `arguments` of the task (a table), fields of `Question`, `budget`, and the folder `out`.

    Args:
        text: the file's content.

    Returns:
        The measurements in order.

    Raises:
        InputError: if it is not TOML, or any measurement is not valid; every problem once.

    Example:
        >>> (one,) = parse('[[measure]]\ntask = "toy"\nprecision = 0.1')
        >>> one.folder.as_posix(), one.question.precision
        ('results/measure/toy', 0.1)
    """
    try:
        content = tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"Not TOML: {error}.") from None
    tables = content.pop("measure", [])
    fits = isinstance(tables, list) and tables and all(isinstance(t, dict) for t in tables)
    if content or not fits:
        names = ", ".join(content) or "none of them"
        raise InputError(f"Expected tables [[measure]], each with a task; got {names}.")
    return _all([(number, table) for number, table in enumerate(tables, 1)])


def _all(tables: Sequence[tuple[int, Mapping[str, Any]]]) -> list[Planned]:
    planned: list[Planned] = []
    problems: list[str] = []
    for number, table in tables:
        try:
            planned.append(_one(table))
        except InputError as error:
            problems += [f"Measurement {number}: {problem}" for problem in error.problems]
    if problems:
        raise InputError(*dict.fromkeys(problems))
    return planned


def _one(table: Mapping[str, Any]) -> Planned:
    # 90 and 90.0 are one threshold, as they are on the command line.
    fields: dict[str, Any] = {
        n: float(v) if n in _FLOATS and type(v) is int else v for n, v in table.items()
    }
    task, arguments = fields.pop("task", None), fields.pop("arguments", {})
    out, budget = fields.pop("out", None), fields.pop("budget", BUDGET)
    problems = [
        f"{name} must be {words}, got {value!r}."
        for name, value, words, fits in (
            ("task", task, "a name", isinstance(task, str)),
            ("arguments", arguments, "a table", isinstance(arguments, dict)),
            ("out", out, "a folder", out is None or isinstance(out, str)),
        )
        if not fits
    ]
    if problems:
        raise InputError(*problems)
    asked = question(task, arguments, **fields)
    check(asked, budget)
    return Planned(asked, Path(out) if out else folder_of(task), budget)
