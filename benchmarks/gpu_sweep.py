"""Eight seeds of a small net on one GPU: one by one, side by side, and as one training.

    python -m benchmarks.gpu_sweep results/gpu_sweep.json

Each way is a whole command with a new folder, from the start of Python to its end. The commands run
in turn, round after round. Needs CUDA.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks import output, timing

SEEDS, EPOCHS, ROUNDS = 8, 2, 2
NETS = ("fc", "conv")
WAYS = {"one by one": ["--jobs", "1"], "side by side": ["--jobs", "8"], "batched": ["--batched"]}


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    chosen = timing.arguments(__doc__)
    rows = [row for net in NETS for row in measure(net)]
    output.write(chosen.out, "python -m benchmarks.gpu_sweep", torch.device("cuda"), results=rows)


def measure(net: str) -> list[dict[str, Any]]:
    """All ways of one net.

    Args:
        net: its name.

    Returns:
        A row for each way.
    """
    times = {way: timing.Times(use_wall=True) for way in WAYS}
    for _ in range(ROUNDS):
        for way, words in WAYS.items():
            times[way].wall.append(seconds(net, words))
    rows = []
    for way, own in times.items():
        row = {"net": net, "seeds": SEEDS, "epochs": EPOCHS, "way": way, "rounds": ROUNDS}
        rows.append(row | {"seconds": round(own.ms / 1e3, 2), **own.over(times["one by one"])})
        print(rows[-1], flush=True)
    return rows


def seconds(net: str, words: Sequence[str]) -> float:
    """Wall time of a sweep.

    Args:
        net: its name.
        words: of the command line, how to run it.

    Returns:
        Seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "subspace_nn", "sweep", f"mnist-{net}", "dim=1000"]
        command += [f"seed=range(0,{SEEDS})", f"epochs={EPOCHS}", "--device", "cuda"]
        start = time.perf_counter()
        subprocess.run([*command, "--out", folder, *words], check=True, capture_output=True)
        return time.perf_counter() - start


if __name__ == "__main__":
    main()
