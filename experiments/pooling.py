"""The task of `experiments/pooling.toml`: a small net with global pooling, in a random subspace.

Three convolutions, then one of several ways from their 32 maps to ten logits; all else is equal.
"""

from typing import Any

import torch
from torch import Tensor, nn

from experiments.splits import mnist
from subspace_nn import Subspace
from subspace_nn.tasks.classifier import as_input, fit
from subspace_nn.tasks.recipe import Recipe


def pooled(
    *,
    pool: str = "mean",
    dim: int | str = 1000,
    epochs: int = 3,
    lr: float = 0.4,
    held_out: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Train the net in d numbers.

    Args:
        pool: what follows the convolutions: flat (all 3 × 3 places of all maps), mean or max (over
            the places), or scaled (the mean, with each map's mean and deviation over 2,000
            training images at θ0 taken out, as a fixed part of the net).
        dim: number of free parameters d, or "full".
        epochs: of the training.
        lr: learning rate.
        held_out: training images to evaluate on, instead of the test set.
        seed: of P, θ0 and the order of the images.

    Returns:
        D, dim, the mean over maps of the features' deviation over images, relative to their mean
        size, at θ0; and the accuracy in percent.
    """
    data = mnist(held_out)
    trunk = nn.Sequential(
        nn.Conv2d(1, 16, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(16, 32, 3), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(32, 32, 3), nn.ReLU(),
    )  # fmt: skip
    head = nn.Linear(288 if pool == "flat" else 32, 10)
    module = nn.Sequential(trunk, _Pool(pool), head)
    D = sum(p.numel() for p in module.parameters())
    full = dim == "full"
    net = Subspace(module, D if full else int(dim), "identity" if full else "hashed", seed=seed)
    spread = _measure(net, as_input(data.train.images[:2000]))
    history = fit(net, data, Recipe(epochs=epochs, lr=lr), seed=seed, device="cpu")
    return {
        "D": net.D,
        "dim": net.dim,
        "spread": spread,
        "test_accuracy": history.evaluations[-1].test_accuracy,
        "train_loss": history.evaluations[-1].train_loss,
    }


class _Pool(nn.Module):
    """From maps to features."""

    mean: Tensor
    std: Tensor

    def __init__(self, pool: str) -> None:
        super().__init__()
        self.pool = pool
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("std", torch.ones(1))

    def forward(self, maps: Tensor) -> Tensor:  # (n, 32, 3, 3)
        if self.pool == "flat":
            return maps.flatten(1)
        return (
            (maps.amax((2, 3)) if self.pool == "max" else maps.mean((2, 3))) - self.mean
        ) / self.std


@torch.no_grad()
def _measure(net: Subspace, images: Tensor) -> float:
    """How much features differ from image to image; and take it out, where that is wanted."""
    trunk, pool, _ = net.module.children()
    features = pool(trunk(images))
    std = features.std(0)
    if isinstance(pool, _Pool) and pool.pool == "scaled":
        pool.mean.data, pool.std.data = features.mean(0), std.clamp(min=1e-3 * std.max())
    return float(std.mean() / features.square().mean().sqrt())
