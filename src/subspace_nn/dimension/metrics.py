"""Checks of the numbers that a measurement computes with."""

import itertools
from collections.abc import Collection, Iterable

from subspace_nn.common.checks import number, whole
from subspace_nn.common.errors import InputError
from subspace_nn.dimension.results import LARGEST
from subspace_nn.runs.record import Record


def check_metrics(records: Iterable[Record], metric: str, sized: Collection[str]) -> None:
    """Check that results have the metric, and D where it is needed.

    Args:
        records: of finished runs.
        metric: name of the metric.
        sized: ids of the records that need D.

    Raises:
        InputError: if D or the metric is missing or not a number; the message names all such
            records.
    """
    wrong = {
        r["id"]: _problems(r, ["D", metric] if r["id"] in sized else [metric]) for r in records
    }
    wrong = {name: problems for name, problems in wrong.items() if problems}
    if wrong:
        raise InputError(
            *dict.fromkeys(itertools.chain.from_iterable(wrong.values())),
            f"Affected records: {', '.join(wrong)}. They count as done; after changing the task, "
            "use a new folder, or remove these records. To use another value of the result, set "
            "metric to its name.",
        )


def measurable(name: str, value: object) -> list[str]:
    """Check a number that is not so large that sums of it are infinite.

    Args:
        name: of the number.
        value: of the number.

    Returns:
        One sentence if it is none, or too large.
    """
    return number(name, value) or number(name, value, least=-LARGEST, most=LARGEST)


def _problems(record: Record, names: list[str]) -> list[str]:
    """What is wrong with the values of a result; the last one is the metric."""
    result = record["result"]
    there = ", ".join(sorted(result))
    missing = [
        f"The result of {record['task']} has no {name!r}; it has: {there}."
        for name in names
        if name not in result
    ]
    if missing:
        return missing
    sizes = whole("D", result["D"], 2) if "D" in names else []
    return sizes + measurable(names[-1], result[names[-1]])
