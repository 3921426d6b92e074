"""Whole training step in a subspace over that of the plain module, interleaved in one run.

    make bench        (or: python -m benchmarks.step_time results/step_time.json [--device cuda])

Both steps are the same: forward, backward and Adam. `conv` and `fc` take a batch of 256 images of
MNIST, `transformer`, of 20 million random weights, one of 8 × 128 tokens. A dense matrix of the
size of the seed's P is listed, too; its product does not ask what is in it. Kinds use compiled
loops where the extra "fast" is installed; `plain torch` does not. One thread. What is
reported is the median over the rounds of each step's time, and that of the ratio to the plain step
of the same round, with its quartiles; `benchmarks/timing.py` tells of which time.

The transformer's tensors of D numbers are 80 MB each. glibc gives such memory back to the system
as soon as it is free, and the system clears every page that it hands out again, which takes longer
than all sums with it. So on a CPU the transformer is measured once more in a process that keeps
its memory.
"""

import os
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from benchmarks import output, timing
from subspace_nn import Subspace, models
from subspace_nn.projections import Dense, Hashed, Projection, make
from subspace_nn.tasks.classifier import as_input
from subspace_nn.tasks.data import mnist

#: What the results call a kind without the extra "fast".
IN_TORCH = ", plain torch"
#: (kind, dim) for each net, and the rounds.
CASES: dict[str, tuple[list[tuple[str, int]], int]] = {
    "conv": (
        [(k, d) for k in ("hashed", "hadamard", "fastfood") for d in (10, 100, 1000, 10_000)]
        + [("dense", 1000), ("dense", 10_000)],
        60,
    ),
    "fc": (
        [(k, d) for k in ("hashed", "hadamard", "fastfood") for d in (10, 100, 1000, 10_000)]
        + [("sparse", 1000), ("dense", 1000)]
        + [
            (f"{k}{IN_TORCH}", d)
            for k in ("hashed", "hadamard", "fastfood")
            for d in (1000, 10_000)
        ],
        100,
    ),
    "transformer": (
        [("hashed", 10), ("hashed", 1000), ("hashed", 10_000), ("hashed, recomputed", 10_000)],
        20,
    ),
}

#: Bytes from which glibc asks the system for each piece, and gives what is free back.
MEMORY_KEPT = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
    "STEP_TIME_MEMORY_KEPT": "1",
}


class Transformer(nn.Module):
    """PyTorch's encoder between an embedding and a linear layer: by default D = 20,029,504.

    Args:
        vocabulary: number of tokens.
        width: of the embedding.
        layers: of the encoder.
    """

    def __init__(self, vocabulary: int = 1088, width: int = 512, layers: int = 6) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        layer = nn.TransformerEncoderLayer(width, 8, 4 * width, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next token.

        Args:
            tokens: shape (n, length), whole numbers.

        Returns:
            Shape (n, vocabulary, length).
        """
        return self.head(self.encoder(self.embedding(tokens))).mT


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    chosen = timing.arguments(__doc__)
    keeps = "STEP_TIME_MEMORY_KEPT" in os.environ
    rows = [
        row
        for model in (["transformer"] if keeps else CASES)
        for row in measure(model, chosen.device)
    ]
    if chosen.device.type == "cpu" and not keeps:
        again = timing.in_a_process("step_time", MEMORY_KEPT)["results"]
        rows += [row | {"model": f"{row['model']}, memory kept"} for row in again]
    output.write(chosen.out, "make bench", chosen.device, results=rows)


def measure(model: str, device: torch.device) -> list[dict[str, Any]]:
    """Time the plain step and those in subspaces in turn.

    Args:
        model: name of the net.
        device: that computes.

    Returns:
        One dictionary for each subspace.
    """
    variants, rounds = CASES[model]
    x, y = batch(model, device)
    steps: dict[tuple[str, int], Callable[[], object]] = {
        ("plain", 0): training_step(build(model).to(device), x, y)
    }
    for kind, dim in variants:
        net = build(model)
        D = sum(p.numel() for p in net.parameters())
        net = Subspace(net, dim, projection(kind, D, dim), theta0="module")
        step = training_step(net.to(device), x, y)
        steps[kind, dim] = timing.in_torch(step) if kind.endswith(IN_TORCH) else step
    times = timing.in_turn(steps, rounds, device)
    plain = times.pop(("plain", 0))
    print(f"{model}: plain step {plain.ms:.2f} ms", flush=True)
    return [report(model, *variant, own, plain) for variant, own in times.items()]


def build(model: str) -> nn.Module:
    """A net by its name.

    Args:
        model: "transformer", or as `models.build` knows it.

    Returns:
        The net.
    """
    return Transformer() if model == "transformer" else models.build(model)


def batch(model: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Inputs and targets.

    Args:
        model: name of the net.
        device: where to.

    Returns:
        256 images and labels, or 8 × 128 tokens and those to predict.
    """
    if model == "transformer":
        tokens = torch.randint(1088, (8, 129), generator=torch.Generator().manual_seed(0))
        return tokens[:, :-1].to(device), tokens[:, 1:].to(device)
    train = mnist().train
    return as_input(train.images[:256].to(device)), train.labels[:256].long().to(device)


def projection(kind: str, D: int, dim: int) -> Projection:
    """A projection by what the results call it.

    Args:
        kind: a kind, with or without `IN_TORCH`, "hashed, recomputed", or "dense".
        D: number of weights.
        dim: number of free parameters.

    Returns:
        The projection.
    """
    if kind == "dense":
        return Dense(torch.randn(D, dim) / D**0.5)
    if kind == "hashed, recomputed":
        return Hashed(D, dim, store=False)
    return make(kind.removesuffix(IN_TORCH), D, dim)


def training_step(
    net: nn.Module, x: Tensor, y: Tensor, *, capturable: bool = False
) -> Callable[[], None]:
    """A whole step of Adam.

    Args:
        net: what is trained.
        x: inputs.
        y: labels.
        capturable: whether a CUDA graph can hold the step.

    Returns:
        A function that makes one step.
    """
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, capturable=capturable)

    def step() -> None:
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def report(
    model: str, kind: str, dim: int, own: timing.Times, plain: timing.Times
) -> dict[str, Any]:
    """Print and return the figures of one subspace.

    Args:
        model: name of the net.
        kind: of the projection.
        dim: number of free parameters.
        own: its times.
        plain: those of the plain step in the same rounds.

    Returns:
        The figures by name.
    """
    ratios = own.over(plain)
    low, high = ratios["ratio_quartiles"]
    print(
        f"  {kind:18} d = {dim:6,}  {own.ms:8.2f} ms  ratio {ratios['ratio']:.3f} "
        f"(quartiles {low:.3f} to {high:.3f}; of wall time {ratios['wall_ratio']:.3f})",
        flush=True,
    )
    return {
        "model": model,
        "projection": kind,
        "dim": dim,
        "rounds": len(own.wall),
        "plain_ms": round(plain.ms, 3),
        "subspace_ms": round(own.ms, 3),
        **ratios,
    }


if __name__ == "__main__":
    main()
