"""Measured intrinsic dimensions beside published ones."""

from collections.abc import Iterator, Sequence

from subspace_nn.measure import BUDGET, Answer, command, label, published, title
from subspace_nn.report import measured
from subspace_nn.report.document import Picture, Section, Sweep, Table
from subspace_nn.report.text import NOTHING

_COLUMNS = (
    "task", "threshold", "published d_int", "d_int", "interval", "D", "D / d_int", "runs", "minutes"
)  # fmt: skip

_NOTE = (
    "d_int is the smallest number of free parameters with which the mean over seeds reaches the "
    "threshold. The interval is over seeds: other projections, initial weights and orders of the "
    "data. Published values have definitions and recipes of their own."
)


def section(found: Sequence[Sweep]) -> Section | None:
    """One line and one picture for each measurement.

    Args:
        found: folders of records, some with answers.

    Returns:
        The section, if anything was measured.
    """
    answers = [answer for one in found for answer in one.answers]
    if not answers:
        return None
    rows = [_row(answer) for answer in answers]
    return Section(
        "measured",
        "How many parameters it takes",
        tables=(Table(_COLUMNS, rows, words=2, strong=(3,)),),
        pictures=[_picture(answer) for answer in answers],
        notes=(_NOTE, *_not_tight(answers)),
        commands=list(dict.fromkeys(_commands(found))),
    )


def _row(answer: Answer) -> list[str]:
    values = [f"{value.dim:,}" for value in published(answer.question)]
    known = answer.dim is not None
    return [
        label(answer.question),
        _threshold(answer),
        ", ".join(values) or NOTHING,
        f"{answer.dim:,}" if known else NOTHING,
        f"{answer.low:,} to {answer.high:,}" if known else NOTHING,
        f"{answer.D:,}",
        NOTHING if answer.bloat is None else _short(answer.bloat),
        str(len(answer.runs)),
        _short(answer.seconds / 60),
    ]


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}"


def _threshold(answer: Answer) -> str:
    asked = answer.question
    share = f" = {100 * asked.threshold:g} % of {answer.full:.4g}" if asked.relative else ""
    sign = "≥" if asked.better == "higher" else "≤"
    return f"{sign} {answer.threshold:.4g}{share}"


def _picture(answer: Answer) -> Picture:
    name, words = label(answer.question), title(answer.question)
    told = f"{name} ({words})" if words else name
    caption = (
        f"{told}: {answer.question.metric} against d, with one standard deviation over seeds; "
        f"threshold {_threshold(answer)}."
    )
    return Picture(f"measured-{answer.question.id[:8]}", caption, lambda: measured.figure(answer))


def _not_tight(answers: Sequence[Answer]) -> list[str]:
    wide = [label(answer.question) for answer in answers if answer.stopped == "budget"]
    return (
        [f"The budget was spent before the interval was tight: {', '.join(wide)}."] if wide else []
    )


def _commands(found: Sequence[Sweep]) -> Iterator[str]:
    for one in found:
        for answer in one.answers:
            budget = answer.made if answer.made > BUDGET else None
            yield command(answer.question, one.folder, budget)
