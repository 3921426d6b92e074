"""Calls with other weights, and the weights' place in a backward pass."""

import copy
import pickle
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

import subspace_nn as sn
from subspace_nn.subspace import calls


class Net(nn.Module):
    """Recomputes its layers in the backward pass, and wraps its output up."""

    def __init__(self, wrap=lambda x: x, *, reentrant=False):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.wrap = wrap
        self.reentrant = reentrant

    def forward(self, x):
        # The reentrant form differentiates only if an input asks for it.
        x = x + torch.zeros((), requires_grad=True)
        for layer in self.layers:
            x = checkpoint(layer, x.tanh(), use_reentrant=self.reentrant)
        return self.wrap(x)


@dataclass
class Wrapped:
    inner: Any
    other: str = "text"


@dataclass(slots=True)
class Slots:
    inner: Any


class Anything:
    """An object of a class of the user's own, which leads to itself, too."""

    def __init__(self, inner):
        self.inner = inner
        self.me = [self]


def subspace(module):
    torch.manual_seed(0)
    net = sn.Subspace(module, 9)
    with torch.no_grad():
        net.omega.normal_()
    return net


def expected_gradient(x):
    net = subspace(Net())
    weights = net.layout.fill_slots(net._tensors())
    for number in range(3):
        x = nn.functional.linear(
            x.tanh(), weights[f"layers.{number}.weight"], weights[f"layers.{number}.bias"]
        )
    return torch.autograd.grad(x.square().sum(), net.omega)[0]


@pytest.mark.parametrize(("wrap", "unwrap"), [
    (lambda x: x, lambda y: y),
    (lambda x: (1, [x]), lambda y: y[1][0]),
    (lambda x: {"a": None, "b": {"c": x}}, lambda y: y["b"]["c"]),
    (lambda x: OrderedDict(x=x), lambda y: y["x"]),
    (Wrapped, lambda y: y.inner),
    (lambda x: Wrapped([Wrapped(x)]), lambda y: y.inner[0].inner),
    (Slots, lambda y: y.inner),
    (Anything, lambda y: y.inner),
    (lambda x: torch.distributions.Normal(x, 1.0), lambda y: y.mean),
], ids=["tensor", "tuple", "dict", "ordered", "dataclass", "nested", "slots", "object",
        "distribution"])  # fmt: skip
@pytest.mark.parametrize("reentrant", [False, True])
def test_weights_are_in_place_when_layers_are_computed_again(wrap, unwrap, reentrant):
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    net = subspace(Net(wrap, reentrant=reentrant))
    theta0 = {name: tensor.clone() for name, tensor in net.theta0().items()}
    unwrap(net(x)).square().sum().backward()
    torch.testing.assert_close(net.omega.grad, expected_gradient(x))
    assert all(torch.equal(net.module.get_parameter(n), t) for n, t in theta0.items())


def test_several_passes_at_once():
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    net = subspace(Net())
    one, other = net(x), net(2 * x)
    (other.square().sum() + one.square().sum()).backward()
    torch.testing.assert_close(net.omega.grad, expected_gradient(x) + expected_gradient(2 * x))
    net.omega.grad = None
    first, second = net(x).square().sum(), net(2 * x).square().sum()
    first.backward()
    second.backward()
    torch.testing.assert_close(net.omega.grad, expected_gradient(x) + expected_gradient(2 * x))


class Fails(torch.autograd.Function):
    @staticmethod
    def forward(_ctx, x):
        return x.clone()

    @staticmethod
    def backward(_ctx, _gradient):
        raise ZeroDivisionError


USES = {
    "merge": lambda net: torch.equal(net.merge()[0].weight, net._tensors()["0.weight"]),
    "state_dict": lambda net: list(net.state_dict()) == ["omega"],
    "load_state_dict": lambda net: net.load_state_dict({"omega": net.omega.detach()}),
    "deepcopy": lambda net: torch.equal(copy.deepcopy(net).theta(), net.theta()),
    "pickle": lambda net: torch.equal(pickle.loads(pickle.dumps(net)).theta(), net.theta()),
    "to": lambda net: net.to(torch.float32) is net,
}


@pytest.mark.parametrize("use", list(USES))
def test_a_backward_pass_that_fails_does_no_harm(use):
    net = subspace(nn.Sequential(nn.Linear(4, 4), Failing(), nn.Linear(4, 2)))
    before = {name: tensor.clone() for name, tensor in net.theta0().items()}
    x = torch.randn(3, 4)
    output = net(x)
    with pytest.raises(ZeroDivisionError):
        output.sum().backward()
    assert net._placement.own  # the pass ended before it could tidy up
    assert all(torch.equal(net.theta0()[n], t) for n, t in before.items())
    assert torch.equal(net(x), output)
    assert USES[use](net)
    assert not net._placement.own
    assert isinstance(net.module[0].weight, nn.Parameter)
    assert all(torch.equal(net.module.get_parameter(n), t) for n, t in before.items())


class Failing(nn.Module):
    """A layer that cannot be differentiated."""

    def forward(self, x):
        return Fails.apply(x)


def test_a_leaf_that_is_passed_through_keeps_no_hook():
    net = subspace(nn.Sequential(nn.Linear(2, 10)))
    x = torch.randn(3, 2, requires_grad=True)
    net.module.forward = lambda x: x
    assert net(x) is x
    assert not x._backward_hooks


def test_call_runs_methods_of_submodules_too():
    net = subspace(nn.Sequential(nn.Linear(4, 3), nn.Tanh()))
    x = torch.randn(2, 4)
    assert torch.equal(net.call("0.forward", x).tanh(), net(x))
    assert torch.equal(net.call("forward", input=x), net(x))
    with pytest.raises(AttributeError, match="generate"):
        net.call("generate", x)


def test_a_call_leaves_the_module_as_it_was():
    module = nn.Linear(3, 2)
    weight, other = module.weight, torch.zeros(2, 3)
    assert not calls.call(module, "forward", {"weight": other, "bias": other[:, 0]},
                          (torch.ones(1, 3),), {}).any()  # fmt: skip
    assert module.weight is weight
    with pytest.raises(RuntimeError):
        calls.call(module, "forward", {"weight": other}, (torch.ones(1, 4),), {})
    assert module.weight is weight


class Keeping(nn.Module):
    """Keeps what it has computed, as many models keep their attention maps."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x):
        self.last = self.layer(x)
        self.seen = Wrapped([{"map": self.last}])
        return self.last.tanh()


def _called():
    module = Keeping()
    module(torch.ones(2, 6))
    return module


def _legacy(norm):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return norm(nn.Linear(6, 4))


@pytest.mark.parametrize("make", [
    Keeping, _called,
    lambda: prune.l1_unstructured(nn.Linear(6, 4), "weight", 0.5),
    lambda: _legacy(nn.utils.weight_norm),
    lambda: _legacy(nn.utils.spectral_norm),
], ids=["keeps", "has kept", "pruned", "weight_norm", "spectral_norm"])  # fmt: skip
def test_modules_that_keep_what_they_computed_are_wrapped_and_merged(make):
    torch.manual_seed(0)
    module, x = make().eval(), torch.randn(3, 6)
    net = sn.Subspace(module, 9, theta0="module").eval()
    assert torch.equal(net(x), module(x))
    with torch.no_grad():
        net.omega.normal_()
    output = net(x)
    output.square().sum().backward()
    assert net.omega.grad.any()
    plain = net.merge()
    assert torch.equal(plain(x), output)
    assert not torch.equal(plain(x), module(x))


def test_copies_have_values_and_no_history():
    module = _called()
    twin = calls.copied(module)
    assert twin.last.is_leaf
    assert twin.seen.inner[0]["map"] is twin.last
    assert torch.equal(twin.last, module.last)
    assert not module.last.is_leaf
    assert twin.layer.weight is not module.layer.weight
    assert isinstance(twin.layer.weight, nn.Parameter)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(("wrap", "where"), [(lambda m: m, "the whole"), (nn.Sequential, "0")])
def test_torchscript_is_refused(wrap, where):
    module = wrap(torch.jit.script(nn.Linear(3, 2)))
    with pytest.raises(sn.InputError, match=f"TorchScript cannot .* its own: {where}. Expected"):
        sn.Subspace(module, 2)
