"""The task of `experiments/sources.toml`: `conv` on MNIST in a subspace that was learned.

First all weights train, in the subspace of all D; then, from the seed's own θ0, d numbers. Both
count as end of training; the test set is only looked at.
"""

import functools
from typing import Any

from experiments.splits import mnist
from subspace_nn import Subspace, models, sources
from subspace_nn.projections import Dense, Projection
from subspace_nn.tasks.classifier import Progress, fit
from subspace_nn.tasks.recipe import Recipe

#: Directions that a recording keeps, at least: one recording serves several dims.
_RANK = 128


def learned(
    *,
    source: str = "trajectory",
    dim: int = 32,
    first: int = 10,
    epochs: int = 1,
    full_lr: float = 0.1,
    lr: float = 0.4,
    held_out: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Train d numbers in a subspace from a training of all weights.

    Args:
        source: trajectory, lottery or aligned (to the end).
        dim: number of free parameters d.
        first: epochs of all weights.
        epochs: epochs of the d numbers.
        full_lr: learning rate of all weights, in standard deviations of the initial ones.
        lr: learning rate of the d numbers.
        held_out: training images to evaluate on, instead of the test set.
        seed: of both trainings.

    Returns:
        D, dim, how many numbers a checkpoint would hold, and both accuracies, in percent.
    """
    full, recorder, before = _full(first, full_lr, held_out, seed, max(_RANK, dim))
    P: Projection
    if source == "trajectory":
        every = recorder.projection(seed=seed).matrix  # the leading directions come first
        P = Dense(every[:, :dim], seed, distortion=1e-6, in_file=True)
    elif source == "lottery":
        P = sources.lottery(full.omega.detach(), dim, seed=seed, in_file=True)
    else:
        P = sources.aligned(full.omega.detach(), dim, seed=seed)
    net = Subspace(models.build("conv"), dim, P, seed=seed)
    history = fit(net, mnist(held_out), Recipe(epochs=epochs, lr=lr), seed=seed, device="cpu")
    return {
        "D": net.D,
        "dim": net.dim,
        "stored": sum(net.stored.values()),
        "full_accuracy": before,
        "test_accuracy": history.evaluations[-1].test_accuracy,
        "train_loss": history.evaluations[-1].train_loss,
    }


@functools.lru_cache(maxsize=1)  # the runs of a seed follow one another
def _full(
    epochs: int, lr: float, held_out: int, seed: int, rank: int
) -> tuple[Subspace, sources.Recorder, float]:
    """All weights, trained and recorded every ten steps."""
    module = models.build("conv")
    D = sum(p.numel() for p in module.parameters())
    net = Subspace(module, D, "identity", seed=seed)
    recorder = sources.Recorder(rank)

    def record(progress: Progress) -> None:
        if progress.step:
            recorder.add(net.omega)

    recipe = Recipe(epochs=epochs, lr=lr)
    history = fit(net, mnist(held_out), recipe, seed=seed, device="cpu", on_progress=record)
    return net, recorder, history.evaluations[-1].test_accuracy
