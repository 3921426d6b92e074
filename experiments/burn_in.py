"""The task of `experiments/burn-in.toml`: some steps of all weights, then d numbers.

The axes are those of Figure 1 of Larsen et al., "How many degrees of freedom do we need to train
deep networks" (2022).
"""

import copy
import functools
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from experiments.splits import mnist
from subspace_nn import Subspace, models
from subspace_nn.tasks.classifier import as_input, count_correct, fit
from subspace_nn.tasks.loop import steps as train
from subspace_nn.tasks.recipe import Recipe


def burnt_in(
    *,
    steps: int = 0,
    dim: int = 32,
    model: str = "conv-6-6",
    epochs: int = 1,
    lr: float = 0.4,
    held_out: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Train all weights for some steps, then d numbers from there.

    Args:
        steps: of all weights, with Adam at a constant learning rate of 0.1.
        dim: number of free parameters d.
        model: the net.
        epochs: of the d numbers.
        lr: learning rate of the d numbers.
        held_out: training images to evaluate on, instead of the test set.
        seed: of all of it.

    Returns:
        D, dim, how many numbers a checkpoint holds, and the accuracies in percent, before the d
        numbers train and after.
    """
    module, before = _start(model, steps, held_out, seed)
    net = Subspace(copy.deepcopy(module), dim, seed=seed)
    history = fit(net, mnist(held_out), Recipe(epochs=epochs, lr=lr), seed=seed, device="cpu")
    return {
        "D": net.D,
        "dim": net.dim,
        "stored": sum(net.stored.values()),
        "start_accuracy": before,
        "test_accuracy": history.evaluations[-1].test_accuracy,
        "train_loss": history.evaluations[-1].train_loss,
    }


@functools.lru_cache(maxsize=1)  # the runs of a start follow one another
def _start(model: str, steps: int, held_out: int, seed: int) -> tuple[nn.Module, float]:
    """The module after so many steps of all weights, and its accuracy."""
    module, data = models.build(model), mnist(held_out)
    D = sum(p.numel() for p in module.parameters())
    net = Subspace(module, D, "identity", seed=seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1, betas=(0.9, 0.999))

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for epoch in itertools.count():
            for rows in Recipe().rows(epoch, len(data.train.labels), seed, torch.device("cpu")):
                yield as_input(data.train.images[rows]), data.train.labels[rows].long()

    for _ in train(net, itertools.islice(batches(), steps), cross_entropy, optimizer):
        pass
    correct, _ = count_correct(net, data.test)
    return net.merge(), 100 * correct / len(data.test.labels)
