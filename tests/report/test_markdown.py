"""Markdown says what the report says."""

import pytest

from subspace_nn.report.build import build
from subspace_nn.report.document import Report, Section, Table
from subspace_nn.report.markdown import linked, markdown, table
from tests.report import records as r

REPORT = build(r.findings(zoo=r.ZOO, houses=r.OWN))


def test_tables_and_commands_are_there():
    text = markdown(REPORT)
    assert "\n## zoo\n" in text
    assert "| 95.10 ± 0.10 | 3 |" in text
    assert "```sh\nsubspace-nn sweep --task houses:train\n```" in text
    assert "![" not in text


def test_figures_are_linked_where_they_lie():
    text = markdown(REPORT, lambda one: linked(one, "../figures"))
    assert "](../figures/zoo-test-accuracy.svg)" in text


@pytest.mark.parametrize("text", ["a|b", "||", "`a|b`"])
def test_a_bar_in_a_cell_is_no_column(text):
    last = table(Table(["x", "y"], [[text, "1"]])).splitlines()[-1]
    assert last.replace("\\|", "").count("|") == 3


@pytest.mark.parametrize("command", ["a\n```\n<b>", "echo ````", "\x1b[2J"])
def test_a_command_does_not_leave_its_block(command):
    text = markdown(Report("t", "l", [], [Section("s", "S", commands=[command])]))
    opening, *inside, closing = text.split("## S\n\n")[1].rstrip().splitlines()
    assert opening == f"{closing}sh"
    assert len(inside) == 1
    assert closing not in inside[0]
    assert "\x1b" not in text
