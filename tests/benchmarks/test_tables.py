"""The tables of docs/benchmarks.md say what the JSON of the benchmarks says."""

import json

import pytest
import torch

from benchmarks import fwht, inference, one_pass, output, peers, roofline, step_time, tables
from benchmarks.timing import Times

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What the scripts write, at sizes at which they take no time."""
    folder = tmp_path_factory.mktemp("results")
    patch = pytest.MonkeyPatch()
    patch.setattr(roofline, "ROUNDS", {1000: 2})
    patch.setattr(one_pass, "ROUNDS", 2)
    patch.setattr(inference, "ROUNDS", 2)
    patch.setattr(step_time, "CASES", {"fc": ([("hashed", 10), ("dense", 10)], 2)})
    rows = {
        "fwht": {"results": [row for n in (12, 14) for row in fwht.measure(n, CPU)]},
        "peers": {
            "results": [
                peers.measure("indexing", 500, 20, CPU),
                peers.measure("dense", 10**7, 10**4, CPU),
            ]
        },
        "roofline": {
            "results": [{"pages": "4 kB", **row} for row in roofline.products(1000, 10, CPU)],
            "parts": [{"pages": "", "part": "look up", "ns_per_weight": 0.5}],
        },
        "one_pass": {"results": one_pass.measure("hashed", 20_000)},
        "step_time": {"results": step_time.measure("fc", CPU)},
        "inference": {"results": inference.measure("conv", 100, CPU)},
        "setup": {
            "model": "fc", "dim": 10_000,
            "results": [{"kind": "hashed", "seconds": 0.1, "peak_bytes": 5e6, "kept_bytes": 1e6}],
        },
        "layer_memory": {
            "results": [
                {"model": "m", "way": "layer", "bytes": 9, "bytes_over_frozen": 1.5, "seconds": 2.0}
            ]
        },
        "serving": {
            "clients": 8, "load_average": 0.5,
            "results": [{
                "adapters": 10, "requests": 80, "requests_per_second": 5.5, "p50_ms": 200,
                "p99_ms": 900, "server_cpu_ms": 30, "wrong": 0, "server_MB": 1200,
            }],
        },
        "gpu-h200": {
            "products": [{
                "D": 9, "kind": "hashed", "product": "place", "form": "one kernel", "ms": 0.5,
                "ratio": 1.5, "rounds": 2,
            }],
            "steps": [{
                "net": "fc", "D": 9, "form": "whole", "ms": 0.5, "ratio": 1.5,
                "held_bytes": 9, "step_bytes": 9, "rounds": 2,
            }],
        },
        "batched-h200": {
            "results": [{
                "model": "fc", "seeds": 4, "alone_ms": 2.0, "batched_ms": 1.0, "ratio": 0.5,
                "ratio_quartiles": [0.4, 0.6],
            }],
        },
    }  # fmt: skip
    for name, content in rows.items():
        output.write(folder / f"{name}.json", f"python -m benchmarks.{name}", CPU, **content)
    patch.undo()
    return folder


def rows(folder, name):
    content = json.loads((folder / f"{name}.json").read_text("utf-8"))
    return [row for table in tables.TABLES[name](content) for row in table.rows]


def test_every_row_of_the_results_is_there(measured):
    assert {name: len(rows(measured, name)) for name in tables.TABLES} == {
        "step_time": 2, "inference": 2, "roofline": 5, "one_pass": 3, "fwht": 2, "peers": 2,
        "setup": 1, "layer_memory": 1, "serving": 1, "gpu-h200": 2, "batched-h200": 1,
    }  # fmt: skip
    assert len([row for row in rows(measured, "roofline") if "4 kB" in row]) == 4


def test_numbers_are_those_of_the_file(measured):
    results = json.loads((measured / "step_time.json").read_text("utf-8"))["results"]
    for row, result, goal in zip(rows(measured, "step_time"), results, ("1.0", "–"), strict=True):
        assert row[:2] == ["fc", result["projection"]]
        assert row[5] == f"{result['ratio']:.3f}"
        assert row[-1] == goal


def test_the_faster_form_has_the_smaller_ratio():
    own = Times(use_wall=False, wall=[1.0] * 3, processor=[1.0] * 3)
    base = Times(use_wall=False, wall=[2.0] * 3, processor=[2.0] * 3)
    assert fwht.report(12, "fwht", own, base)["ratio"] == 0.5
    assert step_time.report("fc", "hashed", 10, own, base)["ratio"] == 0.5
