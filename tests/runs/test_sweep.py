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
            record = function(*arguments, **keywords)
            (tmp_path / f"{record['id']}.json").unlink()
            yield record

    elsewhere(monkeypatch, parallel)
    records = sweep(quick(), store, engine="dask")
    assert [r["status"] for r in records] == ["done"] * 6


def test_what_only_waited_for_a_killed_worker_is_not_blamed(tmp_path, monkeypatch):
    store = Store(tmp_path)
    culprit = quick()[0].id

    def parallel(calls):
        calls = list(calls)
        runs = [arguments[0] for _, arguments, _ in calls]
        if culprit in {run.id for run in runs}:
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
