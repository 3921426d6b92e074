"""The configuration of a training on images, checked before anything is computed."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from subspace_nn import models
from subspace_nn.common import environment
from subspace_nn.common.checks import number, one_of, plain, require, whole
from subspace_nn.common.errors import problems_of
from subspace_nn.projections import make, parse
from subspace_nn.subspace.layout import Layout
from subspace_nn.subspace.wrapper import Scale, Subspace
from subspace_nn.tasks.classifier import History
from subspace_nn.tasks.loop import on_cpu
from subspace_nn.tasks.recipe import Recipe

FULL = "full"

#: Test accuracy on MNIST with all weights trained by the default recipe, in percent: the mean of
#: five seeds, from `subspace-nn measure mnist-conv`, `mnist-fc` and `mnist-lenet`.
ALL_WEIGHTS = {"conv": 99.24, "fc": 98.31, "lenet": 99.11}

_OWN_NET = (
    "For a net of your own write a function that gives it and its data: subspace-nn sweep "
    "mine:function dim=100."
)


def subspace_problems(arguments: Mapping[str, Any], D: int | None = None) -> list[str]:
    """Check what every task in a subspace has: dim, projection and seed.

    Args:
        arguments: of the task.
        D: number of weights, if it is known.

    Returns:
        One sentence for each value that is wrong.
    """
    dim = arguments["dim"]
    return [
        *(whole("dim", dim, 1, D) if dim != FULL else ()),
        *problems_of(lambda: parse(arguments["projection"])),
        *whole("seed", arguments["seed"], 0, 2**64 - 1),
    ]


@dataclass(frozen=True)
class NetConfig:
    """The net and its subspace.

    Attributes:
        model: Net: conv (D = 21,840), fc (D = 199,210), or another of subspace_nn.models.MODELS.
        dim: Number of free parameters d, from 1 to D; full is D.
        projection: Map from ω to the weights: hashed, layerwise:hashed, orthonormal (2017), …
        dropout: Probability of dropping a unit in training.
        init: Initial weights: default (PyTorch's) or 2017 (normal, narrow, zero biases).
        scale: Scale of a step: init; learned (a factor per tensor); none (P ω itself, 2017).
        seed: Seed of P, the initial weights, the order of the images, and dropout.
    """

    model: str = "conv"
    dim: int | Literal["full"] = 1000
    projection: str = "hashed"
    dropout: float = 0.0
    init: models.Init = "default"
    scale: Scale = "init"
    seed: int = 0

    def __post_init__(self) -> None:
        """Turn NumPy's numbers, which JSON cannot hold, into Python's."""
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))

    def problems(self) -> list[str]:
        """Check all values.

        Returns:
            One sentence for each value that is wrong.
        """
        return [
            *(f"{p} {_OWN_NET}" for p in one_of("model", self.model, models.MODELS)),
            *one_of("init", self.init, get_args(models.Init)),
            *one_of("scale", self.scale, get_args(Scale)),
            *problems_of(lambda: parse(self.projection)),
            *self._dim_problems(),
            *number("dropout", self.dropout, least=0, below=1),
            *whole("seed", self.seed, 0, 2**64 - 1),
        ]

    @on_cpu
    def build(self) -> Subspace:
        """Build the untrained net in its subspace.

        Returns:
            The subspace.

        Raises:
            InputError: if any value is wrong; all of them are named.
        """
        require(self.problems())
        module = models.build(self.model, dropout=self.dropout)
        if self.init != "default":
            models.initialise_2017(module, self.seed)
        theta0 = "seed" if self.init == "default" else "module"
        return Subspace(
            module, self.dim, self.projection, seed=self.seed, theta0=theta0, scale=self.scale
        )

    @on_cpu
    def _dim_problems(self) -> list[str]:
        if self.dim == FULL:
            return []
        if self.model not in models.MODELS:
            return whole("dim", self.dim, 1)
        layout = Layout.of(models.build(self.model))
        D = layout.D
        found = whole("dim", self.dim, 1, D)
        if not found and self.projection == "identity" and self.dim != D:
            found.append(f"dim must be {D:,}, all weights of {self.model}, with identity.")
        elif not found and not problems_of(lambda: parse(self.projection)):
            tensors = {entry.name: entry.numel for entry in layout.entries}
            found += problems_of(lambda: make(self.projection, D, self.dim, tensors=tensors))
        return found


@dataclass(frozen=True)
class RunConfig(Recipe, NetConfig):
    """A training on images: the fields of `NetConfig`, then those of `Recipe`.

    Example:
        >>> for problem in RunConfig(lr=-1, dim=0).problems():
        ...     print(problem)
        dim must be a whole number from 1 to 21,840, got 0.
        lr must be a number above 0 and at most 1,000, got -1.
    """

    most_lr: ClassVar[float] = 1000.0

    def problems(self) -> list[str]:
        """Check all values.

        Returns:
            One sentence for each value that is wrong.
        """
        return NetConfig.problems(self) + Recipe.problems(self)


def record(config: RunConfig, net: Subspace, history: History) -> dict[str, Any]:
    """Collect everything about a training.

    Args:
        config: the configuration.
        net: the trained net.
        history: the course of the training.

    Returns:
        Nested dictionary of plain values, ready for JSON.
    """
    return {
        "config": dataclasses.asdict(config),
        "D": net.D,
        "environment": environment.describe(net.omega.device) | environment.commit(),
        **dataclasses.asdict(history),
    }
