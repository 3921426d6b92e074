"""Sweeps: the grammar, the engines, and what survives a kill."""

import contextlib
import os
import signal
import subprocess
import time

import pytest

from subspace_nn.common.errors import InputError
from subspace_nn.runs import engines
from subspace_nn.runs.run import Run
from subspace_nn.runs.store import Store
from subspace_nn.runs.sweep import expand, sweep
from tests.command import COMMAND


def quick(**values):
    return expand("tests.toy:quick", [{"dim": [1, 2, 3], "seed": [0, 1], **values}])


@pytest.mark.parametrize("engine", [
    "serial", "loky", "dask", pytest.param("ray", marks=pytest.mark.clusters),
])  # fmt: skip
def test_sweep_runs_what_is_missing_and_keeps_the_rest(engine, tmp_path):
    store = Store(tmp_path)
    first = sweep(quick()[:2], store, engine="serial")
    seen = []
    records = sweep(quick(), store, engine=engine, jobs=2, on_status=seen.append)
    assert [r["id"] for r in records] == [run.id for run in quick()]
    assert [r["result"] for r in records] == [run.execute()["result"] for run in quick()]
    assert [r["started"] for r in records[:2]] == [r["started"] for r in first]
    assert seen[0].finished == 2
    assert sum(status.latest is not None for status in seen) == 4
    assert seen[-1].finished == seen[-1].total == 6
    assert store.claims() == {}


def test_a_failed_run_stops_no_other_and_is_tried_again(tmp_path):
    store = Store(tmp_path)
    runs = expand("tests.toy:failing", [{"seed": [0, 1, 2]}])
    records = sweep(runs, store, engine="serial")
    assert [r["status"] for r in records] == ["done", "failed", "done"]
    seen = []
    sweep(runs, store, engine="serial", on_status=seen.append)
    assert [s.latest["arguments"]["seed"] for s in seen if s.latest] == [1]


SLOW = [pytest.param(engine, marks=pytest.mark.clusters) for engine in ("dask", "ray")]


@pytest.mark.parametrize("engine", ["loky", *SLOW])
def test_a_worker_that_is_killed_once_loses_nothing(engine, tmp_path):
    values = {"seed": [0, 1, 2], "counter": str(tmp_path / "killed")}
    runs = expand("tests.toy:killing", [values])
    records = sweep(runs, Store(tmp_path / "r"), engine=engine, jobs=2)
    assert [r["status"] for r in records] == ["done"] * 3


@pytest.mark.parametrize("engine", ["loky", *SLOW])
def test_a_run_that_kills_its_worker_every_time_is_given_up(engine, tmp_path):
    runs = expand("tests.toy:killing", [{"seed": [0, 1]}])
    store = Store(tmp_path)
    records = sweep(runs, store, engine=engine, jobs=2)
    assert [r["status"] for r in records] == ["failed", "done"]
    assert "was killed 3 times" in records[0]["error"]
    assert store.claims() == {}


def test_runs_of_a_batch_that_kills_its_worker_are_made_one_by_one(tmp_path):
    runs = expand("tests.toy:together", [{"seed": [0, 1]}])
    records = sweep(runs, Store(tmp_path), jobs=2, batched=True)
    assert [record["result"] for record in records] == [{"test_accuracy": s} for s in (0.0, 1.0)]
    assert not any("batched" in record["environment"] for record in records)


def test_runs_of_one_configuration_are_one_training_and_keep_their_records(tmp_path):
    own = {"model": "fc-16", "dim": [10, 20], "seed": [0, 1, 2], "epochs": 1, "images": 500}
    runs = expand("subspace_nn.tasks.images:train", [own])
    before = sweep(runs[1:2], Store(tmp_path), engine="serial")
    records = sweep(runs, Store(tmp_path), engine="serial", batched=True)
    assert [record["id"] for record in records] == [run.id for run in runs]
    batched = [record["environment"].get("batched") for record in records]
    assert batched == [2, None, 2, 3, 3, 3]
    assert records[1] == before[0]
    assert len({record["seconds"] for record in records}) == 3
    alone = [run.execute()["result"] for run in runs]
    for record, result in zip(records, alone, strict=True):
        assert record["result"].keys() == result.keys()
        assert record["result"]["train_loss"] == pytest.approx(result["train_loss"], rel=1e-4)


@pytest.mark.parametrize(("task", "values", "message"), [
    ("mnist", {"dropout": 0.5}, "dropout must be 0 in a batched training, got 0.5"),
    ("mnist", {"levels": 5}, "levels must be 0"), ("mnist", {"stages": 2}, "stages must be 1"),
    ("mnist-fc-labels", {"optimiser": "l-bfgs"}, "optimiser must be adam"),
    ("toy", {}, "makes one run at a time"), ("tests.toy:quick", {}, "Leave out --batched"),
])  # fmt: skip
def test_what_cannot_be_batched_is_refused_before_any_run(task, values, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        sweep(expand(task, [{"seed": [0, 1], **values}]), Store(tmp_path), batched=True, save=True)
    assert "keeps no weights" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_killed_job_of_slurm_is_submitted_again(tmp_path, monkeypatch):
    job = pytest.importorskip("submitit").core.core.Job
    monkeypatch.setattr(job, "_results_timeout_s", 0)  # a slow disk is waited for, 15 s
    values = {"seed": [0, 1], "counter": str(tmp_path / "killed")}
    runs = expand("tests.toy:killing", [values])
    here = {"cluster": "local"}
    records = sweep(runs, Store(tmp_path / "r"), engine="slurm", jobs=2, options=here)
    assert [r["status"] for r in records] == ["done"] * 2
    assert (tmp_path / "killed").exists()


def elsewhere(monkeypatch, parallel):
    """A sweep on an engine that is one function."""

    @contextlib.contextmanager
    def start(_):
        yield parallel

    monkeypatch.setitem(engines.ENGINES, "dask", start)


def test_records_come_home_from_another_disk(tmp_path, monkeypatch):
    store = Store(tmp_path)

    def parallel(calls):
        for function, arguments, keywords in calls:
            records = function(*arguments, **keywords)
            for record in records:
                (tmp_path / f"{record['id']}.json").unlink()
            yield records

    elsewhere(monkeypatch, parallel)
    records = sweep(quick(), store, engine="dask")
    assert [r["status"] for r in records] == ["done"] * 6


def test_what_only_waited_for_a_killed_worker_is_not_blamed(tmp_path, monkeypatch):
    store = Store(tmp_path)
    culprit = quick()[0].id

    def parallel(calls):
        calls = list(calls)
        runs = [arguments[0] for _, arguments, _ in calls]
        if culprit in {run.id for (run,) in runs}:
            (tmp_path / ".running").mkdir(exist_ok=True)
            (tmp_path / ".running" / culprit).write_text("elsewhere 1")
            raise engines.WorkerDiedError(engines.Death((run,), "out of memory") for run in runs)
        yield from (function(*arguments, **keywords) for function, arguments, keywords in calls)

    elsewhere(monkeypatch, parallel)
    records = sweep(quick(), store, engine="dask")
    assert [r["status"] for r in records] == ["failed"] + ["done"] * 5
    assert records[0]["error"] == "out of memory\nIts process was killed 3 times."


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    words = ["dim=range(0,100)", "seconds=0.2", "--task", "tests.toy:quick", "--jobs", "2"]
    process = subprocess.Popen(
        [*COMMAND, "sweep", *words, "--out", str(tmp_path)],
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


def test_bad_engine():
    with pytest.raises(InputError, match=r"Unknown engine 'lok'\. Did you mean 'loky'\?"):
        sweep([Run.of("tests.toy:quick", {})], Store("."), engine="lok")
