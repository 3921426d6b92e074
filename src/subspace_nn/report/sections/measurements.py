"""Measured intrinsic dimensions beside published ones."""

from collections.abc import Iterator, Sequence

from subspace_nn.measure import Answer, command, published, title
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
    answers = list(_named(found))
    if not answers:
        return None
    rows = [_row(name, answer) for name, answer in answers]
    return Section(
        "measured",
        "How many parameters it takes",
        tables=(Table(_COLUMNS, rows, words=2, strong=(3,)),),
        pictures=[_picture(name, answer) for name, answer in answers],
        notes=(_NOTE, *_not_tight(answers)),
        commands=list(dict.fromkeys(_commands(found))),
    )


def _named(found: Sequence[Sweep]) -> Iterator[tuple[str, Answer]]:
    for one in found:
        for answer in one.answers:
            yield title(answer.question) or one.name, answer


def _row(name: str, answer: Answer) -> list[str]:
    values = [f"{value.dim:,}" for value in published(answer.question)]
    known = answer.dim is not None
    return [
        name,
        _threshold(answer),
        ", ".join(values) or NOTHING,
        f"{answer.dim:,}" if known else NOTHING,
        f"{answer.low:,} to {answer.high:,}" if known else NOTHING,
        f"{answer.D:,}",
        NOTHING if answer.bloat is None else f"{answer.bloat:,.0f}",
        str(len(answer.runs)),
        f"{answer.seconds / 60:,.0f}",
    ]


def _threshold(answer: Answer) -> str:
    asked = answer.question
    share = f" = {100 * asked.threshold:g} % of {answer.full:.4g}" if asked.relative else ""
    sign = "≥" if asked.better == "higher" else "≤"
    return f"{asked.metric} {sign} {answer.threshold:.4g}{share}"


def _picture(name: str, answer: Answer) -> Picture:
    caption = f"{name}: {answer.question.metric} against d, with one standard deviation over seeds."
    return Picture(f"measured-{answer.question.id[:8]}", caption, lambda: measured.figure(answer))


def _not_tight(answers: Sequence[tuple[str, Answer]]) -> list[str]:
    wide = [name for name, answer in answers if answer.stopped == "budget"]
    return (
        [f"The budget was spent before the interval was tight: {', '.join(wide)}."] if wide else []
    )


def _commands(found: Sequence[Sweep]) -> Iterator[str]:
    for one in found:
        for answer in one.answers:
            yield command(answer.question, one.folder)
