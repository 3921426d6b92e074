"""Training on a grid, against a slow reference with autograd."""

import math

import pytest
import torch
from torch import nn

from subspace_nn import Subspace, load
from subspace_nn.common.errors import InputError
from subspace_nn.format import packing
from subspace_nn.runs.run import Run
from subspace_nn.tasks import own
from subspace_nn.tasks.quantise import FROZEN, WARM, Quantised
from subspace_nn.tasks.recipe import Recipe

X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
Y = X[:, :2] @ torch.tensor([[1.0, -2.0], [0.5, 1.5]]) + X[:, 2:4].tanh()


def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


def train(net, optimizer, steps):
    x, y = X.to(net.omega.dtype), Y.to(net.omega.dtype)

    def closure():
        optimizer.zero_grad()
        loss = (net(x) - y).square().mean()
        loss.backward()
        return loss

    return [optimizer.step(closure).item() for _ in range(steps)]


def codes_of(net):
    step, codes = packing.grid(net.omega)
    return step, [int(code) for code in codes]


@pytest.mark.parametrize("kind", ["hashed", "layerwise", "fastfood", "gaussian", "orthonormal"])
@pytest.mark.parametrize("levels", [3, 5, 16, 255])
def test_omega_is_on_the_grid_whatever_p_is_and_a_coded_file_is_exact(kind, levels, tmp_path):
    net = Subspace(mlp(), 30, kind, scale="learned" if levels == 16 else "init")
    losses = train(net, Quantised(net, levels, 120, lr=0.1), 120)
    assert losses[-1] < losses[0]
    _, codes = codes_of(net)
    low = -(levels // 2)
    assert low <= min(codes) <= max(codes) < low + levels
    net.save(tmp_path / "a.snn", dtype="coded")
    again = load(tmp_path / "a.snn", mlp())
    assert torch.equal(again.omega, net.omega)
    assert torch.equal(again(X), net(X))


def test_the_steps_are_those_of_the_straight_through_estimator():
    steps, levels, lr, price = 50, 5, 0.05, 1e-3
    net, twin = (Subspace(mlp().double(), 12, seed=3) for _ in range(2))
    losses = train(net, Quantised(net, levels, steps, lr=lr, price=price), steps)
    v = twin.omega.detach().clone().requires_grad_()
    z = torch.zeros((), dtype=torch.float64, requires_grad=True)
    adam, first, expected = torch.optim.Adam([v, z], lr=lr), None, []
    with torch.no_grad():
        low, high = -2, 2
    for done in range(steps):
        on_grid = done >= int(WARM * steps)
        omega, paid = v, 0.0
        if on_grid:
            if first is None:
                with torch.no_grad():
                    first = nearest(v)
                    s = float(torch.tensor(first).bfloat16())
                    v.clamp_(-2.5 * s, 2.5 * s)
            s = first * (z / 100).exp()
            s = s + (s.bfloat16().double() - s).detach()
            x = (v / s).detach()
            codes = x.round().clamp(low, high)
            slope = torch.where(x.abs() <= 2, codes - x, codes)
            learned = (s - s.detach()) * slope if done < int(FROZEN * steps) else 0.0
            omega = (s * codes).detach() + (v - v.detach()) + learned
            counts = torch.stack([(codes == c).sum() + 1 for c in range(low, high + 1)])
            bits = -(counts / counts.sum()).log2()
            floor = x.floor().clamp(low, high - 1).long()
            rise = bits[floor - low + 1] - bits[floor - low]
            paid = price * (rise * v / s.detach()).sum()
        adam.zero_grad()
        with torch.no_grad():
            twin.omega.copy_(omega)
        twin.omega.grad = None
        loss = (twin(X.double()) - Y).square().mean()
        loss.backward()
        expected.append(loss.item())
        ((omega * twin.omega.grad).sum() + paid).backward()
        if not on_grid or done >= int(FROZEN * steps):
            z.grad = None
        adam.step()
        if on_grid:
            s = float((first * (z.detach() / 100).exp()).bfloat16())
            with torch.no_grad():
                v.clamp_(-2.5 * s, 2.5 * s)
    assert losses == pytest.approx(expected, rel=1e-9)


def nearest(omega):
    """The step of a fine grid with which rounding to five levels moves ω least."""
    size = omega.double().square().mean().sqrt().item()
    steps = [share * size for share in torch.linspace(0.02, 2.5, 125, dtype=torch.float64).tolist()]
    errors = [(omega - (omega / s).round().clamp(-2, 2) * s).double().square().sum() for s in steps]
    return steps[int(torch.stack(errors).argmin())]


def test_a_price_of_bits_lowers_the_entropy():
    def entropy(price):
        net = Subspace(mlp(), 70)
        train(net, Quantised(net, 15, 300, lr=0.05, price=price), 300)
        codes = codes_of(net)[1]
        shares = [codes.count(code) / len(codes) for code in set(codes)]
        return -sum(share * math.log2(share) for share in shares)

    assert entropy(0.003) < entropy(0.0) - 0.5


def test_what_trains_beside_omega_is_not_rounded():
    net = Subspace(mlp(), 12, train="2.bias")
    train(net, Quantised(net, 3, 60, lr=0.05), 60)
    head = net.module.get_parameter("2.bias")
    assert packing.grid(net.omega) is not None
    assert len(set(head.tolist())) == 2
    assert packing.grid(head) is None


def problem():
    return mlp(), [(X, Y.argmax(1))], [(X, Y.argmax(1))]


def test_a_task_of_the_users_own_takes_levels():
    found = own.train(problem=f"{__name__}:problem", dim=40, epochs=60, lr=0.1, levels=5)
    assert found["test_accuracy"] > 70


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"levels": 1}, "levels must be a whole number from 2 to 256, got 1."),
        ({"levels": 257}, "levels must be a whole number from 2 to 256, got 257."),
        ({"levels": 5, "price": -1.0}, "price must be a number of at least 0"),
        ({"price": 0.1}, "give levels, too"),
    ],
)
def test_mistakes(settings, message):
    (problem,) = Recipe(**settings).problems()
    assert message in problem


def test_a_plain_module_has_no_omega():
    with pytest.raises(InputError, match="the ω of a Subspace, got a Sequential"):
        Recipe(levels=5).optimizer(mlp(), 0, 10)
    with pytest.raises(InputError, match="from 2 to 256, got 300"):
        Quantised(Subspace(mlp(), 5), 300, 10)


def test_an_id_without_levels_is_that_of_before():
    assert "levels" not in Run.of("mnist", {}).arguments
    assert Run.of("mnist", {"levels": 0, "price": 0}).id == Run.of("mnist", {}).id
    assert Run.of("mnist", {"levels": 5}).id != Run.of("mnist", {}).id
