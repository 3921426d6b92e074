"""Modules and data as a user would give them."""

import functools

import torch
from torch import nn

from subspace_nn import Subspace
from subspace_nn.tasks.optimise import CMA
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


def scored() -> dict[str, float]:
    """Gives a result, as a task does."""
    return {"test_accuracy": 3.0}


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


def floats():
    """A regression as a plain tuple, for which there is no default loss."""
    pairs = [(x, x[:, :1]) for x, _ in batches(100, 0)]
    return nn.Linear(8, 1), pairs, pairs


def small_integers():
    """Classes of a type that cross-entropy itself refuses."""
    module, train, test = digits()
    return module, [(x, y.to(torch.uint8)) for x, y in train], [(x, y.int()) for x, y in test]


def soft():
    """Classes as probabilities, by a loss that is given."""
    pairs = [(x, nn.functional.one_hot(y, 3).float()) for x, y in batches(400, 0)]
    return Problem(nn.Linear(8, 3), pairs, pairs, loss=nn.functional.cross_entropy)


def optimised(name: str = "SGD", decay: float = 0.0, schedule: str = "one-cycle"):
    """Another optimiser, by arguments of its own."""
    l_bfgs = functools.partial(torch.optim.LBFGS, line_search_fn="strong_wolfe")
    classes = {"SGD": torch.optim.SGD, "AdamW": torch.optim.AdamW, "LBFGS": l_bfgs}
    more = {"weight_decay": decay} if decay else {}
    made = CMA if name == "CMA" else functools.partial(classes[name], **more)
    return Problem(*digits(), optimizer=made, schedule=schedule)


def bound_lr():
    """A learning rate that is the run's."""
    return Problem(*digits(), optimizer=functools.partial(torch.optim.SGD, lr=0.1))


def no_optimizer():
    """An optimiser that is none."""
    return Problem(*digits(), optimizer=lambda parameters, lr: (list(parameters), lr))


def transformed(cut: bool = False):
    """Training batches that name the next class; or lose their targets."""
    change = (lambda x, _: x) if cut else (lambda x, y: (x, (y + 1) % 3))
    return Problem(*digits(), transform=change)


def mixed(dtype: str = "bfloat16"):
    """Training steps in bfloat16."""

    def loss(outputs, targets):
        expected = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
        assert outputs.dtype == expected
        return nn.functional.cross_entropy(outputs, targets)

    def score(outputs, targets):
        assert outputs.dtype == torch.float32
        return float((outputs.argmax(1) == targets).float().mean())

    return Problem(*digits(), loss=loss, score=score, autocast=getattr(torch, dtype))
