"""A command line that does not parse: what is missing or too much, and how to write it."""

import cyclopts
import pytest

from subspace_nn import cli
from subspace_nn.cli.mistakes import explain


def mistake(*words):
    with pytest.raises(cyclopts.CycloptsError) as caught:
        cli.app.parse_args(words, exit_on_error=False, print_error=False)
    return explain(cli.app, caught.value)


@pytest.mark.parametrize(("words", "missing"), [
    (["evaluate"], "FILE"), (["inspect"], "FILE"), (["diff", "a"], "B"), (["measure"], "TASK"),
    (["convert", "a", "--out", "b"], "--dtype"),
])  # fmt: skip
def test_what_is_missing_has_the_name_of_the_usage_line(words, missing):
    assert mistake(*words).startswith(f"{missing} is missing: ")


def test_an_option_without_its_value():
    assert mistake("convert", "a", "--dtype") == "--dtype needs a value."


@pytest.mark.parametrize("words", [["merge", "a"], ["convert", "a", "--dtype", "int8"]])
def test_words_where_options_are_meant(words):
    assert "Options are written --out b." in mistake(*words, "out=b")


@pytest.mark.parametrize(("verb", "option"), [("sweep", "--model"), ("measure", "--epochs=3")])
def test_options_where_words_are_meant(verb, option):
    found = mistake(verb, *["toy"] * (verb == "measure"), option, "fc")
    assert f"write {option.strip('-').partition('=')[0]}=VALUE." in found


def test_no_hint_where_there_is_nothing_of_the_name():
    assert mistake("inspect", "a", "colour=red") == "Unexpected: colour=red."
    assert mistake("inspect", "a", "--colour") == "Unknown option: --colour."
