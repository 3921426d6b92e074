"""Adapters of one base compute, train, copy and save as nets of their own do."""

import asyncio
import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import subspace_nn as sn
from subspace_nn.format import container
from tests.modules import CASES

ALL = pytest.mark.parametrize("case", list(CASES.values()), ids=list(CASES))


def made(dtype=torch.float32, dim=7, seed=0, **options):
    """A net with a norm in θ, buffers, and a head that trains with ω."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    options = {"theta0": "module", "train": "3", **options}
    return sn.Subspace(module.to(dtype), dim, seed=seed, **options)


def batch(n=6):
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(0))


def fit(net, steps, x=None):
    """Train whatever is chosen, to another end with every number of steps."""
    x = batch() if x is None else x
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    net.train()
    for _ in range(steps):
        optimizer.zero_grad()
        (net(x) - steps).square().mean().backward()
        optimizer.step()
    net.eval()


def trained(names=("a", "b", "c"), **options):
    """A net with adapters that compute different functions."""
    net = made(**options)
    for steps, name in enumerate(names, 2):
        net.add_adapter(name)
        net.set_adapter(name)
        fit(net, steps)
    net.set_adapter(None)
    return net


def answers(net, names=("a", "b", "c", None)):
    with torch.no_grad():
        return {name: net(batch(), adapters=name) for name in names}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.safetensors"


@ALL
@pytest.mark.parametrize("memory", ["whole", "layer"])
def test_adapters_train_and_compute_as_nets_of_their_own(case, memory):
    torch.manual_seed(0)
    module = case.make()
    net = sn.Subspace(module, 7, theta0="module", memory=memory)
    own = {name: copy.deepcopy(net) for name in "ab"}
    for name, steps in (("a", 3), ("b", 5)):
        net.add_adapter(name)
        net.set_adapter(name)
        assert case.train(net, steps) == case.train(own[name], steps)
    for name, expected in own.items():
        net.set_adapter(name)
        for training in (True, False):
            torch.manual_seed(3)
            got = net.train(training)(case.input())
            torch.manual_seed(3)
            assert torch.equal(got, expected.train(training)(case.input()))
    net.set_adapter(None)
    assert torch.equal(net.eval()(case.input()), module.eval()(case.input()))


@pytest.mark.parametrize("train", ["lstm", "head"])
def test_recurrent_parts_may_train_beside(train):
    case = CASES["lstm"]
    net = sn.Subspace(case.make(), 5, train=train)
    own = {name: copy.deepcopy(net) for name in "ab"}
    for name, steps in (("a", 2), ("b", 3)):
        net.add_adapter(name)
        net.set_adapter(name)
        assert case.train(net, steps) == case.train(own[name], steps)
        assert torch.equal(net(case.input()), own[name](case.input()))
    assert torch.equal(net.release()(case.input()), own["b"].release()(case.input()))


def test_heads_norms_and_buffers_belong_to_their_adapter():
    net = trained()
    state = {}
    for name in net.adapters:
        net.set_adapter(name)
        state[name] = {n: t.clone() for n, t in net.state_dict().items()}
        assert len(list(net.parameters())) == len(list(made().parameters()))
    own = {"module.subspace_omega", "module.3.weight", "module.3.bias", "module.1.running_mean",
           "module.1.running_var", "module.1.num_batches_tracked"}  # fmt: skip
    assert state["a"].keys() - {"module.subspace_recipe"} == own
    for name in own:
        assert not torch.equal(state["a"][name], state["b"][name])
    net.load_state_dict(state["a"])  # into the chosen one
    got = answers(net)
    assert torch.equal(got["c"], got["a"])
    assert not torch.equal(got["b"], got["a"])


def test_an_optimiser_keeps_its_adapter():
    net = made()
    net.add_adapter("a")
    net.set_adapter("a")
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    net(batch()).sum().backward()
    held = net.omega
    net.set_adapter(None)
    base = net.omega.detach().clone()
    optimizer.step()
    assert torch.equal(net.omega, base)
    net.set_adapter("a")
    assert net.omega is held
    assert float(held.detach().abs().max()) > 0


def test_a_block_holds_for_its_thread_only():
    net = trained()
    expected = answers(net)
    inside, done = threading.Event(), threading.Event()

    def block():
        with net.adapter("a"):
            inside.set()
            done.wait(10)
            return net(batch()).detach(), net.active_adapter, net.omega

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(block)
        inside.wait(10)
        assert net.active_adapter is None
        assert torch.equal(net(batch()), expected[None])
        net.set_adapter("b")
        net.delete_adapter("a")  # which the block keeps
        assert torch.equal(net(batch()), expected["b"])
        done.set()
        got, name, omega = running.result()
    assert (name, omega.shape) == ("a", (7,))
    assert torch.equal(got, expected["a"])


@pytest.mark.parametrize("memory", ["whole", "layer"])
@pytest.mark.parametrize("keep", [1, 3])
def test_threads_answer_for_different_adapters_at_once(memory, keep):
    names = tuple("abcdef")
    net = trained(names, memory=memory)
    net.keep = keep
    expected = answers(net, (*names, None))
    gate = threading.Barrier(8)

    def serve(thread):
        gate.wait(10)
        wrong = 0
        for turn in range(40):
            name = (*names, None)[(3 * thread + turn) % 7]
            with net.adapter(name), torch.set_grad_enabled(turn % 2 == 0):
                wrong += not torch.equal(net(batch()), expected[name])
        return wrong

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(serve, range(8))) == 0
    assert len(net._weights._kept) <= keep


def test_tasks_answer_for_different_adapters_at_once():
    net = trained()
    expected = answers(net)

    async def ask(name):
        with net.adapter(name):
            await asyncio.sleep(0.001)
            here = net(batch())
            there = await asyncio.to_thread(net, batch())
            return torch.equal(here, expected[name]) and torch.equal(there, expected[name])

    async def serve():
        return await asyncio.gather(*(ask(name) for name in (*expected,) * 5))

    assert all(asyncio.run(serve()))


def test_a_call_ends_with_the_adapter_it_began_with():
    net = trained()
    expected = answers(net)
    net.set_adapter("a")
    hook = net.module[1].register_forward_hook(lambda *_: net.set_adapter("b"))
    assert torch.equal(net(batch()), expected["a"])
    hook.remove()
    assert torch.equal(net(batch()), expected["b"])


def test_a_generator_that_yields_in_its_block_is_noticed():
    net = trained()

    def stream(name):
        with net.adapter(name):
            yield net(batch())

    one, two = stream("a"), stream("b")
    next(one), next(two)
    with pytest.raises(sn.InputError, match="a generator yielded inside of its block"):
        next(one)
    assert next(two, None) is None
    assert net.active_adapter is None


class Checkpointed(nn.Module):
    """Runs its first layer again in the backward pass."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.second(checkpoint(self.first, x, use_reentrant=False).relu())


def test_what_runs_again_in_the_backward_pass_has_its_adapter_or_is_refused():
    torch.manual_seed(0)
    net = sn.Subspace(Checkpointed(), 4, theta0="module")
    net.add_adapter("a")
    with net.adapter("a"):
        net.omega.data.fill_(0.5)
        loss = net(batch()).square().sum()
    with pytest.raises(sn.InputError, match="not in the block that chose the adapter"):
        loss.backward()
    gradients = []
    with net.adapter("a"):
        net(batch()).square().sum().backward()
        gradients.append(net.omega.grad.clone())
        net.omega.grad = None
    net.set_adapter("a")
    net(batch()).square().sum().backward()
    gradients.append(net.omega.grad)
    alone = sn.Subspace(net.merge(), 4, theta0="module")
    alone(batch()).square().sum().backward()
    assert torch.equal(*gradients)
    assert float(gradients[0].abs().max()) > 0


def test_each_row_may_have_an_adapter_of_its_own():
    net = trained()
    expected = answers(net)
    names = ["b", None, "a", "b", "c", "a"]
    got = net(batch(), adapters=names)
    for row, name in enumerate(names):
        torch.testing.assert_close(got[row], expected[name][row])
    got.square().sum().backward()
    with net.adapter("a"):
        assert float(net.omega.grad.abs().max()) > 0


class Dictionary(nn.Module):
    """Takes what has rows and what has none, and returns both."""

    def __init__(self, extra=None):
        super().__init__()
        self.layer, self.extra = nn.Linear(5, 3), extra

    def forward(self, x, *, mask, scale):
        y = self.layer(x) * mask[:, None] * scale
        return {"y": y, "extra": y.sum() if self.extra == "sum" else self.extra, "none": None}


def test_rows_are_cut_from_every_argument_and_joined_in_every_output():
    net = sn.Subspace(Dictionary("kept"), 4)
    net.add_adapter("a")
    mask, scale = torch.arange(6.0), torch.tensor(2.0)
    got = net(batch(), mask=mask, scale=scale, adapters=["a", None] * 3)
    assert (got["extra"], got["none"]) == ("kept", None)
    torch.testing.assert_close(got["y"], net(batch(), mask=mask, scale=scale)["y"])


def test_names_of_rows_may_be_of_any_iterable():
    net = trained().eval()
    expected = net(batch(), adapters=["a", "b"] * 3)
    assert torch.equal(net(batch(), adapters=(name for name in "ababab")), expected)


@pytest.mark.parametrize(("names", "message"), [
    (["a", None], "Expected an input of 2 rows"), ([], "for each row, got none"),
    (["a", "x"] * 3, "Expected the name of an adapter, got 'x'"),
    (["a", None] * 3, "Expected outputs with a row for each row"),
    (["a", 3] * 3, "Expected the name of an adapter, or None for the base; got 3"),
    ([["a"]] * 6, r"or None for the base; got \['a'\]"), (b"aaaaaa", "for the base; got 97"),
    (3, "adapters: expected a name, or one for each row; got 3"),
])  # fmt: skip
def test_rows_that_cannot_be_are_refused(names, message):
    net = sn.Subspace(Dictionary("sum"), 4)
    net.add_adapter("a")
    with pytest.raises(sn.InputError, match=message):
        net(batch(), mask=torch.ones(6), scale=2, adapters=names)


class Tagged(nn.Module):
    """Takes something in addition to a tensor."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, x, other):
        return self.layer(x) if other is not None else x


@pytest.mark.parametrize(("other", "kind"), [
    (["a", "b", "c"], "list"), ([torch.ones(2)] * 3, "list"), ({"k": [1, 2, 3]}, "list"),
    (np.ones(3), "ndarray"),
])  # fmt: skip
def test_what_may_be_rows_or_not_is_refused(other, kind):
    net = sn.Subspace(Tagged(), 4)
    net.add_adapter("a")
    x = torch.ones(3, 5)
    with pytest.raises(sn.InputError, match=f"An argument is a {kind} with 3 entries"):
        net(x, other, adapters=["a", None, "a"])
    assert net(x, other, adapters=["a"] * 3).shape == (3, 3)


@pytest.mark.parametrize("other", [(1, 2, 3), [1, 2], [torch.ones(3)] * 3, np.ones(()), "abc"])
def test_what_all_rows_share_or_is_cut(other):
    net = sn.Subspace(Tagged(), 4)
    net.add_adapter("a")
    assert net(torch.ones(3, 5), other, adapters=["a", None, "a"]).shape == (3, 3)


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_have_their_own_adapters(copier):
    net = trained()
    net.set_adapter("b")
    twin = copier(net)
    assert (twin.adapters, twin.active_adapter) == (("a", "b", "c"), "b")
    for name, expected in answers(net).items():
        assert torch.equal(twin(batch(), adapters=name), expected)
    fit(twin, 2)
    assert not torch.equal(twin(batch()), net(batch()))
    assert torch.equal(net(batch()), answers(net)["b"])


def test_merge_and_release_give_what_is_chosen():
    net = trained()
    for name, expected in answers(net).items():
        with net.adapter(name):
            plain = net.merge()
        assert torch.equal(plain(batch()), expected)
        assert type(plain[3]) is nn.Linear
        assert not hasattr(plain[1], "_subspace_choice")
    module = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    kinds = [type(part) for part in module.modules()]
    net = sn.Subspace(module, 7, train="3", copy=False)
    net.add_adapter("a")
    net.set_adapter("a")
    fit(net, 2)
    head = net.module[3].weight
    assert net.release() is module
    assert [type(part) for part in module.modules()] == kinds
    assert module[3].weight is head


def test_all_adapters_are_cast():
    net = trained()
    expected = answers(net)
    net.set_adapter("b")
    net.double()
    assert {p.dtype for p in net.parameters()} == {torch.float64}
    for name, value in expected.items():
        got = net(batch().double(), adapters=name)
        torch.testing.assert_close(got, value.double(), rtol=1e-4, atol=1e-5)


def test_functional_calls_meet_the_chosen_adapter():
    net = trained()
    expected = answers(net)
    with net.adapter("a"):
        omega = {"subspace_omega": net.omega.detach().clone()}
    net.set_adapter("a")
    net.omega.data.zero_()
    with torch.no_grad():
        assert torch.equal(torch.func.functional_call(net.module, omega, batch()), expected["a"])
    assert not float(net.omega.detach().abs().max())


def test_tied_parameters_stay_tied():
    module = nn.ModuleDict({name: nn.Linear(4, 4) for name in ("body", "one", "two")})
    module["two"].weight = module["one"].weight
    net = sn.Subspace(module, 3, train=["one", "two"])
    net.add_adapter("a")
    with net.adapter("a"):
        assert net.module["one"].weight is net.module["two"].weight


def test_compiled_code_meets_the_chosen_adapter():
    net = trained()
    expected = answers(net)
    compiled = torch.compile(net, backend="eager")
    with torch.no_grad():
        for name in ("a", "b", None):
            net.set_adapter(name)
            torch.testing.assert_close(compiled(batch()), expected[name])
        with net.adapter("c"):
            torch.testing.assert_close(compiled(batch()), expected["c"])


@pytest.mark.parametrize("memory", ["whole", "layer"])
def test_one_graph_meets_the_adapter_that_is_set(memory):
    torch.compiler.reset()
    net = trained(memory=memory)
    expected = answers(net)
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    for name in ("a", "b", None, "c"):
        net.set_adapter(name)
        torch.testing.assert_close(compiled(batch()).detach(), expected[name])
        gradients = []
        for each in (compiled, net):
            parameters = [p for p in net.parameters() if p.requires_grad]
            gradients += [torch.autograd.grad(each(batch()).square().sum(), parameters)]
        torch.testing.assert_close(*gradients)
    with net.adapter("a"), pytest.raises(Exception, match=r"with net.set_adapter\(name\)"):
        compiled(batch())
    assert copy.deepcopy(net)._adapters.blocks == net._adapters.blocks == 0


def test_a_copy_that_is_made_in_a_block_is_in_none():
    net = trained()
    with net.adapter("a"):
        twin, again = copy.deepcopy(net), pickle.loads(pickle.dumps(net))
    assert net._adapters.blocks == twin._adapters.blocks == again._adapters.blocks == 0


# Files


def test_files_go_both_ways(path):
    net = trained()
    expected = answers(net)
    for name in ("a", None):
        with net.adapter(name):
            net.save(path, base="lab/base")
        alone = sn.load(path, made().release())
        assert torch.equal(alone(batch()), expected[name])
    net.save(path, base="lab/base", adapter="b")
    other = made().eval()
    other.load_adapter("x", path)
    assert other.adapters == ("x",)
    assert other.active_adapter is None
    assert other.base == "lab/base"
    assert torch.equal(other(batch()), made().eval()(batch()))
    assert torch.equal(other(batch(), adapters="x"), expected["b"])
    with pytest.raises(sn.InputError, match="got 'y'; there are 3"):
        net.save(path, adapter="y")


@pytest.mark.parametrize("options", [
    {"dtype": "int8"}, {"dtype": "float16"}, {"base": "lab/base"}, {},
])  # fmt: skip
def test_a_file_is_the_same_as_loaded_alone(options, path):
    trained().save(path, adapter="a", **options)
    other = made().eval()
    other.load_adapter("a", path)
    assert torch.equal(other(batch(), adapters="a"), sn.load(path, made().release())(batch()))


def other_base(net):
    with torch.no_grad():
        module = net.release()
        module[0].weight[0, 0] += 1
    return sn.Subspace(module, 7, theta0="module", train="3")


def drawn():
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    return sn.Subspace(module, 7, theta0="seed", train="3")


def wider():
    module = nn.Sequential(nn.Linear(5, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 3))
    return sn.Subspace(module, 7, theta0="module", train="3")


def other_head():
    module = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    module[0], module[1] = made().release()[:2]
    return sn.Subspace(module, 7, theta0="module", train="3")


def rewrite(path, **fields):
    saved = container.read(path)
    container.write(container.Checkpoint({**saved.spec, **fields}, saved.tensors), path)


REFUSED = {
    "seed": (lambda: made(seed=1), "another seed than the one it was .*: expected 1, got 0"),
    "kind": (lambda: made(projection="hadamard"), "another projection .* expected hadamard/1, got"),
    "dim": (lambda: made(dim=6), "another number of free parameters d .*: expected 6, got 7"),
    "base": (lambda: other_base(made()), "another θ0 than"),
    "way of θ0": (drawn, "another way of making θ0 .* expected seed/1, got file"),
    "architecture": (wider, "another architecture than"),
    "scale": (lambda: made(scale="none"), "another scale .* expected none, got None"),
    "selection": (lambda: made(train="3.bias"), r"selection \(train\) than .* expected \['3.bias"),
    "dtype": (lambda: made(torch.float64), "tensor 'omega': expected float32 of shape .* float64"),
    "head": (other_head, "tensor 'module.3.weight': expected float32 of shape .3, 8., got float32"),
}  # fmt: skip


@pytest.mark.parametrize("what", list(REFUSED))
def test_a_file_for_another_net_is_refused_by_name(what, path):
    make, message = REFUSED[what]
    net = trained()
    before = answers(net)
    make().save(path)
    with pytest.raises(sn.CheckpointError, match=message):
        net.load_adapter("x", path)
    assert_unchanged(net, before)


def assert_unchanged(net, before):
    assert net.adapters == ("a", "b", "c")
    assert net.active_adapter is None
    for name, expected in answers(net).items():
        assert torch.equal(expected, before[name])


@pytest.mark.parametrize(("damage", "message"), [
    (lambda p: p.write_bytes(p.read_bytes()[:-1]), "safetensors"),
    (lambda p: p.write_bytes(p.read_bytes()[:-1] + b"x"), "its content was altered"),
    (lambda p: rewrite(p, projection="hashed/2"), "another projection .* hashed/2, got hashed/1"),
    (lambda p: rewrite(p, P="0" * 16), "another P than the one it was saved with"),
    (lambda p: p.unlink(), "No such file"),
])  # fmt: skip
def test_a_damaged_file_is_refused(damage, message, path):
    net = trained()
    before = answers(net)
    net.save(path, adapter="a", base="lab/base")
    damage(path)
    with pytest.raises(sn.CheckpointError, match=message) as caught:
        net.load_adapter("x", path)
    assert str(path) in str(caught.value)
    assert_unchanged(net, before)


@pytest.mark.parametrize("base", ["lab/base", None])
def test_other_frozen_parameters_are_refused(base, path):
    def frozen(value):
        module = CASES["frozen body"].make()
        torch.manual_seed(2)
        for number, parameter in enumerate(module.parameters()):
            parameter.data = torch.randn(parameter.shape) + (value if number == 0 else 0)
        return sn.Subspace(module, 4, theta0="module")

    frozen(0.0).save(path, base=base)
    frozen(0.0).load_adapter("a", path)
    with pytest.raises(sn.CheckpointError, match="frozen parameters than"):
        frozen(1.0).load_adapter("a", path)


def test_a_base_that_was_changed_and_back_is_seen(path):
    made().save(path, base="lab/base")
    net = made()
    net.load_adapter("a", path)
    net.half().float()  # rounds θ0
    with pytest.raises(sn.CheckpointError, match="another θ0 than"):
        net.load_adapter("b", path)


def test_the_dtype_of_the_base_is_named(path):
    made(torch.bfloat16, train=(), exclude="3").save(path)
    net = made(train=(), exclude="3")
    with pytest.raises(sn.CheckpointError, match=r"tensor 'module\.3\.weight': expected"):
        made(train=(), exclude="3").bfloat16().float().load_adapter("a", path)
    with pytest.raises(sn.CheckpointError, match=r"that of this base in bfloat16: net.to\(torch.b"):
        net.load_adapter("a", path)
    net.save(path)
    with pytest.raises(sn.CheckpointError, match="Here it is of dtype bfloat16"):
        made(torch.bfloat16, train=(), exclude="3").load_adapter("a", path)


def test_a_newer_file_takes_the_place_of_an_older_one(path):
    net = trained()
    expected = answers(net)
    net.save(path, adapter="a")
    with pytest.raises(sn.InputError, match="There is an adapter 'b': replace=True puts this in"):
        net.load_adapter("b", path)
    net.set_adapter("b")
    with net.adapter("b"):
        net.load_adapter("b", path, replace=True)
        assert torch.equal(net(batch()), expected["b"])
    assert torch.equal(net(batch()), expected["a"])


def test_what_a_server_loads_for_inference_can_train(tmp_path):
    def module():
        return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))

    net, x = sn.Subspace(module(), 6, theta0="seed", train="2"), torch.rand(4, 5)
    net.save(tmp_path / "net.safetensors")
    with torch.inference_mode():
        net.load_adapter("a", tmp_path / "net.safetensors")
        net.add_adapter("b")
        loaded = sn.load(tmp_path / "net.safetensors", module())
    for free, names in ((net, ("a", "b")), (loaded, (None,))):
        for name in names:
            free.set_adapter(name)
            optimizer = torch.optim.Adam(free.parameters(), 0.1)
            before = free.train()(x)
            before.square().sum().backward()
            optimizer.step()
            assert not torch.equal(free(x), before)


# Names, and what cannot have adapters


@pytest.mark.parametrize(
    "name", ["", ".", "../x", "a/b", "-x", "ä", "x" * 129, "a\n", None, 3, ["a"]]
)
def test_names_are_checked(name):
    with pytest.raises(sn.InputError, match="Expected a name of 1 to 128 letters"):
        made().add_adapter(name)


@pytest.mark.parametrize("use", [
    lambda net: net.set_adapter("aa"), lambda net: net.delete_adapter("aa"),
    lambda net: net.adapter("aa"), lambda net: net(batch(), adapters="aa"),
])  # fmt: skip
def test_an_unknown_name_is_refused(use):
    net = trained()
    with pytest.raises(sn.InputError, match="got 'aa'; there are 3, such as a"):
        use(net)


def test_names_come_once_and_go():
    net = trained()
    with pytest.raises(sn.InputError, match="There is an adapter 'a'"):
        net.add_adapter("a")
    net.set_adapter("a")
    for name in ("a", None):
        with pytest.raises(sn.InputError, match="is in use"):
            net.delete_adapter(name)
    net.delete_adapter("b")
    assert net.adapters == ("a", "c")
    assert "adapters=2" in repr(net)
    with pytest.raises(sn.InputError, match="keep must be a whole number"):
        net.keep = 0


class Extra(nn.Linear):
    """Has a state that only a method sets."""

    def get_extra_state(self):
        return torch.zeros(1)

    def set_extra_state(self, state):
        pass


def test_what_cannot_have_adapters_says_why():
    with pytest.raises(sn.InputError, match="Extra state cannot be another for each adapter"):
        sn.Subspace(nn.Sequential(Extra(3, 3)), 2).add_adapter("a")
    inner = sn.Subspace(nn.Linear(5, 4), 10)
    outer = sn.Subspace(inner, 3, copy=False)
    with pytest.raises(sn.InputError, match="ω itself is in a subspace"):
        inner.add_adapter("a")
    outer.add_adapter("a")
    with pytest.raises(sn.InputError, match="Has adapters: module"):
        sn.Subspace(outer, 2)
