"""The arithmetic of the overhead of a sweep."""

import pytest

from benchmarks.sweep_overhead import figures


def record(seconds, core_seconds):
    return {"seconds": seconds, "result": {"core_seconds": core_seconds}}


def test_overhead_and_busy():
    records = [record(60.0, 59.0), record(58.0, 57.0), record(62.0, 60.0), record(60.0, 58.0)]
    got = figures(records, wall=123.0, jobs=2)
    assert got["overhead"] == pytest.approx(246 / 240 - 1, abs=1e-5)
    assert got["busy"] == pytest.approx(234 / 246, abs=1e-5)
    assert (got["n"], got["mean_seconds"]) == (4, 60.0)


def test_a_perfect_sweep_costs_nothing():
    got = figures([record(10.0, 10.0)] * 4, wall=20.0, jobs=2)
    assert (got["overhead"], got["busy"]) == (0.0, 1.0)
