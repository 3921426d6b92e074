"""The loop, against a slow reference that anyone can read."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from subspace_nn import Subspace, bits, models
from subspace_nn.common.errors import InputError
from subspace_nn.tasks.classifier import fit
from subspace_nn.tasks.data import Dataset, Split
from subspace_nn.tasks.loop import find_device, seeded, steps
from subspace_nn.tasks.recipe import Recipe


def reference(net, x, y, epochs, batch, lr, beta2, seed, *, one_cycle):
    """Adam with a one-cycle schedule as PyTorch's tutorials write it."""
    optimizer = torch.optim.Adam(net.parameters(), lr=lr, betas=(0.9, beta2))
    total = epochs * -(-len(y) // batch)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=total, cycle_momentum=False
    )
    if not one_cycle:
        optimizer.param_groups[0]["lr"] = lr
    losses = []
    for epoch in range(epochs):
        order = bits.permutation(seed, f"shuffle/{epoch}", len(y))
        for rows in order.split(batch):
            loss = F.cross_entropy(net(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if one_cycle:
                cycle.step()
            losses.append(loss.item())
    return losses


@pytest.fixture
def one_thread():
    """Sums have one order only on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("schedule", ["one-cycle", "constant"])
def test_a_training_is_that_of_the_reference_to_the_bit(schedule):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (300, 28, 28), generator=generator).byte()
    labels = torch.randint(10, (300,), generator=generator).byte()
    data = Dataset("noise", Split(images, labels), Split(images[:50], labels[:50]), "")
    nets = [Subspace(models.build("fc-16"), 20, seed=1) for _ in range(2)]
    recipe = Recipe(epochs=3, batch_size=64, lr=0.2, beta2=0.99, schedule=schedule)
    history = fit(nets[0], data, recipe, seed=5, device="cpu")
    x = images.unsqueeze(1).float() / 255
    one_cycle = schedule == "one-cycle"
    expected = reference(nets[1], x, labels.long(), 3, 64, 0.2, 0.99, 5, one_cycle=one_cycle)
    assert history.losses == expected
    assert torch.equal(nets[0].omega, nets[1].omega)


@pytest.mark.parametrize("optimizer", [
    functools.partial(torch.optim.SGD, lr=0.1), functools.partial(torch.optim.Adam, lr=0.1),
    functools.partial(torch.optim.AdamW, lr=0.1, weight_decay=0.1),
    functools.partial(torch.optim.RMSprop, lr=0.01), functools.partial(torch.optim.LBFGS, lr=0.5),
    torch.optim.Rprop, torch.optim.Adadelta,
], ids=lambda optimizer: str(getattr(optimizer, "func", optimizer).__name__))  # fmt: skip
def test_any_optimiser_lowers_any_loss(optimizer):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 5, generator=generator)
    torch.manual_seed(0)
    net = nn.Linear(5, 1)
    batches = [(x, x[:, :1])] * 40
    losses = [v.item() for v in steps(net, batches, F.huber_loss, optimizer(net.parameters()))]
    assert len(losses) == 40
    assert losses[-1] < losses[0]


def test_the_schedule_moves_after_each_step():
    net = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    scheduler = Recipe(lr=1.0).scheduler(optimizer, 5)
    rates = []
    for _ in steps(net, [(torch.ones(1, 1),) * 2] * 4, F.mse_loss, optimizer, scheduler):
        rates.extend(scheduler.get_last_lr())
    assert len(set(rates)) == 4
    assert Recipe(schedule="constant").scheduler(optimizer, 5) is None


@pytest.mark.parametrize(("name", "meant"), [
    ("gpu", "cuda"), ("GPU:0", "cuda"), ("metal", "mps"), ("cud", "cuda"), ("cpus", "cpu"),
])  # fmt: skip
def test_a_device_by_another_name(name, meant):
    with pytest.raises(InputError, match=f"Did you mean '{meant}'"):
        find_device(name)


def test_only_the_generators_of_a_training_are_seeded_and_put_back(monkeypatch):
    """With several GPUs, PyTorch warns whoever does not say which of them is meant."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "_lazy_call", lambda *_, **__: pytest.fail("another device"))
    before = torch.get_rng_state()
    with seeded(5, torch.device("cpu")):
        drawn = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(5)))
