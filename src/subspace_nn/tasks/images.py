"""MNIST and Fashion-MNIST as tasks, whole or with pixels or labels shuffled."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import torch

from subspace_nn import bits
from subspace_nn.common.checks import one_of, whole
from subspace_nn.common.errors import problems_of
from subspace_nn.format import container
from subspace_nn.runs.packed import averages
from subspace_nn.runs.session import keep
from subspace_nn.runs.task import Together, configured
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks.classifier import History, fit
from subspace_nn.tasks.config import FULL, RunConfig
from subspace_nn.tasks.data import Dataset, Split, fashion_mnist, find_fashion_mnist, mnist
from subspace_nn.tasks.optimise import CMAES, CMAES_MOST, LBFGS, Zeroth
from subspace_nn.tasks.recipe import Method, Recipe
from subspace_nn.tasks.together import fit_together, problems

C = TypeVar("C", bound=RunConfig)
Source = Literal["mnist", "fashion-mnist"]
Shuffled = Literal["nothing", "pixels", "labels"]
Optimiser = Literal["adam", "l-bfgs", "cma-es", "spsa"]

#: An epoch of an optimiser without epochs: generations of CMA-ES.
_GENERATIONS = 50


@dataclass(frozen=True)
class ImagesConfig(RunConfig):
    """A training on images of a data set, some of them, whole or shuffled.

    Attributes:
        data: The images: mnist or fashion-mnist.
        shuffled: nothing; pixels (the same way in all images); or labels of the training images,
            with which the net is then evaluated: it can only memorise them.
        images: Number of training images (the first n).
        optimiser: adam; l-bfgs (an epoch is a round on 8,192 images); cma-es (an epoch is 50
            generations); or spsa (two forward passes a step). Those but adam have their own
            settings, and take epochs alone, spsa also batch_size.

    Example:
        >>> ImagesConfig(shuffled="pixel").problems()
        ["Unknown shuffled 'pixel'. Did you mean 'pixels'? Valid: nothing, pixels, labels."]
    """

    data: Source = "mnist"
    shuffled: Shuffled = "nothing"
    images: int = 60_000
    optimiser: Optimiser = "adam"

    def problems(self) -> list[str]:
        """Check all values.

        Returns:
            One sentence for each value that is wrong.
        """
        found = super().problems()
        choices = {"data": Source, "shuffled": Shuffled, "optimiser": Optimiser}
        for name, valid in choices.items():
            found += one_of(name, getattr(self, name), get_args(valid))
        found += whole("images", self.images, 1, 60_000)
        if self.data == "fashion-mnist":
            found += problems_of(find_fashion_mnist)
        many = self.dim == FULL or (isinstance(self.dim, int) and self.dim > CMAES_MOST)
        if self.optimiser == "cma-es" and many:
            found.append(
                f"cma-es is for at most {CMAES_MOST:,} free parameters, got dim {self.dim!r}. A "
                "measurement also trains the full model: for a net of this size use l-bfgs, or "
                "compare single dims in a sweep."
            )
        return found + self._unused()

    def _unused(self) -> list[str]:
        """Settings of Adam that have no effect with another optimiser."""
        used = {"cma-es": {"epochs"}, "l-bfgs": {"epochs"}, "spsa": {"epochs", "batch_size"}}
        if self.optimiser not in used:
            return []
        names = [
            field.name
            for field in dataclasses.fields(Recipe)
            if field.name not in used[self.optimiser] and getattr(self, field.name) != field.default
        ]
        takes = " and ".join(sorted(used[self.optimiser], reverse=True))
        words = f"{self.optimiser} has its own settings, and takes {takes} alone: leave out "
        return [f"{words}{', '.join(names)}."] if names else []

    def method(self) -> Method:
        """Choose the recipe of the optimiser.

        Returns:
            This configuration for Adam, else a recipe of `subspace_nn.tasks.optimise`.
        """
        if self.optimiser == "l-bfgs":
            return LBFGS(rounds=self.epochs)
        if self.optimiser == "cma-es":
            return CMAES(generations=_GENERATIONS * self.epochs)
        if self.optimiser == "spsa":
            return Zeroth(self.epochs, self.batch_size)
        return self


def _together(
    data: Callable[[C], Dataset], result: Callable[[C, Subspace, History], dict[str, Any]]
) -> Together[C]:
    """Train runs of one configuration at once, on the same images."""

    def train(configs: Sequence[C]) -> list[dict[str, Any] | Exception]:
        nets, first = [config.build() for config in configs], configs[0]
        outcomes = fit_together(nets, data(first), first, [config.seed for config in configs])
        return [
            one if isinstance(one, Exception) else result(config, net, one)
            for config, net, one in zip(configs, nets, outcomes, strict=True)
        ]

    return Together(train, problems)


@configured(RunConfig, _together(lambda _: _mnist(), lambda _, net, history: result(net, history)))
def train_mnist(config: RunConfig) -> dict[str, Any]:
    """Train on MNIST, the task "mnist": its arguments are the fields of `RunConfig`.

    Args:
        config: the configuration.

    Returns:
        `D`, `dim`, the metrics of the last evaluation, every evaluation, the bytes of the
        checkpoint, and `loss_curve`: the training loss, averaged over each hundredth of the steps.
    """
    net = config.build()
    history = fit(net, _mnist(), config, seed=config.seed)
    keep(net)
    return result(net, history)


def result(net: Subspace, history: History) -> dict[str, Any]:
    """What a record of the task "mnist" says of a training.

    Args:
        net: the trained net.
        history: the course of its training.

    Returns:
        As `train_mnist`.
    """
    last = history.evaluations[-1]
    return {
        "D": net.D,
        "dim": net.dim,
        "test_accuracy": last.test_accuracy,
        "test_correct": last.test_correct,
        "train_loss": last.train_loss,
        "steps": history.steps,
        "checkpoint_bytes": len(container.encode(net.to_checkpoint())),
        "evaluations": [dataclasses.asdict(e) for e in history.evaluations],
        "loss_curve": averages(history.losses, 100),
    }


def _images(config: ImagesConfig) -> Dataset:
    return prepared(config.data, config.shuffled, config.images)


def _result(config: ImagesConfig, net: Subspace, history: History) -> dict[str, Any]:
    last = history.evaluations[-1]
    measured = "train_accuracy" if config.shuffled == "labels" else "test_accuracy"
    return {
        "D": net.D,
        "dim": net.dim,
        "steps": history.steps,
        "train_loss": last.train_loss,
        measured: last.test_accuracy,
        "evaluations": [dataclasses.asdict(e) for e in history.evaluations],
    }


@configured(ImagesConfig, _together(_images, _result))
def train(config: ImagesConfig) -> dict[str, Any]:
    """Train on images, whole or shuffled: the arguments are the fields of `ImagesConfig`.

    Args:
        config: the configuration.

    Returns:
        `D`, `dim`, `steps`, `train_loss`, and every evaluation; `test_accuracy`, or
        `train_accuracy` if the labels are shuffled, both in percent.
    """
    net = config.build()
    history = fit(net, _images(config), config.method(), seed=config.seed)
    keep(net)
    return _result(config, net, history)


@functools.lru_cache(maxsize=1)  # a process trains many times on the same images
def prepared(data: Source, shuffled: Shuffled, images: int) -> Dataset:
    """Prepare the images of a configuration; the shuffling is the same for every seed.

    Args:
        data: the data set.
        shuffled: nothing, pixels or labels.
        images: number of training images to keep (the first n).

    Returns:
        The data set; with shuffled labels its test set is its training set.
    """
    whole = mnist() if data == "mnist" else fashion_mnist()
    whole = dataclasses.replace(whole, train=_first(whole.train, images))
    if shuffled == "pixels":
        order = bits.permutation(0, "shuffled/pixels", 784)
        train, test = (_reordered(part, order) for part in (whole.train, whole.test))
        return dataclasses.replace(whole, train=train, test=test)
    if shuffled == "labels":
        labels = whole.train.labels[bits.permutation(0, "shuffled/labels", images)]
        learned = Split(whole.train.images, labels)
        return dataclasses.replace(whole, train=learned, test=learned)
    return whole


def _mnist() -> Dataset:
    return prepared("mnist", "nothing", 60_000)


def _first(split: Split, count: int) -> Split:
    return Split(split.images[:count], split.labels[:count])


def _reordered(split: Split, order: torch.Tensor) -> Split:
    return Split(split.images.flatten(1)[:, order].view_as(split.images), split.labels)
