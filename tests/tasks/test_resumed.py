"""An optimiser whose state was saved goes on as if nothing had happened."""

import io

import pytest
import torch
from torch import nn

import subspace_nn as sn
from subspace_nn.common.errors import InputError
from subspace_nn.tasks.optimise import SPSA
from subspace_nn.tasks.quantise import Quantised
from subspace_nn.tasks.refine import refine
from subspace_nn.tasks.staged import Staged

X = torch.linspace(-1, 1, 240).view(20, 12).sin()
Y = X @ torch.linspace(-1, 1, 36).view(12, 3)
MAKE = {
    "spsa": lambda net: SPSA(net.parameters(), 0.1, seed=5),
    "staged": lambda net: Staged(net, every=7, lr=0.1),
    "quantised": lambda net: Quantised(net, levels=5, steps=30, price=0.01, lr=0.1),
}


def mlp():
    return nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3))


def train(net, optimizer, steps):
    def closure():
        optimizer.zero_grad()
        loss = (net(X) - Y).square().mean()
        if loss.requires_grad:
            loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)


@pytest.mark.parametrize("cut", [5, 20, 28])
@pytest.mark.parametrize("name", MAKE)
def test_a_saved_training_goes_on(name, cut, tmp_path):
    whole, first = sn.Subspace(mlp(), 6), sn.Subspace(mlp(), 6)
    train(whole, MAKE[name](whole), 30)
    before = MAKE[name](first)
    train(first, before, cut)
    first.save(tmp_path / "net.safetensors")
    file = io.BytesIO()
    torch.save(before.state_dict(), file)
    again = sn.load(tmp_path / "net.safetensors", mlp()).train()
    after = MAKE[name](again)
    after.load_state_dict(torch.load(io.BytesIO(file.getvalue())))
    train(again, after, 30 - cut)
    assert torch.equal(again.theta(), whole.theta())


def test_the_state_of_another_optimiser_is_refused():
    net = sn.Subspace(mlp(), 6)
    adam = torch.optim.Adam(net.parameters())
    with pytest.raises(InputError, match="state of a Staged, got one without stage"):
        Staged(net, every=7).load_state_dict(adam.state_dict())


@pytest.mark.parametrize(("make", "message"), [
    (lambda net: Quantised(net, 2.5, 10), "levels must be a whole number from 2 to 256, got 2.5"),
    (lambda net: Quantised(net, 5, 0, price=-1), "steps must be a whole number.*\nprice must be"),
    (lambda net: SPSA(net.parameters(), 0, epsilon=-1), "lr must be.*above 0.*\nepsilon must be"),
    (lambda net: refine(net, []), "data is called for the batches.* got a list"),
    (lambda _: refine(mlp(), list), "Expected a Subspace, got a Sequential"),
], ids=["levels", "steps", "spsa", "data", "net"])  # fmt: skip
def test_mistakes_are_named_together(make, message):
    with pytest.raises(InputError, match=message):
        make(sn.Subspace(mlp(), 6))
