"""Options that `sweep` and `measure` share: the engine, its workers, and what a run gets."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from cyclopts import Parameter

from subspace_nn.cli._app import Device, gather
from subspace_nn.common.checks import require, whole
from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.runs.engines import ENGINES
from subspace_nn.runs.task import NAMED, RECIPES, recipe

if TYPE_CHECKING:
    from subspace_nn.integrations.trackers import Logger

T = TypeVar("T")

RecipeName = Annotated[
    Literal["2017", "2018"] | None,
    Parameter(
        help=f"Recipe for MNIST whose settings hold unless given: {', '.join(RECIPES)}.",
        show_choices=False,
    ),
]

Log = Annotated[
    str | None,
    Parameter(
        help="Also write to a tracker, in the folder of the results: tensorboard, wandb, mlflow; "
        "several with commas."
    ),
]


@contextmanager
def logging(
    trackers: str | None, folder: Path, name: str = "", config: Mapping[str, Any] | None = None
) -> Generator["Logger | None"]:
    """A logger, if trackers are named.

    Args:
        trackers: as typed.
        folder: of the results.
        name: of the run of a training.
        config: its settings.

    Yields:
        The logger; None if there is none.

    Raises:
        InputError: if there is no such tracker, or it is not installed.
    """
    if trackers is None:
        yield None
        return
    from subspace_nn.integrations.trackers import Logger  # noqa: PLC0415  # imports PyTorch

    with Logger(trackers, folder, name, config) as logger:
        yield logger


def both(show: Callable[[T], None], logger: Callable[[T], None] | None) -> Callable[[T], None]:
    """Call two functions of a state, the second if there is one."""
    if logger is None:
        return show

    def call(state: T) -> None:
        show(state)
        logger(state)

    return call


def with_recipe(name: str | None, task: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a recipe, and over them those that are given.

    Args:
        name: of the recipe, if any.
        task: that is run: its arguments choose the net.
        given: arguments of the task.

    Returns:
        The arguments.
    """
    if name is None:
        return dict(given)
    named = NAMED[task].arguments if task in NAMED else {}
    model = given.get("model", named.get("model", "conv"))
    return {**recipe(name, model), **given}


@Parameter(name="*")
@dataclass(frozen=True)
class Workers:
    """An engine and its settings, as typed."""

    engine: Annotated[
        Literal["loky", "serial", "dask", "ray", "slurm"],
        Parameter(
            help="loky (processes on this machine), serial, dask, ray, slurm.", show_choices=False
        ),
    ] = "loky"
    jobs: Annotated[int, Parameter(help="Workers; -1 is one per core, or one per GPU.")] = -1
    address: Annotated[
        str | None,
        Parameter(
            help="Address of a running dask or ray cluster; a local one is started if not given."
        ),
    ] = None
    device: Device = "auto"
    threads: Annotated[int | None, Parameter(help="CPU threads of each run; by default 1.")] = None
    log: Log = None
    engine_option: Annotated[
        list[str] | None,
        Parameter(
            help="Requirement of one run: partition=gpu or time=120 for slurm, num_cpus=2 for "
            "ray, GPU=1 for dask. Can be repeated."
        ),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Check the options, and turn them into arguments of `sweep` and `measure`.

        Returns:
            Keyword arguments: engine, address, jobs, options, device, threads.

        Raises:
            InputError: if a number is none, there is no such engine or device, or an option is not
                name=value.
        """
        checked = gather(
            engine=self._engine,
            jobs=self._jobs,
            options=self._options,
            threads=self._threads,
            device=self._device,
        )
        return {"address": self.address, **checked}

    def _engine(self) -> str:
        if self.engine not in ENGINES:
            raise InputError(unknown_name("engine", self.engine, ENGINES))
        return self.engine

    def _threads(self) -> int:
        """One by default: a sweep has a worker per core."""
        threads = 1 if self.threads is None else self.threads
        require(whole("threads", threads, 1, 1024))
        return threads

    def _device(self) -> str:
        """The device of each run, tried where the runs are made on this machine."""
        if self.engine in {"loky", "serial"} and self.device != "auto":  # which always is there
            from subspace_nn.tasks.loop import find_device  # noqa: PLC0415  # imports PyTorch

            find_device(self.device)
        return self.device

    def _jobs(self) -> int:
        if self.jobs != -1:
            require(whole("jobs", self.jobs, 1, 10_000))
        return self.jobs

    def _options(self) -> dict[str, str | float]:
        words = self.engine_option or []
        if wrong := [word for word in words if "=" not in word]:
            raise InputError(*(f"--engine-option: expected name=value, got {w!r}." for w in wrong))
        pairs = (word.partition("=") for word in words)
        return {name: _number(value) for name, _, value in pairs}


def _number(text: str) -> str | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
