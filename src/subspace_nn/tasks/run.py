"""One training on MNIST: its whole configuration, checked before anything is computed."""

import dataclasses
import functools
import itertools
from dataclasses import dataclass
from typing import Any, Literal, get_args

from subspace_nn import models
from subspace_nn.common import environment
from subspace_nn.common.checks import number, whole
from subspace_nn.common.errors import InputError, problems_of, unknown_name
from subspace_nn.projections import make, parse
from subspace_nn.runs.task import configured
from subspace_nn.subspace.layout import Layout
from subspace_nn.subspace.wrapper import Scale, Subspace
from subspace_nn.tasks.data import Dataset, mnist
from subspace_nn.tasks.train import History, Recipe, Schedule, fit

FULL = "full"


@dataclass(frozen=True)
class RunConfig:
    """What is trained and how.

    Attributes:
        model: The net: conv (D = 21,840) or fc (D = 199,210).
        dim: Number of free parameters d, from 1 to D; full is D.
        projection: The map from ω to the weights: hashed, layerwise:hashed, orthonormal (2017)
            and others.
        epochs: Passes over the training images.
        batch_size: Images a step.
        lr: Peak learning rate: initial standard deviations per step, for every dim and model.
        beta2: Adam's decay rate of the squared gradient, from 0 to below 1 (2017: 0.99).
        schedule: Of the learning rate: one-cycle or constant.
        dropout: Probability of dropping a unit in training.
        init: Of the weights: default (PyTorch's), or 2017 (normal, narrow, zero biases).
        scale: Of a step: init; learned, with a trained factor for each tensor; or none for P ω
            itself (2017).
        seed: Of the projection, the initial weights, the order of the images and dropout.
    """

    model: str = "conv"
    dim: int | Literal["full"] = 1000
    projection: str = "hashed"
    epochs: int = 5
    batch_size: int = 256
    lr: float = 0.4
    beta2: float = 0.999
    schedule: Schedule = "one-cycle"
    dropout: float = 0.0
    init: models.Init = "default"
    scale: Scale = "init"
    seed: int = 0

    def problems(self) -> list[str]:
        """What is wrong with the values, all of it.

        Returns:
            One sentence for each, none if all is well.

        Example:
            >>> for problem in RunConfig(lr=-1, epochs=0).problems():
            ...     print(problem)
            epochs must be a whole number from 1 to 100,000, got 0.
            lr must be a number above 0 and at most 1,000, got -1.
        """
        found = [
            unknown_name(name, getattr(self, name), valid)
            for name, valid in _CHOICES.items()
            if getattr(self, name) not in valid
        ]
        found += problems_of(lambda: parse(self.projection))
        found += self._dim_problems()
        found += whole("epochs", self.epochs, 1, 100_000)
        found += whole("batch_size", self.batch_size, 1, 60_000)
        found += number("lr", self.lr, above=0, most=1000)
        for name in ("beta2", "dropout"):
            found += number(name, getattr(self, name), least=0, below=1)
        found += whole("seed", self.seed, 0, 2**64 - 1)
        return found

    def build(self) -> Subspace:
        """The untrained net in its subspace.

        Returns:
            The subspace.

        Raises:
            InputError: if any value is wrong; all of them are named.
        """
        if found := self.problems():
            raise InputError(*found)
        module = models.build(self.model, dropout=self.dropout)
        if self.init != "default":
            models.initialise_2017(module, self.seed)
        dim = Layout.of(module).D if self.dim == FULL else self.dim
        theta0 = "seed" if self.init == "default" else "module"
        return Subspace(
            module, dim, self.projection, seed=self.seed, theta0=theta0, scale=self.scale
        )

    def recipe(self) -> Recipe:
        """The part of the configuration that the loop takes.

        Returns:
            The recipe.
        """
        return Recipe(
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            betas=(0.9, self.beta2),
            schedule=self.schedule,
        )

    def _dim_problems(self) -> list[str]:
        if self.dim == FULL:
            return []
        if self.model not in models.MODELS:
            return whole("dim", self.dim, 1, None)
        layout = Layout.of(models.build(self.model))
        D = layout.D
        found = whole("dim", self.dim, 1, D)
        if not found and self.projection == "identity" and self.dim != D:
            found.append(f"dim must be {D:,}, all weights of {self.model}, with identity.")
        elif not found and not problems_of(lambda: parse(self.projection)):
            tensors = {entry.name: entry.numel for entry in layout.entries}
            found += problems_of(lambda: make(self.projection, D, self.dim, tensors=tensors))
        return found


_CHOICES: dict[str, tuple[str, ...]] = {
    "model": tuple(models.MODELS),
    "schedule": get_args(Schedule),
    "init": get_args(models.Init),
    "scale": get_args(Scale),
}


@configured(RunConfig)
def train_mnist(config: RunConfig) -> dict[str, Any]:
    """The task "mnist" of a sweep: arguments are the fields of `RunConfig`.

    Args:
        config: what is trained and how.

    Returns:
        `D`, `dim`, the metrics of the last evaluation, every evaluation, and `loss_curve`: the
        training loss, averaged over each hundredth of the steps.
    """
    net = config.build()
    history = fit(net, _packaged(), config.recipe(), seed=config.seed)
    last = history.evaluations[-1]
    return {
        "D": net.D,
        "dim": net.dim,
        "test_accuracy": last.test_accuracy,
        "test_correct": last.test_correct,
        "train_loss": last.train_loss,
        "steps": history.steps,
        "evaluations": [dataclasses.asdict(e) for e in history.evaluations],
        "loss_curve": _averages(history.losses, 100),
    }


def record(config: RunConfig, net: Subspace, history: History) -> dict[str, Any]:
    """All there is to know about a training, ready for JSON.

    Args:
        config: what was asked for.
        net: the trained net.
        history: what happened.

    Returns:
        Nested dictionary of plain values.
    """
    return {
        "config": dataclasses.asdict(config),
        "D": net.D,
        "environment": environment.describe(net.omega.device) | environment.commit(),
        **dataclasses.asdict(history),
    }


def _averages(values: list[float], count: int) -> list[float]:
    edges = [len(values) * i // count for i in range(count + 1)]
    spans = [values[a:b] for a, b in itertools.pairwise(edges) if b > a]
    return [round(sum(span) / len(span), 5) for span in spans]


@functools.cache
def _packaged() -> Dataset:
    """One process trains many times on the same images."""
    return mnist()
