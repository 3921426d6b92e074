"""MNIST and Fashion-MNIST as a task, whole or with pixels or labels shuffled."""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from subspace_nn import bits
from subspace_nn.common.checks import whole
from subspace_nn.common.errors import problems_of, unknown_name
from subspace_nn.runs.task import configured
from subspace_nn.tasks.data import Dataset, Split, fashion_mnist, mnist
from subspace_nn.tasks.optimise import CMAES, CMAES_MOST, LBFGS, fit
from subspace_nn.tasks.run import FULL, RunConfig
from subspace_nn.tasks.train import Recipe

Source = Literal["mnist", "fashion-mnist"]
Shuffled = Literal["nothing", "pixels", "labels"]
Optimiser = Literal["adam", "l-bfgs", "cma-es"]

#: What an epoch is for an optimiser without epochs: generations of CMA-ES.
_GENERATIONS = 50


@dataclass(frozen=True)
class ImagesConfig(RunConfig):
    """What is trained, on which images, and how.

    Attributes:
        data: The images: mnist or fashion-mnist.
        shuffled: nothing; pixels, all images in the same way; or the labels of the training
            images, which are then what the net is tested on: it can only learn them by heart.
        images: Training images, the first so many.
        optimiser: adam; l-bfgs, an epoch being a round on 8,192 images; or cma-es, an epoch
            being 50 generations.
    """

    data: Source = "mnist"
    shuffled: Shuffled = "nothing"
    images: int = 60_000
    optimiser: Optimiser = "adam"

    def problems(self) -> list[str]:
        """What is wrong with the values, all of it.

        Returns:
            One sentence for each, none if all is well.

        Example:
            >>> ImagesConfig(shuffled="pixel").problems()
            ["Unknown shuffled 'pixel'. Did you mean 'pixels'? Valid: nothing, pixels, labels."]
        """
        found = super().problems()
        choices = {"data": Source, "shuffled": Shuffled, "optimiser": Optimiser}
        for name, valid in choices.items():
            if (value := getattr(self, name)) not in get_args(valid):
                found.append(unknown_name(name, value, get_args(valid)))
        found += whole("images", self.images, 1, 60_000)
        if self.data == "fashion-mnist":
            found += problems_of(fashion_mnist)
        many = self.dim == FULL or (isinstance(self.dim, int) and self.dim > CMAES_MOST)
        if self.optimiser == "cma-es" and many:
            found.append(
                f"cma-es is for at most {CMAES_MOST:,} free parameters, got dim {self.dim!r}. A "
                "measurement also trains the full model: for a net as large as these take "
                "l-bfgs, or compare single dims by a sweep."
            )
        return found

    def method(self) -> Recipe | LBFGS | CMAES:
        """The part of the configuration that the optimiser takes.

        Returns:
            A recipe of `subspace_nn.tasks.optimise`.
        """
        if self.optimiser == "l-bfgs":
            return LBFGS(rounds=self.epochs)
        if self.optimiser == "cma-es":
            return CMAES(generations=_GENERATIONS * self.epochs)
        return self.recipe()


@configured(ImagesConfig)
def train(config: ImagesConfig) -> dict[str, Any]:
    """Train on images, whole or shuffled: arguments are the fields of `ImagesConfig`.

    Args:
        config: what is trained, on which images, and how.

    Returns:
        `D`, `dim`, `steps`, `train_loss`, and every evaluation; `test_accuracy`, or
        `train_accuracy` if the labels are shuffled, both in percent.
    """
    net = config.build()
    data = prepared(config.data, config.shuffled, config.images)
    history = fit(net, data, config.method(), seed=config.seed)
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


@functools.lru_cache(maxsize=1)  # one process trains many times on the same images
def prepared(data: Source, shuffled: Shuffled, images: int) -> Dataset:
    """The images of a configuration. What is shuffled is so in the same way for every seed.

    Args:
        data: which images.
        shuffled: what of them.
        images: training images to keep, the first so many.

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


def _first(split: Split, count: int) -> Split:
    return Split(split.images[:count], split.labels[:count])


def _reordered(split: Split, order: torch.Tensor) -> Split:
    return Split(split.images.flatten(1)[:, order].view_as(split.images), split.labels)
