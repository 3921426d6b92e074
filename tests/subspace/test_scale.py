"""`scale="learned"`: a trained factor for each tensor, θ = θ0 + λ σ √(D/d) ⊙ P ω."""

import math

import pytest
import torch
from torch import nn

import subspace_nn as sn
from subspace_nn.common.errors import InputError
from subspace_nn.format import container
from subspace_nn.tasks.config import RunConfig
from tests.modules import CASES, Tied

KINDS = ["hashed", "layerwise", "fastfood", "orthonormal"]


def net_of(projection="hashed", module=None, dim=20):
    module = (
        nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)) if module is None else module
    )
    return sn.Subspace(module, dim, projection, seed=3, scale="learned")


@pytest.mark.parametrize("projection", KINDS)
def test_is_the_formula(projection):
    """The paper's rule: of d parameters m are λ, one for each of m tensors, and P has d - m."""
    net = net_of(projection).double()
    m = len(net.layout.entries)
    assert (net.dim, net.projection.dim, m) == (20, 16, 4)
    with torch.no_grad():
        net.omega[:16] += torch.linspace(-1, 1, 16)
        net.omega[16:] = torch.tensor([0.5, -1.0, 2.0, 0.0])
    moves = net.layout.split(net.projection @ net.omega[:16])
    theta = net.layout.split(net.theta())
    for (name, start), factor in zip(net.theta0().items(), [1.5, 0.0, 3.0, 1.0], strict=True):
        origin = 0 if net.projection.anchored else start
        expected = origin + factor * net.steps[name] * moves[name]
        torch.testing.assert_close(theta[name], expected)


@pytest.mark.parametrize("projection", KINDS)
def test_starts_at_theta0_with_factors_of_one(projection):
    net = net_of(projection)
    assert net.omega[-4:].eq(0).all()
    torch.testing.assert_close(net.theta(), net.layout.flatten(net.theta0()), rtol=0, atol=1e-6)


def test_one_learning_rate_for_the_columns_that_P_has():
    net = net_of()
    factor = math.sqrt(net.D / 16)
    assert net.steps == {name: sigma * factor for name, sigma in net.sigma.items()}


@pytest.mark.parametrize("projection", KINDS)
def test_gradients_of_both_agree_with_finite_differences(projection):
    net = net_of(projection).double()
    point = torch.linspace(-1, 1, 20, dtype=torch.float64).requires_grad_()

    def theta(omega):
        tensors = torch.func.functional_call(_Theta(net), {"net.omega": omega}, ())
        return tensors.square().sum()

    assert torch.autograd.gradcheck(theta, point)
    assert torch.autograd.gradgradcheck(theta, point)


class _Theta(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self):
        return self.net.theta()


@pytest.mark.parametrize("case", list(CASES.values()), ids=list(CASES))
def test_learns_and_merges_with_any_module(case):
    torch.manual_seed(0)
    net = sn.Subspace(case.make(), 20, scale="learned", theta0="module")
    losses = case.train(net, steps=10)
    assert losses[-1] < losses[0]
    assert net.omega[net.projection.dim :].any()
    plain = net.eval().merge()
    torch.testing.assert_close(plain(case.input()), net(case.input()), rtol=0, atol=0)


def test_tied_tensors_have_one_factor():
    net = net_of(module=Tied())
    assert (
        net.dim - net.projection.dim == len(net.layout.entries) < len(list(Tied().parameters())) + 1
    )


@pytest.mark.parametrize("dim", [1, 4])
def test_needs_more_parameters_than_tensors(dim):
    with pytest.raises(InputError, match=f"of the 4 tensors: dim must be at least 5, got {dim}"):
        net_of(dim=dim)


def test_the_whole_space():
    net = net_of(dim=53)
    assert (net.D, net.dim, net.projection.dim) == (53, 53, 49)


def test_is_in_the_file(tmp_path):
    path = tmp_path / "omega.safetensors"
    net = net_of()
    net.save(path)
    spec = container.read(path).spec
    assert (spec["scale"], spec["dim"]) == ("learned", 20)


def test_is_an_option_of_a_run():
    net = RunConfig(scale="learned", projection="layerwise:hadamard", dim=100).build()
    assert (net.dim, net.projection.dim) == (100, 92)
