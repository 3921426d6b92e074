"""One section a sweep: its table, its curves, and the commands that repeat it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from subspace_nn.common import numbers
from subspace_nn.dimension import KNOWN
from subspace_nn.report import cells, figures, text
from subspace_nn.report.document import Picture, Section, Table
from subspace_nn.report.figures import Axis, Course
from subspace_nn.report.findings import Findings, Sweep
from subspace_nn.report.frame import (
    Runs,
    Setting,
    course,
    curves,
    differing,
    grouped,
    losses,
    metrics,
    settings,
    varying,
)
from subspace_nn.report.scales import Line, Point
from subspace_nn.report.theme import MARKERS, PALETTE

#: More lines than this in one picture cannot be told apart.
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
            yield section(sweep, rows[sweep.name], known.get(sweep.name, _NOTHING))


def section(sweep: Sweep, runs: Runs, about: About = _NOTHING) -> Section:
    """A sweep as a section.

    Args:
        sweep: its name and answers.
        runs: its rows; one of them is done.
        about: more on it.

    Returns:
        The section.
    """
    names = metrics(list(runs[runs.done].result), _metrics_of(sweep, runs))
    axis = axis_of(names[0], runs) if names else Axis("")
    found = settings(runs, axis.name)
    others = [] if axis.kind == "percent" else [
        settings(runs, name) for name in names[1:_MOST_METRICS]
    ]  # fmt: skip
    title = about.title or sweep.title
    table, left_out = _table(sweep.title, found, axis, about, dict(zip(names[1:], others)))  # noqa: B905
    pictures = [] if about.drawn else _against_dim(sweep.name, title, found, axis)
    pictures += _courses(sweep.name, title, found, axis)
    return Section(
        sweep.name,
        title,
        text=about.text or sweep.text,
        pictures=pictures,
        tables=(table,),
        notes=[*_facts(runs, found), *left_out, *about.notes],
        commands=about.commands or list(dict.fromkeys(filter(None, runs.command))),
    )


def axis_of(name: str, runs: Runs) -> Axis:
    """How a metric is drawn, by its name and its values."""
    values = [result[name] for result in runs[runs.done].result]
    if name.endswith("accuracy") and all(0 <= v <= 100 for v in values) and max(values) > 1:
        return Axis(name, "percent")
    return Axis(name, "loss" if "loss" in name else "plain")


def _metrics_of(sweep: Sweep, runs: Runs) -> list[str]:
    """The metrics by which measurements judge the tasks of a sweep."""
    tasks = set(runs.task)
    asked = [answer.question for answer in sweep.answers]
    asked += [one.question for one in KNOWN.values()]
    return [question.metric for question in asked if question.task in tasks]


def _facts(runs: Runs, found: Sequence[Setting]) -> list[str]:
    done = runs[runs.done]
    facts = f"{len(done)} runs, {numbers.duration(done.seconds.sum())} in all."
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
    name: str,
    found: Sequence[Setting],
    axis: Axis,
    about: About,
    others: Mapping[str, Sequence[Setting]],
) -> tuple[Table, list[str]]:
    """The table of a sweep, and how much of it was left out."""
    names = varying(found)
    shown, arguments = found[:_MOST_ROWS], names[:_MOST_ARGUMENTS]
    columns = {
        "d" if a == "dim" else text.label(a): [cells.argument(a, one) for one in shown]
        for a in arguments
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
    form = cells.percent if axis.kind == "percent" else cells.four_digits
    heading = f"{axis.name.replace('_', ' ')}, %" if axis.kind == "percent" else axis.name
    for metric, column in {heading: found, **others}.items():
        if metric:
            columns[text.label(metric)] = [form(one) for one in column[:_MOST_ROWS]]
    columns["n"] = [str(one.n) for one in shown]
    columns["seconds a run"] = [numbers.short(one.seconds) for one in shown]
    if any(one.checkpoint_bytes > 0 for one in shown):
        columns["file, bytes"] = [numbers.count(one.checkpoint_bytes) for one in shown]
    rows = [
        [cell or numbers.NOTHING for cell in row] for row in zip(*columns.values(), strict=True)
    ]
    table = Table(list(columns), rows, words=words, strong=(strong,) if axis.name else ())
    left = {"settings": len(found) - len(shown), "arguments": len(names) - len(arguments)}
    return table, [f"{n:,} more {what} are not shown." for what, n in left.items() if n]


def _against_dim(name: str, title: str, found: Sequence[Setting], axis: Axis) -> list[Picture]:
    drawn = [one for one in curves(found) if len(one.points) > 1]
    if not drawn or not axis.name or len(drawn) > _MOST_LINES:
        return []
    rows = [{**one.arguments, "projection": one.projection} for one in drawn]
    names = differing(rows)
    labels = text.unique(
        text.label(", ".join(f"{name} {row.get(name)}" for name in names)) for row in rows
    )
    lines = [
        Line(
            label if len(rows) > 1 else "",
            [Point.of(p.dim, p.mean, p.std) for p in one.points],
            "measured",
            PALETTE[number % len(PALETTE)],
            MARKERS[number % len(MARKERS)],
        )
        for number, (one, label) in enumerate(zip(drawn, labels, strict=True))
    ]
    return [
        Picture(
            f"{name}-free-parameters",
            f"{text.label(axis.name)} against the number of free parameters d. Bars are one "
            "standard deviation over the seeds.",
            partial(figures.against_dim, lines, axis, title),
        )
    ]


def _courses(name: str, title: str, found: Sequence[Setting], axis: Axis) -> list[Picture]:
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
            pictures += _two_courses("-".join(filter(None, (name, model))), of, part, axis)
    return pictures


def _two_courses(name: str, title: str, found: Sequence[Setting], axis: Axis) -> list[Picture]:
    ends = cells.labels(found) if len(found) > 1 else [cells.dims(found[0])]
    ordered = varying(found) == ["dim"]
    pictures = []
    for kind, drawn in ((axis, _of_metric(found, ends, axis.name)), (_LOSS, _of_loss(found, ends))):
        if drawn:
            shown = text.label(kind.name)
            pictures.append(
                Picture(
                    text.slug(f"{name}-{'loss' if kind is _LOSS else kind.name}"),
                    f"{shown} by epoch{', for each d' if ordered else ''}. Lines are means over "
                    "the seeds, bands one standard deviation.",
                    partial(figures.courses, drawn, kind, f"{title}", ordered=ordered),
                )
            )
    return pictures


_LOSS = Axis("training loss (nats)", "loss")


def _of_metric(found: Sequence[Setting], ends: Sequence[str], metric: str) -> list[Course]:
    tables = [course(one, metric) for one in found]
    return [
        Course(end, figures.np.arange(1.0, table.shape[1] + 1), table)
        for end, table in zip(ends, tables, strict=True)
        if table.shape[1]
    ]


def _of_loss(found: Sequence[Setting], ends: Sequence[str]) -> list[Course]:
    both = [losses(one) for one in found]
    return [
        Course(end, epochs, table)
        for end, (epochs, table) in zip(ends, both, strict=True)
        if len(epochs)
    ]
