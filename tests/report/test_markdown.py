"""Markdown says what the report says."""

import pytest

from subspace_nn.report.build import build
from subspace_nn.report.document import Sweep, Table
from subspace_nn.report.markdown import markdown, table
from tests.report import records as r

REPORT = build([Sweep("zoo", r.ZOO, "Small nets.", ["subspace-nn sweep experiments/zoo.toml"])])


def test_tables_and_commands_are_there():
    text = markdown(REPORT)
    assert "\n## “MNIST lite”: small nets, all weights free\n\nSmall nets.\n" in text
    assert "| 95.6 | 95.10 ± 0.10 | 3 |" in text
    assert "```sh\nsubspace-nn sweep experiments/zoo.toml\n```" in text
    assert "![" not in text


def test_figures_are_linked_where_they_lie():
    assert "](../figures/zoo-accuracy.svg)" in markdown(REPORT, "../figures")


@pytest.mark.parametrize("text", ["a|b", "||"])
def test_a_bar_in_a_cell_is_no_column(text):
    last = table(Table(["x", "y"], [[text, "1"]])).splitlines()[-1]
    assert last.replace("\\|", "").count("|") == 3


def test_documentation_has_the_committed_records(request, monkeypatch):
    """docs/results.md is what `make report` writes of results/: nobody typed it."""
    from pathlib import Path  # noqa: PLC0415

    from subspace_nn.cli.reports import as_markdown, read  # noqa: PLC0415

    root = request.config.rootpath
    monkeypatch.chdir(root)
    written = (root / "docs" / "results.md").read_text(encoding="utf-8")
    expected = as_markdown(read([Path("results")]), Path("docs/results.md"), Path("docs/figures"))
    assert written == expected, "make report writes it again"
