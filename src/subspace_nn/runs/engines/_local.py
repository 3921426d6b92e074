"""Processes of this machine, through joblib."""

import signal
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from subspace_nn.runs.engines._base import Call, Parallel, Setting, WorkerDiedError


@contextmanager
def start(backend: str, setting: Setting) -> Generator[Parallel]:
    """Start one of joblib's backends.

    Args:
        backend: its name, "loky" or "sequential".
        setting: of which the number of jobs matters.

    Yields:
        The function that takes calls.
    """

    def parallel(calls: Iterable[Call]) -> Iterator[Any]:
        try:
            yield from workers(calls)
        except TerminatedWorkerError:  # it takes the other workers along, and names no call
            raise WorkerDiedError from None

    extra = {"initializer": _leave_interrupts_to_the_driver} if backend == "loky" else {}
    with joblib.parallel_config(backend, n_jobs=setting.jobs, **extra), warnings.catch_warnings():
        # Whoever stops before the end says why; that the rest is cancelled goes without saying.
        warnings.filterwarnings("ignore", ".*still being processed by the workers")
        workers: Any = joblib.Parallel(return_as="generator_unordered")
        yield parallel


def _leave_interrupts_to_the_driver() -> None:
    """Ctrl-C reaches every process of a terminal; the driver ends its workers, who say nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
