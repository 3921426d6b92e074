"""What trackers hold afterwards, read by their own packages."""

import pytest

from subspace_nn.common.errors import InputError
from subspace_nn.dimension import measure
from subspace_nn.integrations.trackers import PROJECT, Logger
from subspace_nn.runs.run import Run
from subspace_nn.runs.store import Store
from subspace_nn.runs.sweep import sweep
from subspace_nn.tasks.classifier import Evaluation, Progress

RESULT = {
    "test_accuracy": 60.0,
    "steps": 10,
    "evaluations": [
        {"step": 5, "test_accuracy": 50.0}, {"step": 10, "test_accuracy": 60.0, "why": "text"},
    ],
    "loss_curve": [2.0, 1.0],
}  # fmt: skip


def finished(seed=0):
    record = Run.of("tests.toy:quick", {"dim": 3, "seed": seed}).execute()
    return {**record, "result": RESULT}


def scalars(folder):
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = {}
    for run in folder.iterdir():
        events = loading.EventAccumulator(str(run))
        events.Reload()
        tags = events.Tags()["scalars"]
        found[run.name] = {t: [(e.step, e.value) for e in events.Scalars(t)] for t in tags}
    return found


@pytest.fixture
def tensorboard():
    pytest.importorskip("tensorboard")


@pytest.mark.usefixtures("tensorboard")
def test_a_training_has_its_losses_and_evaluations(tmp_path):
    evaluation = Evaluation(1, 10, 1.5, 1.4, 60, 60.0, 0.1)
    with Logger("tensorboard", tmp_path, "mine", {"dim": 3, "none": None}) as log:
        log(Progress(1, 5, 10, 2.0, None))
        log(Progress(1, 10, 10, 1.5, evaluation))
        log(Progress(1, 10, 10, 1.5, evaluation))
    found = scalars(tmp_path / "tensorboard")["mine"]
    assert found["loss"] == [(5, 2.0), (10, 1.5), (10, 1.5)]
    assert found["test_accuracy"] == [(10, 60.0)]
    assert [value for _, value in found["final/test_accuracy"]] == [60.0]


@pytest.mark.usefixtures("tensorboard")
def test_a_sweep_and_its_export_hold_each_run_once(tmp_path):
    runs = [Run.of("tests.toy:quick", {"dim": dim}) for dim in (3, 10)]
    with Logger("tensorboard", tmp_path) as log:
        sweep(runs, Store(tmp_path), engine="serial", on_status=log)
    before = scalars(tmp_path / "tensorboard")
    assert before.keys() == {run.id for run in runs}
    with Logger("tensorboard", tmp_path) as log:
        for record in Store(tmp_path).read():
            log.record(record)
    assert scalars(tmp_path / "tensorboard") == before


@pytest.mark.usefixtures("tensorboard")
def test_a_measurement_ends_with_its_answer(tmp_path):
    with Logger("tensorboard", tmp_path) as log:
        answer = measure("toy", tmp_path, engine="serial", budget=8, on_progress=log)
    found = scalars(tmp_path / "tensorboard")
    assert len(found) == len(answer.runs) + 1
    (last,) = (values for name, values in found.items() if name.startswith("d_int-"))
    assert [value for _, value in last["final/d_int"]] == [answer.dim]


def test_mlflow_offline(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    record = finished()
    with Logger("mlflow", tmp_path) as log:
        log.record(record)
        log.record(record)
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name(PROJECT).experiment_id])
    assert (run.info.run_name, run.info.status) == (record["id"], "FINISHED")
    assert run.data.params["dim"] == "3"
    assert run.data.metrics["final_test_accuracy"] == 60.0
    points = client.get_metric_history(run.info.run_id, "test_accuracy")
    assert [(point.step, point.value) for point in points] == [(5, 50.0), (10, 60.0)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:wandb")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_wandb_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    record = finished()
    with Logger("wandb", tmp_path) as log:
        log.record(record)
        log.record(record)
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert record["id"] in path.name
    wandb.teardown()  # its own process has written all
    # Protocol buffers in blocks: the texts in it are as they were written.
    content = path.read_bytes()
    assert b'"dim"' in content or b"dim" in content
    assert content.count(b"test_accuracy") >= 2
    assert b"60.0" in content


def test_an_unknown_tracker_is_named(tmp_path):
    with pytest.raises(InputError, match="Did you mean 'tensorboard'"):
        Logger("tensorbord", tmp_path)


@pytest.mark.usefixtures("tensorboard")
def test_the_command_line_logs_and_exports(command, tmp_path):
    words = ["sweep", "toy", "dim=3,10", "--engine", "serial", "--out", tmp_path / "a"]
    assert command(*words, "--log", "tensorboard")[0] == 0
    assert len(scalars(tmp_path / "a" / "tensorboard")) == 2
    assert command("runs", tmp_path / "a", "dim=3", "--log", "tensorboard")[0] == 0
    tiny = ["--model", "fc-16", "--dim", "3", "--epochs", "1", "--batch-size", "60000"]
    out = ["--threads", "1", "--out", tmp_path / "b"]
    code, _, err = command("train", *tiny, *out, "--log", "tensorboard")
    assert (code, err) == (0, "")
    assert scalars(tmp_path / "b" / "tensorboard")["b"]["test_accuracy"]
    code, out, err = command("runs", tmp_path)
    assert (code, err) == (0, "")
    assert "3 runs" in out
