"""Tables and figure of learned subspaces, from made-up records."""

import pytest

from evidence import learned
from subspace_nn.report import draw, svg
from subspace_nn.report.findings import Findings, Sweep
from subspace_nn.runs.record import run_id


def record(task, result, **arguments):
    environment = {"hardware": "here", "torch": "2.13.0"}
    return {"id": run_id(task, arguments), "task": task, "arguments": arguments, "status": "done",
            "seconds": 1.0, "started": "2026-01-31T12:00:00+00:00", "environment": environment,
            "result": {"D": 100, **result}}  # fmt: skip


def burnt(steps, dim, seed, accuracy):
    result = {"test_accuracy": accuracy, "start_accuracy": 50.0 + steps, "dim": dim}
    return record("x:y", result, steps=steps, dim=dim, seed=seed, held_out=0)


def sources(dim, seed, held_out):
    result = {"test_accuracy": 98.0 + seed, "full_accuracy": 98.5, "stored": 100 * dim, "dim": dim}
    return record("x:y", result, source="trajectory", dim=dim, seed=seed, held_out=held_out,
                  lr=1.0, first=8, epochs=1)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    grid = [burnt(k, d, seed, 90 + d / 10 + k / 20 + seed / 10)
            for k in (0, 16) for d in (2, 8) for seed in (0, 1)]  # fmt: skip
    runs = [sources(d, seed, held) for d in (32, 8) for seed, held in ((0, 0), (1, 0), (0, 9))]
    both = {"burn-in": grid, "sources": runs}
    return Findings.of([(Sweep(name, name, name, []), both[name]) for name in both])


def test_a_row_for_each_burn_in_and_a_column_for_each_d(found):
    table = learned.burn_in(found)
    assert table.columns[2:] == ["d = 2", "d = 8"]
    assert [row[:3] for row in table.rows] == [
        ["0", "50.00 ± 0.00", "90.25 ± 0.07"], ["16", "66.00 ± 0.00", "91.05 ± 0.07"],
    ]  # fmt: skip


def test_the_figure_has_a_line_for_each_burn_in(found):
    chart = learned.chart(found)
    assert [one.name for one in chart.series] == ["k = 0", "k = 16"]
    assert [point.x for point in chart.series[0].points] == [2, 8]
    assert "k = 16" in svg(draw(chart))


def test_images_held_out_are_in_a_table_of_their_own(found):
    table = learned.reached("sources", found)
    assert [row[1] for row in table.rows] == ["8", "32"]
    assert table.rows[0][3:] == ["98.50 ± 0.00", "98.50 ± 0.71", "2", "800", "96.7"]
    choices = learned.choices("sources", found)
    assert choices.columns == ["dim", "of 10,000 held out, %", "n"]
    assert [row[0] for row in choices.rows] == ["8", "32"]


def test_without_runs_there_is_no_table(found):
    assert learned.reached("resampled", found) is None
    assert learned.choices("stages", found) is None
