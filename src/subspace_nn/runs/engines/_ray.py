"""A ray cluster, through its own tasks: a killed worker costs only its own call."""

import functools
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from subspace_nn.common.errors import InputError
from subspace_nn.runs.engines._base import (
    Call,
    Parallel,
    Setting,
    execute,
    reaching,
    require,
    results,
)


@contextmanager
def start(setting: Setting) -> Generator[Parallel]:
    """Connect to a cluster, or start one on this machine.

    Args:
        setting: options are those of a ray task, as in `num_cpus=2`.

    Yields:
        The function that takes calls.

    Raises:
        InputError: if ray does not know an option.
    """
    ray = require("ray", "ray")
    try:
        task = ray.remote(execute).options(max_retries=0, **setting.options)
    except (TypeError, ValueError) as error:
        raise InputError(f"ray does not take these options: {error}") from None
    deaths = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)

    def parallel(calls: Iterable[Call]) -> Iterator[Any]:
        return results(_ended(ray, {task.remote(call): call for call in calls}), *deaths)

    with reaching("ray", setting.address):
        local = {"num_cpus": setting.max_workers, "include_dashboard": False}
        ray.init(setting.address, **({} if setting.address else local))
    try:
        yield parallel
    finally:
        ray.shutdown()


def _ended(ray: Any, pending: dict[Any, Call]) -> Iterator[tuple[Call, Callable[[], Any]]]:
    while pending:
        (ref,), _ = ray.wait(list(pending))
        yield pending.pop(ref), functools.partial(ray.get, ref)
