"""A measurement in the terminal: the interval closing, batch by batch."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from subspace_nn.common.numbers import counted, duration
from subspace_nn.dimension.measurement import Progress

#: Characters of the axis from 1 to D, in log d: at most, and in a narrow terminal.
_WIDTH, _LEAST = 48, 12
#: Characters of the rest of a line: number of runs, estimate, ends of the interval.
_WORDS = 44


@contextmanager
def progress(console: Console, title: str) -> Generator[Callable[[Progress], None]]:
    """Show a measurement as it goes: a line for each batch, and in a terminal the runs under way.

    Lines are cut to the width of the terminal, so that the intervals stay aligned. They scroll
    above the runs under way.

    Args:
        console: where to.
        title: the first line.

    Yields:
        What to call with each `Progress`.
    """
    terminal = console.is_terminal
    width = min(_WIDTH, max(_LEAST, console.width - _WORDS)) if terminal else _WIDTH
    titles = iter([Text(title, style="bold")])
    clock = _Clock()
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show(now: Progress) -> None:
            for words in titles:  # not before there is something to show: it may be a mistake
                console.print(words, soft_wrap=True)
            live.update(
                Group(*_running(now, clock.remaining(now))) if now.planned else "", refresh=True
            )
            if now.status is None and terminal:
                console.print(line(now, width), no_wrap=True, overflow="ellipsis", crop=True)
            elif now.status is None:
                console.print(line(now, width) + _next(now, clock.remaining(now)), soft_wrap=True)

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


class _Clock:
    """How long the rest of a measurement takes, by the pace of the runs so far."""

    def __init__(self) -> None:
        self._start: tuple[float, int] | None = None

    def remaining(self, now: Progress) -> str:
        """The time that the budget allows, in words; empty until a run has ended."""
        finished = now.status.finished if now.status else 0
        done = len(now.made) + finished
        self._start = self._start or (time.monotonic(), done)
        start, before = self._start
        if done <= before:
            return ""
        seconds = (time.monotonic() - start) / (done - before) * (now.left - finished)
        return f", {duration(seconds)} at most"


def line(now: Progress, width: int = _WIDTH) -> Text:
    """The state of a measurement in one line: runs, the interval on its axis, in numbers.

    Args:
        now: the state.
        width: of the axis, in characters.

    Returns:
        The line.
    """
    runs = f"{counted(len(now.records), 'runs'):>8}"
    found, results = now.found, now.results
    if found is None or results is None:
        return Text(runs)
    # Until the noise is known there is a gap, but no interval.
    known = found.noise is not None
    low, high = (found.low, found.high) if known else (found.below + 1, found.reached)
    bar = axis(low, found.dim, high, results.D, width)
    kind = f"{100 * now.question.confidence:g} %" if known else "gap"
    words = f"  {found.dim:,}  {kind}: {low:,} … {high:,}"
    return Text.assemble(runs, "  ", (bar, "cyan"), words)


def _next(now: Progress, remaining: str) -> Text:
    words = f"  next: {_listed(now)}{remaining}" if now.planned else ""
    return Text(words, style="dim")


def _running(now: Progress, remaining: str) -> list[Text]:
    done = now.status.finished if now.status else 0
    lines = (
        f"  {done} of {len(now.planned)} done: {_listed(now)}",
        f"  at most {now.left} more runs{remaining}",
    )
    return [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines]


def _listed(now: Progress) -> str:
    dims = [now.question.dim_of(run.task, run.arguments) for run in now.planned]
    counts = {dim: dims.count(dim) for dim in dims}
    names = {dim: dim if isinstance(dim, str) else f"d = {dim:,}" for dim in counts}
    return ", ".join(f"{n} × {names[dim]}" if n > 1 else names[dim] for dim, n in counts.items())
