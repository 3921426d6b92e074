"""What a sweep costs on top of its trainings: one-minute trainings, two processes.

    python -m benchmarks.sweep_overhead results/sweep_overhead.json

A sweep of trainings on MNIST is started by the command line and timed from the start of its process
to the end. Each training tells how long it took itself, in seconds and in seconds of a core. Then

    overhead = wall time · jobs / Σ seconds of the trainings − 1
    busy     = Σ core seconds of the trainings / (wall time · jobs)

The wall time contains every start of Python and PyTorch, the reading of the images, all records,
and the wait of one process for the other in the end. Nothing else should run on the machine.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import output
from subspace_nn.runs.store import Store
from subspace_nn.tasks.images import train_mnist

TASK = "benchmarks.sweep_overhead:training"
JOBS = 2


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", nargs="?", type=Path, help="JSON file")
    parser.add_argument("--runs", type=int, default=20, help="trainings in the sweep")
    parser.add_argument("--epochs", type=int, default=8, help="of each; 8 take about a minute")
    given = parser.parse_args()
    results = measure(given.runs, given.epochs)
    print(
        f"{given.runs} trainings of {results['mean_seconds']:.1f} s on {JOBS} processes: "
        f"{results['wall_seconds']:.1f} s, overhead {100 * results['overhead']:.2f} %, "
        f"cores busy {100 * results['busy']:.1f} %"
    )
    output.write(given.out, "python -m benchmarks.sweep_overhead", results=results)


def training(*, epochs: int, seed: int) -> dict[str, float]:
    """The task: the conv net in 1,000 dimensions.

    Args:
        epochs: passes over the images.
        seed: of the training.

    Returns:
        `test_accuracy` in %, `core_seconds`.
    """
    start = time.process_time()
    result = train_mnist(model="conv", dim=1000, epochs=epochs, seed=seed)
    return {
        "test_accuracy": result["test_accuracy"],
        "core_seconds": round(time.process_time() - start, 3),
    }


def measure(runs: int, epochs: int) -> dict[str, Any]:
    """Time one sweep.

    Args:
        runs: number of trainings.
        epochs: of each.

    Returns:
        The figures by name.
    """
    words = [f"epochs={epochs}", f"seed=range(0,{runs})", "--task", TASK, "--jobs", str(JOBS)]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [sys.executable, "-m", "subspace_nn", "sweep", *words, "--out", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - start
        return {"epochs": epochs} | figures(Store(folder).read(), wall, JOBS)


def figures(records: Sequence[Mapping[str, Any]], wall: float, jobs: int) -> dict[str, Any]:
    """What the records of a sweep and its wall time come to.

    Args:
        records: of finished trainings.
        wall: seconds from start to end.
        jobs: processes.

    Returns:
        The figures by name.
    """
    seconds = [record["seconds"] for record in records]
    core_seconds = [record["result"]["core_seconds"] for record in records]
    return {
        "jobs": jobs,
        "n": len(seconds),
        "wall_seconds": round(wall, 2),
        "mean_seconds": round(sum(seconds) / len(seconds), 2),
        "overhead": round(wall * jobs / sum(seconds) - 1, 5),
        "busy": round(sum(core_seconds) / (wall * jobs), 5),
        "seconds": seconds,
        "core_seconds": core_seconds,
    }


if __name__ == "__main__":
    main()
