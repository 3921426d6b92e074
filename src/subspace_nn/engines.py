"""Where runs are computed: one joblib interface over processes and clusters."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from subspace_nn.errors import InputError, unknown_name

Parallel = Callable[[Iterable[Any]], Iterable[Any]]

ENGINES = ("loky", "serial", "dask", "ray")

#: What a killed worker makes of a call.
WORKER_DIED: tuple[type[BaseException], ...] = (TerminatedWorkerError,)


@contextmanager
def start(engine: str, jobs: int = -1, address: str | None = None) -> Iterator[Parallel]:
    """Start an engine, or connect to one.

    Args:
        engine: "serial" (in this process, for debugging), "loky" (processes on this machine),
            "dask" or "ray".
        jobs: number of workers; -1 is one a core.
        address: of a running dask scheduler ("tcp://host:8786") or ray cluster ("auto",
            "ray://host:10001"); a local one is started, and stopped at the end, if not given.

    Yields:
        A function that takes `joblib.delayed` calls and gives their results as they come.

    Raises:
        InputError: if the engine is unknown, or its package is not installed.

    Example:
        >>> with start("serial") as parallel:
        ...     list(parallel(joblib.delayed(abs)(x) for x in (-1, 2)))
        [1, 2]
    """
    if engine not in ENGINES:
        raise InputError(unknown_name("engine", engine, ENGINES))
    if engine in {"dask", "ray"}:
        with _CLUSTERS[engine](jobs, address) as parallel:
            yield parallel
        return
    with joblib.parallel_config("sequential" if engine == "serial" else engine, n_jobs=jobs):
        yield joblib.Parallel(return_as="generator_unordered")


@contextmanager
def _dask(jobs: int, address: str | None) -> Iterator[Parallel]:
    distributed = _require("distributed", "dask")
    workers = joblib.cpu_count() if jobs < 0 else jobs
    # One thread a worker: a worker sets PyTorch's number of threads for its whole process.
    options: dict[str, Any] = {
        "n_workers": workers,
        "threads_per_worker": 1,
        "dashboard_address": None,
    }
    with (
        distributed.Client(address, **({} if address else options)),
        joblib.parallel_config("dask"),
    ):
        yield joblib.Parallel(return_as="generator_unordered")


@contextmanager
def _ray(jobs: int, address: str | None) -> Iterator[Parallel]:
    ray = _require("ray", "ray")
    _require("ray.util.joblib", "ray").register_ray()
    workers = joblib.cpu_count() if jobs < 0 else jobs
    ray.init(address, **({} if address else {"num_cpus": workers, "include_dashboard": False}))
    try:
        # Without a number ray's backend runs one after the other; it knows no generators.
        with joblib.parallel_config("ray", n_jobs=workers):
            yield joblib.Parallel()
    finally:
        ray.shutdown()


_CLUSTERS = {"dask": _dask, "ray": _ray}


def _require(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(
            f"The engine {extra!r} is not installed: pip install 'subspace-nn[{extra}]'."
        ) from None
