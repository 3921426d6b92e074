"""Measured intrinsic dimensions, with published ones."""

from collections.abc import Iterator, Sequence
from functools import partial

from subspace_nn.common import numbers
from subspace_nn.dimension import BUDGET, Answer, Question, command, label, published, title
from subspace_nn.report import figures, measured, text
from subspace_nn.report.document import Picture, Section, Table
from subspace_nn.report.figures import Interval
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
                "published values, and bars the number of weights.",
                partial(figures.intervals, [_interval(one) for one in answers], _TITLE),
                partial(
                    figures.intervals,
                    [_interval(one) for one in answers], _TITLE, width=figures.NARROW[0],
                ),
            ),
        ),
        tables=(table(answers),),
        notes=(_NOTE, *_not_tight(answers)),
    )  # fmt: skip


_TITLE = "How many parameters a task needs"


def pictures(found: Findings) -> Iterator[Section]:
    """The curve of each measurement, and its command.

    Args:
        found: sweeps, some with answers.

    Yields:
        One section, if anything was measured.
    """
    drawn = [_picture(answer) for one in found.sweeps for answer in one.answers]
    if drawn:
        yield Section(
            "measurements",
            "Each measurement",
            text="Dots are means of the metric over the seeds, with one standard deviation; the "
            "hollow dot is the full model, the line the monotone fit, and the dashed line the "
            "threshold. The orange line is d_int, the band its interval; a dotted line is a "
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
    return Table(_COLUMNS, [_row(answer) for answer in answers], words=2, strong=(3,))


def _row(answer: Answer) -> list[str]:
    values = [f"{value.dim:,}" for value in published(answer.question)]
    known = answer.dim is not None
    return [
        text.label(label(answer.question), 80),
        _threshold(answer),
        ", ".join(values) or numbers.NOTHING,
        f"{answer.dim:,}" if known else numbers.NOTHING,
        f"{answer.low:,} to {answer.high:,}" if known else numbers.NOTHING,
        f"{answer.D:,}",
        numbers.NOTHING if answer.bloat is None else numbers.short(answer.bloat),
        str(len(answer.runs)),
        numbers.short(answer.seconds / 60),
    ]


def _interval(answer: Answer) -> Interval:
    asked = answer.question
    name = label(asked) if asked.relative else f"{label(asked)}, {_threshold(answer)}"
    values = [value.dim for value in published(asked)]
    return Interval(name, answer.dim, answer.low, answer.high, answer.D, values)


def _threshold(answer: Answer) -> str:
    asked = answer.question
    share = f" = {100 * asked.threshold:g} % of {answer.full:.4g}" if asked.relative else ""
    sign = "≥" if asked.better == "higher" else "≤"
    return f"{sign} {answer.threshold:.4g}{share}"


def _picture(answer: Answer) -> Picture:
    asked = answer.question
    words = title(asked) or label(asked)
    found = "not found"
    if answer.dim is not None:
        found = f"{answer.dim:,} ({answer.low:,} to {answer.high:,})"
    return Picture(
        text.slug(f"measured-{label(asked)}")[:52] + f"-{_level(asked)}",
        f"d_int {found}, threshold {_threshold(answer)}.",
        partial(
            measured.figure,
            answer,
            words if asked.relative else f"{words}: {_threshold(answer)}",
            figures.HALF,
            legend=False,
        ),
    )


def _level(asked: Question) -> str:
    """A threshold as a part of a file's name: "90" is 90 % of the full model."""
    if asked.relative:
        return f"{100 * asked.threshold:g}"
    return text.slug(f"absolute-{asked.threshold:g}")


def _not_tight(answers: Sequence[Answer]) -> list[str]:
    wide = [text.label(label(a.question)) for a in answers if a.stopped == "budget"]
    doubtful = [text.label(label(a.question)) for a in answers if a.doubts]
    return [
        f"{words}: {', '.join(names)}."
        for words, names in (
            ("The budget was spent before the interval was tight", wide),
            ("The results give reason to doubt the interval", doubtful),
        )
        if names
    ]


def _commands(found: Findings) -> Iterator[str]:
    for one in found.sweeps:
        for answer in one.answers:
            budget = answer.made if answer.made > BUDGET else None
            yield command(answer.question, one.folder, budget)
