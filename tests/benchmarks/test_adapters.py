"""The page on adapters has the results, and they are what it promises."""

import json
from pathlib import Path

import pytest
import torch

import subspace_nn as sn

pytest.importorskip("transformers")

from benchmarks import adapters

ROOT = Path(__file__).parents[2]


def test_the_page_has_the_results():
    content = json.loads((ROOT / "results/adapters.json").read_text("utf-8"))
    assert adapters.table(content) in (ROOT / "docs/adapters.md").read_text("utf-8")
    found = content["results"]
    assert found["added_bytes"] <= 10e6
    assert found["ms"]["set_adapter"]["median"] <= 1
    assert found["ratio"] <= 1.1
    assert [(row["answers"], row["wrong"]) for row in found["threads"]] == 2 * [(800, 0)]


def test_both_ways_of_rows_compute_the_same(capsys):
    net = sn.Subspace(torch.nn.Linear(3, 2), 4).eval()
    with torch.no_grad():
        rows = adapters.rows_of(net, "linear", torch.randn(8, 3), 8)
    assert [row["adapters"] for row in rows] == [1, 8]
    assert max(row["apart"] for row in rows) < 1e-5
    assert "8 rows, 8 adapters" in capsys.readouterr().out
