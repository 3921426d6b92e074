"""Is a certified bound broken in at most a share δ of tasks?

    python -m evidence.certificate_coverage results/certificate_coverage.json

In 200 tasks the true error of every net is known: the inputs are uniform over the 256 corners of a
cube, and the label of each has a known probability. Each task draws 400 examples, trains a small
net in four numbers of three levels, certifies it, and compares the bound with the truth. The same
is done for one net that no data have chosen, whose message has no bits: there the bound is as tight
as can be, and must be broken in nearly a share δ. A minute of one core.
"""

import itertools
import math
from typing import Any

import torch
from torch import nn

import subspace_nn as sn
from benchmarks import output
from subspace_nn.certificates import bounds
from subspace_nn.tasks.quantise import Quantised

TASKS, EXAMPLES, DELTA = 200, 400, 0.05
CORNERS = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=8)), device="cpu")


def main() -> None:
    """Make all tasks."""
    torch.set_num_threads(1)
    found = [attempt(seed) for seed in range(TASKS)]
    summary = {
        "tasks": TASKS,
        "examples": EXAMPLES,
        "delta": DELTA,
        "broken": sum(one["broken"] for one in found),
        "broken without a choice": sum(one["broken without a choice"] for one in found),
        "mean bits": sum(one["bits"] for one in found) / TASKS,
        "mean bound": sum(one["bound"] for one in found) / TASKS,
        "mean true error": sum(one["true error"] for one in found) / TASKS,
        "mean training error": sum(one["training error"] for one in found) / TASKS,
    }
    print(summary)
    command = "python -m evidence.certificate_coverage results/certificate_coverage.json"
    output.write(output.named(), command, results=summary)


def attempt(seed: int, steps: int = 60) -> dict[str, Any]:
    """One task.

    Args:
        seed: of everything in it.
        steps: of the training.

    Returns:
        The true and the training error, the bound, the bits, and whether the bound is broken.
    """
    generator = torch.Generator().manual_seed(seed)
    truth = CORNERS @ torch.randn(8, generator=generator) > 0
    noise = 0.05 + 0.3 * torch.rand(1, generator=generator)
    ones = torch.where(truth, 1 - noise, noise)
    drawn = torch.randint(256, (EXAMPLES,), generator=generator)
    x, y = CORNERS[drawn], (torch.rand(EXAMPLES, generator=generator) < ones[drawn]).long()
    net = sn.Subspace(nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 2)), 4, seed=seed)
    before = _true_error(net, ones)
    wrong = int((net(x).argmax(1) != y).sum())
    optimizer = Quantised(net, 3, steps, lr=0.3)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    certificate = sn.certify(net, [(x, y)], delta=DELTA)
    true = _true_error(net, ones)
    return {
        "true error": true,
        "training error": certificate.train_error,
        "bits": certificate.bits,
        "bound": certificate.bound,
        "broken": true > certificate.bound,
        "broken without a choice": before > bounds.binomial(wrong, EXAMPLES, math.log(DELTA)),
    }


def _true_error(net: nn.Module, ones: torch.Tensor) -> float:
    with torch.no_grad():
        labels = net(CORNERS).argmax(1)
    return float(torch.where(labels == 1, 1 - ones, ones).double().mean())


if __name__ == "__main__":
    main()
