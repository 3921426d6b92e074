"""What a measurement looks like in a terminal: the interval, closing."""

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from subspace_nn.common.numbers import spread
from subspace_nn.measure.catalogue import published
from subspace_nn.measure.measurement import Answer, Progress
from subspace_nn.measure.question import FULL, Question
from subspace_nn.runs.run import Run

#: Characters of the axis from 1 to D, in log d: at most, and in a narrow terminal.
_WIDTH, _LEAST = 48, 12
#: What else stands in a line: numbers of runs, the estimate, the ends of the interval.
_WORDS = 44

_NOT_FOUND = {
    "unreachable": "not found: the full model does not reach the threshold",
    "budget": "not found: the budget went to the full model",
    "beyond": "not found: even the largest dimension to try falls short",
}


@contextmanager
def progress(console: Console, title: str) -> Generator[Callable[[Progress], None]]:
    """Show a measurement as it goes: a line for each batch of runs, and in a terminal what runs.

    Lines of a terminal are cut to its width, so that the intervals stay below each other; and
    they scroll, however many there are, above what runs.

    Args:
        console: where to.
        title: the first line.

    Yields:
        What to call with each `Progress`.
    """
    terminal = console.is_terminal
    width = min(_WIDTH, max(_LEAST, console.width - _WORDS)) if terminal else _WIDTH
    titles = iter([Text(title, style="bold")])
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show(now: Progress) -> None:
            for line in titles:  # not before there is something to show: it may be a mistake
                console.print(line, soft_wrap=True)
            live.update(Group(*_running(now)) if now.planned else "", refresh=True)
            if now.status is None and terminal:
                console.print(_line(now, width), no_wrap=True, overflow="ellipsis", crop=True)
            elif now.status is None:
                console.print(_line(now, width) + _next(now), soft_wrap=True)

        yield show


def axis(low: int, dim: int, high: int, D: int, width: int = _WIDTH) -> str:
    """An interval on the logarithmic axis from 1 to D.

    Args:
        low: the interval's lower end.
        dim: the estimate.
        high: the interval's upper end.
        D: the axis's end.
        width: in characters.

    Returns:
        One line of text.

    Example:
        >>> axis(30, 100, 1000, 10_000)
        '├─────────────────[━━━━━━●━━━━━━━━━━]────────────┤'
    """
    unit = (width - 1) / math.log(D)
    low, dim, high = (round(unit * math.log(d)) for d in (low, dim, high))
    marks = ["─"] * width
    marks[low : high + 1] = "━" * (high + 1 - low)
    if high > low:
        marks[low], marks[high] = "[", "]"
    marks[dim] = "●"
    return f"├{''.join(marks)}┤"


def summary(answer: Answer) -> dict[str, str]:
    """An answer in words.

    Args:
        answer: of a measurement.

    Returns:
        Values by name.
    """
    asked = answer.question
    full = spread(answer.full, answer.full_std)
    rows = {
        "full model": f"{asked.metric} {full}, n = {answer.full_n}",
        "threshold": f"{answer.threshold:.4g} ({_rule(asked)})",
    }
    if answer.dim is None:
        rows["d_int"] = _NOT_FOUND[answer.stopped]
    else:
        confidence = f"{100 * asked.confidence:g} % interval"
        rows["d_int"] = f"{answer.dim:,}, {confidence} {answer.low:,} to {answer.high:,}"
        rows["D / d_int"] = f"{answer.bloat:,.1f} (D = {answer.D:,})"
    for value in published(asked):
        rows[value.source] = f"{value.dim:,}" + (f" ({value.note})" if value.note else "")
    if _all_beat_full(answer):
        other = "lower" if asked.better == "higher" else "higher"
        rows["doubt"] = f"every d did better than the full model: should it be --better {other}?"
    rows["runs"] = f"{len(answer.runs)}, {answer.seconds / 60:.1f} minutes together"
    if answer.reused:
        rows["runs"] += f"; {answer.reused} of them were there before"
    rows["stopped"] = {
        "tight": f"the interval is as tight as asked ({100 * asked.precision:g} %)",
        "budget": "the budget is spent; a larger one goes on from here",
        "unreachable": "more runs would not help",
        "beyond": "a larger --most goes on from these records",
    }[answer.stopped]
    return rows


def _all_beat_full(answer: Answer) -> bool:
    """As when a loss is measured as if higher were better."""
    means = [point["mean"] for point in answer.points]
    if answer.question.better == "higher":
        return bool(means) and min(means) > answer.full
    return bool(means) and max(means) < answer.full


def _line(now: Progress, width: int) -> Text:
    runs = f"{len(now.records):3} runs"
    found, results = now.found, now.results
    if found is None or results is None:
        return Text(runs)
    # As long as the noise is unknown there is a gap, but no interval.
    known = found.noise is not None
    low, high = (found.low, found.high) if known else (found.below + 1, found.reached)
    bar = axis(low, found.dim, high, results.D, width)
    kind = f"{100 * now.question.confidence:g} %" if known else "gap"
    words = f"  {found.dim:,}  {kind}: {low:,} … {high:,}"
    return Text.assemble(runs, "  ", (bar, "cyan"), words)


def _next(now: Progress) -> Text:
    return Text(f"  next: {_told(now.planned)}" if now.planned else "", style="dim")


def _running(now: Progress) -> list[Text]:
    done = now.status.finished if now.status else 0
    lines = (
        f"  {done} of {len(now.planned)} done: {_told(now.planned)}",
        f"  at most {now.left} more runs",
    )
    return [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines]


def _told(runs: Sequence[Run]) -> str:
    dims = [run.arguments["dim"] for run in runs]
    counts = {dim: dims.count(dim) for dim in dims}
    names = {dim: FULL if dim == FULL else f"d = {dim:,}" for dim in counts}
    return ", ".join(f"{n} × {names[dim]}" if n > 1 else names[dim] for dim, n in counts.items())


def _rule(asked: Question) -> str:
    if not asked.relative:
        return "absolute"
    if asked.better == "higher":
        return f"{100 * asked.threshold:g} % of the full model's mean"
    return f"the full model's mean over {asked.threshold:g}"
