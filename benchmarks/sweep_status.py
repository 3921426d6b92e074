"""Time the status of a sweep: what the driver does whenever a run ends, with few and many runs.

    python -m benchmarks.sweep_status results/sweep_status.json

For each size a folder holds that many records, and a sweep of 300 runs more is driven with its
display. The time of one status is from the end of a run until the driver asks for the next one. The
sizes take turns, and the median over all statuses is reported.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from rich.console import Console

from benchmarks import output
from subspace_nn.cli import display
from subspace_nn.runs import engines, packed
from subspace_nn.runs.run import Run
from subspace_nn.runs.store import Store
from subspace_nn.runs.sweep import complete

SIZES = (500, 50_000)
MORE = 300
ROUNDS = 5
TASK = "tests.toy:quick"


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    times: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for size in SIZES:
            with tempfile.TemporaryDirectory() as folder:
                times[size] += status_times(Path(folder) / "records", size)
    medians = {size: 1e3 * statistics.median(values) for size, values in times.items()}
    ratio = medians[SIZES[-1]] / medians[SIZES[0]]
    for size, median in medians.items():
        print(f"{size:,} records: {median:.3f} ms a status")
    print(f"ratio {ratio:.2f}")
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    results = [
        {"records": size, "status_ms": round(median, 4), "n": len(times[size])}
        for size, median in medians.items()
    ]
    command = "python -m benchmarks.sweep_status"
    output.write(out, command, torch.device("cpu"), results=results, ratio=round(ratio, 3))


def status_times(folder: Path, size: int) -> list[float]:
    """Drive a sweep in a folder that holds records.

    Args:
        folder: for the records.
        size: number of records.

    Returns:
        Seconds of each status.
    """
    done = [_run(seed) for seed in range(size)]
    more = [_run(seed) for seed in range(size, size + MORE)]
    store = Store(folder)
    template = done[0].execute()
    store.packed.write_bytes(
        packed.encode(
            [{**template, "id": run.id, "arguments": dict(run.arguments)} for run in done]
        )
    )
    seconds: list[float] = []

    def parallel(calls: Iterable[engines.Call]) -> Iterator[object]:
        for function, arguments, keywords in calls:
            record = function(*arguments, **keywords)
            begin = time.perf_counter()
            yield record
            seconds.append(time.perf_counter() - begin)

    with (
        Path("/dev/null").open("w", encoding="utf-8") as nowhere,
        display.sweep(Console(file=nowhere), done + more, store) as show,
    ):
        complete(done + more, store, parallel, on_status=show)
    return seconds


def _run(seed: int) -> Run:
    return Run(TASK, {"dim": 1, "seconds": 0.0, "seed": seed})


if __name__ == "__main__":
    main()
