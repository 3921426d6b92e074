"""What the benchmarks share: rounds in turn, medians of ratios, memory, results as JSON.

On a shared machine only times of one run compare. So everything that is compared is timed in turn,
round after round, and what counts is the median over the rounds of the ratio to the base of the
same round.

On a CPU a time is one of the processor: it leaves out the moments in which the machine worked for
others. With one thread, which is set here, it is the wall time of an idle machine. The ratio of
wall times is reported, too. On other devices a time is wall time.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from subspace_nn.projections import kernels

_Name = TypeVar("_Name")


def arguments(description: str | None) -> argparse.Namespace:
    """Read the command line: where to write, and the device. Sets one thread.

    Args:
        description: the script's docstring.

    Returns:
        `out`, a path or None, and `device`.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", nargs="?", type=Path, help="JSON file to write")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    torch.set_num_threads(1)
    return parser.parse_args()


def in_a_process(benchmark: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """What a benchmark measures in a process of its own, with more environment variables.

    Args:
        benchmark: name of the module in this folder.
        environment: those variables.

    Returns:
        The content of its JSON.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        subprocess.run(
            [sys.executable, "-m", f"benchmarks.{benchmark}", str(out)],
            env=os.environ | environment,
            check=True,
        )
        return json.loads(out.read_text("utf-8"))


@dataclass(frozen=True)
class Times:
    """Times of one action in each round, in seconds.

    Attributes:
        wall: by the clock on the wall.
        processor: by that of this process.
        use_wall: whether the wall time is the one that counts.
        pages: memory pages that the system handed out.
    """

    use_wall: bool
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        """The times that count."""
        return self.wall if self.use_wall else self.processor

    @property
    def ms(self) -> float:
        """Their median, in milliseconds."""
        return statistics.median(self.seconds) * 1e3

    def over(self, base: "Times") -> dict[str, Any]:
        """Ratios to another action of the same rounds.

        Args:
            base: its times.

        Returns:
            Median and quartiles of the ratios, and the median of those of wall times.
        """
        low, middle, high = statistics.quantiles(_quotients(self.seconds, base.seconds), n=4)
        return {
            "ratio": round(middle, 4),
            "ratio_quartiles": [round(low, 4), round(high, 4)],
            "wall_ratio": round(statistics.median(_quotients(self.wall, base.wall)), 4),
        }


def in_torch(action: Callable[[], object]) -> Callable[[], object]:
    """An action without compiled kernels, where these are installed.

    Args:
        action: what to do.

    Returns:
        The same in plain torch.
    """

    def plainly() -> object:
        usable = kernels.usable
        kernels.usable = _never  # pyrefly: ignore[bad-assignment]
        try:
            return action()
        finally:
            kernels.usable = usable

    return plainly


def _never(_: torch.device) -> bool:
    return False


def _quotients(own: list[float], base: list[float]) -> list[float]:
    return [a / b for a, b in zip(own, base, strict=True)]


def in_turn(
    actions: Mapping[_Name, Callable[[], object]],
    rounds: int,
    device: torch.device,
    *,
    warm: bool = False,
) -> dict[_Name, Times]:
    """Time actions in turn, after one round to warm up.

    Args:
        actions: what to time, by name.
        rounds: how often each.
        device: whose work is waited for.
        warm: whether they are warm already, so that the first round counts.

    Returns:
        The times by name.
    """
    times = {name: Times(use_wall=device.type != "cpu") for name in actions}
    for round_ in range(int(warm), rounds + 1):
        for name, action in actions.items():
            wait(device)
            pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            wall, processor = time.perf_counter(), time.process_time()
            action()
            wait(device)
            if round_:
                times[name].wall.append(time.perf_counter() - wall)
                times[name].processor.append(time.process_time() - processor)
                after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                times[name].pages.append(after - pages)
    return times


def wait(device: torch.device) -> None:
    """Wait until a device has done its work.

    Args:
        device: any.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Peak(TorchDispatchMode):
    """The largest sum of bytes of all tensors that were made within and lived at one time.

    Args:
        known: tensors from before, which do not count.

    Attributes:
        bytes: that sum.
    """

    def __init__(self, known: Sequence[torch.Tensor] = ()) -> None:
        super().__init__()
        self.bytes = 0
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}
        self._known = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and look at what there is then."""
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._known:
                    self._live[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._live = {c: (ref, n) for c, (ref, n) in self._live.items() if not ref.expired()}
        self.bytes = max(self.bytes, sum(n for _, n in self._live.values()))
        return out


def peak(action: Callable[[], object], known: Sequence[torch.Tensor] = ()) -> int:
    """The most bytes that tensors made by an action take at one time, its result included.

    Args:
        action: what to do, once.
        known: tensors that do not count, such as its operands.

    Returns:
        Bytes.
    """
    with Peak(known) as mode:
        action()
    return mode.bytes
