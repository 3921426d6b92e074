"""Every module in a subspace has every property that docs/modules.md tells of it."""

import pytest
import transformers

from tests.conformance import files, table
from tests.conformance.checks import CHECKS, SLOW
from tests.conformance.rows import ROWS

TOLD = table.parse(table.PAGE.read_text(encoding="utf-8"))

NAMES = pytest.mark.parametrize("name", list(ROWS))


@pytest.fixture(autouse=True)
def quiet():
    transformers.logging.set_verbosity_error()


def test_the_page_has_every_row_and_column():
    assert list(TOLD) == list(ROWS)
    assert len(TOLD) >= 25
    assert all(list(row) == [*CHECKS, table.FILE, *SLOW] for row in TOLD.values())


def test_the_page_is_what_make_conformance_writes():
    """But for the signs, which the other tests hold."""
    page = table.PAGE.read_text(encoding="utf-8")
    assert table.render(TOLD) == table._generated(page)


@NAMES
def test_properties(name):
    assert not list(table.differences(table.find(ROWS[name], CHECKS), TOLD[name]))


@pytest.mark.conformance
@NAMES
def test_slow_properties(name):
    assert not list(table.differences(table.find(ROWS[name], SLOW), TOLD[name]))


def test_files_in_a_new_process(tmp_path):
    files.write(tmp_path)
    assert files.in_a_new_process(tmp_path) == ""
    assert all(row[table.FILE].sign == table.HOLDS for row in TOLD.values())


def test_a_check_that_fails_is_not_a_note():
    def broken(_):
        raise AssertionError

    with pytest.raises(AssertionError):
        table.find(ROWS["Linear"], {"broken": broken})


def test_the_page_is_compared():
    found = {"a": table.Cell(table.HOLDS), "b": table.Cell(table.HOLDS), "c": table.Cell("", "no")}
    told = {**found, "b": table.Cell(table.NOTHING), "c": table.Cell(table.HOLDS)}
    assert [text.partition(":")[0] for text in table.differences(found, told)] == ["b"]
    page = f"{table._BEGIN}{table._END}".replace(
        table._END, table.render({"row": {**dict.fromkeys(CHECKS, found["c"])}}) + table._END
    )
    assert table.parse(page) == {"row": dict.fromkeys(CHECKS, found["c"])}
