"""Modules and data as a user would give them."""

import torch
from torch import nn

from subspace_nn import Subspace
from subspace_nn.tasks.own import Problem


def batches(count, seed, outputs=3):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 8, generator=generator)
    y = (x[:, :outputs] + 0.1 * torch.randn(count, outputs, generator=generator)).argmax(1)
    return list(zip(x.split(50), y.split(50), strict=True))


def digits():
    """Three classes that eight numbers tell."""
    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    return module, batches(400, 0), batches(200, 1)


def seeded(seed):
    """Its initial weights are of no default law."""
    module = nn.Linear(8, 3)
    nn.init.normal_(module.weight)
    assert seed >= 0
    return module, batches(100, 0), batches(100, 1)


def regression():
    """A loss and a score of its own."""
    pairs = [(x, x[:, :1] - x[:, 1:2]) for x, _ in batches(200, 0)]
    return Problem(
        nn.Linear(8, 1),
        pairs,
        pairs,
        loss=nn.functional.mse_loss,
        score=lambda outputs, targets: -float((outputs - targets).abs().mean()),
    )


def wrapped(**settings):
    """A part of a net, in a subspace of its own."""
    module, train, test = digits()
    return Subspace(module, 9, "gaussian", seed=5, **{"include": "0", **settings}), train, test


def wrapped_with_a_head():
    """Trains a layer as it is."""
    return wrapped(train="2")


def plain_loss():
    """A loss of its own and no score."""
    pairs = [(x, x[:, :1]) for x, _ in batches(100, 0)]
    return Problem(nn.Linear(8, 1), pairs, pairs, loss=nn.functional.mse_loss)


def empty():
    """No batch to train on."""
    return nn.Linear(8, 3), [], batches(50, 1)


def untested():
    """No batch to test on."""
    return nn.Linear(8, 3), batches(50, 1), []


def wrong():
    """Not what is expected."""
    return nn.Linear(8, 3)


def tensors():
    """Tensors in place of batches."""
    x, y = batches(50, 0)[0]
    return nn.Linear(8, 3), x, y


def pair():
    """Nothing to test on."""
    return [nn.Linear(8, 3), batches(50, 0)]


def drawn():
    """Data that are there once."""
    return nn.Linear(8, 3), (batch for batch in batches(50, 0)), batches(50, 1)


def named():
    """Batches of names."""
    return nn.Linear(8, 3), [{"x": x, "y": y} for x, y in batches(50, 0)], batches(50, 1)


def triples():
    """Batches of three."""
    return nn.Linear(8, 3), [(x, y, y) for x, y in batches(50, 0)], batches(50, 1)
