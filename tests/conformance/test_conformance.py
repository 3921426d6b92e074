"""Every module in a subspace has every property that docs/modules.md states."""

import re

import pytest
import torch
import transformers

from evidence.blocks import fill
from tests.conformance import files, table
from tests.conformance.checks import CHECKS, SLOW
from tests.conformance.rows import ROWS

STATED = table.parse(table.PAGE.read_text(encoding="utf-8"))

NAMES = pytest.mark.parametrize("name", list(ROWS))
SMALL_FIRST = pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.conformance if row.large else ())
    for name, row in ROWS.items()
])  # fmt: skip


@pytest.fixture(autouse=True)
def quiet():
    transformers.logging.set_verbosity_error()


def test_the_page_has_every_row_and_column():
    assert list(STATED) == list(ROWS)
    assert len(STATED) >= 25
    assert all(list(row) == [*CHECKS, table.FILE, *SLOW] for row in STATED.values())


def test_the_page_explains_every_column_as_its_check_does():
    page = table.PAGE.read_text(encoding="utf-8")
    explained = dict(re.findall(r"^\| (.+?) \| (.+\.) \|$", page, re.MULTILINE))
    for name, check in (CHECKS | SLOW).items():
        assert explained[name] == check.__doc__


@SMALL_FIRST
def test_properties(name):
    pytest.importorskip(ROWS[name].needs)
    assert not list(table.differences(table.find(ROWS[name], CHECKS), STATED[name]))


@pytest.mark.conformance
@NAMES
def test_slow_properties(name):
    pytest.importorskip(ROWS[name].needs)
    assert not list(table.differences(table.find(ROWS[name], SLOW), STATED[name]))


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)  # not the number that a new process starts with
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_files_in_a_new_process(tmp_path):
    files.write(tmp_path)
    assert files.in_a_new_process(tmp_path) == ""
    assert all(row[table.FILE].sign == table.HOLDS for row in STATED.values())


def test_a_check_that_fails_is_not_a_note():
    def broken(_):
        raise AssertionError

    with pytest.raises(AssertionError):
        table.find(ROWS["Linear"], {"broken": broken})


def test_the_page_is_compared():
    found = {"a": table.Cell(table.HOLDS), "b": table.Cell(table.HOLDS), "c": table.Cell("", "no")}
    reported = {**found, "b": table.Cell(table.NOTHING), "c": table.Cell(table.HOLDS)}
    assert [text.partition(":")[0] for text in table.differences(found, reported)] == ["b"]
    cells = {"row": dict.fromkeys(CHECKS, found["c"])}
    empty = f"<!-- table {table.NAME} -->\n<!-- end -->"
    page = fill(empty, lambda _: table.render(cells))
    assert table.parse(page) == cells
