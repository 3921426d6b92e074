"""The page of benchmarks says what their JSON says."""

import json

import pytest
import torch

from benchmarks import fwht, page, peers, roofline, step_time, timing
from benchmarks.timing import Times

CPU = torch.device("cpu")


def test_documentation_has_the_committed_results():
    assert page.PAGE.read_text("utf-8") == page.page(page.ROOT / "results"), (
        "python -m benchmarks.page writes it again"
    )


def test_without_results_it_says_how_to_get_them(tmp_path):
    text = page.page(tmp_path)
    assert text.count("Not measured yet.") == len(page.BENCHMARKS)
    for name in page.BENCHMARKS:
        assert f"python -m benchmarks.{name} results/{name}.json" in text


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What the scripts write, at sizes at which they take no time."""
    folder = tmp_path_factory.mktemp("results")
    patch = pytest.MonkeyPatch()
    patch.setattr(roofline, "ROUNDS", {1000: 2})
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
        "step_time": {"results": step_time.measure("fc", CPU)},
        "setup": {
            "model": "fc", "dim": 10_000,
            "results": [{"kind": "hashed", "seconds": 0.1, "peak_bytes": 5e6, "kept_bytes": 1e6}],
        },
    }  # fmt: skip
    for name, content in rows.items():
        timing.write(folder / f"{name}.json", f"python -m benchmarks.{name}", CPU, **content)
    patch.undo()
    return folder


def test_every_row_of_the_results_is_there(measured):
    text = page.page(measured)
    assert "Not measured" not in text
    assert text.count("| 4 kB |") == 4, "both products, stored and recomputed"
    sections = text.split("\n## ")[1:]
    lines = {
        name: sum(line.startswith("| ") for line in section.splitlines())
        for name, section in zip(page.BENCHMARKS, sections, strict=True)
    }
    # Headings and rules are two lines of each table.
    assert lines == {"step_time": 4, "roofline": 9, "fwht": 4, "peers": 4, "setup": 3}


def test_figures_are_those_of_the_file(measured):
    (row, dense) = json.loads((measured / "step_time.json").read_text("utf-8"))["results"]
    text = page.page(measured)
    (line,) = [one for one in text.splitlines() if one.startswith("| fc | hashed |")]
    assert f"| {row['ratio']:.3f} |" in line
    assert line.endswith("| 1.15 |")
    (line,) = [one for one in text.splitlines() if one.startswith("| fc | dense |")]
    assert f"| {dense['ratio']:.3f} |" in line
    assert line.endswith("| – |")


def test_the_faster_form_has_the_smaller_ratio():
    own = Times(use_wall=False, wall=[1.0] * 3, processor=[1.0] * 3)
    base = Times(use_wall=False, wall=[2.0] * 3, processor=[2.0] * 3)
    assert fwht.report(12, "fwht", own, base)["ratio"] == 0.5
    assert step_time.report("fc", "hashed", 10, own, base)["ratio"] == 0.5
