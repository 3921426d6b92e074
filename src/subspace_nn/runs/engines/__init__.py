"""Engines: processes of this machine, a cluster of dask or ray, the queue of Slurm.

An engine is a function that takes `joblib.delayed` calls and yields their results as they end. On
this machine joblib runs them. On clusters we use each cluster's own futures: joblib's backends end
the whole call when one worker is killed, and its backend for ray yields all results at the end.
"""

import functools
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.runs.engines import _dask, _local, _ray, _slurm
from subspace_nn.runs.engines._base import Call, Death, Parallel, Setting, WorkerDiedError

__all__ = ["ENGINES", "Call", "Death", "Parallel", "Setting", "WorkerDiedError", "start"]

ENGINES: dict[str, Callable[[Setting], AbstractContextManager[Parallel]]] = {
    "loky": functools.partial(_local.start, "loky"),
    "serial": functools.partial(_local.start, "sequential"),
    "dask": _dask.start,
    "ray": _ray.start,
    "slurm": _slurm.start,
}

_WITH_ADDRESS = ("dask", "ray")
_WITH_OPTIONS = ("dask", "ray", "slurm")


@contextmanager
def start(engine: str, setting: Setting | None = None) -> Generator[Parallel]:
    """Start an engine, or connect to one.

    Args:
        engine: "serial" (in this process, for debugging), "loky" (processes on this machine),
            "dask", "ray" or "slurm".
        setting: workers, address and options; by default one worker per core of this machine.

    Yields:
        A function that takes `joblib.delayed` calls and yields their results as they end. It
        raises the errors of the calls, and `WorkerDiedError` if workers were killed.

    Raises:
        InputError: if the engine is unknown, its package is not installed, its cluster does not
            answer, or it does not take these settings.

    Example:
        >>> import joblib
        >>> with start("serial") as parallel:
        ...     list(parallel(joblib.delayed(abs)(x) for x in (-1, 2)))
        [1, 2]
    """
    setting = setting or Setting()
    if engine not in ENGINES:
        raise InputError(unknown_name("engine", engine, ENGINES))
    problems = []
    if setting.address is not None and engine not in _WITH_ADDRESS:
        problems.append(f"The engine {engine} takes no address, got {setting.address}.")
    if setting.options and engine not in _WITH_OPTIONS:
        problems.append(f"The engine {engine} takes no options, got {', '.join(setting.options)}.")
    if problems:
        raise InputError(*problems)
    with ENGINES[engine](setting) as parallel:
        yield parallel
