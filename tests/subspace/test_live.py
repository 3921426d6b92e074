"""Weights that are computed when they are read: by anyone, in any thread, at any time."""

import asyncio
import copy
import gc
import multiprocessing
import pickle
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

import subspace_nn as sn
from subspace_nn.subspace.copies import copied
from tests.modules import CASES, Recurrent, SharedSubmodule, Tied

MEMORIES = pytest.mark.parametrize("memory", ["whole", "layer"])
ALL = pytest.mark.parametrize("case", list(CASES.values()), ids=list(CASES))


def moved(module, dim=9, **options):
    torch.manual_seed(0)
    net = sn.Subspace(module, dim, **{"theta0": "module", **options})
    with torch.no_grad():
        net.omega.normal_(generator=torch.Generator().manual_seed(1))
    return net


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


def gradient(net, x):
    return torch.autograd.grad(net(x).square().sum(), net.omega)[0]


# Anyone who reads


@MEMORIES
def test_threads_all_get_the_right_answer(memory, tmp_path):
    net = moved(mlp(), memory=memory).eval()
    inputs = [torch.randn(5, 4, generator=torch.Generator().manual_seed(n)) for n in range(8)]
    plain = net.merge()
    expected = [plain(x).detach() for x in inputs]
    slopes = [gradient(net, x) for x in inputs]

    def work(n):
        for turn in range(50):
            if turn % 2:
                assert torch.equal(gradient(net, inputs[n]), slopes[n])
            else:
                with torch.no_grad():
                    assert torch.equal(net(inputs[n]), expected[n])
        net.save(tmp_path / str(n))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len({(tmp_path / str(n)).read_bytes() for n in range(8)}) == 1


def test_saving_beside_a_training_thread_keeps_theta0(tmp_path):
    net = moved(mlp())
    stop = threading.Event()

    def train():
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        while not stop.is_set():
            optimizer.zero_grad()
            net(torch.ones(2, 4)).square().sum().backward()
            optimizer.step()

    thread = threading.Thread(target=train)
    thread.start()
    for _ in range(20):
        net.save(tmp_path / "net")
        again = sn.load(tmp_path / "net", mlp())
        for name, tensor in net.theta0().items():
            assert torch.equal(again.theta0()[name], tensor)
    stop.set()
    thread.join()


class Streams(nn.Module):
    """Answers by a generator, and by a coroutine."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
            yield x

    async def answer(self, x):
        for layer in self.layers:
            await asyncio.sleep(0)
            x = layer(x)
        return x


@MEMORIES
@pytest.mark.parametrize("grad", [True, False])
def test_generators_and_coroutines(memory, grad):
    net = moved(Streams(), memory=memory).eval()
    plain, x = net.merge(), torch.randn(2, 4)

    async def both():
        return await asyncio.gather(net.answer(x), net.answer(2 * x))

    with torch.set_grad_enabled(grad):
        for got, expected in zip(net(x), plain(x), strict=True):
            assert torch.equal(got, expected)
        for got, factor in zip(asyncio.run(both()), (1, 2), strict=True):
            assert torch.equal(got, asyncio.run(plain.answer(factor * x)))


def test_parts_and_methods_of_the_module_have_the_trained_weights():
    net = moved(mlp())
    plain, x = net.merge(), torch.randn(2, 4)
    assert torch.equal(net.module[0](x), plain[0](x))
    assert torch.equal(net.module[0].weight, plain[0].weight)
    assert torch.equal(net.module.forward(x), plain(x))
    net.module.forward = lambda x: x  # an attribute of the instance, as accelerate sets it
    assert net(x) is x


class Folding(nn.Module):
    """Adds a product to a matrix in evaluation, as low-rank adapters do."""

    def __init__(self, *, frozen):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4), requires_grad=not frozen)
        self.a, self.b = nn.Parameter(torch.randn(4, 1)), nn.Parameter(torch.randn(1, 4))
        self.folded = False

    def train(self, mode=True):
        if mode == self.folded:
            self.weight.data += (self.a @ self.b) * (-1 if self.folded else 1)
            self.folded = not mode
        return super().train(mode)

    def forward(self, x):
        extra = 0 if self.folded else self.a @ self.b
        return x @ (self.weight + extra)


def test_layers_that_fold_weights_in_evaluation(tmp_path):
    net = moved(Folding(frozen=True), dim=5)
    x = torch.randn(2, 4)
    before = net(x)
    torch.testing.assert_close(net.eval()(x), before)
    assert torch.equal(net.merge()(x), net(x))
    with pytest.raises(sn.InputError, match="evaluation mode, for which weight was folded: call t"):
        net.save(tmp_path / "net")
    torch.testing.assert_close(net.train()(x), before)
    net.save(tmp_path / "net")
    assert torch.equal(sn.load(tmp_path / "net", Folding(frozen=True))(x), net.eval()(x))
    for training in (True, False):
        with pytest.raises(sn.InputError, match="fold ω into weight, which all adapters share"):
            net.train(training).add_adapter("a")
    net = moved(Folding(frozen=False), dim=5)
    with pytest.raises(sn.InputError, match=r"train\(False\): weight was written to"):
        net.eval()


# How long weights live


@ALL
@pytest.mark.parametrize("kind", ["hashed", "fastfood"])
def test_one_layer_at_a_time_is_the_same_to_the_bit(case, kind):
    nets = [moved(case.make(), 7, projection=kind, memory=m) for m in ("whole", "layer")]
    outputs = []
    for net in nets:
        torch.manual_seed(0)
        outputs.append(net(case.input()))
    assert torch.equal(*outputs)
    slopes = [torch.autograd.grad(y.square().sum(), n.omega)[0]
              for y, n in zip(outputs, nets, strict=True)]  # fmt: skip
    torch.testing.assert_close(*slopes)
    with torch.no_grad():
        assert torch.equal(*(net.eval()(case.input()) for net in nets))


class Cast(nn.Module):
    """Computes with a copy of its weight that is made in some way; the weight may start at zero."""

    def __init__(self, copied, start):
        super().__init__()
        self.copied = copied
        self.weight = nn.Parameter(start * torch.randn(3, 2, 4, 4))

    def forward(self, x):
        weight = self.copied(self.weight)
        return nn.functional.conv2d(x.to(weight), weight).double() * weight.double().square().sum()


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("copied_by", [
    lambda w: w.double(), lambda w: w.to(torch.float64, memory_format=torch.channels_last),
    lambda w: w.transpose(2, 3).to(torch.float64, memory_format=torch.contiguous_format),
    lambda w: w.bfloat16().double(), lambda w: w.double().transpose(2, 3),
])  # fmt: skip
def test_one_layer_at_a_time_knows_copies_by_their_values(copied_by, start):
    torch.manual_seed(0)
    module, x = Cast(copied_by, start), torch.rand(2, 2, 5, 5)
    nets = [sn.Subspace(module, 9, theta0="module", memory=m) for m in ("whole", "layer")]
    for _ in range(2):
        for net in nets:
            net.omega.grad = None
            net(x).square().sum().backward()
        torch.testing.assert_close(nets[1].omega.grad, nets[0].omega.grad)
        for net in nets:
            net.omega.data += torch.linspace(-1, 1, 9)


@pytest.mark.parametrize("autocast", [False, True])
def test_one_layer_at_a_time_keeps_no_weights_for_the_backward_pass(autocast):
    net = moved(nn.Sequential(*[nn.Linear(64, 64) for _ in range(6)]), memory="layer")
    sizes = []
    with (
        torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.append(t.numel()) or t, lambda t: t
        ),
        torch.autocast("cpu", torch.bfloat16, enabled=autocast),
    ):
        output = net(torch.ones(2, 64, requires_grad=True))
    assert sizes
    assert max(sizes) <= 128  # activations; a weight has 4,096 numbers
    gc.collect()
    tensors = [o for o in gc.get_objects() if type(o) in {torch.Tensor, nn.Parameter}]
    alive = [tensor for tensor in tensors if tensor.numel() == 4096]
    held = {tensor.data_ptr() for tensor in net.theta0().values()}
    assert {tensor.data_ptr() for tensor in alive} <= held
    output.float().sum().backward()
    whole = moved(nn.Sequential(*[nn.Linear(64, 64) for _ in range(6)]), memory="whole")
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        expected = whole(torch.ones(2, 64, requires_grad=True))
    assert torch.equal(output, expected)
    expected.float().sum().backward()
    torch.testing.assert_close(net.omega.grad, whole.omega.grad, rtol=1e-4, atol=1e-4)


def test_one_layer_at_a_time_notices_that_omega_has_changed():
    net = moved(mlp(), memory="layer")
    loss = net(torch.ones(1, 4, requires_grad=True)).sum()
    with torch.no_grad():
        net.omega.add_(1)
    with pytest.raises(RuntimeError, match="ω was changed between the forward and the backward"):
        loss.backward()


class Recomputing(nn.Module):
    """Runs its layers once more in the backward pass."""

    def __init__(self, *, reentrant):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.reentrant = reentrant

    def forward(self, x):
        for layer in self.layers:
            x = checkpoint(layer, x.tanh(), use_reentrant=self.reentrant)
        return x


@MEMORIES
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("scale", ["init", "learned"])
def test_activation_checkpointing(memory, reentrant, scale):
    net = moved(Recomputing(reentrant=reentrant), memory=memory, scale=scale)
    x = torch.randn(5, 4, requires_grad=True)
    y = x
    for layer in net.module.layers:
        y = layer(y.tanh())
    expected = torch.autograd.grad(y.square().sum(), net.omega)[0]
    one, other = net(x), net(x)  # two passes at once
    (one.square().sum() / 2 + other.square().sum() / 2).backward()
    torch.testing.assert_close(net.omega.grad, expected)


class Counting(nn.Linear):
    """Notes which weights it has met."""

    def forward(self, x):
        self.__dict__.setdefault("met", []).append(self.weight)
        return super().forward(x)


@MEMORIES
@pytest.mark.parametrize("training", [False, True])
def test_without_gradients_it_has_the_bits_of_the_plain_module(memory, training):
    """PyTorch multiplies in another way by a matrix that requires a gradient, also without one."""
    net = moved(nn.RNN(4, 6, 2, batch_first=True), memory=memory).train(training)
    plain, x = net.merge(), torch.randn(3, 5, 4)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert torch.equal(net(x)[0], plain(x)[0])
    net.module.requires_grad_(requires_grad=False)
    assert not net(x)[0].requires_grad
    plain.requires_grad_(requires_grad=False)
    assert torch.equal(net(x)[0], plain(x)[0])


def test_inference_computes_weights_once_for_each_omega():
    net = moved(Counting(4, 3), 5).eval()
    x, met = torch.ones(1, 4), net.module.__dict__.setdefault("met", [])
    with torch.no_grad():
        net(x), net(x)
        assert met[0] is met[1]
        net.omega.add_(1)
        net(x)
        assert met[2] is not met[1]
        net.omega.data.add_(1)  # no version of ω tells of this
        assert torch.equal(net(x), net.merge()(x))
    with torch.inference_mode():
        kept = net(x)
    assert torch.equal(net(x), kept)  # with a gradient now
    gradient(net, x)
    net.to(torch.float64)
    with torch.no_grad():
        assert net(x.double()).dtype == torch.float64
    net.train()
    with torch.no_grad():
        net(x.double()), net(x.double())
    assert met[-1] is not met[-2]


@pytest.mark.parametrize("change", [torch.nn.Module.bfloat16, torch.nn.Module.half])
def test_inference_keeps_the_weights_of_an_omega_of_any_dtype(change):
    net = change(moved(Counting(4, 300), 1000)).eval()
    x = torch.ones(1, 4, dtype=net.omega.dtype)
    with torch.no_grad():
        net(x)
        assert torch.equal(net(x), net.merge()(x))
        assert net.module.met[0] is net.module.met[1]
        for omega in (net.omega.detach().clone(), torch.zeros_like(net.omega)):
            got = torch.func.functional_call(net.module, {"subspace_omega": omega}, x)
            assert torch.equal(got, net(x)) == bool(omega.any())


def test_inference_beside_a_thread_that_changes_omega_ends_with_the_last_omega():
    net, x = moved(nn.Linear(40, 400), 50).eval(), torch.ones(1, 40)
    omegas = torch.randn(80, 50)
    with torch.no_grad():
        expected = [torch.func.functional_call(net.module, {"subspace_omega": omega}, x)
                    for omega in omegas]  # fmt: skip
    done, before = threading.Event(), sys.getswitchinterval()

    def read():
        with torch.no_grad():
            while not done.is_set():
                net(x)

    threads = [threading.Thread(target=read) for _ in range(3)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        with torch.no_grad():
            wrong = 0
            for omega, right in zip(omegas, expected, strict=True):
                net.omega.copy_(omega)
                time.sleep(0.002)  # another thread may be the first to notice
                wrong += not torch.equal(net(x), right)
    finally:
        done.set()
        sys.setswitchinterval(before)
        for thread in threads:
            thread.join()
    assert wrong == 0


# Writing to what is computed


@pytest.mark.parametrize("write", [
    lambda m: setattr(m[0], "weight", nn.Parameter(torch.zeros(8, 4))),
    lambda m: setattr(m[0], "weight", torch.zeros(8, 4)),
    lambda m: setattr(m[0], "weight", None),
    lambda m: m[0].register_parameter("weight", nn.Parameter(torch.zeros(8, 4))),
    lambda m: m.apply(lambda part: isinstance(part, nn.Linear) and part.reset_parameters()),
    lambda m: m.apply(lambda p: isinstance(p, nn.Linear) and p.weight.data.copy_(p.weight + 1)),
    lambda m: (nn.init.normal_(m[0].weight), m(torch.ones(1, 4))),
    lambda m: (nn.init.normal_(m[0].weight), m[0].weight),
    lambda m: (nn.init.normal_(m.eval()[0].weight), m(torch.ones(1, 4))),
    lambda m: torch.func.functional_call(m, {"0.weight": torch.zeros(8, 4)}, torch.ones(1, 4)),
])  # fmt: skip
def test_writing_to_a_computed_weight_is_refused(write):
    net = moved(mlp())
    with pytest.raises(sn.InputError, match=r"0\.weight was written to, but it is computed from ω"):
        write(net.module)
    x = torch.ones(1, 4)
    assert torch.equal(net.eval()(x), net.merge()(x))


@pytest.mark.parametrize("frozen", [False, True])
def test_a_write_through_data_does_not_stay_for_inference(frozen):
    """As PEFT merges its factors into a layer; there is no way to refuse it."""
    net, x = moved(mlp()).eval().requires_grad_(not frozen), torch.ones(2, 4)
    with torch.set_grad_enabled(frozen):
        expected = net(x)
        weight = net.module[0].weight
        assert weight.requires_grad is not frozen
        weight.data.zero_()
        assert torch.equal(net(x), expected)


def test_a_plain_state_dict_is_refused_with_the_remedy():
    net, other = moved(mlp()), mlp()
    before = net(torch.ones(1, 4))
    for strict in (True, False):
        with pytest.raises(
            RuntimeError, match=r"0\.weight is computed from ω: load it into the mod"
        ):
            net.module.load_state_dict(other.state_dict(), strict=strict)
    assert torch.equal(net(torch.ones(1, 4)), before)


def test_an_embedding_with_a_largest_norm_writes_to_its_weight_as_ever():
    net = moved(nn.Embedding(6, 4, max_norm=0.5)).eval()
    plain, ids = net.merge(), torch.tensor([1, 2, 1])
    with torch.no_grad():
        for _ in range(3):
            assert torch.equal(net(ids), plain(ids))


class Broken(nn.Module):
    """Its projection fails with an AttributeError."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)


def test_an_attribute_error_inside_is_no_missing_attribute():
    net = moved(Broken(), 3)
    net._weights.theta.__dict__.pop("steps")
    with pytest.raises(RuntimeError, match="weight could not be computed: 'Theta' object has no"):
        net.module.layer.weight  # noqa: B018
    with pytest.raises(AttributeError, match="'Theta' object has no attribute 'steps'"):
        net.steps  # noqa: B018
    with pytest.raises(AttributeError, match="'Broken' object has no attribute 'nothing'"):
        net.nothing  # noqa: B018


# What it is from outside


@ALL
def test_it_looks_like_the_plain_module(case):
    module = case.make()
    net = moved(module, 7)
    assert isinstance(net.module, type(module))
    assert type(net.module).__name__ == type(module).__name__
    assert repr(net.module) == repr(module)
    assert net.module.training
    assert not sn.Subspace(module.eval(), 7).training
    listed = dict(net.module.named_parameters(remove_duplicate=False))
    for name, part in net.module.named_modules(remove_duplicate=False):
        for own, parameter in part._parameters.items():
            assert parameter is None or listed[f"{name}.{own}".lstrip(".")] is parameter
    assert set(net.module.state_dict()) >= {n for n in listed if "subspace_theta0" not in n}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_part_that_asks_its_first_parameter_finds_dtype_and_device(dtype):
    net = moved(nn.Sequential(mlp(), nn.Linear(3, 2)).to(dtype))
    for part in (net.module, net.module[0], net.module[0][0], net.module[1]):
        assert next(part.parameters()).dtype == dtype
    assert next(net.to(torch.float64).module[0].parameters()).dtype == torch.float64


def test_attributes_and_methods_pass_through():
    class Model(nn.Linear):
        config = "its own"

        def generate(self, method, *, dim):
            return self(torch.zeros(1, 4)), method, dim

    net = moved(Model(4, 3), 5)
    assert net.config == "its own"
    assert net.generate("x", dim=2)[1:] == ("x", 2)
    assert net.in_features == 4
    assert torch.equal(net.weight, net.module.weight)


def test_attributes_of_the_module_are_set_where_they_are():
    net = moved(nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3)), 5, exclude="1.bias")
    net.module.factor, net.module.extra = 1.0, nn.Linear(2, 2)
    net.factor, net.extra, net.new = 3.0, nn.Linear(2, 5), "its own"
    assert (net.module.factor, net.module.extra.out_features) == (3.0, 5)
    assert "factor" not in vars(net)
    assert [*net._modules] == ["module"]
    assert (net.new, hasattr(net.module, "new")) == ("its own", False)
    net.keep, net.training = 2, False
    assert (net.keep, net.module.training) == (2, True)
    with pytest.raises(sn.InputError, match="was written to"):
        moved(nn.Linear(4, 3), 5).weight = nn.Parameter(torch.ones(3, 4))


@pytest.mark.parametrize("part", [
    lambda m: m[:3], lambda m: m[1:], lambda m: type(m)(*m), lambda m: m[:2] + m[2:],
    copy.copy,
], ids=["start", "end", "class", "sum", "copy"])  # fmt: skip
def test_a_part_that_a_module_makes_by_its_class_has_the_trained_weights(part):
    net = moved(mlp())
    plain, x = net.merge(), torch.randn(2, 4)
    live, expected = part(net.module), part(plain)
    for inner, own in zip(live, expected, strict=True):
        y = torch.randn(2, getattr(own, "in_features", 3))
        assert torch.equal(inner(y), own(y))
    if isinstance(expected[0], nn.Linear):
        assert torch.equal(live(x), expected(x))
        assert torch.autograd.grad(live(x).sum(), net.omega)[0].any()


class Lists(nn.Module):
    """Slices a list of parameters, and copies a dictionary of them."""

    def __init__(self):
        super().__init__()
        self.list = nn.ParameterList([torch.randn(4, 4) for _ in range(3)])
        self.named = nn.ParameterDict({"a": torch.randn(4), "b": torch.randn(4)})

    def forward(self, x):
        for weight in self.list[:0:-1]:
            x = x @ weight
        return x + sum(self.named.copy().values()) + sum((self.named | self.named).values())


class Registered(nn.Linear):
    """A class that knows those derived from it, each by a key."""

    known: ClassVar = {}

    def __init_subclass__(cls, *, key):
        if key in Registered.known:
            raise ValueError(f"{key} twice")
        Registered.known[key] = cls


class First(Registered, key="first"):
    """One of them."""


@pytest.mark.parametrize("adapters", [False, True])
def test_a_class_that_registers_what_is_derived_from_it(adapters):
    net = moved(First(4, 3))
    if adapters:
        net.add_adapter("a")
    assert Registered.known == {"first": First}
    assert torch.equal(copy.deepcopy(net)(torch.ones(2, 4)), net(torch.ones(2, 4)))
    assert type(net.merge()) is First


def test_slices_of_lists_of_parameters_keep_their_gradient():
    net, x = moved(Lists()), torch.randn(2, 4)
    plain = net.merge()
    torch.testing.assert_close(net(x), plain(x))
    loss = plain(x).square().sum()
    slopes = torch.autograd.grad(loss, [*plain.parameters()], allow_unused=True)
    assert sum(slope is not None for slope in slopes) == 4
    named = dict(plain.named_parameters())
    flat = {name: torch.zeros_like(named[name]) if slope is None else slope
            for name, slope in zip(named, slopes, strict=True)}  # fmt: skip
    expected = torch.autograd.grad(net.theta(), net.omega, net.layout.flatten(flat))[0]
    torch.testing.assert_close(gradient(net, x), expected)


def test_whoever_sets_all_parameters_free_trains_no_more_than_there_was():
    net = moved(mlp(), train="4")
    for twin in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        trained = [name for name, p in twin.named_parameters() if p.requires_grad]
        twin.requires_grad_(requires_grad=False).requires_grad_()
        for parameter in twin.parameters():
            parameter.requires_grad = True
        assert [name for name, p in twin.named_parameters() if p.requires_grad] == trained
        twin(torch.ones(1, 4)).sum().backward()
        assert all(p.grad is not None for p in twin.parameters() if p.requires_grad)


def test_on_the_device_meta_it_has_shapes():
    net = moved(mlp()).to("meta")
    output = net(torch.ones(2, 4, device="meta"))
    assert (output.shape, output.device.type) == ((2, 3), "meta")
    assert net.module[0].weight.shape == (8, 4)


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_theta0_that_was_drawn_is_drawn_again_after_to_empty(device):
    net, x = moved(mlp(), theta0="seed"), torch.ones(2, 4)
    net.next_stage()
    net.omega.data.fill_(0.1)
    state, expected = copy.deepcopy(net.state_dict()), net(x)
    net.to(device).to_empty(device="cpu").load_state_dict(state)
    assert torch.equal(net(x), expected)


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_theta0_of_the_modules_own_is_not_emptied(device):
    net = sn.Subspace(mlp(), 5, theta0="module").to(device)
    with pytest.raises(sn.InputError, match="which would be lost, and no state_dict holds them"):
        net.to_empty(device="cpu")


def test_weights_are_not_computed_from_values_on_the_device_meta():
    nets = [sn.Subspace(mlp(), 5, seed=seed) for seed in range(3)]
    own = dict(nets[0].named_parameters())
    with pytest.raises(sn.InputError, match="θ0 is on the device meta and has no values"):
        torch.func.functional_call(copy.deepcopy(nets[1]).to("meta"), own, (torch.ones(2, 4),))


def _answer(net, x, queue):
    queue.put(net(x).detach().numpy())


def test_spawned_processes():
    net = moved(CASES["lstm"].make()).eval()
    context = multiprocessing.get_context("spawn")
    queue, x = context.Queue(), CASES["lstm"].input()
    process = context.Process(target=_answer, args=(net, x, queue))
    process.start()
    got = queue.get(timeout=100)
    process.join()
    assert torch.equal(torch.from_numpy(got), net(x))


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("make", [mlp, Recurrent, Tied, SharedSubmodule])
def test_the_live_module_and_its_parts_copy_and_pickle(make, twin):
    net = moved(make())
    again = twin(net.module)
    assert type(again) is type(net.module)
    name, part = next((n, m) for n, m in net.module.named_modules() if "weight" in vars(type(m)))
    expected = part.weight.detach().clone()
    alone = twin(part)
    assert torch.equal(again.get_submodule(name).weight, expected)
    assert torch.equal(alone.weight, expected)
    with torch.no_grad():
        net.omega.zero_()
    assert torch.equal(again.get_submodule(name).weight, expected)
    assert torch.equal(alone.weight, expected)
    assert not torch.equal(part.weight, expected)


# The module's own object


@ALL
@pytest.mark.parametrize("theta0", ["auto", "module"])
def test_without_a_copy_the_module_is_the_one_and_comes_back(case, theta0):
    torch.manual_seed(0)
    module = case.make()
    twin, kinds = copy.deepcopy(module), [type(m) for m in module.modules()]
    facts = [(n, id(p), p.requires_grad) for n, p in module.named_parameters()]
    net = sn.Subspace(module, 7, theta0=theta0, copy=False)
    assert net.module is module
    with torch.no_grad():
        net.omega.normal_()
    expected = copied(net).eval()(case.input())
    assert torch.equal(module.eval()(case.input()), expected)
    assert torch.equal(net.merge()(case.input()), expected)
    assert net.release() is module
    assert [type(m) for m in module.modules()] == kinds
    assert [(n, id(p), p.requires_grad) for n, p in module.named_parameters()] == facts
    assert list(module.state_dict()) == list(twin.state_dict())
    assert torch.equal(module(case.input()), twin.eval()(case.input()))
    assert not any("_subspace" in key for m in module.modules() for key in vars(m))
    pickled = "weight norm" not in {n for n, c in CASES.items() if c is case}
    assert not pickled or pickle.dumps(module)
    with pytest.raises(AttributeError, match="module"):
        net(case.input())


def test_without_a_copy_theta0_is_not_held_twice():
    module = mlp()
    weight = module[0].weight
    net = moved(module, copy=False)
    assert net.theta0()["0.weight"].data_ptr() == weight.data_ptr()
    assert torch.equal(net.to(torch.float64).release()[0].weight, weight)
    assert weight.dtype == torch.float64


@pytest.mark.parametrize("use", [
    lambda net: net(torch.ones(1, 4)), lambda net: net.omega, lambda net: net.release(),
    lambda net: net.merge(), lambda net: net.save("net.safetensors"), lambda net: net.module,
    lambda net: net.add_adapter("a"), lambda net: net.stages, lambda net: net.theta(),
])  # fmt: skip
def test_a_subspace_that_was_released_has_ended(use):
    net = moved(mlp())
    net.release()
    with pytest.raises(AttributeError, match=r"has ended: release\(\) gave its module back"):
        use(net)
    assert repr(net) == "Subspace(released)"


def test_a_module_that_was_refused_is_as_it_was():
    module = mlp()
    before = copy.deepcopy(module.state_dict())
    for options in ({"dim": 10**6}, {"projection": "gauss"}, {"scale": "learned", "dim": 3}):
        with pytest.raises(sn.InputError):
            sn.Subspace(module, **{"dim": 9, **options}, copy=False)
    assert {type(m) for m in module} == {nn.Linear, nn.Tanh}
    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)


# Modules that cannot


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(("make", "message"), [
    (lambda: torch.jit.script(nn.Linear(3, 2)), "TorchScript .* the whole. Expected"),
    (lambda: nn.Sequential(torch.jit.script(nn.Linear(3, 2))), "TorchScript .* 0. Expected"),
    (lambda: nn.Embedding(5, 4, sparse=True), "weight: embeddings with sparse=True"),
    (lambda: nn.Sequential(nn.EmbeddingBag(5, 4, sparse=True)), "0.weight: embeddings with"),
    (lambda: moved(mlp()).module, "Already in a subspace: the whole"),
])  # fmt: skip
def test_what_cannot_live_in_a_subspace_is_refused(make, message):
    with pytest.raises(sn.InputError, match=message):
        sn.Subspace(make(), 2)


# What modules keep


class Keeping(nn.Module):
    """Keeps what it has computed, as many models keep their attention maps."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, x):
        self.last = self.layer(x)
        self.seen = [{"map": self.last}]
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
@MEMORIES
def test_modules_that_keep_what_they_computed_are_wrapped_and_merged(make, memory):
    torch.manual_seed(0)
    module, x = make().eval(), torch.randn(3, 6)
    net = sn.Subspace(module, 9, theta0="module", memory=memory).eval()
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
    twin = copied(module)
    assert twin.last.is_leaf
    assert twin.seen[0]["map"] is twin.last
    assert torch.equal(twin.last, module.last)
    assert not module.last.is_leaf
    assert twin.layer.weight is not module.layer.weight
    assert isinstance(twin.layer.weight, nn.Parameter)


def test_what_cannot_be_copied_is_taken_without_a_copy():
    module = mlp()
    module.lock = threading.Lock()
    with pytest.raises(sn.InputError, match=r"cannot be copied \(TypeError.*lock.*copy=False"):
        sn.Subspace(module, 9)
    net = sn.Subspace(module, 9, copy=False)
    assert net(torch.ones(1, 4)).shape == (1, 3)
    assert net.release() is module


# Compilers


@pytest.mark.filterwarnings("ignore")  # the compiler's, about its own work
@pytest.mark.parametrize("kind", ["hashed", "fastfood", "orthonormal"])
@MEMORIES
def test_it_becomes_one_graph(kind, memory):
    net = moved(mlp(), 9, projection=kind, memory=memory)
    x = torch.randn(3, 4)
    torch._dynamo.reset()
    got = torch.compile(net.module, backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(got, net(x))
    slope = torch.autograd.grad(got.square().sum(), net.omega)[0]
    torch.testing.assert_close(slope, gradient(net, x))


@pytest.mark.parametrize("theta0", ["seed", "module"])
@pytest.mark.parametrize("part", ["whole", "layer"])
def test_it_is_compiled_and_exported_right_after_a_change_of_dtype(theta0, part):
    x = torch.ones(2, 4, dtype=torch.float64)
    expected = moved(mlp(), theta0=theta0).double().eval()(x)
    nets = [moved(mlp(), theta0=theta0).eval() for _ in range(2)]
    for net in nets:
        for layer in net.module if part == "layer" else [net]:
            layer.double()
        net.double()
    program = torch.export.export(nets[0].module, (x,))
    assert torch.equal(program.module()(x), expected)
    assert torch.equal(nets[0](x), expected)
    compiled = torch.compile(nets[1].module, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x), expected)


def test_it_is_exported():
    net = moved(mlp(), 9).eval()
    x = torch.randn(3, 4)
    program = torch.export.export(net.module, (x,))
    torch.testing.assert_close(program.module()(x), net(x))
