"""Several seeds as one batched training, over the same one after another.

    python -m benchmarks.batched [results/batched.json] [--device cuda]

`sweep --batched` in short: an epoch of 5 batches of 256 images with Adam, d = 1000, evaluated on
256 images. A ratio below 1 means that the batch is faster.
"""

from dataclasses import replace
from typing import Any

import torch

from benchmarks import output, timing
from subspace_nn.tasks.classifier import fit
from subspace_nn.tasks.config import RunConfig
from subspace_nn.tasks.data import Dataset, Split, mnist
from subspace_nn.tasks.together import fit_together

STEPS, ROUNDS = 5, 15
CASES = [("fc-16", 4), ("fc-16", 10), ("fc-16", 30), ("fc", 4), ("fc", 10), ("conv", 4)]


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    chosen = timing.arguments(__doc__)
    rows = [measure(model, seeds, chosen.device) for model, seeds in CASES]
    command = f"python -m benchmarks.batched {chosen.out} --device {chosen.device}"
    output.write(chosen.out, command, chosen.device, results=rows)


def measure(model: str, count: int, device: torch.device) -> dict[str, Any]:
    """Both ways of one net, in turn.

    Args:
        model: name of the net.
        count: number of seeds.
        device: that computes.

    Returns:
        A row.
    """
    recipe, data, seeds = RunConfig(model=model, epochs=1), _digits(), range(count)
    nets, others = ([replace(recipe, seed=s).build() for s in seeds] for _ in range(2))

    def one_by_one() -> None:
        for net, seed in zip(nets, seeds, strict=True):
            fit(net, data, recipe, seed=seed, device=str(device))

    def batched() -> None:
        fit_together(others, data, recipe, seeds, device=str(device))

    times = timing.in_turn({"alone": one_by_one, "batched": batched}, ROUNDS, device)
    per_step = {f"{way}_ms": round(own.ms / STEPS, 3) for way, own in times.items()}
    row = {"model": model, "seeds": count, "rounds": ROUNDS, **per_step}
    row |= times["batched"].over(times["alone"])
    print(row, flush=True)
    return row


def _digits() -> Dataset:
    data, count = mnist(), 256 * STEPS
    train = Split(data.train.images[:count], data.train.labels[:count])
    return replace(data, train=train, test=Split(data.test.images[:256], data.test.labels[:256]))


if __name__ == "__main__":
    main()
