"""Trainings, sweeps and measurements in TensorBoard, Weights & Biases and MLflow.

A callback is any function of one state: that of `fit`, of a sweep, or of a measurement. `Logger`
takes all three.
"""

import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from subspace_nn import dimension
from subspace_nn.common.checks import is_number
from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.runs.record import DONE, Record
from subspace_nn.runs.sweep import Status
from subspace_nn.tasks import classifier

#: Name of the project at Weights & Biases, and of the experiment of MLflow.
PROJECT = "subspace-nn"

#: The folder that each tracker makes in that of the records.
FOLDERS = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlruns"}


class Tracked(Protocol):
    """A run in a tracker."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Add points of curves."""
        ...

    def end(self, values: Mapping[str, float], *, failed: bool) -> None:
        """Say what came of it."""
        ...


class Logger:
    """A callback of `fit`, `sweep` and `measure`: writes what they tell into trackers.

    A training is a run with its losses and evaluations. Each finished run of a sweep or a
    measurement is one, with its arguments, curves and results, under the id of its record; what is
    in a tracker already is left as it is. A measurement ends with a run for d_int.

    Args:
        trackers: "tensorboard", "wandb" or "mlflow"; several with commas between.
        folder: where the trackers write: `tensorboard/`, `wandb/`, `mlruns/`. Weights & Biases is
            offline unless it knows a key, and `wandb sync` sends what was written. WANDB_MODE and
            MLFLOW_TRACKING_URI are heeded.
        name: of the run of a training.
        config: its settings.

    Raises:
        InputError: if there is no such tracker, or its package is not installed.

    Example:
        >>> import tempfile
        >>> from subspace_nn.runs.run import Run
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Logger("tensorboard", folder) as log:
        ...         log.record(Run.of("toy", {"dim": 3}).execute())
        ...     len(list(Path(folder).glob("tensorboard/*")))
        1
    """

    def __init__(
        self,
        trackers: str,
        folder: str | os.PathLike[str],
        name: str = "training",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        names = trackers.split(",")
        if odd := [unknown_name("tracker", n, _OPENERS) for n in names if n not in _OPENERS]:
            raise InputError(*odd)
        self._open = [_OPENERS[name](Path(folder)) for name in names]
        self._name, self._config = name, dict(config or {})
        self._training: list[Tracked] = []
        self._seen: classifier.Evaluation | None = None
        self._measured: dimension.Progress | None = None

    def __call__(self, now: classifier.Progress | Status | dimension.Progress) -> None:
        """Write what is new in a state.

        Args:
            now: the state.
        """
        if isinstance(now, classifier.Progress):
            self._progress(now)
            return
        if isinstance(now, dimension.Progress):
            self._measured = now
        status = now.status if isinstance(now, dimension.Progress) else now
        if status is not None and status.latest is not None:
            self.record(status.latest)

    def record(self, record: Record) -> None:
        """Write a finished run.

        Args:
            record: of the run.
        """
        result = record["result"]
        for run in self._start(record["id"], {"task": record["task"], **record["arguments"]}):
            for step, values in _points(result):
                run.log(values, step)
            run.end(_numbers(result), failed=record["status"] != DONE)

    def result(self, name: str, config: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Write numbers without a curve.

        Args:
            name: of the run.
            config: its settings.
            values: the numbers.
        """
        for run in self._start(name, config):
            run.end(_numbers(values), failed=False)

    def close(self) -> None:
        """End the run of a training, and write what a measurement found."""
        values = {} if self._seen is None else _numbers(vars(self._seen))
        for run in self._training:
            run.end(values, failed=False)
        self._training = []
        now = self._measured
        if now is not None and now.found is not None and now.results is not None:
            found = now.found
            values = {"d_int": found.dim, "low": found.low, "high": found.high, "D": now.results.D}
            self.result(f"d_int-{now.question.name}", {"task": now.question.task}, values)

    def __enter__(self) -> Self:
        """The logger itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def _start(self, name: str, config: Mapping[str, Any]) -> list[Tracked]:
        started = (start(name, config) for start in self._open)
        return [run for run in started if run is not None]

    def _progress(self, now: classifier.Progress) -> None:
        if not self._training:
            self._training = self._start(self._name, self._config)
        values = {"loss": now.loss} if now.step else {}
        if now.evaluation is not None and now.evaluation != self._seen:
            self._seen = now.evaluation
            values |= _numbers(vars(now.evaluation))
        for run in self._training if values else ():
            run.log(values, now.step)


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if is_number(value)}


def _points(result: Mapping[str, Any]) -> list[tuple[int, dict[str, float]]]:
    """The curves of a result, by step."""
    evaluations = [e for e in result.get("evaluations", []) if isinstance(e, dict)]
    found = [(int(e.get("step", n)), _numbers(e)) for n, e in enumerate(evaluations, 1)]
    losses = [loss for loss in result.get("loss_curve", []) if is_number(loss)]
    unit = result.get("steps", len(losses)) / max(len(losses), 1)
    found += [(round(unit * n), {"loss": float(loss)}) for n, loss in enumerate(losses, 1)]
    return sorted(found, key=lambda point: point[0])


_Start = Callable[[str, Mapping[str, Any]], Tracked | None]


def _needed(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(f"--log needs {package}: pip install {package}.") from None


def _tensorboard(folder: Path) -> _Start:
    writer = _needed("torch.utils.tensorboard", "tensorboard").SummaryWriter
    place = folder / FOLDERS["tensorboard"]

    def start(name: str, config: Mapping[str, Any]) -> Tracked | None:
        return None if (place / name).exists() else _TensorBoard(writer(place / name), config)

    return start


class _TensorBoard:
    def __init__(self, writer: Any, config: Mapping[str, Any]) -> None:
        self.writer, self.config = writer, config

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def end(self, values: Mapping[str, float], *, failed: bool) -> None:
        plain = {
            n: v if isinstance(v, int | float | str) else str(v) for n, v in self.config.items()
        }
        ended = {f"final/{name}": value for name, value in values.items()}
        self.writer.add_hparams(plain | {"failed": failed}, ended, run_name=".")
        self.writer.close()


def _wandb(folder: Path) -> _Start:
    wandb = _needed("wandb", "wandb")
    mode = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False) else "offline")

    def start(name: str, config: Mapping[str, Any]) -> Tracked | None:
        folder.mkdir(parents=True, exist_ok=True)
        if mode == "offline" and list(folder.glob(f"{FOLDERS['wandb']}/offline-run-*-{name}")):
            return None
        run = wandb.init(
            project=PROJECT, dir=folder, id=name, name=name, config=dict(config), mode=mode,
            resume=None if mode == "offline" else "allow", reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", disable_git=True),
        )  # fmt: skip
        return _Wandb(run)

    return start


class _Wandb:
    def __init__(self, run: Any) -> None:
        self.run = run

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.run.log(dict(values), step=step)

    def end(self, values: Mapping[str, float], *, failed: bool) -> None:
        self.run.summary.update(dict(values))
        self.run.finish(exit_code=int(failed))


def _mlflow(folder: Path) -> _Start:
    # A folder needs no database; MLflow wants this choice confirmed.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    client_of = _needed("mlflow", "mlflow-skinny").MlflowClient
    uri = os.environ.get("MLFLOW_TRACKING_URI") or (folder / FOLDERS["mlflow"]).absolute().as_uri()
    client = client_of(tracking_uri=uri)
    known = client.get_experiment_by_name(PROJECT)
    experiment = known.experiment_id if known else client.create_experiment(PROJECT)

    def start(name: str, config: Mapping[str, Any]) -> Tracked | None:
        if client.search_runs([experiment], f"attributes.run_name = '{name}'"):
            return None
        run = client.create_run(experiment, run_name=name).info.run_id
        for key, value in config.items():
            client.log_param(run, key, str(value)[:500])
        return _MLflow(client, run)

    return start


class _MLflow:
    def __init__(self, client: Any, run: str) -> None:
        self.client, self.run = client, run

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.client.log_metric(self.run, name, value, step=step)

    def end(self, values: Mapping[str, float], *, failed: bool) -> None:
        for name, value in values.items():
            self.client.log_metric(self.run, f"final_{name}", value)
        self.client.set_terminated(self.run, "FAILED" if failed else "FINISHED")


_OPENERS: dict[str, Callable[[Path], _Start]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}
