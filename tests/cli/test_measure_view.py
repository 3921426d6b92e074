"""What is seen of a measurement."""

import io
import re

import pytest
from rich.console import Console

from subspace_nn.cli import measure_view as view
from subspace_nn.dimension import Question, measure

SYNTHETIC = "tests.dimension.synthetic:train"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def show(asked, folder, *, terminal, width=150, **options):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, _environ={})
    with view.progress(console, "how many?") as call:
        answer = measure(asked, folder, engine="serial", on_progress=call, **options)
    return answer, ESCAPE.sub("", console.file.getvalue())


def test_a_plain_line_a_batch(tmp_path):
    answer, shown = show(Question(SYNTHETIC), tmp_path, terminal=False)
    first, second, third, *_, last = shown.splitlines()
    assert first == "how many?"
    assert second == "  0 runs  next: 5 × full"
    assert "gap: 1 … 10,000  next: d = 6, d = 40, d = 251, d = 1,585" in third
    assert last.endswith(f"{answer.dim}  95 %: {answer.low} … {answer.high}")
    assert last.startswith(f" {len(answer.runs)} runs")


def test_the_bracket_closes(tmp_path):
    _, shown = show(Question(SYNTHETIC), tmp_path, terminal=False)
    widths = [sum(line.count(mark) for mark in "━[]●") for line in shown.splitlines()[2:]]
    assert widths[0] == view._WIDTH
    assert widths[-1] <= 4
    assert widths[0] > widths[1] >= widths[2]


def test_a_terminal_shows_what_runs(tmp_path):
    _, shown = show(Question(SYNTHETIC), tmp_path, terminal=True, budget=9)
    for done in range(6):
        assert f"  {done} of 5 done: 5 × full" in shown
    assert "4 of 4 done: d = 6, d = 40, d = 251, d = 1,585" in shown
    assert "at most 9 more runs" in shown


@pytest.mark.parametrize(("width", "axis"), [(150, 48), (70, 26), (40, 12)])
def test_a_terminal_keeps_a_line_a_batch_no_wider_than_it_is(width, axis, tmp_path):
    answer, shown = show(Question(SYNTHETIC), tmp_path, terminal=True, width=width)
    lines = [line for line in re.split("[\r\n]+", shown) if line]
    assert lines[0] == "how many?"
    assert all(len(line) <= width for line in lines)
    lines = [line for line in lines if "├" in line]
    assert {line.index("┤") - line.index("├") - 1 for line in lines} == {axis}
    assert lines[-1].startswith(f" {len(answer.runs)} runs")
    if width >= 70:
        assert lines[-1].endswith(f"{answer.dim}  95 %: {answer.low} … {answer.high}")


@pytest.mark.parametrize(("ends", "low", "high"), [
    ((1, 100, 10_000), 0, view._WIDTH - 1),
    ((9_999, 9_999, 10_000), view._WIDTH - 1, view._WIDTH - 1),
    ((1, 1, 1), 0, 0),
])  # fmt: skip
def test_axis(ends, low, high):
    marks = view.axis(*ends, 10_000)[1:-1]
    assert len(marks) == view._WIDTH
    assert [i for i, mark in enumerate(marks) if mark != "─"] == list(range(low, high + 1))
    assert marks.count("●") == 1
