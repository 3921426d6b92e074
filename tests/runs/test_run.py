"""Runs: ids, arguments, records."""

import json

import pytest

from subspace_nn.common.errors import InputError
from subspace_nn.runs import record as schema
from subspace_nn.runs.run import Run
from subspace_nn.tasks.config import RunConfig


def test_id_depends_on_the_arguments_and_not_on_how_they_are_given():
    explicit = Run.of("tests.toy:quick", {"seed": 0, "dim": 3, "seconds": 0})
    assert Run.of("tests.toy:quick", {"dim": 3}).id == explicit.id
    others = [{"dim": 4}, {"dim": 3, "seed": 1}, {"dim": 3, "seconds": 1}]
    assert len({explicit.id} | {Run.of("tests.toy:quick", o).id for o in others}) == 4
    assert Run.of("mnist", {}).id != Run.of("mnist", {"dim": 3}).id


def test_ids_stay():
    # A changed id would have every finished run of every user run again.
    assert Run.of("tests.toy:quick", {"dim": 3}).id == "ead744c8103ba0f6"


@pytest.mark.parametrize(("task", "arguments", "messages"), [
    ("mnis", {}, ["Unknown task 'mnis'. Did you mean 'mnist'?", "package.module:function"]),
    ("no.such:thing", {}, ["cannot be imported: No module named 'no'"]),
    ("tests.toy:nothing", {}, ["cannot be imported", "has no attribute 'nothing'"]),
    *((odd, {}, ["is not a function written in Python"]) for odd in (
        "math:pi", "os:system", "builtins:eval", "collections:OrderedDict", "statistics:NormalDist",
    )),
    ("tests.toy:quick", {"dmi": 3, "sed": 1}, ["Did you mean 'dim'?", "Did you mean 'seed'?"]),
    ("tests.toy:choosy", {}, ["tests.toy:choosy needs dim"]),
    ("tests.toy:choosy", {"dim": 0}, ["dim must be positive"]),
    ("mnist", {"dim": 0, "model": "cnov"}, ["dim must be a whole number", "mean 'conv'"]),
])  # fmt: skip
def test_bad_runs(task, arguments, messages):
    with pytest.raises(InputError) as caught:
        Run.of(task, arguments)
    for message in messages:
        assert message in str(caught.value)


@pytest.mark.parametrize(("content", "message"), [
    ("def f(:", r"SyntaxError: invalid syntax"),
    ("1 / 0", "ZeroDivisionError: division by zero"),
    ("raise SystemExit(3)", "SystemExit: 3"),
    ("raise BaseException('odd')", "BaseException: odd"),
    ("import asyncio\nraise asyncio.CancelledError", "CancelledError: "),
])  # fmt: skip
def test_a_file_that_cannot_be_imported(content, message, tmp_path, monkeypatch):
    (tmp_path / "broken_task.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=f"'broken_task:f' cannot be imported: {message}"):
        Run.of("broken_task:f", {})


@pytest.mark.parametrize("value", [float, {1}, float("nan")])
def test_an_argument_that_no_record_can_hold(value):
    with pytest.raises(InputError, match=r"seed of tests\.toy:quick must be a value of JSON"):
        Run.of("tests.toy:quick", {"dim": 3, "seed": value})


def test_record_is_complete_json():
    record = Run.of("tests.toy:quick", {"dim": 3}).execute()
    assert json.loads(json.dumps(record)) == record
    assert record["status"] == "done"
    assert record["arguments"] == {"dim": 3, "seed": 0, "seconds": 0.0}
    assert record["environment"].keys() >= {"torch", "hardware", "python"}


@pytest.mark.parametrize(("task", "more", "message"), [
    ("tests.toy:failing", {}, "RuntimeError: seed 1 is odd"),
    ("tests.toy:nan", {}, "got 'test_accuracy': nan"),
    ("tests.dimension.synthetic:leaving", {"dim": "full"}, "SystemExit: full 1"),
    ("tests.toy:cancelled", {}, "asyncio.exceptions.CancelledError"),
])  # fmt: skip
def test_a_failure_is_in_the_record(task, more, message):
    record = Run.of(task, {"seed": 1, **more}).execute()
    assert record["status"] == "failed"
    assert message in record["error"]
    assert record["result"] == {}
    assert schema.check(record) == record


def test_mnist_result_is_that_of_its_configuration(tmp_path):
    arguments = {"model": "fc", "dim": 10, "epochs": 1, "batch_size": 20_000}
    file = tmp_path / "omega.safetensors"
    RunConfig(**arguments).build().save(file)
    result = Run.of("mnist", arguments).execute()["result"]
    assert result["D"] == 199_210
    assert result["steps"] == 3
    assert result["test_accuracy"] == result["evaluations"][-1]["test_accuracy"]
    assert len(result["loss_curve"]) == 3
    assert result["checkpoint_bytes"] == file.stat().st_size
