"""The tables in docs/ are those of the committed results, and nobody types them."""

import pytest

from evidence import pages
from evidence.blocks import blocks, fill
from subspace_nn.dimension import Question, measure


@pytest.mark.parametrize("path", pages.PAGES, ids=lambda path: path.name)
def test_pages_have_the_committed_results(path):
    page = path.read_text("utf-8")
    written = fill(page, lambda name: pages.TABLES[name](pages.ROOT / "results"))
    assert blocks(page) == blocks(written), "make report writes them again"


def test_every_table_is_in_a_page():
    found = [name for path in pages.PAGES for name in blocks(path.read_text("utf-8"))]
    assert sorted(found) == sorted(pages.TABLES)


@pytest.mark.parametrize("name", ["fwht", "measured", "intrinsic-dimensions"])
def test_without_results_a_table_says_so(name, tmp_path):
    (tmp_path / "0.jsonl").write_text('{"format": "subspace-nn records/1"}')
    text = pages.TABLES[name](tmp_path)
    assert text in {"Not measured yet.", "Nothing yet."}
    page = f"before\n<!-- table {name} -->\nold\n<!-- end -->\nafter"
    once = fill(page, lambda _: text)
    assert once == f"before\n<!-- table {name} -->\n{text}\n\n<!-- end -->\nafter"
    assert fill(once, lambda _: text) == once


def test_a_measurement_is_a_row(tmp_path):
    asked = Question("tests.dimension.synthetic:train")
    answer = measure(asked, tmp_path / "one", engine="serial", budget=20)
    interval = f"| {answer.dim} | {answer.low} to {answer.high} |"
    assert f"{interval} 10,000 |" in pages.TABLES["measured"](tmp_path)
    assert f"{interval} – | 10,000 |" in pages.TABLES["intrinsic-dimensions"](tmp_path)
