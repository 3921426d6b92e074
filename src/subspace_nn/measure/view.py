"""What a measurement looks like in a terminal: the interval, closing."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from subspace_nn.measure.catalogue import published
from subspace_nn.measure.measurement import Answer, Progress
from subspace_nn.measure.question import FULL, Question
from subspace_nn.runs import Run

#: Characters of the axis from 1 to D, in log d.
_WIDTH = 48

_NOT_FOUND = {
    "unreachable": "not found: the full model does not reach the threshold",
    "budget": "not found: the budget went to the full model",
}


@contextmanager
def progress(console: Console, title: str) -> Iterator[Callable[[Progress], None]]:
    """Show a measurement as it goes: a line for each batch of runs, and in a terminal what runs.

    Args:
        console: where to.
        title: the first line.

    Yields:
        What to call with each `Progress`.
    """
    view = _View(title)
    if console.is_terminal:
        with Live(view, console=console, refresh_per_second=4):
            yield view.update
    else:

        def show(now: Progress) -> None:
            before = len(view.lines)
            view.update(now)
            for line in view.lines[before:]:
                console.print(line, soft_wrap=True)

        yield show


def axis(low: int, dim: int, high: int, D: int) -> str:
    """An interval on the logarithmic axis from 1 to D.

    Args:
        low: the interval's lower end.
        dim: the estimate.
        high: the interval's upper end.
        D: the axis's end.

    Returns:
        One line of text.

    Example:
        >>> axis(30, 100, 1000, 10_000)
        '├─────────────────[━━━━━━●━━━━━━━━━━]────────────┤'
    """
    low, dim, high = (round((_WIDTH - 1) * math.log(d) / math.log(D)) for d in (low, dim, high))
    marks = ["─"] * _WIDTH
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
    full = _figure(answer.full, answer.full_std)
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
    rows["runs"] = f"{len(answer.runs)}, {answer.seconds / 60:.1f} minutes together"
    if answer.reused:
        rows["runs"] += f"; {answer.reused} of them were there before"
    rows["stopped"] = {
        "tight": f"the interval is as tight as asked ({100 * asked.precision:g} %)",
        "budget": "the budget is spent; a larger one goes on from here",
        "unreachable": "more runs would not help",
    }[answer.stopped]
    return rows


class _View:
    """A line for each batch, and what is running."""

    def __init__(self, title: str) -> None:
        self.title = Text(title, style="bold")
        self.lines: list[Text] = []
        self.now: Progress | None = None

    def update(self, now: Progress) -> None:
        if not self.lines:
            self.lines.append(self.title)
        if now.status is None:
            self.lines.append(_line(now))
        self.now = now

    def __rich__(self) -> RenderableType:
        if self.now is None:
            return Text("")
        return Group(*self.lines, *_running(self.now))


def _line(now: Progress) -> Text:
    runs = f"{len(now.records):3} runs  "
    found, results = now.found, now.results
    if found is None or results is None:
        return Text(f"{runs}next: {_told(now.planned)}")
    # As long as the noise is unknown there is a gap, but no interval.
    known = found.noise is not None
    low, high = (found.low, found.high) if known else (found.below + 1, found.reached)
    bar = axis(low, found.dim, high, results.D)
    kind = f"{100 * now.question.confidence:g} %" if known else "gap"
    words = f"  {found.dim:,}  {kind}: {low:,} … {high:,}"
    then = f"  next: {_told(now.planned)}" if now.planned else ""
    return Text.assemble(runs, (bar, "cyan"), words, (then, "dim"))


def _running(now: Progress) -> list[Text]:
    if now.status is None or not now.planned:
        return []
    done = now.status.finished
    return [
        Text(f"  {done} of {len(now.planned)} done: {_told(now.planned)}", style="dim"),
        Text(f"  at most {now.left} more runs", style="dim"),
    ]


def _told(runs: Sequence[Run]) -> str:
    dims = [run.arguments["dim"] for run in runs]
    counts = {dim: dims.count(dim) for dim in dims}
    names = {dim: FULL if dim == FULL else f"d = {dim:,}" for dim in counts}
    return ", ".join(f"{n} × {names[dim]}" if n > 1 else names[dim] for dim, n in counts.items())


def _figure(mean: float, std: float | None) -> str:
    return f"{mean:.4g}" if std is None else f"{mean:.4g} ± {std:.2g}"


def _rule(asked: Question) -> str:
    if not asked.relative:
        return "absolute"
    if asked.better == "higher":
        return f"{100 * asked.threshold:g} % of the full model's mean"
    return f"the full model's mean over {asked.threshold:g}"
