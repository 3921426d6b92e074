"""L-BFGS and CMA-ES."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from subspace_nn import Subspace, models
from subspace_nn.common.errors import InputError
from subspace_nn.tasks import train
from subspace_nn.tasks.data import Split, mnist
from subspace_nn.tasks.optimise import CMAES, LBFGS, fit
from subspace_nn.tasks.train import DivergedError, Recipe, count_correct

RECIPES = [
    pytest.param(LBFGS(rounds=2, images=300, iterations=10), id="l-bfgs"),
    pytest.param(CMAES(generations=20, images=100), id="cma-es"),
]


@pytest.fixture(scope="module")
def digits():
    whole = mnist()
    first, second = Split(whole.train.images[:600], whole.train.labels[:600]), whole.test
    return replace(whole, train=first, test=Split(second.images[:200], second.labels[:200]))


def net(dim=10):
    return Subspace(models.build("fc-16"), dim, seed=0)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_loss_falls_and_the_history_tells(recipe, digits):
    subspace, seen = net(), []
    history = fit(subspace, digits, recipe, on_progress=seen.append)
    assert history.losses[-1] < history.losses[0]
    assert history.steps == len(history.losses)
    last = history.evaluations[-1]
    assert (last.test_correct, last.test_loss) == count_correct(subspace, digits.test)
    assert last.step == history.steps
    assert [e.epoch for e in history.evaluations] == list(range(1, len(history.evaluations) + 1))
    assert [now.evaluation for now in seen] == history.evaluations


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_same_seed_gives_the_same_and_no_global_generator_is_used(recipe, digits):
    nets = [net() for _ in range(3)]  # a constructor draws from PyTorch's generator
    states = torch.random.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    outcomes = []
    for subspace, seed in zip(nets, (0, 0, 1), strict=True):
        fit(subspace, digits, recipe, seed=seed)
        outcomes.append(subspace.omega.detach().clone())
    assert torch.equal(outcomes[0], outcomes[1])
    assert not torch.equal(outcomes[0], outcomes[2])
    assert torch.equal(states[0], torch.random.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002


def test_l_bfgs_finds_the_minimum_of_a_convex_loss(digits):
    """Logistic regression on the sample: the gradient vanishes."""
    subspace = Subspace(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), 5, seed=0)
    fit(subspace, digits, LBFGS(rounds=1, images=600, iterations=60))
    x, y = train.as_input(digits.train.images), digits.train.labels.long()
    loss = nn.functional.cross_entropy(subspace(x), y)
    (gradient,) = torch.autograd.grad(loss, subspace.omega)
    assert gradient.abs().max() < 1e-4


def test_adam_is_the_loop_of_train(digits):
    recipe = Recipe(epochs=1, batch_size=100)
    histories = [function(net(), digits, recipe).losses for function in (fit, train.fit)]
    assert histories[0] == histories[1]


@pytest.mark.parametrize(("recipe", "least"), [
    (LBFGS(rounds=1000, images=100, iterations=1000), 1),
    (CMAES(generations=1000, images=10), 1),
])  # fmt: skip
def test_the_clock_ends_it(recipe, least, digits):
    ticks = itertools.count()
    history = fit(net(), digits, replace(recipe, seconds=5), clock=lambda: float(next(ticks)))
    assert least <= history.steps <= 6
    assert history.evaluations


def test_a_loss_that_is_not_finite(digits):
    broken = net()
    with torch.no_grad():
        broken.omega.fill_(float("inf"))
    with pytest.raises(DivergedError):
        fit(broken, digits, LBFGS(rounds=2, images=50, iterations=5))


@pytest.mark.parametrize(("recipe", "dim", "messages"), [
    (LBFGS(rounds=0, images=-1), 10, ["rounds must be above 0, got 0", "images must be"]),
    (CMAES(sigma=0), 10, ["sigma must be above 0"]),
    (CMAES(), 1001, ["at most 1,000 free parameters, got 1,001"]),
])  # fmt: skip
def test_mistakes(recipe, dim, messages, digits):
    with pytest.raises(InputError) as caught:
        fit(net(dim), digits, recipe)
    for message in messages:
        assert message in str(caught.value)
