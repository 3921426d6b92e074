"""A dask cluster, through its own futures: a killed worker costs only its own call."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from subspace_nn.runs.engines._base import (
    Call,
    Parallel,
    Setting,
    execute,
    reaching,
    require,
    results,
    safe_path,
)


@contextmanager
def start(setting: Setting) -> Generator[Parallel]:
    """Connect to a scheduler, or start a cluster on this machine.

    Args:
        setting: options are resources that a worker must have, as in `GPU=1`.

    Yields:
        The function that takes calls.
    """
    distributed = require("distributed", "dask")
    options: dict[str, Any] = {"resources": dict(setting.options), "pure": False}

    def parallel(calls: Iterable[Call]) -> Iterator[Any]:
        futures = {client.submit(execute, call, **options): call for call in calls}
        try:
            ended = ((futures[f], f.result) for f in distributed.as_completed(futures))
            yield from results(ended, distributed.KilledWorker)
        finally:
            client.cancel(list(futures))

    with _scheduler(distributed, setting) as scheduler:
        with reaching("dask", setting.address):
            client = distributed.Client(scheduler)
        with client:
            yield parallel


@contextmanager
def _scheduler(distributed: Any, setting: Setting) -> Generator[Any]:
    """The address, or a cluster on this machine."""
    if setting.address:
        yield setting.address
        return
    config = {
        # The sweep counts deaths itself; by default dask retries each call three times.
        "distributed.scheduler.allowed-failures": 0,
        # Restarting a killed worker can take long on a busy machine.
        "distributed.deploy.lost-worker-timeout": "1 hour",
    }
    with (
        safe_path(),
        require("dask", "dask").config.set(config),
        distributed.LocalCluster(
            n_workers=setting.max_workers,
            # A worker sets PyTorch's number of threads for its whole process.
            threads_per_worker=1,
            dashboard_address=":0",  # any free port
            resources=dict(setting.options),
        ) as cluster,
    ):
        yield cluster
