"""Recipes: how to train. The default of every setting stands here and nowhere else."""

import abc
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from subspace_nn import bits
from subspace_nn.common.checks import number, one_of, whole
from subspace_nn.format.container import MAX_STAGES
from subspace_nn.format.packing import MOST_LEVELS
from subspace_nn.tasks.quantise import Quantised
from subspace_nn.tasks.staged import Staged

Schedule = Literal["one-cycle", "constant"]


class Method(abc.ABC):
    """What the loop asks of a recipe, whatever its optimiser is."""

    #: Whether the training loss of an epoch is the mean over its steps, or that of the last one.
    averages: ClassVar[bool] = True
    #: What to try if the loss is not finite.
    remedy: ClassVar[str]

    @property
    def seconds(self) -> float:
        """The time after which no step begins."""
        return math.inf

    @property
    def label(self) -> str:
        """The optimiser or its main setting, for messages."""
        return type(self).__name__

    @abc.abstractmethod
    def problems(self) -> list[str]:
        """Check all values; returns one sentence for each that is wrong."""

    @abc.abstractmethod
    def lengths(self, count: int) -> list[int]:
        """Count the steps of each epoch.

        Args:
            count: number of training examples.

        Returns:
            One number per epoch.
        """

    @abc.abstractmethod
    def rows(self, epoch: int, count: int, seed: int, device: torch.device) -> Iterator[Tensor]:
        """Draw the examples of each step of an epoch.

        Args:
            epoch: from 0.
            count: number of training examples.
            seed: of the draw.
            device: of the examples.

        Returns:
            The row numbers of the examples, for each step.
        """

    @abc.abstractmethod
    def optimizer(self, net: nn.Module, seed: int, steps: int) -> torch.optim.Optimizer:
        """Make the optimiser.

        Args:
            net: with the parameters to train.
            seed: of what the optimiser draws.
            steps: number of steps of the training.

        Returns:
            The optimiser of all parameters.
        """

    def scheduler(
        self,
        optimizer: torch.optim.Optimizer,  # noqa: ARG002
        steps: int,  # noqa: ARG002
    ) -> LRScheduler | None:
        """Make the schedule of the learning rate.

        Args:
            optimizer: any whose learning rate is to follow it.
            steps: number of steps of the training.

        Returns:
            The scheduler, to be called after each step; None if the rate is constant.
        """
        return None


@dataclass(frozen=True)
class Recipe(Method):
    """How to train with Adam.

    The learning rate is constant, or goes through one cycle (Smith and Topin, "Super-convergence",
    2018): up from lr/25 over the first 30 % of the steps, then down to nearly 0, both along a
    cosine. The last, smaller batch of an epoch is used, too.

    Attributes:
        epochs: Passes over the training examples.
        batch_size: Examples per step.
        lr: Peak learning rate: initial standard deviations per step, for every dim and model.
        beta2: Adam's decay rate of the squared gradient, from 0 to below 1 (2017: 0.99).
        schedule: Schedule of the learning rate: one-cycle or constant.
        levels: Levels of the grid that ω is trained on, from 2 to 256 (5 is -2 … 2); 0 for none.
        price: Price of a bit of ω's code on the grid, in nats of the loss; 1e-4 is a lot.
        stages: Number of random subspaces, one after another, with d numbers each.

    Example:
        >>> Recipe(lr=-1, epochs=0).problems()[0]
        'epochs must be a whole number from 1 to 100,000, got 0.'
    """

    epochs: int = 5
    batch_size: int = 256
    lr: float = 0.4
    beta2: float = 0.999
    schedule: Schedule = "one-cycle"
    levels: int = 0
    price: float = 0.0
    stages: int = 1

    #: Settings that are younger than records without them: absent from a run at their default.
    later: ClassVar[tuple[str, ...]] = ("levels", "price", "stages")
    remedy: ClassVar[str] = "Try a smaller lr."
    #: Largest valid lr.
    most_lr: ClassVar[float] = math.inf

    @property
    def label(self) -> str:
        """The learning rate, for messages."""
        return f"lr {self.lr:g}"

    def problems(self) -> list[str]:
        """As `Method` says."""
        return [
            *one_of("schedule", self.schedule, get_args(Schedule)),
            *whole("epochs", self.epochs, 1, 100_000),
            *whole("batch_size", self.batch_size, 1, 60_000),
            *number("lr", self.lr, above=0, most=self.most_lr),
            *number("beta2", self.beta2, least=0, below=1),
            *grid_problems(self.levels, self.price),
            *stage_problems(self.stages, self.levels),
        ]

    def lengths(self, count: int) -> list[int]:
        """As `Method` says."""
        return [-(-count // self.batch_size)] * self.epochs

    def rows(self, epoch: int, count: int, seed: int, device: torch.device) -> Iterator[Tensor]:
        """All examples in random order, batch by batch."""
        order = bits.permutation(seed, f"shuffle/{epoch}", count, device)
        return iter(order.split(self.batch_size))

    def optimizer(self, net: nn.Module, seed: int, steps: int) -> torch.optim.Optimizer:  # noqa: ARG002
        """Adam, on a grid if there are levels, in stages if there are several."""
        betas = (0.9, self.beta2)
        if self.levels:
            return Quantised(net, self.levels, steps, price=self.price, lr=self.lr, betas=betas)
        if self.stages > 1:
            return Staged(net, max(1, -(-steps // self.stages)), lr=self.lr, betas=betas)
        return torch.optim.Adam(net.parameters(), lr=self.lr, betas=betas)

    def scheduler(self, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler | None:
        """As `Method` says."""
        if self.schedule == "constant":
            return None
        return OneCycleLR(optimizer, max_lr=self.lr, total_steps=steps, cycle_momentum=False)


def stage_problems(stages: object, levels: object) -> list[str]:
    """Check the number of stages.

    Args:
        stages: as for `Recipe`.
        levels: as for `Recipe`.

    Returns:
        One sentence for each value that is wrong.
    """
    if levels and stages != 1:
        return ["levels and stages exclude each other: the ω of earlier stages are not rounded."]
    return whole("stages", stages, 1, MAX_STAGES)


def grid_problems(levels: object, price: object) -> list[str]:
    """Check the settings of a grid.

    Args:
        levels: as for `Recipe`.
        price: as for `Recipe`.

    Returns:
        One sentence for each value that is wrong.
    """
    if levels == 0:
        return [f"price is that of a code: give levels, too, got {price!r}."] if price else []
    return [*whole("levels", levels, 2, MOST_LEVELS), *number("price", price, least=0)]
