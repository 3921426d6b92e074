"""Learned, resampled and burnt-in subspaces: the tables and the figure of docs/sources.md.

`experiments/sources.toml`, `resampled.toml`, `stages.toml`, `burn-in.toml`, `pooling.toml` and
`generators.toml` make the results.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from subspace_nn.common import numbers
from subspace_nn.common.moments import deviation, mean
from subspace_nn.report.chart import DIMS, Chart, Point, Series, axis_of
from subspace_nn.report.colours import marker, shade
from subspace_nn.report.document import Table
from subspace_nn.report.findings import Findings
from subspace_nn.report.frame import ACCURACY, Setting, settings, varying
from subspace_nn.runs.run import find_task

#: Test accuracies in % of Larsen et al., "How many degrees of freedom do we need to train deep
#: networks" (2022), read off their plots, by d: the best of burn-in and lottery subspaces.
_LARSEN = {8: "96.7", 32: "96.8", 128: "98.7"}
#: Of Gressmann et al., "Improving neural network training in low dimensional random bases" (2020),
#: after 100 epochs with d = 250.
_GRESSMANN = {"fc": "93.89", "conv": "97.17"}

_Cell = Callable[[Setting], str]


def _argument(name: str) -> _Cell:
    """An argument, or its default: older runs lack those that came later."""

    def cell(one: Setting) -> str:
        arguments = one.arguments
        value = arguments[name] if name in arguments else find_task(one.task).defaults[name]
        return f"{value:,}" if isinstance(value, int) else str(value)

    return cell


def _value(name: str) -> _Cell:
    """Mean ± standard deviation of a number of the result, in percent."""

    def cell(one: Setting) -> str:
        values = [result[name] for result in one.results]
        std = deviation(values) if len(values) > 1 else None
        return numbers.spread(mean(values), std, ".2f", ".2f")

    return cell


def _count(name: str) -> _Cell:
    return lambda one: f"{round(mean([result[name] for result in one.results])):,}"


def _n(one: Setting) -> str:
    return str(one.n)


#: Columns of the table of a sweep, and the order of its rows.
_TABLES: dict[str, tuple[dict[str, _Cell], Callable[[Setting], Any]]] = {
    "sources": (
        {
            "directions": _argument("source"),
            "d": lambda one: f"{one.dim:,}",
            "epochs of all weights, then of d": lambda one: (
                f"{one.arguments['first']}, {one.arguments['epochs']}"
            ),
            "all weights, %": _value("full_accuracy"),
            "d numbers, %": _value(ACCURACY),
            "n": _n,
            "numbers stored": _count("stored"),
            "best published, %": lambda one: _LARSEN.get(one.dim, ""),
        },
        lambda one: (("trajectory", "lottery", "aligned").index(one.arguments["source"]), one.dim),
    ),
    "stages": (
        {
            "d": lambda one: f"{one.dim:,}",
            "stages": _argument("stages"),
            "candidates": _argument("candidates"),
            "numbers trained": _count("trained"),
            "accuracy, %": _value(ACCURACY),
            "n": _n,
        },
        lambda one: (-one.dim, one.arguments["candidates"]),
    ),
    "resampled": (
        {
            "net": lambda one: one.model,
            "epochs": _argument("epochs"),
            "stages": _argument("stages"),
            "numbers trained": _count("trained"),
            "numbers stored": _count("stored"),
            "accuracy, %": _value(ACCURACY),
            "n": _n,
            "published, 100 epochs, %": lambda one: _GRESSMANN.get(one.model, ""),
        },
        lambda one: (one.model, one.arguments["epochs"]),
    ),
    "pooling": (
        {
            "after the convolutions": _argument("pool"),
            "d": _argument("dim"),
            "D": lambda one: f"{one.D:,}",
            "spread at θ0": _value("spread"),
            "accuracy, %": _value(ACCURACY),
            "n": _n,
        },
        lambda one: (one.full, one.arguments["pool"]),
    ),
    "generators": (
        {
            "map": _argument("map"),
            "lr": _argument("lr"),
            "epochs": _argument("epochs"),
            "numbers": _count("dim"),
            "accuracy, %": _value(ACCURACY),
            "n": _n,
        },
        lambda one: one.arguments["map"],
    ),
}


def _found(sweep: str, found: Findings, *, held_out: bool = False) -> list[Setting]:
    """The settings of a sweep that were judged on the test set, or on images held out."""
    every = settings(found.runs[found.runs.sweep == sweep], ACCURACY)
    return [one for one in every if bool(one.arguments.get("held_out")) == held_out]


def _table(columns: dict[str, _Cell], rows: Iterable[Setting], words: int = 1) -> Table | None:
    cells = [[cell(one) for cell in columns.values()] for one in rows]
    return Table(list(columns), cells, words=words) if cells else None


def reached(sweep: str, found: Findings) -> Table | None:
    """What a sweep reached on the test set.

    Args:
        sweep: sources, stages, resampled, pooling or generators.
        found: the findings of the results.

    Returns:
        The table; None without results.
    """
    columns, order = _TABLES[sweep]
    return _table(columns, sorted(_found(sweep, found), key=order))


def choices(sweep: str, found: Findings) -> Table | None:
    """What was tried on images held out.

    Args:
        sweep: name of the sweep.
        found: the findings of the results.

    Returns:
        The table, a column for each argument that varies; None without results.
    """
    rows = _found(sweep, found, held_out=True)
    columns: dict[str, _Cell] = {name: _argument(name) for name in varying(rows)}
    words = len(columns.keys() & {"model", "projection"})
    columns |= {"of 10,000 held out, %": _value(ACCURACY), "n": _n}
    return _table(columns, rows, words=max(1, words))


def burn_in(found: Findings) -> Table | None:
    """The phase diagram in numbers: a row for each burn-in, a column for each d.

    Args:
        found: the findings of the results.

    Returns:
        The table; None without results.
    """
    rows = _found("burn-in", found)
    dims = sorted({one.dim for one in rows})
    lines = []
    for steps, own in _by_steps(rows):
        at = {one.dim: one for one in own}
        start = _value("start_accuracy")(own[0])
        cells = (_value(ACCURACY)(at[d]) if d in at else numbers.NOTHING for d in dims)
        lines.append([str(steps), start, *cells])
    columns = ["steps k of all weights", "there, %", *(f"d = {d:,}" for d in dims)]
    return Table(columns, lines) if lines else None


def chart(found: Findings) -> Chart:
    """The phase diagram: accuracy against d, a line for each burn-in.

    Args:
        found: the findings of the results.

    Returns:
        The figure.
    """
    rows = _found("burn-in", found)
    groups = _by_steps(rows)
    series = [
        Series(
            f"k = {steps}",
            [Point.of(one.dim, one.mean, one.std, f"n = {one.n}") for one in own],
            "line",
            shade(number, len(groups)),
            marker(number),
        )
        for number, (steps, own) in enumerate(groups)
    ]
    axis = axis_of(ACCURACY, [one.mean for one in rows])
    return Chart("Steps of all weights, then one epoch of d numbers", DIMS, axis, series, wide=True)


def _by_steps(rows: Sequence[Setting]) -> list[tuple[int, list[Setting]]]:
    """Settings by burn-in, each group by d."""
    ordered = sorted(rows, key=lambda one: one.dim)
    every = sorted({one.arguments["steps"] for one in rows})
    return [(k, [one for one in ordered if one.arguments["steps"] == k]) for k in every]
