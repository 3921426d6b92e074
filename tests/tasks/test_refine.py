"""Changing single codes, against exact matrices and counts."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import subspace_nn as sn
from subspace_nn.format import packing
from subspace_nn.tasks import refine
from subspace_nn.tasks.quantise import Quantised

X = torch.randn(600, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > X[:, 1]).long() + (X[:, 2] > 1).long()


def trained(dim=40, levels=5, steps=60):
    net = sn.Subspace(nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3)), dim)
    optimizer = Quantised(net, levels, steps, lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(net(X), Y)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return net


def batches(size):
    return lambda: zip(X.split(size), Y.split(size), strict=True)


@pytest.mark.parametrize("price", [0.0, 1e-3])
def test_the_objective_falls_and_is_what_it_says(price, tmp_path):
    net = trained()
    history = refine.refine(net, batches(4), price=price)
    assert len(history) > 2
    assert history == sorted(history, reverse=True)
    _, codes = packing.grid(net.omega)
    with torch.no_grad():
        loss = F.cross_entropy(net(X), Y).item()
    assert history[-1] == pytest.approx(loss + price * refine.length(codes), rel=1e-5)
    net.save(tmp_path / "a.snn", dtype="coded")
    again = sn.load(tmp_path / "a.snn", net.merge())
    assert torch.equal(again.omega, net.omega)


def test_a_price_saves_bits():
    nets = [trained() for _ in range(2)]
    for net, price in zip(nets, (0.0, 3e-3), strict=True):
        refine.refine(net, batches(4), price=price)
    free, paid = (len(packing.pack(net.omega, "coded")) for net in nets)
    assert paid < free


@pytest.mark.parametrize("levels", [2, 3, 5, 16, 255])
def test_the_length_is_that_of_the_code(levels):
    drawn = torch.randn(900, generator=torch.Generator().manual_seed(levels))
    low = packing.lowest(levels)
    codes = (drawn * levels / 5).round().clamp(low, low + levels - 1)
    codes[:2] = torch.tensor([low, low + levels - 1])
    written = 8 * (len(packing.pack(0.5 * codes, "coded")) - 3)
    assert written - 12 <= refine.length(codes.long()) <= written + 4


def test_the_matrix_is_that_of_gauss_and_newton():
    net = trained().double()
    x, y = X[:20].double(), Y[:20]
    batches = [(x, y)] * 1500
    loss, slope, curve = refine._model(net, batches, "test", 0)
    assert loss == pytest.approx(F.cross_entropy(net(x), y).item())

    def logits(omega):
        return torch.func.functional_call(net, {"omega": omega}, (x,))

    jacobian = torch.autograd.functional.jacobian(logits, net.omega)  # (20, 3, d)
    p = logits(net.omega).softmax(1).detach()
    middle = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    exact = torch.einsum("nad,nab,nbe->de", jacobian, middle, jacobian) / len(x)
    gradient = torch.einsum("nad,na->d", jacobian, p - F.one_hot(y, 3)) / len(x)
    assert torch.allclose(slope, gradient)
    assert (curve - exact).norm() < 0.15 * exact.norm()


def test_moves_end_where_none_helps_and_their_bits_are_counted():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(-2, 3, (30,), generator=generator)
    slope = torch.randn(30, generator=generator)
    root = torch.randn(40, 30, generator=generator)
    curve, price = root.T @ root / 40, 0.05

    def objective(tried):
        way = (tried - codes).float()
        return float(slope @ way + way @ curve @ way / 2) + price * refine.length(tried)

    moves = refine._moves(codes, slope, curve, price)
    tried, values = codes.clone(), [objective(codes)]
    for k, change in moves:
        tried[k] += change
        values.append(objective(tried))
    assert len(moves) > 5
    assert values == sorted(values, reverse=True)
    for k in range(30):
        for change in (-1, 1):
            other = tried.clone()
            other[k] += change
            if -2 <= other[k] <= 2:
                assert objective(other) > values[-1] - 1e-4


def test_no_grid():
    net = sn.Subspace(nn.Linear(6, 3), 20)
    torch.nn.init.normal_(net.omega)
    with pytest.raises(sn.InputError, match="on no grid"):
        refine.refine(net, batches(10))
    assert math.isfinite(float(net.omega.detach().sum()))


def test_an_interrupt_leaves_the_best_codes_so_far():
    net = trained().train()
    before = net.omega.detach().clone()
    calls = iter(range(10))

    def data():
        if next(calls) == 2:  # the matrix, then the moves that are tried
            raise KeyboardInterrupt
        return batches(4)()

    with pytest.raises(KeyboardInterrupt):
        refine.refine(net, data)
    assert torch.equal(net.omega, before)
    assert net.training


@pytest.mark.parametrize(("options", "message"), [
    ({"price": -1}, "price must be a number of at least 0"),
    ({"rounds": 0}, "rounds must be a whole number"),
    ({"data": lambda: ()}, "gave no batches"),
])  # fmt: skip
def test_bad_arguments(options, message):
    with pytest.raises(sn.InputError, match=message):
        refine.refine(trained(), **{"data": batches(4), **options})
