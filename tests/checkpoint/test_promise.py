"""Whatever `save` writes, `load` reads to the same function, or `save` refuses and names why."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard

import subspace_nn as sn
from subspace_nn import projections
from subspace_nn.checkpoint import loading
from subspace_nn.format import container
from tests.modules import CASES, Frozen


def moved(module, dim=7, **options):
    net = sn.Subspace(module, dim, **options)
    with torch.no_grad():
        net.omega.add_(torch.randn(dim, generator=torch.Generator().manual_seed(1)))
    return net


def mlp():
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))


def given():
    """A module with weights of its own, always the same."""
    module = mlp()
    for number, parameter in enumerate(module.parameters()):
        generator = torch.Generator().manual_seed(number)
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    return module


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net"


# State that is no tensor, or under other names


class Extra(nn.Linear):
    """Has extra state."""

    def __init__(self, extra):
        super().__init__(6, 5)
        self.extra = extra

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state

    def forward(self, x):
        return super().forward(x) * self.extra


@pytest.mark.parametrize("extra", [None, {"scale": torch.ones(1)}, b"bytes", 3.0])
def test_extra_state_that_is_no_tensor_is_refused_when_the_net_is_made(extra):
    with pytest.raises(sn.InputError, match=r"extra state is no tensor.*: 0\._extra_state"):
        sn.Subspace(nn.Sequential(Extra(extra)), 7)


def holding(buffer):
    module = nn.Sequential(nn.Linear(6, 5))
    module.register_buffer("held", buffer)
    return module


@pytest.mark.parametrize(("module", "message"), [
    (nn.Linear(6, 5, device="meta"), "weight is on the device meta"),
    (nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 5, device="meta").requires_grad_(False)),
     "1.weight is on the device meta"),
    (holding(torch.zeros(3, device="meta")), "held is on the device meta"),
    (holding(torch.eye(3).to_sparse()), "held is of layout torch.sparse_coo"),
    (holding(torch.eye(3).to_mkldnn()), "held is of layout torch._mkldnn"),
    (holding(torch.zeros(3, dtype=torch.int8).view(torch.bits8)), "held is of torch.bits8"),
])  # fmt: skip
def test_a_tensor_that_no_file_can_hold_is_refused_when_the_net_is_made(module, message):
    with pytest.raises(sn.InputError, match=message):
        sn.Subspace(module, 7)


def test_extra_state_of_a_tensor_comes_back(path):
    net = moved(nn.Sequential(Extra(torch.tensor([2.0]))))
    net.save(path)
    again = sn.load(path, nn.Sequential(Extra(torch.tensor([5.0]))))
    x = torch.randn(3, 6)
    assert torch.equal(again(x), net(x))


def _renames(module):
    def hook(_, state, prefix, __):
        for name in [n for n in state if n.startswith(prefix) and "running" in n]:
            state[name.replace("running", "moving")] = state.pop(name)

    module._register_state_dict_hook(hook)
    return module


def _drops(module):
    module._register_state_dict_hook(
        lambda _, state, __, ___: [state.pop(n) for n in [*state] if "bias" in n or "running" in n]
    )
    return module


def _adds(module):
    module.register_state_dict_post_hook(
        lambda _, state, prefix, __: state.update({f"{prefix}version": torch.ones(1)})
    )
    return module


@pytest.mark.parametrize("hook", [_renames, _drops, _adds])
def test_hooks_of_state_dict_have_no_say(hook, path):
    case = CASES["conv, batchnorm"]
    net = moved(hook(case.make()), train="4.bias")
    net(case.input())
    net.save(path)
    for module in (hook(case.make()), case.make()):
        assert torch.equal(sn.load(path, module)(case.input()), net.eval()(case.input()))


# What changes after wrapping


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("base", [None, "someone/model"])
@pytest.mark.parametrize("kind", ["hashed", "orthonormal"])
@pytest.mark.parametrize("scale", ["init", "none", "learned"])
def test_a_dtype_that_changes_after_wrapping(dtype, base, kind, scale, path):
    net = moved(given() if base else mlp(), projection=kind, scale=scale)
    before = net(torch.ones(1, 6)).detach()
    net.to(dtype)
    net.save(path, base=base)
    again = sn.load(path, (given() if base else mlp()).to(dtype))
    x = torch.ones(1, 6, dtype=dtype)
    assert torch.equal(again(x), net(x))
    torch.testing.assert_close(net(x).to(before.dtype), before, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("make", [mlp, given])
def test_a_dtype_there_and_back(make, path):
    net = moved(make()).half().float()
    net.save(path)
    x = torch.ones(1, 6)
    assert torch.equal(sn.load(path, mlp())(x), net(x))


@pytest.mark.parametrize("write", [lambda t: t.add_(1), lambda t: t.data.mul_(2),
                                   lambda t: t.data.normal_()])  # fmt: skip
@pytest.mark.parametrize("make", [mlp, given])
def test_a_theta0_that_was_written_to_is_refused_by_name(write, make, path):
    net = moved(make())
    write(net.theta0()["2.weight"])
    with pytest.raises(sn.InputError, match=r"θ0 was written to .*, 2\.weight\. Set the module's"):
        net.save(path)
    assert not path.exists()


def norm_net():
    net = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 5), nn.Linear(5, 5))
    net[3].weight = net[2].weight
    return net


def _pop(module, name, new=None):
    old = module._modules.pop(name)
    if new:
        module._modules[new] = old


@pytest.mark.parametrize(("change", "problem", "options"), [
    (lambda m: m.append(nn.Linear(5, 2)), "New: 4.weight, 4.bias.", {}),
    (lambda m: m.register_parameter("more", nn.Parameter(torch.ones(1))), "New: more.", {}),
    (lambda m: m.register_buffer("more", torch.ones(1)), "New: more.", {}),
    (lambda m: _pop(m, "0"), "Gone: 0.weight, 0.bias.", {}),
    (lambda m: _pop(m, "0", "first"), "Gone: 0.weight, 0.bias.", {}),
    (lambda m: setattr(m[1], "running_mean", None), "Gone: 1.running_mean.", {}),
    (lambda m: setattr(m[2], "bias", None), "Gone: 2.bias.", {"train": "2.bias"}),
    (lambda m: m[1]._non_persistent_buffers_set.add("running_var"), "Gone: 1.running_var.", {}),
    (lambda m: m.__setitem__(0, nn.Linear(6, 5)), "Replaced: 0.weight, 0.bias.", {}),
    (lambda m: m.__setitem__(3, nn.Linear(5, 5)), "Replaced: 3.weight, 3.bias.", {}),
    (lambda m: setattr(m[3], "weight", nn.Parameter(torch.ones(5, 5))),
     "Not tied any more: 3.weight.", {"train": "2"}),
    (lambda m: setattr(m[3], "weight", nn.Parameter(torch.ones(5, 5))),
     "Not tied any more: 3.weight.", {"exclude": "2"}),
    (lambda m: setattr(m[1], "running_mean", torch.ones(1)), "Of another shape: 1.running_mean.",
     {}),
    (lambda m: setattr(m[0], "weight", nn.Parameter(torch.ones(5, 7))),
     "Of another shape: 0.weight.", {"train": "0"}),
])  # fmt: skip
def test_a_module_that_has_other_tensors_than_when_it_was_wrapped(change, problem, options, path):
    net = moved(norm_net(), **options)
    net.save(path)
    before = path.read_bytes()
    change(net.module)
    with pytest.raises(sn.InputError, match=rf"another than when it was wrapped.* {problem}"):
        net.save(path)
    assert path.read_bytes() == before


@pytest.mark.filterwarnings("ignore")  # the compiler's, about its own work
def test_changes_that_a_file_can_carry(path):
    """Flags, ties and compiled parts: what is made as before loads to the same function."""
    net, x = moved(norm_net(), train=["0", "2"], exclude="1.weight").eval(), torch.ones(2, 6)
    net.module[0].bias = net.module[2].bias
    net.module[0].requires_grad_(requires_grad=False)
    net.module[1].weight.requires_grad_()
    net.module[3] = torch.compile(net.module[3], backend="eager")
    net.save(path)
    assert torch.equal(sn.load(path, norm_net())(x), net(x))


def test_a_base_holds_no_parameter_that_has_begun_to_train(path):
    net = moved(given(), exclude="0")
    net.module[0].weight.requires_grad_()
    with pytest.raises(sn.InputError, match=r"module\.0\.weight may have been trained"):
        net.save(path, base="someone/model")
    net.save(path)
    assert torch.equal(sn.load(path, mlp())(torch.ones(1, 6)), net(torch.ones(1, 6)))


@pytest.mark.parametrize(("make", "options"), [
    (lambda: nn.Sequential(nn.Linear(6, 5), nn.LazyLinear(2)), {"exclude": "1"}),
    (lambda: nn.Sequential(nn.Linear(6, 5), nn.LazyBatchNorm1d(affine=False)), {}),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_lazy_parts_outside_of_theta_are_refused_by_name(make, options):
    with pytest.raises(sn.InputError, match=r"Not initialised yet: 1\..*, 1\.\w+\. Call"):
        sn.Subspace(make(), 7, **options)


@pytest.mark.parametrize("change", [
    {"seed": 1}, {"projection": "fastfood"}, {"scale": "none"}, {"exclude": "0.bias"},
])  # fmt: skip
def test_a_state_of_another_recipe_is_refused(change):
    net, other = moved(mlp()), moved(mlp(), **change)
    twin = moved(mlp())
    twin.load_state_dict(net.state_dict())
    before = other.omega.detach().clone()
    for inside, outside in ((net, other), (net.module, other.module)):
        with pytest.raises(RuntimeError, match="is of another subspace: of another seed, proj"):
            outside.load_state_dict(inside.state_dict(), strict=False)
        assert torch.equal(other.omega, before)
    other.load_state_dict(moved(mlp(), **change).state_dict())
    assert torch.equal(other.omega, before)


@pytest.mark.parametrize("mean", [
    lambda a, b: 0.3 * a + 0.7 * b, lambda a, b: (a + b) / 2,
    lambda a, b: a.mul_(0.9).add_(0.1 * b), lambda a, b: torch.stack((a, b)).mean(0),
    lambda a, _: a.half(), lambda a, _: a.bfloat16(),
])  # fmt: skip
def test_means_of_states_are_states(mean):
    """As averages by hand, and model soups, make them."""
    for seed in range(5):
        nets = [moved(mlp(), seed=seed) for _ in range(3)]
        nets[1].omega.data += 1
        first, second = (copy.deepcopy(net.state_dict()) for net in nets[:2])
        soup = {name: mean(first[name].clone(), second[name]) for name in first}
        nets[2].load_state_dict(soup)
        expected = mean(*(net.omega.detach().clone() for net in nets[:2]))
        assert torch.equal(nets[2].omega, expected.float())


def test_a_state_of_an_older_version_loads():
    net, twin = moved(mlp()), moved(mlp())
    state = net.state_dict()
    state["module.subspace_recipe"] = state["module.subspace_recipe"].to(torch.uint8)
    twin.load_state_dict(state)
    with pytest.raises(RuntimeError, match="is of another subspace"):
        moved(mlp(), seed=1).load_state_dict(state)


def test_a_state_of_another_recipe_is_refused_by_who_loads_it_into_a_state():
    """As `torch.distributed.checkpoint` does."""
    net, other = moved(mlp()), moved(mlp(), seed=1)
    for _ in range(2):
        held = other.state_dict()
        for name, tensor in net.state_dict().items():
            held[name].copy_(tensor)
        with pytest.raises(RuntimeError, match="is of another subspace: of another seed, proj"):
            other.load_state_dict(held)


def _under(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(("state", "found", "expected"), [
    (lambda net: nn.DataParallel(net).state_dict(), "module.module.", "module."),
    (lambda net: torch.compile(net, backend="eager").state_dict(), "_orig_mod.module.", "module."),
    (lambda net: _under("module._orig_mod.", net.module.state_dict()), "module._orig_mod.",
     "module."),
    (lambda net: net.module.state_dict(), "", "module."),
])  # fmt: skip
def test_a_state_with_a_prefix_is_refused_with_the_remedy(state, found, expected):
    net, other = moved(norm_net()), sn.Subspace(norm_net(), 7)
    names = f"begin with {found!r} where {expected!r}"
    for strict in (True, False):
        with pytest.raises(RuntimeError, match=names) as caught:
            other.load_state_dict(state(net), strict=strict)
    assert str(caught.value).count(names) == 1
    remedy = str(caught.value).rpartition("rename it: ")[2].rstrip(".")
    other.load_state_dict(eval(remedy, {"state": state(net)}))  # noqa: S307  # our own words
    assert torch.equal(other.omega, net.omega)
    with pytest.raises(RuntimeError, match=r"begin with 'module\.' where ''"):
        other.module.load_state_dict(net.state_dict(), strict=False)


def test_an_older_state_dict_still_loads():
    net, other = moved(mlp()), sn.Subspace(mlp(), 7)
    other.load_state_dict({"omega": net.omega.detach()}, strict=False)
    assert torch.equal(other.omega, net.omega)


def test_sharded_parameters_are_saved_whole(path):
    if not dist.is_initialized():  # once: to end a group and begin another can deadlock
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    module = Frozen()
    net, plain = moved(module, train="head.bias"), moved(copy.deepcopy(module), train="head.bias")
    fully_shard(net.module, mesh=dist.init_device_mesh("cpu", (1,)))
    assert type(net.omega).__name__ == "DTensor"
    plain.save(path)
    whole = path.read_bytes()
    net.save(path)
    assert path.read_bytes() == whole
    x = torch.randn(3, 5)
    assert torch.equal(net(x), plain(x))
    net(x).sum().backward()
    plain(x).sum().backward()
    torch.testing.assert_close(net.omega.grad.full_tensor(), plain.omega.grad)


@pytest.mark.filterwarnings("ignore")  # its import's
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("memory", ["whole", "layer"])
def test_a_quantised_base(inside, memory, path):
    """Its weights are θ0 if they require gradients, and are held if not."""
    quantization = pytest.importorskip("torchao.quantization")

    def make():
        module = given()
        int8 = quantization.Int8WeightOnlyConfig()
        quantization.quantize_(module, int8, lambda _, name: name == "0")
        return module.requires_grad_() if inside else module

    module, x = make(), torch.randn(3, 6)
    net = sn.Subspace(module, 7, memory=memory, copy=False)
    assert (net.D == 47) == inside
    torch.testing.assert_close(net(x), make()(x))
    with torch.no_grad():
        net.omega.normal_()
    net(x).sum().backward()
    assert net.omega.grad.all()
    with pytest.raises(sn.InputError, match=r"quantised, 0\.weight\. Name the model"):
        net.save(path)
    net.save(path, base="someone/model")
    assert path.stat().st_size < 1000
    assert torch.equal(sn.load(path, make())(x), net(x))
    torch.testing.assert_close(net.merge()(x), net(x))
    assert type(net.release()[0].weight) is type(make()[0].weight)


# Loading


def test_loading_leaves_the_random_generator_alone_and_evaluates(path):
    sn.Subspace(sn.models.build("conv", dropout=0.5), 7).save(path)
    before = torch.get_rng_state()
    net = sn.load(path)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(part.training for part in net.modules())


def _froze(module):
    module[0].weight.requires_grad = False
    return module


@pytest.mark.parametrize(("writer", "reader", "problem"), [
    (lambda: _froze(mlp()), mlp, "Expected requires_grad=False of 0.weight, got True."),
    (mlp, lambda: _froze(mlp()), "Expected requires_grad=True of 0.weight, got False."),
    (given, lambda: _froze(mlp()), "Expected requires_grad=True of 0.weight, got False."),
    (given, lambda: mlp().append(nn.ReLU()).append(nn.Linear(2, 2)), "Expected 47 weights in θ"),
    (lambda: given().append(nn.Linear(2, 2)), mlp, "The module has no tensor '3.bias'."),
    (mlp, lambda: nn.DataParallel(mlp()), "such as DataParallel: load(path, wrapper.module)."),
    (lambda: nn.DataParallel(mlp()), mlp, "inside a wrapper: load(path, DataParallel(module))."),
    (mlp, lambda: moved(mlp()), "The module is in a subspace already: give it as it was before."),
])  # fmt: skip
def test_what_differs_in_another_architecture_is_named(writer, reader, problem, path):
    moved(writer(), theta0="module" if writer is not mlp else "auto").save(path)
    module = reader()
    flags = [p.requires_grad for p in module.parameters()]
    with pytest.raises(sn.CheckpointError) as caught:
        sn.load(path, module)
    assert problem in str(caught.value)
    assert [p.requires_grad for p in module.parameters()] == flags


def _compiled(module):
    module[2] = torch.compile(module[2], backend="eager")
    return module


@pytest.mark.filterwarnings("ignore")  # the compiler's, about its own work
@pytest.mark.parametrize("make", [mlp, given])
def test_compiled_parts_make_no_other_architecture(make, path):
    x = torch.ones(1, 6)
    for writer, reader in ((_compiled, lambda m: m), (lambda m: m, _compiled)):
        net = moved(writer(make()), include="2")
        net.save(path)
        assert "module.0.weight" in container.read(path).tensors
        assert torch.equal(sn.load(path, reader(make()))(x), net(x))


@pytest.mark.parametrize(("D", "dim", "refused"), [
    (5_000, 5_000, True), (16_000_000, 8, True), (200_000, 1_000, True), (21_840, 1_000, False),
])  # fmt: skip
def test_a_strangers_orthonormal_is_made_only_if_it_takes_seconds(D, dim, refused):
    """5,000 × 5,000 took 25 s; 16,000,000 × 8 takes 3 GB; the conv net with d = 1,000 is fine."""
    entries = loading._entries(projections.make("orthonormal", D, dim))
    assert (entries > loading.MAX_ENTRIES) == refused
