"""The task of `experiments/generators.toml`: numbers to weights by sines, or by a linear map.

Manifold-constrained compression (Thrash et al., "MCNC: Manifold-constrained reparameterization for
neural compression", 2025) cuts the weights into chunks and makes each, θ0 aside, from a few numbers
by a frozen random net with sines. Here that stands against linear maps with equally many numbers.
"""

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from experiments.splits import mnist
from subspace_nn import Subspace, bits, models
from subspace_nn.tasks.classifier import fit
from subspace_nn.tasks.recipe import Recipe

#: Numbers of a chunk: nine inputs of the generator and an amplitude.
_NUMBERS = 10
#: Hidden units of the generator.
_HIDDEN = 1000


def generated(
    *,
    map: str = "sines",  # noqa: A002  # the name of the axis
    chunk: int = 5000,
    frequency: float = 4.5,
    epochs: int = 10,
    lr: float = 0.1,
    held_out: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Train fc in ten numbers a chunk of its weights.

    Args:
        map: sines (amplitude × a random net with sines of nine numbers), chunks (the same random
            linear map of ten numbers in each chunk), or hashed (this package's, of all numbers).
        chunk: weights of a chunk.
        frequency: of the generator's first layer.
        epochs: of the training.
        lr: learning rate.
        held_out: training images to evaluate on, instead of the test set.
        seed: of θ0, the map, and the order of the images.

    Returns:
        D, dim (how many numbers train, all of which a file would hold), and the accuracy in
        percent.
    """
    module = models.build("fc")
    D = sum(p.numel() for p in module.parameters())
    count = _NUMBERS * -(-D // chunk)
    net: nn.Module = Subspace(module, count, seed=seed)
    if map != "hashed":
        net = _Chunks(Subspace(module, 1, seed=seed), chunk, frequency if map == "sines" else None)
    history = fit(net, mnist(held_out), Recipe(epochs=epochs, lr=lr), seed=seed, device="cpu")
    return {
        "D": D,
        "dim": sum(p.numel() for p in net.parameters() if p.requires_grad),
        "test_accuracy": history.evaluations[-1].test_accuracy,
        "train_loss": history.evaluations[-1].train_loss,
    }


class _Chunks(nn.Module):
    """A module with the weights θ0 + σ ⊙ (a map of a few numbers for each chunk)."""

    def __init__(self, start: Subspace, chunk: int, frequency: float | None) -> None:
        super().__init__()
        self.D, self.layout = start.D, start.layout
        count = -(-self.D // chunk)
        self.module = start.merge().requires_grad_(requires_grad=False)
        parts = {e.name: torch.full(e.shape, start.sigma[e.name]) for e in self.layout.entries}
        self.register_buffer("sigma", self.layout.flatten(parts))
        self.register_buffer("theta0", self.layout.flatten(start.theta0()))
        inputs = _NUMBERS if frequency is None else _NUMBERS - 1
        self.numbers = nn.Parameter(torch.zeros(count, inputs))
        sizes = [inputs, chunk] if frequency is None else [inputs, _HIDDEN, _HIDDEN, chunk]
        self.layers = [
            bits.normal(start.seed, f"generator/{i}", 0, m * n).view(m, n).float() / math.sqrt(m)
            for i, (m, n) in enumerate(itertools.pairwise(sizes))
        ]
        self.frequency = frequency or 1.0
        self.amplitude = None if frequency is None else nn.Parameter(torch.ones(count, 1))

    def forward(self, x: Tensor) -> Tensor:
        values, frequency = self.numbers, self.frequency
        for layer in self.layers[:-1]:
            values = torch.sin(frequency * values @ layer)
            frequency = 1.0
        values = values @ self.layers[-1]
        if self.amplitude is not None:
            values = self.amplitude * values
        theta = self.theta0 + self.sigma * values.flatten()[: self.D]
        return functional_call(self.module, self.layout.split(theta), (x,))
