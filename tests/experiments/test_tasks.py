"""The tasks of experiments/ on a few hundred images: what they return, and what they choose."""

import dataclasses

import pytest
import torch

from experiments import burn_in, generators, pooling, sources, splits, stages
from subspace_nn import Subspace, models, projections
from subspace_nn.tasks.data import Split


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Five steps an epoch, and 200 images to judge by."""
    whole = splits.mnist()
    train = Split(whole.train.images[:1280], whole.train.labels[:1280])
    test = Split(whole.test.images[:200], whole.test.labels[:200])
    small = dataclasses.replace(whole, train=train, test=test)
    for module in (burn_in, generators, pooling, sources, stages):
        monkeypatch.setattr(module, "mnist", lambda _=0: small)
    monkeypatch.setattr(sources, "_RANK", 2)
    sources._full.cache_clear()
    burn_in._start.cache_clear()
    return small


def test_images_held_out_are_the_last_of_the_training_set():
    whole, part = splits.mnist(), splits.mnist(10_000)
    assert torch.equal(part.train.images, whole.train.images[:50_000])
    assert torch.equal(part.test.labels, whole.train.labels[50_000:])


@pytest.mark.parametrize(("source", "stored"), [
    ("trajectory", 2 + 2 * 21_840), ("lottery", 2 + 21_840), ("aligned", 4),
])  # fmt: skip
def test_learned_directions(source, stored):
    found = sources.learned(source=source, dim=2, first=4)
    assert (found["D"], found["dim"], found["stored"]) == (21_840, 2, stored)
    assert 0 <= found["test_accuracy"] <= 100


@pytest.mark.parametrize(("arguments", "trained"), [
    ({"stages": 1, "dim": 50}, 50),
    ({"stages": 2, "dim": 25}, 50),
    ({"stages": 2, "dim": 25, "candidates": 3, "anneal": "stage"}, 50),
])  # fmt: skip
def test_stages(arguments, trained):
    found = stages.staged(epochs=2, **arguments)
    assert (found["trained"], found["stored"]) == (trained, trained)
    assert stages.staged(epochs=2, **arguments) == found


def test_the_candidate_with_most_of_the_gradient_is_chosen(few):
    net = Subspace(models.build("conv"), 5)
    choose = stages._Chooser(net, few.train, 4)
    gradient = choose._gradient()
    lengths = {
        seed << 32: (projections.make("hashed", net.D, 5, seed << 32).T @ gradient).norm()
        for seed in range(1, 5)
    }
    assert choose() == max(lengths, key=lengths.get)
    # The gradient is that of all weights, in the units of a step.
    full = Subspace(models.build("conv"), net.D, "identity")
    images = stages.as_input(few.train.images[: stages._IMAGES])
    loss = torch.nn.functional.cross_entropy(
        full(images), few.train.labels[: stages._IMAGES].long()
    )
    (expected,) = torch.autograd.grad(loss, full.omega)
    assert torch.allclose(gradient, expected, atol=1e-6)


def test_burn_in():
    first, then = burn_in.burnt_in(steps=0, dim=3), burn_in.burnt_in(steps=8, dim=3)
    assert (first["D"], first["stored"], then["stored"]) == (3369, 3, 3372)
    assert then["start_accuracy"] > first["start_accuracy"] + 20


@pytest.mark.parametrize("map", ["sines", "chunks", "hashed"])
def test_every_map_has_equally_many_numbers(map):  # noqa: A002
    found = generators.generated(map=map, epochs=1)
    assert (found["D"], found["dim"]) == (199_210, 400)


@pytest.mark.parametrize(("pool", "D"), [
    ("flat", 17_194), ("mean", 14_634), ("max", 14_634), ("scaled", 14_634),
])  # fmt: skip
def test_pooling(pool, D):
    found = pooling.pooled(pool=pool, dim="full" if pool == "mean" else 10, epochs=1)
    assert found["D"] == D
    assert found["dim"] == (D if pool == "mean" else 10)
    assert found["spread"] > 0
