"""The README's figures: accuracy, file size, and what must come out the same.

    python -m evidence.claims results/claims.json

Everything goes through the command line, each training and each evaluation in a process of its
own, one thread each: what is measured is what a user gets. Accuracy is that of the whole test set
at the end of training.
"""

import hashlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import output

SEEDS = (0, 1, 2)
DIM = 1000
COMMAND = Path(sys.executable).with_name("subspace-nn")


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    with tempfile.TemporaryDirectory() as folder:
        results = [measure(model, Path(folder)) for model in ("conv", "fc")]
    for row in results:
        accuracy = row["test_accuracy"]
        print(
            f"{row['model']:5} d = {DIM:,}, 5 epochs: {accuracy['mean']:.2f} ± "
            f"{accuracy['std']:.2f} % (n = {accuracy['n']}), {max(row['seconds']):.0f} s at most, "
            f"{row['bytes']:,} bytes, evaluate counts the same: {row['evaluate_counts_the_same']}, "
            f"same bytes twice: {row['same_bytes_twice']}"
        )
    output.write(output.named(), "python -m evidence.claims", results=results)


def measure(model: str, folder: Path) -> dict[str, Any]:
    """Train one model with each seed, and the first seed twice.

    Args:
        model: name of the net.
        folder: for the runs' files.

    Returns:
        The figures by name.
    """
    runs = [train(model, seed, folder / f"{model}-{seed}") for seed in SEEDS]
    again = train(model, SEEDS[0], folder / f"{model}-again")
    accuracies = [run["accuracy"] for run in runs]
    return {
        "model": model,
        "dim": DIM,
        "test_accuracy": {
            "n": len(runs),
            "mean": round(statistics.mean(accuracies), 3),
            "std": round(statistics.stdev(accuracies), 3),
            "each": accuracies,
        },
        "seconds": [run["seconds"] for run in runs],
        "bytes": max(run["bytes"] for run in runs),
        "evaluate_counts_the_same": all(run["correct"] == run["counted_again"] for run in runs),
        "same_bytes_twice": again["digest"] == runs[0]["digest"],
    }


def train(model: str, seed: int, out: Path) -> dict[str, Any]:
    """One training and one evaluation, as a user would type them.

    Args:
        model: name of the net.
        seed: of the run.
        out: its folder.

    Returns:
        The run's figures by name.
    """
    start = time.perf_counter()
    run("train", "--model", model, "--dim", DIM, "--seed", seed, "--threads", 1, "--out", out)
    seconds = time.perf_counter() - start
    history = json.loads((out / "history.json").read_text())
    printed = run("evaluate", out / "omega.safetensors", "--threads", 1)
    match = re.match(r"([\d,]+) of 10,000 test images right", printed)
    content = (out / "omega.safetensors").read_bytes()
    return {
        "accuracy": history["evaluations"][-1]["test_accuracy"],
        "correct": history["evaluations"][-1]["test_correct"],
        "counted_again": int(match[1].replace(",", "")) if match else None,
        "seconds": round(seconds, 1),
        "bytes": len(content),
        "digest": hashlib.sha256(content).hexdigest(),
    }


def run(*arguments: object) -> str:
    """Run the command.

    Args:
        *arguments: as typed.

    Returns:
        What it printed.
    """
    command = [str(COMMAND), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
