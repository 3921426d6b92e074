"""A net on images, trained on a grid and certified: the task of a search for the best bound."""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from subspace_nn.certificates.certificate import Certificate, certify
from subspace_nn.common.checks import number, whole
from subspace_nn.format import container
from subspace_nn.models import build
from subspace_nn.runs.task import configured
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks.classifier import as_input, fit
from subspace_nn.tasks.config import RunConfig
from subspace_nn.tasks.data import Dataset, Split
from subspace_nn.tasks.images import ImagesConfig, prepared
from subspace_nn.tasks.refine import refine

#: Images of a forward pass, and of a batch of the matrix that foresees what a code does.
_BATCH, _FEW = 1000, 16


@dataclass(frozen=True)
class CertifiedConfig(ImagesConfig):
    """A training on images with levels, and its certificate.

    Attributes:
        first: Number of the first images that θ0 is trained on, all weights of it; the bound is
            over the others. 0: θ0 is drawn from the seed, and the bound is over all.
        first_epochs: Passes over the first images.
        delta: Probability with which the bound may fail.
        refine: Rounds in which single codes change after the training, at the same price.

    Example:
        >>> CertifiedConfig(levels=5, first=60_000).problems()
        ['first must be a whole number from 0 to 59,999, got 60000.']
    """

    levels: int = 5
    first: int = 0
    first_epochs: int = 5
    delta: float = 0.05
    refine: int = 0

    later: ClassVar[tuple[str, ...]] = (*ImagesConfig.later, "refine")

    def problems(self) -> list[str]:
        """Check all values.

        Returns:
            One sentence for each value that is wrong.
        """
        found = super().problems()
        if not self.levels:
            found.append("levels must be from 2 to 256: a certificate is for an ω on a grid.")
        if isinstance(self.images, int):
            found += whole("first", self.first, 0, self.images - 1)
        found += whole("first_epochs", self.first_epochs, 1, 100_000)
        found += whole("refine", self.refine, 0, 100_000)
        return found + number("delta", self.delta, above=0, below=1)


@configured(CertifiedConfig)
def train(config: CertifiedConfig) -> dict[str, Any]:
    """Train and certify: the arguments are the fields of `CertifiedConfig`.

    Args:
        config: the configuration.

    Returns:
        `D`, `dim`, `steps`; `bound`, `train_error` and `test_error` as shares, `bits`, `n`;
        `test_accuracy` in percent; the bytes of the compact file (of the code of ω and 75 more,
        where θ0 is in the file); the certificate as a JSON object, and ω's file in hexadecimal
        digits if it is compact.
    """
    data = prepared(config.data, config.shuffled, config.images)
    prior = None
    if config.first:
        net = _on_learnt(config, data)
        prior = f"θ0 was trained on the images 0 to {config.first - 1:,}"
        data = Dataset(data.name, part(data.train, config.first), data.test, data.digest)
    else:
        net = config.build()
    history = fit(net, data, config, seed=config.seed)
    if config.refine:
        few = functools.partial(_few, data.train.to(net.omega.device))
        refine(net, few, price=config.price, rounds=config.refine, seed=config.seed)
    certificate = certify(
        net, batches(data.train), test=batches(data.test), prior=prior, delta=config.delta,
        prepare=functools.partial(on_device, device=net.omega.device),
    )  # fmt: skip
    return {"D": net.D, "dim": net.dim, "steps": history.steps, **_result(net, certificate)}


def part(split: Split, first: int) -> Split:
    """The images from one on.

    Args:
        split: all of them.
        first: number of the first that is kept.

    Returns:
        The others.
    """
    return Split(split.images[first:], split.labels[first:])


def batches(split: Split) -> list[tuple[Tensor, Tensor]]:
    """Images and labels as `certify` takes them; its certificate names the bytes of the pixels.

    Args:
        split: images and labels.

    Returns:
        Batches of uint8.
    """
    return list(zip(split.images.split(_BATCH), split.labels.split(_BATCH), strict=True))


def on_device(images: Tensor, device: torch.device) -> Tensor:
    """Images as a net takes them.

    Args:
        images: (n, 28, 28) uint8.
        device: of the net.

    Returns:
        (n, 1, 28, 28) float32.
    """
    return as_input(images.to(device))


def _few(split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    for images, labels in zip(split.images.split(_FEW), split.labels.split(_FEW), strict=True):
        yield as_input(images), labels.long()


def _on_learnt(config: CertifiedConfig, data: Dataset) -> Subspace:
    """A subspace around the net that all weights learnt on the first images."""
    first = Split(data.train.images[: config.first], data.train.labels[: config.first])
    learnt = RunConfig(
        model=config.model, dim="full", projection="identity", dropout=config.dropout,
        seed=config.seed,
    )  # fmt: skip
    net = learnt.build()
    recipe = RunConfig(epochs=config.first_epochs)
    fit(net, Dataset(data.name, first, data.test, data.digest), recipe, seed=config.seed)
    weights = net.merge().state_dict()
    module = build(config.model, dropout=config.dropout)
    module.load_state_dict(weights)
    return Subspace(
        module, config.dim, config.projection, seed=config.seed,
        theta0="module", scale=config.scale,
    )  # fmt: skip


def _result(net: Subspace, certificate: Certificate) -> dict[str, Any]:
    saved = net.to_checkpoint().rounded("coded")
    alone = saved.tensors.keys() == {"omega"}
    content = container.encode(saved, is_compact=alone)
    return {
        "bound": certificate.bound,
        "train_error": certificate.train_error,
        "test_error": certificate.test_error,
        "test_accuracy": 100 - 100 * (certificate.test_error or 0.0),
        "bits": certificate.bits,
        "n": certificate.n,
        "checkpoint_bytes": len(content),
        "certificate": json.loads(certificate.to_json()),
        "file": content.hex() if alone else None,
    }
