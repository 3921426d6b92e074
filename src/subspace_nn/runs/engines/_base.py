"""Engine settings, and how a killed worker is reported."""

import importlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import joblib

from subspace_nn.common.errors import InputError

#: Python's variable for the same as its option -P, and the value that says who set it.
_SAFE_PATH, _OURS = "PYTHONSAFEPATH", "subspace-nn"

#: The value of `joblib.delayed(function)(*args, **kwargs)`.
Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
Parallel = Callable[[Iterable[Call]], Iterator[Any]]


@dataclass(frozen=True)
class Setting:
    """Settings of an engine.

    Attributes:
        jobs: number of workers; -1 is one per core.
        address: of a running cluster.
        options: requirements of one call, in the cluster's own words.
        folder: for the files that an engine leaves.
    """

    jobs: int = -1
    address: str | None = None
    options: Mapping[str, str | float] = field(default_factory=dict)
    folder: Path = Path(".engine")

    @property
    def max_workers(self) -> int:
        """Number of workers on this machine."""
        return joblib.cpu_count() if self.jobs < 0 else self.jobs


class Death(NamedTuple):
    """A call whose worker was killed.

    Attributes:
        arguments: of the call.
        why: the reason, as far as it is known.
    """

    arguments: tuple[Any, ...]
    why: str


class WorkerDiedError(BrokenExecutor):
    """Workers were killed. Their calls can be submitted again.

    Args:
        deaths: the calls that they were at; none if the engine does not know.
        why: the reason, as far as it is known.
    """

    def __init__(self, deaths: Iterable[Death] = (), why: str = "") -> None:
        super().__init__("workers were killed")
        self.deaths, self.why = list(deaths), why


def execute(call: Call) -> Any:
    """Make a call, in whatever process this is.

    Args:
        call: from `joblib.delayed`.

    Returns:
        The value that the function returns.
    """
    leave_safe_path()
    function, arguments, keywords = call
    return function(*arguments, **keywords)


def results(
    ended: Iterable[tuple[Call, Callable[[], Any]]], *deaths: type[BaseException]
) -> Iterator[Any]:
    """Yield results of calls that have ended; the others continue when a worker is killed.

    Args:
        ended: calls in the order in which they end, each with a function that returns its result.
        deaths: exceptions that mean a killed worker.

    Yields:
        The results.

    Raises:
        WorkerDiedError: at the end, if any was killed.
    """
    dead: list[Death] = []
    for call, result in ended:
        try:
            value = result()
        except deaths as error:
            dead.append(Death(call[1], str(error)))
        else:
            yield value
    if dead:
        raise WorkerDiedError(dead)


@contextmanager
def safe_path() -> Generator[None]:
    """Start the processes of a block without the current folder in front of Python's own modules.

    Yields:
        Nothing.
    """
    if os.environ.get(_SAFE_PATH):
        yield
        return
    os.environ[_SAFE_PATH] = _OURS
    try:
        yield
    finally:
        os.environ.pop(_SAFE_PATH, None)


def leave_safe_path() -> None:
    """Let the processes that a task starts begin as usual."""
    if os.environ.get(_SAFE_PATH) == _OURS:
        del os.environ[_SAFE_PATH]


def require(module: str, extra: str) -> Any:
    """Import a package that an engine needs.

    Args:
        module: its name.
        extra: the extra that installs it.

    Returns:
        The module.

    Raises:
        InputError: if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(
            f"The engine {extra!r} is not installed: pip install 'subspace-nn[{extra}]'."
        ) from None


@contextmanager
def reaching(engine: str, address: str | None) -> Generator[None]:
    """Report plainly that a cluster does not answer.

    Args:
        engine: its name.
        address: as given.

    Yields:
        Nothing.

    Raises:
        InputError: if it does not.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        where = f"at {address}" if address else "on this machine"
        raise InputError(f"No {engine} cluster answers {where}: {error}") from None
