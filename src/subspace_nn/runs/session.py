"""What a run is given beyond its arguments, which its id does not depend on: device, threads."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from subspace_nn.common.checks import require, whole
from subspace_nn.runs import cards
from subspace_nn.runs.store import RUNNING
from subspace_nn.runs.task import CARRIED


class Net(Protocol):
    """What can be saved, as a `Subspace` can."""

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        ...


@dataclass(frozen=True)
class Session:
    """The surroundings of a run.

    Attributes:
        device: "auto" (CUDA if available), "cpu", "cuda" or another of PyTorch's; of several cards,
            "auto" and "cuda" take the one with the fewest runs.
        threads: CPU threads of the run.
        save: whether to keep the weights of each run.
        functions: that the run names and no worker can import, by name.
    """

    device: str = "auto"
    threads: int = 1
    save: bool = False
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """Check the values; the device is tried where the run is made."""
        return whole("threads", self.threads, 1, 1024)


@dataclass
class _Run:
    """The run under way: where it computes, and where its weights go."""

    device: str = "auto"
    weights: Path | None = None
    used: str = "cpu"


#: Folder of the weights of a sweep, in that of its records.
WEIGHTS = "weights"

_current: ContextVar[_Run] = ContextVar("_current")


def weights_of(folder: Path, run_id: str) -> Path:
    """Where a sweep keeps the weights of a run.

    Args:
        folder: of the records.
        run_id: its id.

    Returns:
        The path of a checkpoint; it need not exist.
    """
    return folder / WEIGHTS / f"{run_id}.safetensors"


@contextmanager
def running(session: Session, folder: Path, run_id: str) -> Generator[None]:
    """Surround a run; PyTorch's number of threads is put back after it.

    Args:
        session: of the run.
        folder: of its record; its net is saved below it, if the session says so.
        run_id: its id.

    Yields:
        Nothing.
    """
    import torch  # noqa: PLC0415

    require(session.problems())
    threads = torch.get_num_threads()
    torch.set_num_threads(session.threads)
    CARRIED.update(session.functions)
    weights = weights_of(folder, run_id) if session.save else None
    with cards.taken(session.device, folder / RUNNING) as chosen:
        token = _current.set(_Run(chosen, weights))
        try:
            yield
        finally:
            _current.reset(token)
            torch.set_num_threads(threads)


def device() -> str:
    """The device that "auto" means in the run under way.

    Returns:
        Its name; "auto" outside of a sweep, too.
    """
    return _current.get(_Run()).device


def computes_on(name: str) -> None:
    """Note the device that the run under way computes on, for its record."""
    _current.get(_Run()).used = name


def used() -> str:
    """The device that the run under way computes on, as far as it is known."""
    return _current.get(_Run()).used


def keep(net: Net) -> None:
    """Save the trained net of the run under way, if its sweep keeps weights.

    A task of your own calls this at its end; the named ones do.

    Args:
        net: a `Subspace`.
    """
    path = _current.get(_Run()).weights
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        net.save(path)


__all__ = ["WEIGHTS", "Session", "computes_on", "device", "keep", "running", "used", "weights_of"]
