"""A module in a subspace computes, trains, copies and saves as the plain module does."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn

import subspace_nn as sn
from subspace_nn import models, projections
from tests.modules import CASES, Frozen, SharedSubmodule, Tied

#: What every state_dict has.
OWN = {"module.subspace_omega", "module.subspace_recipe"}

ALL = pytest.mark.parametrize("case", list(CASES.values()), ids=list(CASES))


def wrapped(case, dim=7, **options):
    torch.manual_seed(0)
    module = case.make()
    return module, sn.Subspace(module, dim, **{"theta0": "module", **options})


def randomise(net):
    with torch.no_grad():
        net.omega.copy_(torch.randn(net.omega.shape, generator=torch.Generator().manual_seed(1)))
    return net


@ALL
def test_at_omega_zero_it_computes_the_module_bit_for_bit(case):
    module, net = wrapped(case)
    for training in (True, False):
        module.train(training)
        net.train(training)
        torch.manual_seed(3)
        expected = module(case.input())
        torch.manual_seed(3)
        assert torch.equal(net(case.input()), expected)


@ALL
def test_gradient_is_the_scaled_adjoint(case):
    torch.manual_seed(0)
    module = case.make().double().eval()
    net = sn.Subspace(module, 7, theta0="module")
    x = case.input().double()
    net(x).square().sum().backward()
    module(x).square().sum().backward()
    own = dict(module.named_parameters())
    gradients = {e.name: own[e.name].grad * net.steps[e.name] for e in net.layout.entries}
    expected = net.projection.T @ net.layout.flatten(gradients)
    torch.testing.assert_close(net.omega.grad, expected, rtol=1e-9, atol=1e-11)


@ALL
def test_the_module_is_never_changed(case):
    torch.manual_seed(0)
    module = case.make()
    before = copy.deepcopy(module.state_dict())
    flags = {n: p.requires_grad for n, p in module.named_parameters()}
    net = sn.Subspace(module, 7)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        net(case.input()).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)
    assert {n: p.requires_grad for n, p in module.named_parameters()} == flags
    assert all(p.grad is None for p in module.parameters())


@ALL
def test_it_learns(case):
    _, net = wrapped(case, dim=7)
    losses = case.train(net, steps=20)
    assert losses[-1] < losses[0]


@ALL
def test_merge_gives_a_plain_module_that_computes_the_same(case):
    module, net = wrapped(case)
    randomise(net).eval()
    plain = net.merge()
    assert type(plain) is type(module)
    assert not any(isinstance(m, sn.Subspace) for m in plain.modules())
    torch.testing.assert_close(plain(case.input()), net(case.input()), rtol=0, atol=0)
    assert {n for n, _ in plain.named_parameters()} == {n for n, _ in module.named_parameters()}
    flags = {n: p.requires_grad for n, p in module.named_parameters()}
    assert {n: p.requires_grad for n, p in plain.named_parameters()} == flags
    before = net(case.input())
    with torch.no_grad():
        for p in plain.parameters():
            p.zero_()
    torch.testing.assert_close(net(case.input()), before, rtol=0, atol=0)


def _pickled(net):
    return pickle.loads(pickle.dumps(net))


# PyTorch itself refuses to pickle a parametrised module.
TWINS = [
    pytest.param(case, twin, id=f"{name}-{twin.__name__}")
    for name, case in CASES.items()
    for twin in (copy.deepcopy, _pickled)
    if (name, twin) != ("weight norm", _pickled)
]


@pytest.mark.parametrize(("case", "make_twin"), TWINS)
def test_copies_are_equal_and_independent(case, make_twin):
    _, net = wrapped(case)
    randomise(net).eval()
    twin = make_twin(net)
    expected = net(case.input())
    assert torch.equal(twin(case.input()), expected)
    with torch.no_grad():
        twin.omega.zero_()
    assert torch.equal(net(case.input()), expected)


@ALL
def test_state_dict_holds_omega_and_buffers_alone(case):
    module, net = wrapped(case)
    trained = {n for n, p in module.named_parameters(remove_duplicate=False) if p.requires_grad}
    rest = {f"module.{n}" for n in module.state_dict() if n not in trained}
    assert set(net.state_dict()) == OWN | rest


@ALL
def test_state_dict_round_trip_also_inside_another_module(case):
    _, net = wrapped(case)
    randomise(net)
    net(case.input())
    _, other = wrapped(case)
    outer, other_outer = nn.ModuleDict({"inner": net}), nn.ModuleDict({"inner": other})
    other_outer.load_state_dict(outer.state_dict())
    assert torch.equal(other.eval()(case.input()), net.eval()(case.input()))


def test_state_dict_of_another_size_is_refused():
    net = sn.Subspace(nn.Linear(4, 4), 3)
    with pytest.raises(RuntimeError, match=r"size mismatch for module\.subspace_omega"):
        net.load_state_dict({"omega": torch.zeros(4)})
    with pytest.raises(RuntimeError, match="Missing key"):
        net.load_state_dict({})


def test_only_omega_is_a_parameter():
    net = sn.Subspace(models.build("conv"), 100)
    for prefix, root in (("module.", net), ("", net.module), ("0.module.", nn.Sequential(net))):
        trains = [(n, p) for n, p in root.named_parameters() if p.requires_grad]
        assert trains == [(f"{prefix}subspace_omega", net.omega)]
        assert sum(p.numel() for p in root.parameters()) == net.dim


def test_eval_and_train_reach_everything():
    net = sn.Subspace(CASES["conv, batchnorm"].make(), 5)
    net.eval()
    assert not any(m.training for m in net.modules())
    mean = net.module[1].running_mean.clone()
    net(CASES["conv, batchnorm"].input())
    assert torch.equal(net.module[1].running_mean, mean)
    net.train()
    net(CASES["conv, batchnorm"].input())
    assert not torch.equal(net.module[1].running_mean, mean)


def test_shared_submodule_survives_many_calls():
    module = SharedSubmodule()
    net = randomise(sn.Subspace(module, 5, theta0="module"))
    x = CASES["shared submodule"].input()
    assert torch.equal(net(x), net(x))
    assert torch.equal(net.module.first.weight, net.merge().first.weight)
    assert not torch.equal(net.module.first.weight, module.first.weight)
    assert net.module.second is net.module.first


def test_tied_weights_move_together():
    net = randomise(sn.Subspace(Tied(), 5))
    plain = net.merge()
    assert plain.again.weight is plain.encode.weight


def test_frozen_parameters_are_untouched():
    module = Frozen()
    plain = randomise(sn.Subspace(module, 5)).merge()
    assert torch.equal(plain.body.weight, module.body.weight)
    assert not torch.equal(plain.head.weight, module.head.weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_theta_keeps_the_modules_dtype(dtype):
    net = sn.Subspace(nn.Linear(8, 8).to(dtype), 5)
    assert net.omega.dtype == torch.promote_types(dtype, torch.float32)
    output = net(torch.ones(2, 8, dtype=dtype))
    assert output.dtype == dtype
    output.sum().backward()
    assert net.omega.grad.dtype == net.omega.dtype


def test_moves_with_to():
    net = randomise(sn.Subspace(nn.Linear(8, 8), 5)).to(torch.float64)
    assert net.omega.dtype == torch.float64
    assert net(torch.ones(1, 8, dtype=torch.float64)).dtype == torch.float64


def test_functional_transforms_reach_omega():
    net = sn.Subspace(nn.Linear(4, 3), 5).eval()
    x = torch.randn(6, 4)

    def loss(omega, x):
        return torch.func.functional_call(net, {"omega": omega}, (x,)).square().sum()

    per_example = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(net.omega.detach(), x)
    loss(net.omega, x).backward()
    torch.testing.assert_close(per_example.sum(0), net.omega.grad)


# One learning rate


# Not orthonormal and all weights: a dense matrix of 21,840² numbers.
def test_full_is_all_weights_that_are_selected():
    assert sn.Subspace(nn.Linear(4, 4), "full").dim == 20
    net = sn.Subspace(nn.Linear(4, 4), "full", "identity", include="weight")
    assert net.dim == net.D == 16


@pytest.mark.parametrize(("kind", "dim"), [
    ("hashed", 30), ("hashed", 300), ("hashed", 21_840), ("orthonormal", 30),
    ("orthonormal", 300), ("identity", 21_840),
])  # fmt: skip
def test_one_step_of_adam_moves_each_tensor_by_lr_deviations(kind, dim):
    net = sn.Subspace(models.build("conv"), dim, kind)
    before = net.layout.split(net.theta().detach())
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    net.omega.grad = torch.where(torch.arange(net.dim) % 2 == 0, 1.0, -1.0)
    optimizer.step()
    after = net.layout.split(net.theta().detach())
    squares, weights = 0.0, 0
    for name, sigma in net.sigma.items():
        move = (after[name] - before[name]) / sigma
        squares += float(move.square().sum())
        weights += move.numel()
    assert math.sqrt(squares / weights) == pytest.approx(0.1, rel=0.03)


def test_orthonormal_is_the_form_of_2017():
    module = models.build("conv")
    net = sn.Subspace(module, 20, "orthonormal", theta0="module", scale="none")
    theta_init = torch.cat([p.detach().flatten() for p in module.parameters()])
    assert net.omega[0].item() == pytest.approx(theta_init.norm().item())
    assert net.omega[1:].eq(0).all()
    torch.testing.assert_close(net.theta(), theta_init)
    torch.testing.assert_close(net.theta(), net.projection @ net.omega)


def test_theta0_is_chosen_by_what_the_module_holds():
    fresh, trained = nn.Linear(20, 20), nn.Linear(20, 20)
    nn.init.normal_(trained.weight)
    assert sn.Subspace(fresh, 5).theta0_from == "seed"
    assert sn.Subspace(trained, 5).theta0_from == "module"
    assert torch.equal(sn.Subspace(trained, 5).theta0()["weight"], trained.weight)
    assert sn.Subspace(trained, 5, theta0="seed").theta0_from == "seed"
    twice = [sn.Subspace(nn.Linear(20, 20), 5, seed=4).theta0()["weight"] for _ in range(2)]
    assert torch.equal(*twice)
    assert not torch.equal(twice[0], sn.Subspace(fresh, 5, seed=5).theta0()["weight"])


def test_a_projection_of_the_users_own():
    P = projections.make("orthonormal", 30, 4, seed=8)
    net = sn.Subspace(nn.Linear(5, 5), 4, P)
    assert net.projection is P
    assert net.seed == 8
    with pytest.raises(sn.InputError, match="The projection has the seed 8; got seed=3"):
        sn.Subspace(nn.Linear(5, 5), 4, P, seed=3)
    with pytest.raises(sn.InputError, match=r"of shape \(20, 4\), got \(30, 4\)"):
        sn.Subspace(nn.Linear(4, 4), 4, P)


def diverged():
    module = nn.Linear(4, 4)
    nn.init.constant_(module.weight[:1], torch.nan)
    return module


@pytest.mark.parametrize(("options", "message"), [
    ({"dim": 0}, "dim must be a whole number from 1 to the number of weights, 20; got 0"),
    ({"dim": 21}, "got 21"),
    ({"projection": "dense"}, "Unknown projection 'dense'"),
    ({"theta0": "modul"}, "Unknown theta0 'modul'. Did you mean 'module'"),
    ({"scale": "on"}, "Unknown scale 'on'"),
    ({"seed": -1}, "seed must be a whole number"),
    ({"module": "conv"}, "A subspace is of a torch.nn.Module, got a str"),
    ({"module": diverged()}, "Weights are not finite: weight"),
    ({"module": diverged(), "scale": "none"}, "Weights are not finite: weight"),
    ({"module": nn.ParameterList([torch.ones(4)]), "theta0": "seed"},
     "not known for 0. Use theta0='module'"),
])  # fmt: skip
def test_bad_arguments(options, message):
    arguments = {"module": nn.Linear(4, 4), "dim": 3, **options}
    with pytest.raises(sn.InputError, match=message):
        sn.Subspace(**arguments)


def test_several_bad_choices_are_told_together():
    with pytest.raises(sn.InputError) as caught:
        sn.Subspace(nn.Linear(4, 4), 3, "dense", theta0="x", scale="y")
    assert len(caught.value.problems) == 3


# Parts of the parameters


def parts():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {"body": nn.Linear(5, 6), "norm": nn.LayerNorm(6), "head": nn.Linear(6, 2)}
    )


class Parts(nn.Module):
    """Three layers, to share out."""

    def __init__(self):
        super().__init__()
        self.body, self.norm, self.head = parts().values()

    def forward(self, x):
        return self.head(self.norm(self.body(x)).tanh())


def test_what_is_held_and_what_trains_beside_omega():
    module = Parts()
    net = sn.Subspace(module, 7, theta0="module", exclude="norm", train="head")
    assert net.D == 36
    assert [n for n, p in net.named_parameters() if p.requires_grad] == [
        "module.subspace_omega", "module.head.weight", "module.head.bias"
    ]  # fmt: skip
    assert {n for n, p in net.named_parameters() if p.numel() and not p.requires_grad} == {
        "module.norm.weight", "module.norm.bias"
    }  # fmt: skip
    assert "extra=14" in repr(net)
    optimizer = torch.optim.Adam(
        [
            {"params": [net.omega], "lr": 0.1},
            {"params": net.module.head.parameters(), "lr": 0.01},
        ]
    )
    for _ in range(3):
        optimizer.zero_grad()
        (net(torch.ones(4, 5)) - 1).square().sum().backward()
        optimizer.step()
    plain = net.merge()
    assert torch.equal(plain.norm.weight, module.norm.weight)
    assert not torch.equal(plain.body.weight, module.body.weight)
    assert not torch.equal(plain.head.weight, module.head.weight)
    assert all(p.requires_grad for p in plain.parameters())
    x = torch.randn(3, 5)
    torch.testing.assert_close(plain(x), net(x), rtol=0, atol=0)
    assert set(net.state_dict()) == OWN | {
        "module.norm.weight", "module.norm.bias", "module.head.weight", "module.head.bias"
    }  # fmt: skip


def test_parts_are_in_the_checkpoint(tmp_path):
    net = randomise(sn.Subspace(Parts(), 7, exclude="norm", train="head"))
    with torch.no_grad():
        net.module.head.weight.add_(1)
    net.save(tmp_path / "net")
    again = sn.load(tmp_path / "net", Parts())
    x = torch.randn(3, 5)
    assert torch.equal(again(x), net(x))
    assert again.selection == net.selection
    assert [n for n, _ in again.named_parameters()] == [n for n, _ in net.named_parameters()]
    assert again.layout == net.layout


def test_unmerge_takes_everything_back():
    net = randomise(sn.Subspace(CASES["conv, batchnorm"].make(), 9, train="4")).train()
    x = CASES["conv, batchnorm"].input()
    net(x)
    with torch.no_grad():
        net.module[4].bias.add_(1)
    plain, expected = net.merge(), net.eval()(x)
    other = sn.Subspace(CASES["conv, batchnorm"].make(), 9, train="4").eval()
    other.unmerge(plain)
    torch.testing.assert_close(other.omega, net.omega, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(other(x), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(other.module[1].running_mean, net.module[1].running_mean)
    assert torch.equal(other.module[4].bias, net.module[4].bias)


@pytest.mark.parametrize("kind", ["hashed", "gaussian", "orthonormal", "identity"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_unmerge_is_as_exact_as_the_dtype(kind, dtype):
    module = nn.Linear(30, 40).to(dtype)
    net = randomise(sn.Subspace(module, 1240 if kind == "identity" else 20, kind, theta0="module"))
    omega = net.omega.detach().clone()
    plain = net.merge()
    with torch.no_grad():
        net.omega.zero_()
    net.unmerge(plain)
    error = float((net.omega.detach() - omega).abs().max() / omega.abs().max())
    assert error < 300 * torch.finfo(dtype).eps


@pytest.mark.parametrize(("change", "message"), [
    (lambda m: m.body.weight.data[0, 0].add_(0.01), "do not lie in this subspace: body.weight"),
    (lambda m: m.body.bias.data.add_(1), "do not lie in this subspace: body"),
    (lambda m: setattr(m, "body", nn.Linear(6, 6)), "has another architecture"),
])  # fmt: skip
def test_unmerge_refuses_what_is_not_in_the_subspace(change, message):
    net = randomise(sn.Subspace(Parts(), 7))
    plain, omega = net.merge(), net.omega.detach().clone()
    change(plain)
    with pytest.raises(sn.InputError, match=message):
        net.unmerge(plain)
    assert torch.equal(net.omega, omega)


def test_unmerge_needs_a_linear_theta():
    net = sn.Subspace(Parts(), 20, scale="learned")
    with pytest.raises(sn.InputError, match="θ is not linear in the free parameters"):
        net.unmerge(net.merge())


# Optimisers, dtypes, transforms


OPTIMISERS = {
    name: kind
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)
    # They take sparse gradients, and matrices, only.
    and name not in {"Optimizer", "SparseAdam", "Muon"}
}  # fmt: skip


@pytest.mark.parametrize("name", list(OPTIMISERS))
def test_any_optimiser(name):
    net = sn.Subspace(Parts(), 7)
    x = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    optimizer = OPTIMISERS[name](net.parameters(), lr=0.02)

    def closure():
        optimizer.zero_grad()
        loss = (net(x) - 1).square().mean()
        loss.backward()
        return loss

    before = closure().item()
    for _ in range(5):
        optimizer.step(closure)
    assert closure().item() < before


class Mixed(nn.Module):
    """Matrices in half precision, the norm in single."""

    def __init__(self):
        super().__init__()
        self.one = nn.Linear(6, 8).to(torch.bfloat16)
        self.norm = nn.LayerNorm(8)
        self.two = nn.Linear(8, 3).to(torch.float16)

    def forward(self, x):
        x = self.norm(self.one(x.to(torch.bfloat16)).float())
        return self.two(x.to(torch.float16))


def test_mixed_dtypes():
    module = Mixed()
    net = sn.Subspace(module, 9, theta0="module")
    x = torch.randn(4, 6)
    assert torch.equal(net(x), module(x))
    net(x).float().square().sum().backward()
    assert net.omega.grad.dtype == torch.float32
    assert net.omega.grad.all()
    assert [p.dtype for p in net.merge().parameters()] == [p.dtype for p in module.parameters()]
    assert net.theta().dtype == torch.float32


def test_derivatives_of_every_kind():
    # No LayerNorm: torch.func's own second derivatives of it are wrong in PyTorch 2.13.
    module = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 2))
    net = sn.Subspace(module.double(), 6).eval()
    x = torch.randn(3, 5, dtype=torch.float64)

    def function(omega):
        return torch.func.functional_call(net, {"omega": omega}, (x,))

    omega, direction = torch.randn(2, 6, dtype=torch.float64)
    jacobian = torch.func.jacrev(function)(omega)
    torch.testing.assert_close(torch.func.jacfwd(function)(omega), jacobian)
    torch.testing.assert_close(
        torch.func.jvp(function, (omega,), (direction,))[1], jacobian @ direction
    )
    hessian = torch.func.hessian(lambda o: function(o).square().sum())(omega)
    torch.testing.assert_close(hessian, hessian.T)
    assert torch.autograd.gradcheck(function, omega.requires_grad_())


def test_whole_models_move_to_another_dtype_after_training():
    net = randomise(sn.Subspace(Parts(), 7, train="head"))
    net(torch.ones(2, 5)).sum().backward()
    half = copy.deepcopy(net).to(torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    assert half(torch.ones(2, 5, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_theta0_never_trains_even_if_it_is_asked_to():
    outer = nn.Sequential(sn.Subspace(nn.Linear(6, 5), 4), nn.Linear(5, 2)).requires_grad_()
    theta0 = {name: tensor.detach().clone() for name, tensor in outer[0].theta0().items()}
    optimizer = torch.optim.AdamW(outer.parameters(), lr=0.1)
    outer(torch.ones(3, 6)).square().sum().backward()
    optimizer.step()
    assert outer[0].omega.any()
    assert all(torch.equal(t, theta0[name]) for name, t in outer[0].theta0().items())


def test_an_average_of_weights_is_one_of_omega():
    net = sn.Subspace(nn.Linear(6, 5), 4)
    average = torch.optim.swa_utils.AveragedModel(net)
    theta0 = net.theta().detach().clone()
    for value in (1.0, 2.0):
        with torch.no_grad():
            net.omega.fill_(value)
        average.update_parameters(net)
    assert average.module.omega.tolist() == [1.5] * 4
    with torch.no_grad():
        average.module.omega.zero_()
    assert torch.equal(average.module.theta(), theta0)


@pytest.mark.parametrize("kind", projections.KINDS)
def test_what_a_call_for_inference_leaves_behind_can_train(kind):
    module = nn.Sequential(nn.Linear(6, 5), nn.Tanh())
    net = sn.Subspace(module, 35 if kind == "identity" else 9, kind)
    x = torch.ones(2, 6)
    with torch.inference_mode():
        before = net(x).clone()
    net(x).square().sum().backward()
    assert net.omega.grad.any()
    assert torch.equal(net(x), before)


def test_channels_last_stays():
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3)]
    module = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    net = sn.Subspace(module, 20, theta0="module")
    assert torch.equal(net(x), module(x))
    assert net(x).stride() == module(x).stride()
    plain = randomise(net.eval()).merge()
    assert torch.equal(plain(x), net(x))


def test_a_subspace_of_a_subspace():
    inner = sn.Subspace(nn.Linear(20, 10), 50)
    net = sn.Subspace(inner, 7, theta0="module")
    assert net.D == 50
    x = torch.randn(2, 20)
    assert torch.equal(net(x), inner(x))
    randomise(net)(x).square().sum().backward()
    assert net.omega.grad.any()
    assert torch.equal(net.merge().merge()(x), net(x))
