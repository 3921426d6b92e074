"""Adam, L-BFGS and CMA-ES in few dimensions, each with the same time.

    python -m evidence.optimisers results/optimisers.json

The net is fc (D = 199,210) on MNIST; Adam trains three epochs with the default recipe, and the
others get as much CPU time as that took, on one thread (the machine is shared: wall time would
compare its load). Evaluations count for all. The others' settings are the best of those tried for
d = 30, 100 and 1,000: see docs/log.md. About four minutes.
"""

import statistics
import time

import torch

from benchmarks import output
from subspace_nn import Subspace, models
from subspace_nn.tasks.classifier import fit
from subspace_nn.tasks.data import mnist
from subspace_nn.tasks.optimise import CMAES, LBFGS
from subspace_nn.tasks.recipe import Recipe

DIMS, SEEDS = (10, 100, 1000), 3
MANY = 1_000_000  # the clock ends it


def main() -> None:
    """Train, print, and write the JSON named on the command line."""
    torch.set_num_threads(1)
    rows = [row for dim in DIMS for row in compare(dim)]
    for row in rows:
        print(row)
    output.write(output.named(), "python -m evidence.optimisers", n=SEEDS, results=rows)


def compare(dim: int) -> list[dict[str, float | str | int]]:
    """Test accuracy of each optimiser at one dimension, over the seeds."""
    found: dict[str, list[float]] = {"Adam": [], "L-BFGS": [], "CMA-ES": []}
    times: dict[str, list[float]] = {name: [] for name in found}
    for seed in range(SEEDS):
        limit = 0.0
        for name, reached in found.items():
            recipe: Recipe | LBFGS | CMAES = Recipe(epochs=3)
            if name == "L-BFGS":
                recipe = LBFGS(rounds=MANY, images=2048, iterations=10, seconds=limit)
            elif name == "CMA-ES":
                recipe = CMAES(generations=MANY, images=512, seconds=limit)
            net = Subspace(models.build("fc"), dim, seed=seed)
            start = time.process_time()
            history = fit(net, mnist(), recipe, seed=seed, device="cpu", clock=time.process_time)
            taken = time.process_time() - start
            limit = limit or taken
            times[name].append(taken)
            reached.append(history.evaluations[-1].test_accuracy)
    return [
        {
            "dim": dim,
            "optimiser": name,
            "accuracy": round(statistics.mean(values), 2),
            "std": round(statistics.stdev(values), 2),
            "seconds": round(statistics.mean(times[name]), 1),
        }
        for name, values in found.items()
    ]


if __name__ == "__main__":
    main()
