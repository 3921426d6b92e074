"""One section a sweep: its table, its curves, and the commands that repeat it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from subspace_nn.common import numbers
from subspace_nn.dimension import KNOWN
from subspace_nn.report import cells, text
from subspace_nn.report.chart import DIMS, Axis, Chart, Point, Series, axis_of
from subspace_nn.report.colours import PALETTE, colour, marker, shade
from subspace_nn.report.document import Picture, Section, Table
from subspace_nn.report.findings import Findings, Sweep
from subspace_nn.report.frame import (
    Runs,
    Setting,
    course,
    curves,
    grouped,
    losses,
    metrics,
    settings,
    varying,
)
from subspace_nn.runs import tables

#: More lines than this in one picture cannot be distinguished.
_MOST_LINES = 10
#: Nets that get pictures of their own.
_MOST_NETS = 4
#: A table that is wider or longer cannot be read.
_MOST_METRICS, _MOST_ARGUMENTS, _MOST_ROWS = 4, 12, 300
#: Longest text of a cell or a note, in letters.
_LONG = 80


@dataclass(frozen=True)
class About:
    """What is known of a sweep beyond its records.

    Attributes:
        title: of its section; the name of its folder if empty.
        text: a paragraph to begin with; the comment of its sweep file if empty.
        notes: how to read its table.
        columns: more columns of its table, by heading; they stand before the metric.
        commands: that repeat it; those in the records if empty.
        drawn: whether another part draws its metric against d.
    """

    title: str = ""
    text: str = ""
    notes: Sequence[str] = ()
    columns: Mapping[str, Callable[[Setting], str]] = field(default_factory=dict)
    commands: Sequence[str] = ()
    drawn: bool = False


_NOTHING = About()


def sections(found: Findings, about: Mapping[str, About] | None = None) -> Iterator[Section]:
    """A section for each sweep, without the runs that a measurement made for itself.

    Args:
        found: sweeps of any tasks.
        about: more on some of them, by name; these come first, in this order.

    Yields:
        Sections of the sweeps in which a run is done.
    """
    known = about or {}
    place = {name: number for number, name in enumerate(known)}
    rows = dict(iter(found.runs[~found.runs.measured].groupby("sweep", sort=False)))
    for sweep in sorted(found.sweeps, key=lambda one: place.get(one.name, len(place))):
        if sweep.name in rows and rows[sweep.name].done.any():
            more = known.get(sweep.name, _NOTHING)
            yield section(sweep, rows[sweep.name], more, found.metrics)


def section(
    sweep: Sweep, runs: Runs, about: About = _NOTHING, first: Sequence[str] = ()
) -> Section:
    """A sweep as a section.

    Args:
        sweep: its name and answers.
        runs: its rows; one of them is done.
        about: more on it.
        first: metrics by which it is judged, if its results have them.

    Returns:
        The section.
    """
    names = metrics(list(runs[runs.done].result), [*first, *_metrics_of(sweep, runs)]) or [""]
    metric, others = names[0], names[1:_MOST_METRICS]
    axis = axis_of(metric, [one.get(metric, 0.0) for one in runs[runs.done].result])
    found = settings(runs, metric)
    columns = {
        text.metric(name): settings(runs, name) for name in others if axis.scale != "percent"
    }
    title = about.title or sweep.title
    table, left_out = _table(sweep.title, {axis.label: found, **columns}, axis, about)
    pictures = [] if about.drawn or not metric else _against_dim(sweep.name, title, found, axis)
    pictures += _courses(sweep.name, title, found, metric)
    return Section(
        sweep.name,
        title,
        text=about.text or sweep.text,
        pictures=pictures,
        tables=(table,),
        notes=[*_facts(runs, found), *left_out, *about.notes],
        commands=about.commands or list(dict.fromkeys(filter(None, runs.command))),
    )


def _metrics_of(sweep: Sweep, runs: Runs) -> list[str]:
    """The metrics by which measurements judge the tasks of a sweep."""
    tasks = set(runs.task)
    asked = [answer.question for answer in sweep.answers]
    asked += [one.question for one in KNOWN.values()]
    return [question.metric for question in asked if question.task in tasks]


def _facts(runs: Runs, found: Sequence[Setting]) -> list[str]:
    done = runs[runs.done]
    facts = f"{numbers.counted(len(done), 'runs')}, {numbers.duration(done.seconds.sum())} in all."
    errors = [error.strip().splitlines()[-1] for error in runs[~runs.done].error]
    if errors:
        different = [text.label(error, 2 * _LONG) for error in dict.fromkeys(errors)]
        facts += f" {len(errors)} more failed: {'; '.join(different[:_MOST_METRICS])}"
    return [facts, *_common(found)]


def _common(found: Sequence[Setting]) -> list[str]:
    names = set(varying(found))
    if len({one.arguments.get("projection") for one in found}) > 1:
        names.add("projection")
    common = [
        f"{text.label(name)} {text.label(value, _LONG)}"
        for name, value in found[0].arguments.items()
        if name not in names
    ]
    if len({one.D for one in found}) == 1 and found[0].D:
        common.append(f"weights D {found[0].D:,}")
    return [f"The same in all: {', '.join(common)}."] if common else []


def _table(
    name: str, by_metric: Mapping[str, Sequence[Setting]], axis: Axis, about: About
) -> tuple[Table, list[str]]:
    """The table of a sweep, and how much of it was left out."""
    found = next(iter(by_metric.values()))
    names = varying(found)
    shown, arguments = found[:_MOST_ROWS], names[:_MOST_ARGUMENTS]
    headings = text.unique(text.labels(arguments))
    columns = {
        "d" if a == "dim" else heading: [cells.argument(a, one) for one in shown]
        for a, heading in zip(arguments, headings, strict=True)
    } or {"sweep": [text.label(name)] * len(shown)}
    words = list(columns).index("d") if "d" in columns else len(columns)
    if len({one.D for one in found}) > 1:
        columns["weights D"] = [f"{one.D:,}" if one.D else "" for one in shown]
    if "dim" not in arguments:
        columns["free d"] = ["" if one.full or not one.dim else f"{one.dim:,}" for one in shown]
    for heading, cell in about.columns.items():
        columns[heading] = [cell(one) for one in shown]
    columns = {heading: column for heading, column in columns.items() if any(column)}
    strong = len(columns)
    form = cells.percent if axis.scale == "percent" else cells.four_digits
    for metric, column in by_metric.items():
        if metric:
            columns[metric] = [form(one) for one in column[:_MOST_ROWS]]
    columns["n"] = [str(one.n) for one in shown]
    columns["seconds a run"] = [numbers.short(one.seconds) for one in shown]
    if any(one.checkpoint_bytes > 0 for one in shown):
        columns["file, bytes"] = [numbers.count(one.checkpoint_bytes) for one in shown]
    rows = [
        [cell or numbers.NOTHING for cell in row] for row in zip(*columns.values(), strict=True)
    ]
    table = Table(list(columns), rows, words=words, strong=(strong,) if axis.label else ())
    left = {"settings": len(found) - len(shown), "arguments": len(names) - len(arguments)}
    return table, [f"{n:,} more {what} are not shown." for what, n in left.items() if n]


def _against_dim(name: str, title: str, found: Sequence[Setting], axis: Axis) -> list[Picture]:
    drawn = [one for one in curves(found) if len(one.points) > 1]
    if not drawn or len(drawn) > _MOST_LINES:
        return []
    rows = [{**one.arguments, "projection": one.projection} for one in drawn]
    names = tables.varying(rows)
    joined = [", ".join(f"{name} {row.get(name)}" for name in names) for row in rows]
    labels = text.unique(text.labels(joined))
    form = cells.percent if axis.scale == "percent" else cells.four_digits
    series = [
        Series(
            label if len(rows) > 1 else "",
            [cells.point(p, form(p)) for p in one.points],
            colour=colour(number),
            marker=marker(number),
        )
        for number, (one, label) in enumerate(zip(drawn, labels, strict=True))
    ]
    return [
        Picture(
            f"{name}-free-parameters",
            f"{_capital(axis.label)} against the number of free parameters d. Bars are one "
            "standard deviation over the seeds.",
            Chart(title, DIMS, axis, series),
        )
    ]


def _courses(name: str, title: str, found: Sequence[Setting], metric: str) -> list[Picture]:
    """Curves over the epochs: all in one picture, or one for each net where they are too many."""
    if len({one.projection for one in found if not one.full}) > 1:
        return []
    parts = {"": list(found)}
    if len(found) > _MOST_LINES:
        parts = grouped(found, lambda one: one.model)
    pictures: list[Picture] = []
    for model, part in list(parts.items())[:_MOST_NETS]:
        if len(part) <= _MOST_LINES:
            of = f"{title}: {model}" if model else title
            pictures += _two_courses("-".join(filter(None, (name, model))), of, part, metric)
    return pictures


def _two_courses(name: str, title: str, found: Sequence[Setting], metric: str) -> list[Picture]:
    ends = cells.labels(found) if len(found) > 1 else [cells.dims(found[0])]
    ordered = varying(found) == ["dim"]
    tables = [course(one, metric) for one in found]
    loss = [losses(one) for one in found]
    both: dict[str, tuple[Axis, list[tuple[np.ndarray, np.ndarray]]]] = {
        metric: (
            axis_of(metric, [float(value) for table in tables for value in table.ravel()]),
            [(np.arange(1.0, table.shape[1] + 1), table) for table in tables],
        ),
        "loss": (_LOSS, loss),
    }
    pictures = []
    for kind, (axis, drawn) in both.items():
        lines = [
            (end, epochs, table)
            for end, (epochs, table) in zip(ends, drawn, strict=True)
            if table.shape[1] > 1  # one evaluation is no course
        ]
        if lines:
            pictures.append(
                Picture(
                    text.slug(f"{name}-{kind}"),
                    f"{_capital(axis.label)} by epoch{', for each d' if ordered else ''}. Lines "
                    "are means over the seeds, bands one standard deviation.",
                    Chart(title, Axis("epoch", "epoch"), axis,
                          list(_course_lines(lines, axis, ordered=ordered))),
                )
            )  # fmt: skip
    return pictures


_LOSS = Axis("training loss (nats)", "log")


def _course_lines(
    found: Sequence[tuple[str, np.ndarray, np.ndarray]], axis: Axis, *, ordered: bool
) -> Iterator[Series]:
    """A line in a band for each name, its epochs and its values, shape (runs, points)."""
    for number, (name, epochs, values) in enumerate(found):
        top = max(1.0, float(np.max(np.abs(values), initial=0.0)))
        scaled = values / top  # sums and squares of it are floats
        means = top * scaled.mean(axis=0)
        stds = means * 0 if len(scaled) == 1 else top * scaled.std(axis=0, ddof=1)
        end = f"{name}  {means[-1]:.1f} %" if axis.scale == "percent" else name
        points = [
            Point.of(x, mean, std, f"{name}, epoch {x:g}: {_spread(mean, std)}")
            for x, mean, std in zip(epochs.tolist(), means.tolist(), stds.tolist(), strict=True)
        ]
        shown = shade(number, len(found)) if ordered else colour(number)
        dashed = not ordered and number >= len(PALETTE)
        yield Series(name, points, "course", shown, "--" if dashed else "-", end)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _spread(mean: float, std: float) -> str:
    return numbers.spread(mean, std, ".4g", ".2g")
