"""The commands of a report run what its records say was run: no more and no less."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subspace_nn.report.commands import sweep_commands
from subspace_nn.runs.run import Run
from subspace_nn.runs.sweep import expand, parse, parse_assignments
from tests.report import records as r


def ids_of(commands):
    """Ids of the runs that the commands name."""
    found = set()
    for command in commands:
        program, verb, *words, out, _ = shlex.split(command)
        assert (program, verb, out) == ("subspace-nn", "sweep", "--out")
        task = words.pop(words.index("--task") + 1) if "--task" in words else "mnist"
        assignments = parse_assignments([word for word in words if word != "--task"])
        found |= {run.id for run in expand(task, [assignments])}
    return found


def as_records(runs):
    return [{"id": run.id, "task": run.task, "arguments": dict(run.arguments)} for run in runs]


@pytest.mark.parametrize("experiment", ["conv-small-2017", "zoo", "fc-hashed"])
def test_experiments_come_back(experiment, request):
    text = (request.config.rootpath / "experiments" / f"{experiment}.toml").read_text()
    runs = parse(text)
    commands = sweep_commands(as_records(runs), "somewhere")
    assert ids_of(commands) == {run.id for run in runs}
    assert len(commands) <= 2


tasks = st.fixed_dictionaries(
    {
        "dim": st.sampled_from([1, 2, 30, 1000]),
        "seed": st.integers(0, 3),
        "seconds": st.sampled_from([0.0, 0.5, 2.0]),
    }
)


@given(st.lists(tasks, min_size=1, max_size=12))
def test_any_runs_come_back(arguments):
    runs = {run.id: run for run in (Run.of("tests.toy:quick", one) for one in arguments)}
    commands = sweep_commands(as_records(runs.values()), "somewhere")
    assert ids_of(commands) == set(runs)
    assert len(commands) <= len(runs)


def test_numbers_that_are_texts_stay_texts():
    (command,) = sweep_commands(r.CONV_OLD, "results/mine")
    assert """'init="2017"'""" in command
    assert "batch_size" not in command  # it has its default


@pytest.mark.parametrize(("values", "word"), [
    (["a,b"], '"a,b"'), (["c", "a,b"], '["c", "a,b"]'),
    ([[1, 2]], "[[1, 2]]"), ([[1], [2]], "[1],[2]"),
], ids=str)  # fmt: skip
def test_lists_and_commas_are_quoted(values, word):
    records = [{"task": "own:train", "arguments": {"what": value}} for value in values]
    (command,) = sweep_commands(records, "x")
    assert f"what={word}" in shlex.split(command)
    read = expand("statistics:mean", [parse_assignments([f"data={word}"])])
    assert [run.arguments["data"] for run in read] == values


@pytest.mark.parametrize("value", ["range(0,3)", None, {"a": 1}], ids=str)
def test_what_no_command_line_can_say_gives_no_command(value):
    records = [{"task": "own:train", "arguments": {"what": value}}]
    assert sweep_commands(records, "x") == []
