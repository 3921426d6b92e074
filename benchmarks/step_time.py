"""Whole training step in a subspace over that of the plain module, interleaved in one run.

    make bench        (or: python benchmarks/step_time.py results/step_time.json)

Both steps are the same: forward, backward and Adam on a batch of 256 images of MNIST. The seed's
dense P (orthonormal) stands beside, for comparison. One thread. What is reported is the median
over the rounds of each step's time, and the median over the rounds of the ratio to the plain
step of the same round, with its quartiles: on a shared machine only ratios in one run compare.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from subspace_nn import Subspace, environment, models
from subspace_nn.files import write_atomically
from subspace_nn.tasks.data import mnist
from subspace_nn.tasks.train import as_input

#: (model, projection, dim); the seed's dense P of fc at d = 1000 takes minutes to make.
CASES = [
    ("conv", "hashed", 10),
    ("conv", "hashed", 1000),
    ("conv", "hashed", 10_000),
    ("conv", "orthonormal", 1000),
    ("conv", "orthonormal", 10_000),
    ("fc", "hashed", 10),
    ("fc", "hashed", 1000),
    ("fc", "hashed", 10_000),
    ("fc", "orthonormal", 1000),
]
ROUNDS = 60


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    torch.set_num_threads(1)
    results = [
        row
        for model in ("conv", "fc")
        for row in measure(model, [case[1:] for case in CASES if case[0] == model])
    ]
    if len(sys.argv) > 1:
        content = {
            "command": "make bench",
            "batch": 256,
            "rounds": ROUNDS,
            "environment": environment.describe(),
            "results": results,
        }
        write_atomically(Path(sys.argv[1]), (json.dumps(content, indent=1) + "\n").encode())


def measure(model: str, variants: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """Time the plain step and those of the variants in turn.

    Args:
        model: name of the net.
        variants: (projection, dim) of each subspace.

    Returns:
        One dictionary for each variant.
    """
    train = mnist().train
    x, y = as_input(train.images[:256]), train.labels[:256].long()
    steps = {("plain", 0): training_step(models.build(model), x, y)}
    for kind, dim in variants:
        steps[kind, dim] = training_step(Subspace(models.build(model), dim, kind), x, y)
    for step in steps.values():
        step()
    times = {variant: [] for variant in steps}
    for _ in range(ROUNDS):
        for variant, step in steps.items():
            start = time.perf_counter()
            step()
            times[variant].append(time.perf_counter() - start)
    base = times["plain", 0]
    print(f"{model}: plain step {statistics.median(base) * 1e3:.2f} ms")
    return [report(model, variant, times[variant], base) for variant in steps if variant[1]]


def training_step(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    """A whole step of Adam.

    Args:
        net: what is trained.
        x: images.
        y: labels.

    Returns:
        A function that makes one step.
    """
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)

    def step() -> None:
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def report(
    model: str, variant: tuple[str, int], own: list[float], base: list[float]
) -> dict[str, Any]:
    """Print and return the figures of one variant.

    Args:
        model: name of the net.
        variant: (projection, dim).
        own: its times, in seconds.
        base: those of the plain step in the same rounds.

    Returns:
        The figures by name.
    """
    low, middle, high = statistics.quantiles([a / b for a, b in zip(own, base, strict=True)], n=4)
    kind, dim = variant
    print(
        f"  {kind:12} d = {dim:6,}  {statistics.median(own) * 1e3:8.2f} ms  "
        f"ratio {middle:.3f} (quartiles {low:.3f} to {high:.3f})"
    )
    return {
        "model": model,
        "projection": kind,
        "dim": dim,
        "plain_ms": round(statistics.median(base) * 1e3, 3),
        "subspace_ms": round(statistics.median(own) * 1e3, 3),
        "ratio": round(middle, 4),
        "ratio_quartiles": [round(low, 4), round(high, 4)],
    }


if __name__ == "__main__":
    main()
