"""Tasks for sweeps: quick, deterministic, and some that misbehave."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from subspace_nn import bits
from subspace_nn.runs.task import Task, Together


def quick(*, dim: int = 1, seed: int = 0, seconds: float = 0.0) -> dict[str, float]:
    """A figure that depends on the arguments alone."""
    time.sleep(seconds)
    return {"test_accuracy": float(bits.uniform(seed, f"toy/{dim}", 0, 1)) * 100}


def failing(*, seed: int = 0) -> dict[str, float]:
    """Fails for odd seeds."""
    if seed % 2:
        raise RuntimeError(f"seed {seed} is odd")
    return {"test_accuracy": 50.0}


def cancelled(*, seed: int = 0) -> dict[str, float]:
    """Raises what is no Exception, unless the seed is 0."""
    if seed:
        raise asyncio.CancelledError
    return {"test_accuracy": 50.0}


def nan(*, seed: int = 0) -> dict[str, float]:
    """Gives what JSON cannot hold."""
    return {"test_accuracy": float("nan") * seed}


def killing(*, seed: int = 0, counter: str = "") -> dict[str, float]:
    """Kills its own process if the seed is 0; the first time only, if there is a counter."""
    if seed == 0:
        file = Path(counter) if counter else None
        if file is None or not file.exists():
            if file is not None:
                file.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return {"test_accuracy": 50.0}


def choosy(*, dim: int) -> dict[str, float]:
    """Has no default for dim."""
    return {"test_accuracy": float(dim)}


choosy.check = lambda arguments: [] if arguments["dim"] > 0 else ["dim must be positive."]


def logged(*, seed: int = 0, log: str = "", seconds: float = 0.2) -> dict[str, float]:
    """Adds a line to a file whenever it is run."""
    with Path(log).open("a", encoding="utf-8") as file:
        file.write(f"{seed}\n")
    time.sleep(seconds)
    return {"test_accuracy": float(seed)}


def _killing_together(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    os.kill(os.getpid(), signal.SIGKILL)
    return [together(**arguments) for arguments in runs]


@partial(Task, together=Together(_killing_together, lambda _: []))
def together(*, seed: int = 0) -> dict[str, float]:
    """Kills its own process if it makes several seeds at once."""
    return {"test_accuracy": float(seed)}
