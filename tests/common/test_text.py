"""Text on its way out."""

import csv
import io

import pytest

from subspace_nn.common import text
from subspace_nn.runs import tables

ESCAPES = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x9b31m",
    "a\rb",
    "\x7f",
    "\u202eabc",
    "\u2028",
    "\ud800",
]


@pytest.mark.parametrize("odd", ESCAPES, ids=ascii)
def test_no_control_character_is_left(odd):
    for shown in (text.visible(odd), text.markdown(odd), text.csv_cell(odd)):
        assert all(part.isprintable() for part in shown)
        assert shown.encode()


def test_ordinary_text_stays():
    for ordinary in ("θ0 + σ ⊙ Pω", "a\tb\nc", "日本語", "مرحبا"):
        assert text.visible(ordinary) == ordinary


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_a_text_is_no_formula(formula):
    content = tables.to_csv([{"x": formula, "n": -1}]).decode()
    (row,) = csv.DictReader(io.StringIO(content))
    assert not row["x"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert row["n"] == "-1"
