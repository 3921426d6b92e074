"""Sweeps that are interrupted, and processes that are left alone."""

import contextlib
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from evidence.kill_test import LIMIT, interrupt_and_resume
from subspace_nn.common.errors import InputError
from subspace_nn.runs import engines
from subspace_nn.runs.store import Store
from subspace_nn.runs.sweep import expand, sweep
from tests.command import COMMAND

MARK = "SUBSPACE_NN_TEST"


def marked(name):
    """Processes that inherited a mark in their environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            environment = (place / "environ").read_bytes()
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if f"{MARK}={name}".encode() in environment and state not in {"Z", "X"}:
            found.append(int(place.name))
    return found


@pytest.fixture
def start(tmp_path):
    """Start a sweep; its processes are known by a mark, and killed in the end."""
    name = str(tmp_path)
    started = []

    def begin(*words, script="exec {}", task="tests.toy:quick", out=tmp_path / "r", **environment):
        command = [*COMMAND, "sweep", "--task", task, *map(str, words), "--out", str(out)]
        process = subprocess.Popen(
            ["/bin/bash", "-c", script.format(shlex.join(command))],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, MARK: name, **environment},
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for pid in marked(name):
        os.kill(pid, signal.SIGKILL)
    for process in started:
        process.communicate()


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


ENGINES = {
    "loky": ["--jobs", "2"],
    "dask": ["--jobs", "2", "--engine", "dask"],
    "slurm": ["--jobs", "2", "--engine", "slurm", "--engine-option", "cluster=local"],
}


@pytest.mark.parametrize(("engine", "number", "code"), [
    ("loky", signal.SIGKILL, -9), ("loky", signal.SIGTERM, 130), ("loky", signal.SIGHUP, 130),
    ("slurm", signal.SIGKILL, -9), ("dask", signal.SIGKILL, -9),
    pytest.param("dask", signal.SIGTERM, 130, marks=pytest.mark.clusters),
    pytest.param("slurm", signal.SIGTERM, 130, marks=pytest.mark.clusters),
])  # fmt: skip
def test_no_process_outlives_its_driver(start, tmp_path, engine, number, code):
    process = start("seed=range(0,4)", "seconds=60", *ENGINES[engine])
    store = Store(tmp_path / "r")
    until(lambda: sum(store.claims().values()) == 2)
    process.send_signal(number)
    assert process.wait(LIMIT) == code
    until(lambda: not marked(str(tmp_path)), LIMIT)
    assert "Traceback" not in process.stderr.read()
    assert not any(store.claims().values())


def test_a_pipe_ends_with_the_sweep(start, tmp_path):
    log = tmp_path / "log"
    process = start("seed=range(0,4)", "seconds=60", "--jobs", "2", script=f"{{}} | tee {log}")
    until(lambda: sum(Store(tmp_path / "r").claims().values()) == 2)
    (driver,) = [pid for pid in marked(str(tmp_path)) if "sweep" in words(pid) and "bash" not in
                 words(pid)]  # fmt: skip
    os.kill(driver, signal.SIGKILL)
    process.wait(LIMIT)
    until(lambda: not marked(str(tmp_path)), LIMIT)


def words(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []


def test_two_sweeps_in_one_folder_share_the_runs(start, tmp_path):
    log = tmp_path / "log"
    words = ["seed=range(0,12)", f"log={log}", "--engine", "serial"]
    both = [start(*words, task="tests.toy:logged") for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=100)
        assert (process.returncode, err) == (0, "")
        assert "12 of 12 runs done" in out
    assert sorted(map(int, log.read_text().split())) == list(range(12))
    assert len(Store(tmp_path / "r").finished()) == 12


def test_workers_that_die_before_they_begin_end_the_sweep(start, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'popen_loky' in ' '.join(sys.orig_argv): os._exit(3)\n"
    )
    process = start("seed=range(0,9)", "--jobs", "2", PYTHONPATH=str(tmp_path))
    _, err = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "Workers died 3 times before they began a run" in err
    assert "Traceback" not in err


def test_interrupted_and_resumed_gives_the_undisturbed_records(tmp_path):
    outcome = interrupt_and_resume(tmp_path, ["SIGKILL driver", "SIGHUP all"], seed=0)
    assert outcome["same"]
    assert [one["left"] for one in outcome["sent"]] == [0, 0]


def test_a_neighbour_of_a_run_that_kills_its_worker_is_not_blamed(tmp_path):
    runs = expand("tests.toy:killing", [{"seed": [0]}]) + expand(
        "tests.toy:quick", [{"seed": 1, "seconds": 2.0}]
    )
    records = sweep(runs, Store(tmp_path), jobs=2)
    assert [record["status"] for record in records] == ["failed", "done"]


def test_a_full_disk_is_found_out_before_anything_runs(start, tmp_path):
    limit = "ulimit -f 100; trap '' XFSZ; {}"
    log = tmp_path / "log"
    process = start("seed=1", f"log={log}", "--engine", "serial", task="tests.toy:logged",
                    script=limit)  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "cannot be written: File too large" in err
    assert not log.exists()


def test_unknown_deaths_are_forgotten_when_a_run_ends(tmp_path, monkeypatch):
    """Three deaths in a row end a sweep, not three in all."""
    runs = expand("tests.toy:quick", [{"seed": [0, 1, 2, 3, 4]}])

    def parallel(calls):
        function, arguments, keywords = next(iter(calls))
        yield function(*arguments, **keywords)
        raise engines.WorkerDiedError(why="out of memory")

    records = sweep_on(parallel, runs, tmp_path, monkeypatch)
    assert [record["status"] for record in records] == ["done"] * 5

    def none(_):
        raise engines.WorkerDiedError(why="out of memory")
        yield

    more = expand("tests.toy:quick", [{"seed": [7]}])
    with pytest.raises(InputError, match="out of memory"):
        sweep_on(none, more, tmp_path, monkeypatch)


def test_an_interrupt_that_a_finalizer_drops_is_not_lost(command, tmp_path, monkeypatch):
    def parallel(calls):
        function, arguments, keywords = next(iter(calls))
        yield function(*arguments, **keywords)
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        raise engines.WorkerDiedError

    monkeypatch.setitem(engines.ENGINES, "dask", lambda _: contextlib.nullcontext(parallel))
    words = ["--task", "tests.toy:quick", "--engine", "dask", "--out", tmp_path]
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code, _, _ = command("sweep", "seed=range(0,9)", *words)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert code == 130
    assert len(Store(tmp_path).finished()) == 1


def sweep_on(parallel, runs, folder, monkeypatch):
    monkeypatch.setitem(engines.ENGINES, "dask", lambda _: contextlib.nullcontext(parallel))
    return sweep(runs, Store(folder), engine="dask")
