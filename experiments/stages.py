"""The task of `experiments/stages.toml`: MNIST in random subspaces, one after another.

A stage takes a random P, or the one of several candidates that has most of the gradient in it:
its seed is all that a file has to hold either way.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from experiments.splits import mnist
from subspace_nn import Subspace, models, projections
from subspace_nn.runs.task import checked
from subspace_nn.tasks.classifier import as_input, fit
from subspace_nn.tasks.data import Split
from subspace_nn.tasks.recipe import Recipe
from subspace_nn.tasks.staged import Staged

#: Images whose gradient chooses.
_IMAGES = 2048


@checked(lambda _: [], later=("batch_size", "projection"))
def staged(
    *,
    model: str = "conv",
    dim: int = 100,
    stages: int = 10,
    candidates: int = 1,
    anneal: str = "training",
    epochs: int = 10,
    lr: float = 0.4,
    batch_size: int = 256,
    projection: str = "hashed",
    held_out: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Train d numbers a stage.

    Args:
        model: the net.
        dim: number of free parameters of a stage, d.
        stages: number of stages, K.
        candidates: number of P to choose from where a stage begins.
        anneal: what one cycle of the learning rate spans: the training, or each stage.
        epochs: of the whole training.
        lr: learning rate.
        batch_size: images a step.
        projection: kind of P.
        held_out: training images to evaluate on, instead of the test set.
        seed: of θ0, of the first P, and of the order of the images.

    Returns:
        D, dim, how many numbers the stages trained and a checkpoint would hold, and the accuracy
        in percent.
    """
    net = Subspace(models.build(model), dim, projection, seed=seed)
    data = mnist(held_out)
    recipe = _Recipe(
        epochs=epochs, lr=lr, batch_size=batch_size, stages=stages, anneal=anneal,
        seeds=None if candidates == 1 else _Chooser(net, data.train, candidates),
    )  # fmt: skip
    history = fit(net, data, recipe, seed=seed, device="cpu")
    last = history.evaluations[-1]
    return {
        "D": net.D,
        "dim": net.dim,
        "trained": net.dim * net.stages,
        "stored": min(sum(net.stored.values()), net.D),
        "test_accuracy": last.test_accuracy,
        "train_loss": last.train_loss,
        "evaluations": [[e.epoch, e.test_accuracy] for e in history.evaluations],
    }


@dataclass(frozen=True)
class _Recipe(Recipe):
    """A recipe whose stages may choose their seeds, and have cycles of their own."""

    anneal: str = "training"
    seeds: "Callable[[], int] | None" = None

    def optimizer(self, net: nn.Module, seed: int, steps: int) -> torch.optim.Optimizer:
        if self.stages == 1:
            return super().optimizer(net, seed, steps)
        every = -(-steps // self.stages)
        return Staged(net, every, lr=self.lr, betas=(0.9, self.beta2), seeds=self.seeds)

    def scheduler(self, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler | None:
        if self.anneal == "training" or self.stages == 1:
            return super().scheduler(optimizer, steps)
        every = -(-steps // self.stages)
        return LambdaLR(
            optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * (step % every) / every)
        )


class _Chooser:
    """The seed, of several, whose P has the longest projection of the gradient of all weights."""

    def __init__(self, net: Subspace, train: Split, candidates: int) -> None:
        self._net, self._candidates = net, candidates
        self._images, self._labels = train.images[:_IMAGES], train.labels[:_IMAGES].long()

    def __call__(self) -> int:
        gradient = self._gradient()
        last, dim = self._net.projection.seed, self._net.dim
        seeds = [(last + (i << 32)) % 2**64 for i in range(1, self._candidates + 1)]

        def length(seed: int) -> float:
            P = projections.make("hashed", len(gradient), dim, seed)
            return float((P.T @ gradient).norm())

        return max(seeds, key=length)

    @torch.enable_grad()
    def _gradient(self) -> Tensor:
        """With respect to all weights, in units of σ."""
        module = self._net.merge()
        names = [entry.name for entry in self._net.layout.entries]
        weights = [module.get_parameter(name) for name in names]
        loss = cross_entropy(module(as_input(self._images)), self._labels)
        parts = torch.autograd.grad(loss, weights)
        sigma = self._net.sigma
        return torch.cat([sigma[n] * g.flatten() for n, g in zip(names, parts, strict=True)])
