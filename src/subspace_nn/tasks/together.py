"""Train classifiers that differ in their seeds as one: `torch.func.vmap` over θ and the images.

Each net keeps its own ω, P, θ0 and order of images; they share the passes of the module and the
step of Adam.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own spelling
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.dropout import _DropoutNd

from subspace_nn.common.checks import require
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks.classifier import (
    DivergedError,
    Evaluation,
    History,
    as_input,
    count_correct,
)
from subspace_nn.tasks.config import RunConfig
from subspace_nn.tasks.data import Dataset
from subspace_nn.tasks.loop import find_device, steps


def fit_together(
    nets: Sequence[Subspace],
    data: Dataset,
    recipe: RunConfig,
    seeds: Sequence[int],
    *,
    device: str = "auto",
    clock: Callable[[], float] = time.perf_counter,
) -> list[History | DivergedError]:
    """Do what `fit` does, with several nets of one architecture; results are the same to rounding.

    Args:
        nets: moved to the device and trained in place.
        data: as for `fit`.
        recipe: of all nets, its seed aside.
        seeds: of the order of the images, for each net.
        device: as for `fit`.
        clock: measures the seconds of evaluations, of which each net has an equal share.

    Returns:
        The history of each net; the error of one whose loss or weights were not finite.

    Raises:
        InputError: if the recipe cannot be trained so (`problems`); or the nets differ in more than
            θ, have a tensor outside of θ, or drop units.
    """
    require([*problems(recipe), *_net_problems(nets)])
    where = find_device(device)
    batch = _Together([net.to(where) for net in nets])
    train, test = data.train.to(where), data.test.to(where)
    lengths = recipe.lengths(len(train.labels))
    histories = [History(steps=sum(lengths)) for _ in nets]
    optimizer = recipe.optimizer(batch, 0, sum(lengths))
    scheduler = recipe.scheduler(optimizer, sum(lengths))
    unread: list[Tensor] = []

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        each = torch.vmap(F.cross_entropy)(logits, labels)
        unread.append(each.detach())
        return each.sum()

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        orders = (recipe.rows(epoch, len(train.labels), seed, where) for seed in seeds)
        for rows in map(torch.stack, zip(*orders, strict=True)):
            images = as_input(train.images[rows.flatten()])
            yield images.unflatten(0, rows.shape), train.labels[rows].long()

    start = clock()
    for epoch in range(len(lengths)):
        for _ in steps(batch, batches(epoch), loss, optimizer, scheduler):
            pass
        losses = torch.stack(unread, 1).tolist()
        unread.clear()
        for net, history, latest in zip(nets, histories, losses, strict=True):
            history.losses += latest
            correct, test_loss = count_correct(net, test)
            history.evaluations.append(
                Evaluation(
                    epoch=epoch + 1,
                    step=len(history.losses),
                    train_loss=sum(latest) / len(latest),
                    test_loss=test_loss,
                    test_correct=correct,
                    test_accuracy=100 * correct / len(test.labels),
                    seconds=(clock() - start) / len(nets),
                )
            )
    outcomes: list[History | DivergedError] = []
    for net, history in zip(nets, histories, strict=True):
        bad = [step for step, one in enumerate(history.losses, 1) if not math.isfinite(one)]
        if bad or not bool(net.omega.isfinite().all()):
            history.stopped = f"the loss or ω was not finite at step {(bad or [history.steps])[0]}"
            message = f"{history.stopped} of {history.steps}, {recipe.label}. {recipe.remedy}"
            outcomes.append(DivergedError(f"Stopped: {message}", history))
        else:
            outcomes.append(history)
    return outcomes


def problems(recipe: RunConfig) -> list[str]:
    """Why a recipe cannot be trained with several seeds at once.

    Args:
        recipe: of a training on images.

    Returns:
        One sentence for each setting.

    Example:
        >>> problems(RunConfig(stages=2))
        ['stages must be 1 in a batched training, got 2.']
    """
    needed = {"dropout": 0, "levels": 0, "stages": 1, "optimiser": "adam"}
    return [
        f"{name} must be {value} in a batched training, got {getattr(recipe, name)}."
        for name, value in needed.items()
        if getattr(recipe, name, value) != value
    ]


def _net_problems(nets: Sequence[Subspace]) -> Iterator[str]:
    """Why nets cannot be one: in the call of all, whatever is not θ is that of the first."""
    if len({net.layout.fingerprint() for net in nets}) > 1:
        yield "The nets of a batched training must have one architecture."
    for net in nets[:1]:
        plain = net.merge()
        inside = {name for entry in net.layout.entries for name in entry.slots}
        every = [name for name, _ in (*plain.named_parameters(), *plain.named_buffers())]
        if outside := [name for name in every if name not in inside]:
            yield f"In a batched training every tensor must be in θ; outside: {', '.join(outside)}."
        modules = plain.named_modules()
        if random := [n for n, m in modules if isinstance(m, _DropoutNd) and m.p]:
            yield f"A batched training cannot drop units: set p = 0 in {', '.join(random)}."


class _Together(nn.Module):
    """Several subspaces of one module: inputs of shape (nets, batch, …), likewise the outputs."""

    def __init__(self, nets: Sequence[Subspace]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.thetas = [net.theta for net in nets]
        plain, split = nets[0].merge(), nets[0].layout.split

        def call(theta: Tensor, x: Tensor) -> Tensor:
            return functional_call(plain, split(theta), (x,))

        self.call = torch.vmap(call)

    def forward(self, x: Tensor) -> Tensor:
        return self.call(torch.stack([theta() for theta in self.thetas]), x)
