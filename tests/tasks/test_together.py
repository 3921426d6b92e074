"""Several seeds as one training: the results of each seed alone."""

from dataclasses import replace

import pytest
import torch

from subspace_nn.common.errors import InputError
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks import classifier, together
from subspace_nn.tasks.classifier import DivergedError, fit
from subspace_nn.tasks.config import RunConfig
from subspace_nn.tasks.data import Dataset, Split, mnist
from subspace_nn.tasks.together import fit_together

SEEDS = (0, 7, 3)

classifier_input = classifier.as_input


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """330 images, so that the last of six batches of an epoch is a smaller one."""
    data = mnist()
    parts = ((data.train, 330), (data.test, 100))
    train, test = (Split(part.images[:n], part.labels[:n]) for part, n in parts)
    return replace(data, train=train, test=test)


@pytest.mark.parametrize("settings", [
    {"model": "fc"}, {"model": "conv"}, {"model": "lenet", "schedule": "constant", "lr": 0.1},
    {"model": "fc", "projection": "fastfood"}, {"model": "fc", "projection": "sparse"},
    {"model": "fc-16", "projection": "orthonormal", "init": "2017", "scale": "none", "lr": 0.01},
    {"model": "conv", "projection": "layerwise:hashed", "scale": "learned"},
    {"model": "fc-16", "dim": "full"},
], ids=lambda settings: "-".join(map(str, settings.values())))  # fmt: skip
def test_each_seed_has_the_results_that_it_has_alone(settings, digits, monkeypatch):
    """In float64: a rounding in float32 may turn a ReLU or the winner of a pool the other way."""
    for room in (classifier, together):
        monkeypatch.setattr(room, "as_input", lambda images: classifier_input(images).double())
    configs = [
        RunConfig(**{"dim": 50, "epochs": 2, "batch_size": 60, "seed": seed, **settings})
        for seed in SEEDS
    ]
    nets, others = ([config.build().double() for config in configs] for _ in range(2))
    histories = fit_together(nets, digits, configs[0], SEEDS)
    for config, net, history, other in zip(configs, nets, histories, others, strict=True):
        alone = fit(other, digits, config, seed=config.seed)
        assert history.losses == pytest.approx(alone.losses, rel=1e-9)
        assert len(history.losses) == history.steps == alone.steps == 12
        torch.testing.assert_close(net.omega, other.omega, rtol=0, atol=1e-7 * config.lr)
        for mine, its in zip(history.evaluations, alone.evaluations, strict=True):
            assert (mine.epoch, mine.step) == (its.epoch, its.step)
            assert mine.test_loss == pytest.approx(its.test_loss, rel=1e-9)
            assert mine.train_loss == pytest.approx(its.train_loss, rel=1e-9)


def test_a_seed_that_diverges_does_not_touch_the_others(digits):
    config = RunConfig(model="fc-16", dim=20, epochs=1, batch_size=60)
    nets, others = ([replace(config, seed=s).build() for s in SEEDS] for _ in range(2))
    nets[1].omega.data.fill_(float("inf"))
    first, second, third = fit_together(nets, digits, config, SEEDS)
    assert isinstance(second, DivergedError)
    assert "at step 1 of 6, lr 0.4. Try a smaller lr." in str(second)
    alone = fit_together([others[0], others[2]], digits, config, (0, 3))
    for one, its in zip((first, third), alone, strict=True):
        assert one.losses == pytest.approx(its.losses, rel=1e-4)


def test_seconds_are_shared_out(digits):
    ticks = iter(range(100))
    config = RunConfig(model="fc-16", dim=20, epochs=1)
    nets = [replace(config, seed=seed).build() for seed in SEEDS]
    histories = fit_together(nets, digits, config, SEEDS, clock=lambda: float(next(ticks)))
    assert [one.evaluations[-1].seconds for one in histories] == [1 / 3, 2 / 3, 1.0]


def test_a_recipe_that_cannot_be_batched_is_refused(digits):
    with pytest.raises(InputError, match="levels must be 0 in a batched training, got 5"):
        fit_together([], digits, RunConfig(levels=5), ())


@pytest.mark.parametrize(("layers", "options", "named"), [
    ([torch.nn.BatchNorm1d(784)], {}, "running_mean"),
    ([torch.nn.Dropout(0.5)], {}, "set p = 0 in 1"),
    ([], {"train": "*.bias"}, "outside: 1.bias"),
    ([], {"exclude": "*.bias"}, "outside: 1.bias"),
], ids=["norm", "dropout", "extra", "held"])  # fmt: skip
def test_what_nets_cannot_share_is_refused(layers, options, named, digits):
    module = torch.nn.Sequential(torch.nn.Flatten(), *layers, torch.nn.Linear(784, 10))
    nets = [Subspace(module, 20, seed=seed, **options) for seed in SEEDS]
    with pytest.raises(InputError, match=named):
        fit_together(nets, digits, RunConfig(epochs=1), SEEDS)


def test_nets_of_two_architectures_are_refused(digits):
    nets = [RunConfig(model=model, dim=20).build() for model in ("fc-16", "conv")]
    with pytest.raises(InputError, match="one architecture"):
        fit_together(nets, digits, RunConfig(epochs=1), (0, 1))
