"""MNIST and Fashion-MNIST as a task, whole or shuffled."""

import os
from pathlib import Path

import pytest
import torch

from subspace_nn.common.errors import InputError
from subspace_nn.runs.run import Run
from subspace_nn.tasks.data import DEBIAN, fashion_mnist, mnist
from subspace_nn.tasks.images import ImagesConfig, prepared, train
from subspace_nn.tasks.optimise import CMAES, LBFGS, Zeroth

TASK = "subspace_nn.tasks.images:train"
#: Where the four files are, for the tests that need them.
FASHION = Path(os.environ.get("FASHION_MNIST", DEBIAN))
needs_fashion = pytest.mark.skipif(not FASHION.is_dir(), reason=f"no {FASHION}")


def run(**arguments):
    small = {"model": "fc", "dim": 20, "epochs": 1, "images": 500}
    return train(**Run.of(TASK, {**small, **arguments}).arguments)


def test_nothing_shuffled_is_the_data_themselves():
    kept = prepared("mnist", "nothing", 300)
    assert torch.equal(kept.train.images, mnist().train.images[:300])
    assert torch.equal(kept.test.labels, mnist().test.labels)


def test_shuffled_pixels_are_the_same_pixels_in_one_order():
    kept, plain = prepared("mnist", "pixels", 300), prepared("mnist", "nothing", 300)
    for name in ("train", "test"):
        mixed, whole = (getattr(d, name).images[:300].flatten(1) for d in (kept, plain))
        assert not torch.equal(mixed, whole)
        assert torch.equal(mixed.sort(1).values, whole.sort(1).values)
        assert torch.equal(getattr(kept, name).labels, getattr(plain, name).labels)
    # One order for all: a pixel that is always dark stays one, in another place.
    assert (
        kept.train.images.amax(0)
        .flatten()
        .sort()
        .values.equal(plain.train.images.amax(0).flatten().sort().values)
    )


def test_shuffled_labels_are_the_same_labels_of_other_images():
    kept, plain = prepared("mnist", "labels", 1000), prepared("mnist", "nothing", 1000)
    assert torch.equal(kept.train.images, plain.train.images)
    assert torch.equal(kept.train.labels.sort().values, plain.train.labels.sort().values)
    same = (kept.train.labels == plain.train.labels).double().mean()
    assert 0.05 < same < 0.2
    assert kept.test is kept.train


@pytest.mark.parametrize(("arguments", "metric"), [
    ({}, "test_accuracy"), ({"shuffled": "pixels"}, "test_accuracy"),
    ({"shuffled": "labels"}, "train_accuracy"), ({"optimiser": "l-bfgs"}, "test_accuracy"),
])  # fmt: skip
def test_results(arguments, metric):
    result = run(**arguments)
    assert result["dim"] == 20
    assert result["D"] == 199_210
    assert result[metric] == result["evaluations"][-1]["test_accuracy"]
    assert 5 < result[metric] < 90
    assert run(**arguments)[metric] == result[metric]


@pytest.mark.parametrize(("optimiser", "kind"), [
    ("adam", ImagesConfig(epochs=3)), ("l-bfgs", LBFGS(rounds=3)),
    ("cma-es", CMAES(generations=150)), ("spsa", Zeroth(3)),
])  # fmt: skip
def test_optimisers(optimiser, kind):
    assert ImagesConfig(epochs=3, optimiser=optimiser).method() == kind


@pytest.mark.parametrize(("arguments", "message"), [
    ({"shuffled": "pixel"}, "Did you mean 'pixels'"),
    ({"data": "cifar"}, "Unknown data 'cifar'"),
    ({"optimiser": "sgd"}, "Unknown optimiser 'sgd'"),
    ({"images": 0}, "images must be a whole number"),
    ({"lr": -1}, "lr must be"),
    ({"optimiser": "spsa", "lr": 0.1}, "spsa .* epochs and batch_size alone: leave out lr"),
    ({"optimiser": "l-bfgs", "levels": 5, "batch_size": 9}, "alone: leave out batch_size, levels"),
])  # fmt: skip
def test_mistakes(arguments, message):
    with pytest.raises(InputError, match=message):
        run(**arguments)


@needs_fashion
def test_fashion_mnist_is_the_published_one():
    clothes = fashion_mnist(FASHION)
    assert clothes.train.labels[:5].tolist() == [9, 0, 0, 3, 0]
    assert clothes.test.labels.bincount().tolist() == [1000] * 10
