"""The queue of a Slurm cluster, through submitit: one job per call."""

import functools
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from subspace_nn.common import process
from subspace_nn.common.checks import whole
from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.common.process import Identity
from subspace_nn.runs.engines._base import (
    Call,
    Parallel,
    Setting,
    execute,
    require,
    results,
    safe_path,
)

#: Default of the option `time`: minutes that a job may take.
_MINUTES = 60

#: Calls in one array of jobs: Slurm's default limit.
_ARRAY = 1000

#: Seconds between two looks at the jobs.
_POLL = 1.0


@contextmanager
def start(setting: Setting) -> Generator[Parallel]:
    """Prepare to submit jobs.

    Args:
        setting: `jobs` is the number of jobs at once (-1: 256). Options are those of sbatch, with
            underscores (`partition`, `time` in minutes, `mem`, `cpus_per_task`, …), `folder` for
            scripts and logs, and `cluster=local` for processes of this machine.

    Yields:
        The function that takes calls.

    Raises:
        InputError: if Slurm is not installed, or refuses the options or the jobs.
    """
    submitit = require("submitit", "slurm")
    executor = _executor(submitit, setting)
    # All processes of this machine would begin at once.
    size = setting.max_workers if executor.cluster == "local" else _ARRAY

    def ended(calls: Iterable[Call]) -> Iterator[tuple[Call, Callable[[], Any]]]:
        waiting = iter(calls)
        while batch := list(itertools.islice(waiting, size)):
            jobs = dict(zip(_submit(submitit, executor, batch), batch, strict=True))
            try:
                for job in submitit.helpers.as_completed(list(jobs), poll_frequency=_POLL):
                    yield jobs.pop(job), functools.partial(_result, job)
            finally:
                for job in jobs:
                    job.cancel(check=False)

    def parallel(calls: Iterable[Call]) -> Iterator[Any]:
        # Errors of calls are results; a job that fails has lost its process or its machine.
        utils = submitit.core.utils
        return results(ended(calls), utils.UncompletedJobError, utils.FailedJobError)

    with safe_path():
        yield parallel


def _executor(submitit: Any, setting: Setting) -> Any:
    options = dict(setting.options)
    cluster = options.pop("cluster", "slurm")
    minutes = options.pop("time", _MINUTES)
    folder = Path(str(options.pop("folder", setting.folder)))
    known = sorted(submitit.SlurmExecutor._valid_parameters())
    unknown = [name for name in options if name not in known]
    problems = [unknown_name("option of sbatch", name, known) for name in unknown]
    if cluster not in {"slurm", "local"}:
        problems.append(unknown_name("cluster", cluster, ["slurm", "local"]))
    if whole("time", minutes, 1):
        problems.append(f"time must be whole minutes, at least 1, got {minutes!r}.")
    if problems:
        raise InputError(*problems)
    if setting.jobs > 0:
        options["array_parallelism"] = setting.jobs
    try:
        executor = submitit.AutoExecutor(folder, cluster=cluster)
    except RuntimeError:
        raise InputError(
            "Slurm is not installed here: srun is not found. Start the sweep on a machine that "
            "may submit jobs, or test it on this machine with the option cluster=local."
        ) from None
    named = {f"slurm_{name}": value for name, value in options.items()}
    executor.update_parameters(name="subspace-nn", timeout_min=minutes, **named)
    return executor


def _submit(submitit: Any, executor: Any, calls: list[Call]) -> list[Any]:
    utils = submitit.core.utils
    try:
        owner = process.me() if executor.cluster == "local" else None
        return executor.map_array(functools.partial(_attempt, owner), calls)
    except (utils.FailedJobError, utils.FailedSubmissionError) as error:
        raise InputError(f"Slurm refuses the jobs: {error}") from None


def _attempt(owner: Identity | None, call: Call) -> tuple[Any, Exception | None]:
    """Make a call in a job, and return its error: submitit would pass on the text alone."""
    if owner is not None:
        process.end_with(owner)
    try:
        return execute(call), None
    except Exception as error:  # noqa: BLE001  # raised again by the driver
        return None, error


def _result(job: Any) -> Any:
    value, error = job.result()
    for file in job.paths.folder.glob(f"{job.job_id}_*"):
        file.unlink(missing_ok=True)
    if error:
        raise error
    return value
