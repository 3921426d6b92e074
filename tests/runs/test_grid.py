"""The grammar of sweep files and of words."""

import pytest

from subspace_nn.common.errors import InputError
from subspace_nn.runs.grid import as_word, expand, parse, parse_assignments


def dims_and_seeds(runs):
    return [(run.arguments["dim"], run.arguments["seed"]) for run in runs]


def test_axes_are_combined():
    runs = parse("""
        task = "tests.toy:quick"
        [defaults]
        seed = "range(0, 2)"
        [[grid]]
        dim = [3, 10]
        [[grid]]
        dim = 7
        seed = 5
    """)
    assert dims_and_seeds(runs) == [(3, 0), (10, 0), (3, 1), (10, 1), (7, 5)]


def test_words_of_the_command_line_are_the_same_grammar():
    values = parse_assignments(["dim=3,10", "seed=range(0,2)", "seconds=0.5"])
    expected = [(3, 0), (3, 1), (10, 0), (10, 1)]
    assert dims_and_seeds(expand("tests.toy:quick", [values])) == expected


@pytest.mark.parametrize(("word", "value"), [
    ("a=1", 1), ("a=1e-3", 1e-3), ("a=true", True), ("a=conv", "conv"), ("a=x=y", "x=y"),
    ("a=full,10", ["full", 10]), ("a=", ""), ("a=-1", -1),
])  # fmt: skip
def test_values_of_words(word, value):
    assert parse_assignments([word]) == {"a": value}


def test_overrides_replace_axes_and_equal_runs_are_one():
    text = "[[grid]]\ndim = [3, 10]\n[[grid]]\ndim = [10, 30]\nseed = 0"
    assert len(parse('task = "tests.toy:quick"\n' + text)) == 3
    runs = parse('task = "tests.toy:quick"\n' + text, {"dim": 4})
    assert dims_and_seeds(runs) == [(4, 0)]


@pytest.mark.parametrize(("text", "messages"), [
    ("dim = ", ["not TOML"]),
    ("grids = 1", ["Unknown key 'grids'. Did you mean 'grid'"]),
    ("grid = 3", ["expected a table"]),
    ('[[grid]]\ndim = [0, 3, -1]\nmodel = ["fc", "cf"]', [
        "got 0", "got -1", "Unknown model 'cf'",
    ]),
])  # fmt: skip
def test_bad_sweep_files_tell_all_at_once(text, messages):
    with pytest.raises(InputError) as caught:
        parse(text)
    for message in messages:
        assert message in str(caught.value)
    assert len(set(caught.value.problems)) == len(caught.value.problems)


def test_a_word_without_a_value():
    with pytest.raises(InputError, match="expected name=value, got 'dim'"):
        parse_assignments(["dim"])


@pytest.mark.parametrize("axes", [
    {"seed": "range(0, 100000000000)"}, {"seed": "range(0,1000)", "dim": ["range(0,2000)"] * 2000},
    {"a": "range(0,9999999999999999999)", "b": "range(0,9999999999999999999)"},
])  # fmt: skip
def test_a_range_is_refused_before_it_is_expanded(axes):
    with pytest.raises(InputError, match="of which a sweep takes at most 1,000,000"):
        expand("tests.toy:quick", [axes])


@pytest.mark.parametrize("text", [
    "grid = [3]", "defaults = 3", "defaults = []", "task = 3", "task = ['mnist']", "grid = [[]]",
    "x = " + "[" * 100_000, "x = {" * 2000, "[[grid]]\ndim = nan", "[[grid]]\nseed = 2000-01-01",
    "[[grid]]\nseed = " + "9" * 5000, "\ufeff\ufeff", "\x00",
])  # fmt: skip
def test_odd_sweep_files_are_explained(text):
    with pytest.raises(InputError):
        parse(text, task=None if text.startswith("task") else "tests.toy:quick")


@pytest.mark.parametrize("word", ["a=" + "[" * 100_000, "dim"])
def test_odd_words_are_explained(word):
    with pytest.raises(InputError):
        parse_assignments([word])


def test_a_name_that_is_given_twice():
    with pytest.raises(InputError, match="dim is given twice: write dim=A,B"):
        parse_assignments(["dim=3", "seed=1", "dim=10"])


@pytest.mark.parametrize("value", [
    "conv", "2017", "true", "a,b", "", "x=y", 'say "a"', "1\ny = 2", "range(0,3)x", "[1", "θ",
])  # fmt: skip
def test_texts_survive_the_command_line(value):
    assert parse_assignments([f"x={as_word(value)}"])["x"] == value
