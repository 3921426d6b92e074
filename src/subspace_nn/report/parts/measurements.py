"""Measured intrinsic dimensions, with published ones."""

import collections
from collections.abc import Iterator, Sequence

from subspace_nn.common import numbers
from subspace_nn.dimension import BUDGET, Answer, Question, command, label, published, title
from subspace_nn.report import measured, text
from subspace_nn.report.chart import Axis, Chart, Point, Series
from subspace_nn.report.document import Picture, Section, Table
from subspace_nn.report.findings import Findings

_COLUMNS = (
    "task", "threshold", "published d_int", "d_int", "interval", "D", "D / d_int", "runs", "minutes"
)  # fmt: skip

_NOTE = (
    "d_int is the smallest number of free parameters with which the mean over seeds reaches the "
    "threshold. The interval is over seeds, which also choose projections, initial weights and "
    "the order of the data. Published values have their own definitions and recipes."
)


def summary(found: Findings) -> Iterator[Section]:
    """All measurements in one figure and one table.

    Args:
        found: sweeps, some with answers.

    Yields:
        One section, if anything was measured.
    """
    answers = [answer for one in found.sweeps for answer in one.answers]
    if not answers:
        return
    yield Section(
        "intrinsic-dimensions",
        "Intrinsic dimensions",
        pictures=(
            Picture(
                "intrinsic-dimensions",
                "Dots are measured intrinsic dimensions with their intervals, hollow diamonds "
                "published values, and strokes the number of weights.",
                chart(answers),
            ),
        ),
        tables=(table(answers),),
        notes=(_NOTE, *_not_tight(answers)),
    )


def chart(answers: Sequence[Answer]) -> Chart:
    """All intrinsic dimensions in one chart, the smallest first: a row for each measurement.

    Args:
        answers: of the measurements.

    Returns:
        The chart.
    """
    ordered = sorted(answers, key=lambda one: (one.dim is None, one.dim or 0, label(one.question)))
    names = _names(ordered)
    measured = [
        Point(one.dim, row, one.low, one.high, _note(one, name))
        for row, (one, name) in enumerate(zip(ordered, names, strict=True))
        if one.dim is not None
    ]
    literature = [
        Point(value.dim, row, value.dim, value.dim, f"{value.source}: {value.dim:,}\n{value.note}")
        for row, one in enumerate(ordered)
        for value in published(one.question)
    ]
    weights = [
        Point(one.D, row, one.D, one.D, f"{name}: {one.D:,} weights")
        for row, (one, name) in enumerate(zip(ordered, names, strict=True))
    ]
    series = [
        Series("all weights D", weights, "strokes", "soft", "|"),
        Series("published", literature, "hollow", "c1", "D"),
        Series("measured d_int, with its interval", measured, "dots", "c0"),
    ]
    shown = [one for one in series if one.points]
    return Chart(
        "How many parameters a task needs", Axis("parameters", "count"), Axis(""), shown,
        rows=names, wide=True,
    )  # fmt: skip


def pictures(found: Findings) -> Iterator[Section]:
    """The curve of each measurement, and its command.

    Args:
        found: sweeps, some with answers.

    Yields:
        One section, if anything was measured.
    """
    answers = [answer for one in found.sweeps for answer in one.answers]
    drawn = list(map(_picture, answers, _names(answers)))
    if drawn:
        yield Section(
            "measurements",
            "Each measurement",
            text="Dots are means of the metric over the seeds, with one standard deviation; the "
            "hollow dot is the full model, the line the monotone fit, and the dashed line the "
            "threshold. The orange line is d_int, the band its interval; a dashed green line is a "
            "published value.",
            pictures=drawn,
            commands=list(dict.fromkeys(_commands(found))),
        )


def table(answers: Sequence[Answer]) -> Table:
    """One line for each measurement.

    Args:
        answers: of the measurements.

    Returns:
        The table.
    """
    tasks = text.labels([label(answer.question) for answer in answers], 80)
    return Table(_COLUMNS, list(map(_row, answers, tasks)), words=2, strong=(3,))


def _row(answer: Answer, task: str) -> list[str]:
    values = [f"{value.dim:,}" for value in published(answer.question)]
    known = answer.dim is not None
    return [
        task,
        _threshold(answer),
        ", ".join(values) or numbers.NOTHING,
        f"{answer.dim:,}" if known else numbers.NOTHING,
        f"{answer.low:,} to {answer.high:,}" if known else numbers.NOTHING,
        f"{answer.D:,}",
        numbers.NOTHING if answer.bloat is None else numbers.short(answer.bloat),
        str(len(answer.runs)),
        numbers.short(answer.seconds / 60),
    ]


def _names(answers: Sequence[Answer]) -> list[str]:
    """What was measured, in words."""
    asked = [answer.question for answer in answers]
    words = text.labels([title(one) or label(one) for one in asked], 60)
    return _distinct(answers, words, always=[not one.relative for one in asked])


def _distinct(
    answers: Sequence[Answer], names: Sequence[str], always: Sequence[bool] | None = None
) -> list[str]:
    """The names, with the thresholds of those that share one, or that always show theirs."""
    number = collections.Counter(names)
    with_threshold = always or [False] * len(names)
    return [
        f"{name}, {_threshold(answer)}" if shown or number[name] > 1 else name
        for answer, name, shown in zip(answers, names, with_threshold, strict=True)
    ]


def _note(answer: Answer, name: str) -> str:
    """What to say of a measurement where a reader points at it."""
    return (
        f"{name}: {answer.dim or 0:,} ({answer.low:,} to {answer.high:,})\n"
        f"{len(answer.runs)} runs, threshold {_threshold(answer)}"
    )


def _threshold(answer: Answer) -> str:
    asked = answer.question
    share = f" = {100 * asked.threshold:g} % of {answer.full:.4g}" if asked.relative else ""
    base = answer.baseline if asked.probe is None else asked.probe
    share += "" if base is None else f" over {base:.4g}"
    sign = "≥" if asked.better == "higher" else "≤"
    return f"{sign} {answer.threshold:.4g}{share}"


def _picture(answer: Answer, name: str) -> Picture:
    asked = answer.question
    found = "not found"
    if answer.dim is not None:
        found = f"{answer.dim:,} ({answer.low:,} to {answer.high:,})"
    return Picture(
        text.slug(f"measured-{label(asked)}")[:52] + f"-{_level(asked)}",
        f"d_int {found}, threshold {_threshold(answer)}.",
        measured.chart(answer, name),
    )


def _level(asked: Question) -> str:
    """A threshold as a part of a file's name: "90" is 90 % of the full model."""
    if asked.kind == "gain":
        base = asked.id[:8] if asked.probe is None else f"over-{asked.probe:g}"
        return text.slug(f"gain-{100 * asked.threshold:g}-{base}")
    if asked.relative:
        return f"{100 * asked.threshold:g}"
    return text.slug(f"absolute-{asked.threshold:g}")


def _not_tight(answers: Sequence[Answer]) -> list[str]:
    names = _distinct(answers, text.labels([label(a.question) for a in answers], 80))
    wide = [name for a, name in zip(answers, names, strict=True) if a.stopped == "budget"]
    doubtful = [name for a, name in zip(answers, names, strict=True) if a.doubts]
    return [
        f"{words}: {'; '.join(shown)}."
        for words, shown in (
            ("The budget was spent before the interval was tight", wide),
            ("The results give reason to doubt the interval", doubtful),
        )
        if shown
    ]


def _commands(found: Findings) -> Iterator[str]:
    for one in found.sweeps:
        for answer in one.answers:
            budget = answer.made if answer.made > BUDGET else None
            yield command(answer.question, one.folder, budget)
