"""Training in stages: d numbers at a time, and a file that has them all."""

import pytest
import torch
from torch import nn

import subspace_nn as sn
from subspace_nn.common.errors import InputError
from subspace_nn.projections import Hashed
from subspace_nn.tasks import own
from subspace_nn.tasks.classifier import DivergedError, fit
from subspace_nn.tasks.config import RunConfig
from subspace_nn.tasks.data import Dataset, Split
from subspace_nn.tasks.recipe import Recipe
from subspace_nn.tasks.staged import Staged

X = torch.linspace(-1, 1, 240).view(20, 12).sin()
Y = X @ torch.linspace(-1, 1, 36).view(12, 3)


def mlp():
    return nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3))


def train(net, optimizer, steps):
    def closure():
        optimizer.zero_grad()
        loss = (net(X) - Y).square().mean()
        loss.backward()
        return loss

    return [float(optimizer.step(closure).detach()) for _ in range(steps)]


@pytest.mark.parametrize("projection", ["hashed", "layerwise", "hadamard"])
def test_stages_reach_what_one_small_subspace_does_not(projection, tmp_path):
    fixed = sn.Subspace(mlp(), 6, projection)
    staged = sn.Subspace(mlp(), 6, projection)
    alone = train(fixed, torch.optim.Adam(fixed.parameters(), lr=0.1), 400)
    losses = train(staged, Staged(staged, every=50, lr=0.1), 400)
    assert losses[-1] < 0.5 * alone[-1]
    assert (staged.stages, sum(staged.stored.values())) == (8, 48)
    staged.save(tmp_path / "net.safetensors")
    assert torch.equal(sn.load(tmp_path / "net.safetensors", mlp()).theta(), staged.theta())


def test_the_loss_does_not_jump_where_a_stage_begins():
    net = sn.Subspace(mlp(), 10)
    losses = torch.tensor(train(net, Staged(net, every=30, lr=0.02), 91))
    jumps = losses.diff().abs()
    assert jumps[29::30].max() <= jumps.max()
    assert jumps[29::30].max() < 0.1 * losses[0]


def test_what_trains_beside_omega_keeps_its_moments():
    net = sn.Subspace(mlp(), 10, train="2")
    optimizer = Staged(net, every=5, lr=0.01)
    train(net, optimizer, 6)
    assert optimizer.state[net.module[2].bias]["exp_avg"].abs().sum() > 0
    assert int(optimizer.state[net.omega]["step"]) == 6


def problem():
    batches = [(X, Y.argmax(1))] * 4
    return mlp(), batches, batches


def test_a_task_of_the_users_own_takes_stages():
    name = f"{__name__}:problem"
    losses = [
        own.train(problem=name, dim=5, epochs=9, lr=0.1, stages=stages)["train_loss"]
        for stages in (1, 2, 3)
    ]
    assert len({*losses}) == 3


def digits(count=64):
    images = (torch.arange(count * 784).view(count, 28, 28) * 37 % 251).to(torch.uint8)
    split = Split(images, (torch.arange(count) % 10).to(torch.uint8))
    return Dataset("mnist", split, split, "")


def test_the_loop_trains_in_stages_and_an_interrupted_one_keeps_its_stage(tmp_path):
    config = RunConfig(model="conv-6-6", dim=9, stages=3, epochs=6, batch_size=8, lr=0.05)
    net = config.build()
    history = fit(net, digits(), config)
    assert (net.stages, history.stopped) == (3, None)
    net.save(tmp_path / "net.safetensors")
    assert torch.equal(sn.load(tmp_path / "net.safetensors").theta(), net.theta())


def test_a_diverged_training_ends_at_finite_weights_of_its_stage():
    net = RunConfig(model="conv-6-6", dim=9).build()
    with pytest.raises(DivergedError):
        fit(net, digits(), Recipe(epochs=10, batch_size=8, lr=1e30, stages=4, schedule="constant"))
    assert bool(net.theta().isfinite().all())


def test_weights_that_overflow_stay_in_their_stage():
    net = sn.Subspace(mlp().half(), 6)
    optimizer = Staged(net, every=1)
    for _ in range(2):
        net.theta().sum().backward()
        optimizer.step(lambda: None)
        net.omega.data.fill_(1e6)
    assert net.stages == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Staged(mlp(), 3), "for a Subspace, got a Sequential"),
        (lambda: Staged(sn.Subspace(mlp(), 5), 0), "every must be"),
        (lambda: Staged(sn.Subspace(mlp(), 5, Hashed(131, 5)), 3), "by its name"),
        (lambda: Staged(sn.Subspace(mlp(), 5, "gaussian"), 3), "not the same everywhere"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_stage_cannot_begin_after_its_gradient():
    net = sn.Subspace(mlp(), 5)
    optimizer = Staged(net, every=1)
    net(X).sum().backward()
    optimizer.step()
    with pytest.raises(InputError, match=r"step\(closure\)"):
        optimizer.step()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stages": 0}, "stages must be a whole number from 1 to 4,096"),
        ({"stages": 2, "levels": 5}, "exclude each other"),
    ],
)
def test_recipes_say_what_is_wrong(fields, message):
    assert message in " ".join(Recipe(**fields).problems())


def test_who_trains_may_choose_the_seed_of_each_stage():
    net = sn.Subspace(mlp(), 6)
    train(net, Staged(net, every=5, lr=0.1, seeds=iter([7, 11]).__next__), 15)
    assert [seed for _, seed in net._theta.stages] == [7, 11]
    assert net.projection.seed == 11
