"""Sweeps: the grammar, the engines, and what survives a kill."""

import os
import signal
import subprocess
import sys
import time

import pytest

from benchmarks.kill_test import kill_and_resume
from subspace_nn.errors import InputError
from subspace_nn.runs import Run
from subspace_nn.store import Store
from subspace_nn.sweep import expand, parse, parse_assignments, sweep


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


def quick(**values):
    return expand("tests.toy:quick", [{"dim": [1, 2, 3], "seed": [0, 1], **values}])


@pytest.mark.parametrize("engine", [
    "serial", "loky", "dask", pytest.param("ray", marks=pytest.mark.ray),
])  # fmt: skip
def test_sweep_runs_what_is_missing_and_keeps_the_rest(engine, tmp_path):
    store = Store(tmp_path)
    first = sweep(quick()[:2], store, engine=engine, jobs=2)
    seen = []
    records = sweep(quick(), store, engine=engine, jobs=2, on_status=seen.append)
    assert [r["id"] for r in records] == [run.id for run in quick()]
    assert [r["result"] for r in records] == [run.execute()["result"] for run in quick()]
    assert [r["started"] for r in records[:2]] == [r["started"] for r in first]
    assert seen[0].finished == 2
    assert sum(status.latest is not None for status in seen) == 4
    assert seen[-1].finished == seen[-1].total == 6
    assert store.marks() == {}


def test_a_failed_run_stops_no_other_and_is_tried_again(tmp_path):
    store = Store(tmp_path)
    runs = expand("tests.toy:failing", [{"seed": [0, 1, 2]}])
    records = sweep(runs, store, engine="serial")
    assert [r["status"] for r in records] == ["done", "failed", "done"]
    seen = []
    sweep(runs, store, engine="serial", on_status=seen.append)
    assert [s.latest["arguments"]["seed"] for s in seen if s.latest] == [1]


def test_a_worker_that_is_killed_once_loses_nothing(tmp_path):
    values = {"seed": [0, 1, 2], "counter": str(tmp_path / "killed")}
    records = sweep(expand("tests.toy:killing", [values]), Store(tmp_path / "r"), jobs=2)
    assert [r["status"] for r in records] == ["done"] * 3


def test_a_run_that_kills_its_worker_every_time_is_given_up(tmp_path):
    runs = expand("tests.toy:killing", [{"seed": [0, 1]}])
    records = sweep(runs, Store(tmp_path), jobs=2)
    assert [r["status"] for r in records] == ["failed", "done"]
    assert "was killed 3 times" in records[0]["error"]


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    words = ["dim=range(0,100)", "seconds=0.2"]
    command = [sys.executable, "-c", "from subspace_nn.cli import main; main()", "sweep"]
    process = subprocess.Popen(
        [*command, *words, "--task", "tests.toy:quick", "--out", str(tmp_path), "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 100
    while len(list(tmp_path.glob("*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert 3 <= len(Store(tmp_path).finished()) < 100


def test_killed_at_random_and_resumed_gives_the_undisturbed_records(tmp_path):
    outcome = kill_and_resume(tmp_path, trial=0)
    assert outcome["same"]
    assert outcome["kills"] >= 1


def test_bad_engine():
    with pytest.raises(InputError, match=r"Unknown engine 'lok'\. Did you mean 'loky'\?"):
        sweep([Run.of("tests.toy:quick", {})], Store("."), engine="lok")
