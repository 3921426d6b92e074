"""Processes of this machine, through joblib."""

import signal
import threading
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import joblib
from joblib.externals.loky import reusable_executor
from joblib.externals.loky.process_executor import BrokenProcessPool

from subspace_nn.common import process
from subspace_nn.common.process import Identity
from subspace_nn.runs.engines._base import (
    Call,
    Parallel,
    Setting,
    WorkerDiedError,
    leave_safe_path,
    safe_path,
)

#: Seconds between two looks for workers that have died.
_POLL = 2.0


@contextmanager
def start(backend: str, setting: Setting) -> Generator[Parallel]:
    """Start one of joblib's backends.

    Args:
        backend: its name, "loky" or "sequential".
        setting: only the number of jobs is used.

    Yields:
        The function that takes calls.
    """

    def parallel(calls: Iterable[Call]) -> Iterator[Any]:
        try:
            yield from workers(calls)
        except BrokenProcessPool as error:  # it takes the other workers along, and names no call
            raise WorkerDiedError(why=" ".join(str(error).split())) from None

    apart = backend == "loky" and setting.max_workers > 1
    extra = {"initializer": _begin, "initargs": (process.me(),)} if backend == "loky" else {}
    with (
        safe_path() if apart else nullcontext(),
        _looking() if backend == "loky" else nullcontext(),
        joblib.parallel_config(backend, n_jobs=setting.jobs, **extra),
        warnings.catch_warnings(),
    ):
        # Whoever stops early says why; joblib's warning about cancelled calls adds nothing.
        warnings.filterwarnings("ignore", ".*still being processed by the workers")
        workers: Any = joblib.Parallel(return_as="generator_unordered")
        yield parallel


def _begin(driver: Identity) -> None:
    """Prepare a worker.

    Ctrl-C and the end of a terminal reach all of its processes. Workers ignore both, because the
    driver ends them; if the driver is killed, they end by themselves.
    """
    leave_safe_path()
    for name in ("SIGINT", "SIGHUP"):
        if number := getattr(signal, name, None):
            signal.signal(number, lambda *_: None)  # unlike SIG_IGN, no child inherits it
    process.end_with(driver)


@contextmanager
def _looking() -> Generator[None]:
    """Have loky notice every death: it waits for those workers alone that it had when it woke."""
    done = threading.Event()
    threading.Thread(target=_wake, args=(done,), name="wake-loky", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _wake(done: threading.Event) -> None:
    while not done.wait(_POLL):
        executor: Any = reusable_executor._executor
        with suppress(AttributeError, OSError):  # there is none, or it is ending
            executor._executor_manager_thread_wakeup.wakeup()
