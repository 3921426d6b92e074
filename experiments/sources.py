"""The task of `experiments/sources.toml`: `conv` on MNIST in a subspace that was learned.

First all weights train, in the subspace of all D; then, from the seed's own θ0 unless it is a
burn-in, d numbers. Both count as end of training; the test set is only looked at.
"""

import functools
from typing import Any

from subspace_nn import Subspace, models, sources
from subspace_nn.projections import Dense, Projection
from subspace_nn.tasks.classifier import Progress, fit
from subspace_nn.tasks.images import prepared
from subspace_nn.tasks.recipe import Recipe

#: Directions that a recording keeps, at least: one recording serves several dims.
_RANK = 32


def learned(
    source: str = "trajectory", dim: int = 32, first: int = 3, epochs: int = 1, seed: int = 0
) -> dict[str, Any]:
    """Train d numbers in a subspace from a training of all weights.

    Args:
        source: trajectory, lottery, aligned (to the end), or burn-in (then random directions).
        dim: number of free parameters d.
        first: epochs of all weights.
        epochs: epochs of the d numbers.
        seed: of both.

    Returns:
        D, dim, how many numbers a checkpoint would hold, and both accuracies, in percent.
    """
    full, recorder, before = _full(first, seed, max(_RANK, dim))
    data = prepared("mnist", "nothing", 60_000)
    P: Projection | str = "hashed"
    if source == "trajectory":
        every = recorder.projection(seed=seed).matrix  # the leading directions come first
        P = Dense(every[:, :dim], seed, distortion=1e-6, in_file=True)
    elif source == "lottery":
        P = sources.lottery(full.omega.detach(), dim, seed=seed, in_file=True)
    elif source == "aligned":
        P = sources.aligned(full.omega.detach(), dim, seed=seed)
    module = full.merge() if source == "burn-in" else models.build("conv")
    net = Subspace(module, dim, P, seed=seed)
    history = fit(net, data, Recipe(epochs=epochs), seed=seed, device="cpu")
    return {
        "D": net.D,
        "dim": net.dim,
        "stored": sum(t.numel() for t in net.to_checkpoint().tensors.values()),
        "full_accuracy": before,
        "test_accuracy": history.evaluations[-1].test_accuracy,
        "train_loss": history.evaluations[-1].train_loss,
    }


@functools.lru_cache(maxsize=1)  # the runs of a seed follow one another
def _full(epochs: int, seed: int, rank: int) -> tuple[Subspace, sources.Recorder, float]:
    """All weights, trained and recorded every ten steps."""
    module = models.build("conv")
    D = sum(p.numel() for p in module.parameters())
    net = Subspace(module, D, "identity", seed=seed)
    recorder = sources.Recorder(rank)

    def record(progress: Progress) -> None:
        if progress.step:
            recorder.add(net.omega)

    recipe = Recipe(epochs=epochs, lr=0.1)
    data = prepared("mnist", "nothing", 60_000)
    history = fit(net, data, recipe, seed=seed, device="cpu", on_progress=record)
    return net, recorder, history.evaluations[-1].test_accuracy
