"""What is seen of a measurement."""

import dataclasses
import io
import re

import pytest
from rich.console import Console

from subspace_nn.cli import measure_view as view
from subspace_nn.dimension import Question, measure, question

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


@pytest.mark.parametrize(("metric", "better", "doubted"), [
    ("test_error", "higher", True), ("test_error", "lower", False),
    ("test_accuracy", "lower", True), ("test_accuracy", "higher", False),
])  # fmt: skip
def test_a_wrong_direction_is_doubted(metric, better, doubted, tmp_path):
    asked = Question(SYNTHETIC, metric=metric, better=better)
    if metric == "test_error":  # around 0 for the full model
        asked = dataclasses.replace(asked, threshold=0.1, kind="absolute")
    told = view.summary(measure(asked, tmp_path, engine="serial", budget=20))
    assert ("did you mean --better" in told.get("warning", "")) == doubted


def test_summary_of_a_known_task(tmp_path):
    answer = measure(Question(SYNTHETIC), tmp_path, engine="serial", budget=15)
    toy = dataclasses.replace(
        answer, question=question("toy"), stopped="tight", D=1000, dim=10, low=10, high=11,
        threshold=0.9, full=1.0, full_std=0.0, full_n=5, runs=["a"] * 31, reused=4, seconds=90.0,
    )  # fmt: skip
    assert view.summary(toy) == {
        "full model": "performance 1 ± 0, n = 5",
        "threshold": "0.9 (90 % of the full model's mean)",
        "d_int": "10, 95 % interval 10 to 11",
        "D / d_int": "100.0 (D = 1,000)",
        "Li et al. 2018": "10 (exact)",
        "runs": "31 (1.5 min in total), 4 of them reused",
        "stopped": "the interval is as narrow as requested (20 %)",
    }


@pytest.mark.parametrize(("asked", "options", "expected"), [
    (Question(SYNTHETIC), {"budget": 6},
     {"stopped": "budget exhausted; rerun with a larger --budget to continue"}),
    (Question(SYNTHETIC, threshold=110, kind="absolute"), {},
     {"d_int": "not found: the full model does not reach the threshold",
      "threshold": "110 (absolute)"}),
    (Question(SYNTHETIC), {"budget": 1}, {"d_int": "not found: the budget went to the full model"}),
], ids=["budget", "unreachable", "nothing"])  # fmt: skip
def test_summary(asked, options, expected, tmp_path):
    answer = measure(asked, tmp_path, engine="serial", **options)
    rows = view.summary(answer)
    assert {name: rows[name] for name in expected} == expected


def test_the_rule_for_a_lower_share():
    asked = Question(SYNTHETIC, metric="test_error", better="lower", kind="relative")
    assert view._rule(asked) == "the full model's mean over 0.9"
