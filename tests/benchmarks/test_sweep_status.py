"""The time of a status does not grow with the runs."""

import json
import statistics
from pathlib import Path

from benchmarks.sweep_status import MORE, status_times

RESULTS = Path(__file__).resolve().parents[2] / "results" / "sweep_status.json"


def test_a_status_takes_the_same_time_with_many_runs(tmp_path):
    few, many = (status_times(tmp_path / str(size), size) for size in (50, 5000))
    assert len(few) == len(many) == MORE
    # Quadratic costs made it 40 times as long; a busy machine makes it up to twice.
    assert statistics.median(many) < 3 * statistics.median(few)


def test_the_published_ratio():
    content = json.loads(RESULTS.read_bytes())
    assert [row["records"] for row in content["results"]] == [500, 50_000]
    assert content["ratio"] <= 1.5
