"""Every engine: results, errors and deaths of calls, and mistakes in its settings."""

import functools
import json
import os
import sys
import threading
import time

import joblib
import pytest
from joblib.externals.loky import reusable_executor

from subspace_nn.common.errors import InputError
from subspace_nn.runs import engines
from subspace_nn.runs.engines import Setting, WorkerDiedError

#: Jobs of submitit without a queue.
HERE = {"cluster": "local"}

pytestmark = pytest.mark.filterwarnings("ignore:.*is still running:ResourceWarning")


def results(engine, calls, setting=None):
    """Results, and the deaths that are reported at the end."""
    got = []
    with engines.start(engine, setting) as parallel:
        try:
            got.extend(parallel(calls))
        except WorkerDiedError as error:
            return got, error.deaths
    return got, []


@pytest.mark.parametrize("engine", ["serial", "loky"])
def test_results_of_all_calls(engine):
    got, _ = results(engine, [joblib.delayed(pow)(2, n) for n in range(5)], Setting(jobs=2))
    assert sorted(got) == [1, 2, 4, 8, 16]


@pytest.mark.parametrize("engine", ["serial", "loky"])
def test_the_error_of_a_call_is_raised(engine):
    with pytest.raises(json.JSONDecodeError, match="Expecting property name"):
        results(engine, [joblib.delayed(json.loads)("{")], Setting(jobs=1))


def test_a_killed_process_of_this_machine_names_no_call():
    with (
        engines.start("loky", Setting(jobs=2)) as parallel,
        pytest.raises(WorkerDiedError) as caught,
    ):
        list(parallel([joblib.delayed(lambda: os._exit(1))()]))
    assert caught.value.deaths == []


def test_the_death_of_a_worker_that_followed_an_idle_one_is_noticed(monkeypatch):
    config = functools.partial(joblib.parallel_config, idle_worker_timeout=1)
    monkeypatch.setattr(joblib, "parallel_config", config)
    ended = []

    def idle_and_die():
        with engines.start("loky", Setting(jobs=2)) as parallel:
            list(parallel([joblib.delayed(abs)(1)]))
            executor = reusable_executor._executor
            while executor._processes:
                time.sleep(0.1)
            time.sleep(1)  # until loky has settled
            executor._timeout = 300  # so that no other worker ends, which loky would notice
            try:
                list(parallel([joblib.delayed(lambda: os._exit(1))()]))
            except WorkerDiedError as error:
                ended.append(error)

    thread = threading.Thread(target=idle_and_die, daemon=True)
    thread.start()
    thread.join(30)
    assert ended, "nobody noticed"


@pytest.mark.parametrize(("engine", "setting", "messages"), [
    ("lok", {}, ["Unknown engine 'lok'. Did you mean 'loky'?"]),
    ("loky", {"address": "tcp://a:1", "options": {"GPU": 1, "b": 2}}, [
        "The engine loky takes no address, got tcp://a:1.",
        "The engine loky takes no options, got GPU, b.",
    ]),
    ("slurm", {"address": "a"}, ["The engine slurm takes no address, got a."]),
    ("slurm", {"options": {"partion": "gpu", "time": 0, "cluster": "locl"}}, [
        "Unknown option of sbatch 'partion'. Did you mean 'partition'?",
        "Unknown cluster 'locl'. Did you mean 'local'?",
        "time must be whole minutes, at least 1, got 0.",
    ]),
    ("slurm", {"options": {"time": "1:00:00"}}, ["whole minutes, at least 1, got '1:00:00'."]),
    ("slurm", {}, ["srun is not found"]),
])  # fmt: skip
def test_mistakes_are_told_together_and_leave_nothing(
    engine, setting, messages, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(InputError) as caught,
        engines.start(engine, Setting(folder=tmp_path / "files", **setting)),
    ):
        raise AssertionError("it started")
    for message in messages:
        assert message in str(caught.value)
    assert len(caught.value.problems) == len(messages)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("engine", "module"), [("dask", "distributed"), ("slurm", "submitit")])
def test_a_package_that_is_missing(engine, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"pip install 'subspace-nn\[{engine}\]'"):
        results(engine, [])


def test_slurm_goes_on_when_a_job_is_killed_and_keeps_its_log(tmp_path, monkeypatch):
    submitit = pytest.importorskip("submitit")
    monkeypatch.setattr(submitit.core.core.Job, "_results_timeout_s", 0)  # for slow disks: 15 s
    calls = [joblib.delayed(f)(x) for f, x in ((abs, -2), (os._exit, 3), (json.loads, "[4]"))]
    got, deaths = results("slurm", calls, Setting(2, options=HERE, folder=tmp_path / "files"))
    assert got == [2, [4]]
    ((arguments, why),) = deaths
    assert arguments == (3,)
    assert "has not produced any output" in why
    assert {path.name.partition("_")[2] for path in (tmp_path / "files").iterdir()} == {
        "submitted.pkl", "0_log.out", "0_log.err",
    }  # fmt: skip


def test_slurm_raises_the_error_of_a_call_and_cancels_the_rest(tmp_path):
    pytest.importorskip("submitit")
    calls = [joblib.delayed(json.loads)("{"), joblib.delayed(_write)(tmp_path / "ended")]
    with pytest.raises(json.JSONDecodeError, match="Expecting property name"):
        results("slurm", calls, Setting(2, options=HERE, folder=tmp_path / "files"))
    assert not (tmp_path / "ended").exists()


def _write(path):
    time.sleep(30)
    path.touch()


def test_slurm_tells_what_sbatch_says(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    for name, code in (("srun", 0), ("sbatch", 1)):
        (tmp_path / name).write_text(f"#!/bin/sh\necho invalid partition: gpu >&2\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    setting = Setting(options={"partition": "gpu"}, folder=tmp_path / "files")
    with pytest.raises(InputError, match="Slurm refuses the jobs: invalid partition: gpu"):
        results("slurm", [joblib.delayed(abs)(1)], setting)


@pytest.fixture
def dask_address():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


def test_dask_takes_the_address_of_a_running_cluster(dask_address):
    calls = [joblib.delayed(pow)(2, n) for n in range(5)]
    got, deaths = results("dask", calls, Setting(address=dask_address))
    assert (sorted(got), deaths) == ([1, 2, 4, 8, 16], [])
    with pytest.raises(json.JSONDecodeError, match="Expecting property name"):
        results("dask", [joblib.delayed(json.loads)("{")], Setting(address=dask_address))


def test_a_dask_cluster_that_does_not_answer():
    dask = pytest.importorskip("dask")
    # Imported inside of `set`, its defaults would go when that ends.
    pytest.importorskip("distributed")
    address = "tcp://127.0.0.1:1"
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "300ms"}),
        pytest.raises(InputError, match=f"No dask cluster answers at {address}"),
    ):
        results("dask", [], Setting(address=address))


@pytest.mark.clusters
@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_a_cluster_goes_on_when_a_worker_is_killed(engine):
    calls = [joblib.delayed(f)(x) for f, x in ((os._exit, 3), (abs, -2), (json.loads, "[4]"))]
    got, deaths = results(engine, calls, Setting(jobs=3))
    assert sorted(got, key=str) == [2, [4]]
    assert [death.arguments for death in deaths] == [(3,)]
    assert deaths[0].why


@pytest.mark.clusters
@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_options_are_what_a_call_needs(engine):
    options = {"dask": {"GPU": 1}, "ray": {"num_cpus": 2}}[engine]
    calls = [joblib.delayed(pow)(2, n) for n in range(4)]
    got, _ = results(engine, calls, Setting(jobs=2, options=options))
    assert sorted(got) == [1, 2, 4, 8]


@pytest.mark.clusters
def test_ray_says_what_it_cannot_use():
    with pytest.raises(InputError, match=r"ray does not take these options: .*num_gpu"):
        results("ray", [], Setting(options={"num_gpu": 1}))
    with pytest.raises(InputError, match="No ray cluster answers at auto"):
        results("ray", [], Setting(address="auto"))
