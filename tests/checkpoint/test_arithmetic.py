"""Sums of checkpoints are sums of task vectors, or refused."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import subspace_nn as sn
from subspace_nn.checkpoint.arithmetic import weighted_sum
from subspace_nn.format import container
from tests.subspace.test_adapters import batch, fit, made

WEIGHTS = st.floats(-3, 3, width=32)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save(path, value, **options):
    net = made(train=(), **options)
    generator = torch.Generator().manual_seed(value)
    net.omega.data = torch.randn(net.dim, generator=generator, dtype=net.omega.dtype)
    net.save(path)
    return net


@given(weights=st.lists(WEIGHTS, min_size=1, max_size=3))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_sum_is_the_sum_of_the_task_vectors(weights):
    nets = [sn.Subspace(nn.Linear(4, 3).double(), 3, theta0="seed") for _ in weights]
    for number, net in enumerate(nets):
        net.omega.data.add_(number + torch.arange(3.0))
    theta0 = nets[0].layout.flatten(nets[0].theta0())
    pairs = zip(weights, nets, strict=True)
    expected = theta0 + sum(w * (net.theta() - theta0) for w, net in pairs)
    combined = weighted_sum([net.to_checkpoint() for net in nets], weights)
    nets[0].load_values(combined.tensors)
    torch.testing.assert_close(nets[0].theta(), expected, rtol=1e-6, atol=1e-6)


def test_a_point_between_two_nets():
    a, b = save("a", 1), save("b", 2)
    sn.combine({"a": 0.25, "b": 0.75}, "c")
    between = sn.load("c", made().release())
    torch.testing.assert_close(between.theta(), 0.25 * a.theta() + 0.75 * b.theta())
    sn.combine({"a": -1}, "c", dtype="int8")
    torch.testing.assert_close(sn.load("c", made().release()).omega, -a.omega, rtol=0.02, atol=0.02)
    sn.combine({"a": 1}, "a")
    assert torch.equal(sn.load("a", made().release()).theta(), a.theta())


def test_heads_and_averages_of_norms_are_combined():
    nets = {}
    for name, steps in (("a", 2), ("b", 4)):
        nets[name] = made()
        fit(nets[name], steps)
        nets[name].save(name, base="lab/base")
    sn.combine({"a": 0.5, "b": 0.5}, "c")
    again = sn.load("c", made().release())
    for name in ("3.weight", "1.running_var"):
        halves = [0.5 * net.module.state_dict()[name] for net in nets.values()]
        torch.testing.assert_close(again.module.state_dict()[name], sum(halves))
    assert int(again.module[1].num_batches_tracked) == 3
    net = made().eval()
    net.load_adapter("c", "c")
    assert torch.equal(net(batch(), adapters="c"), again(batch()))
    with pytest.raises(sn.InputError, match=r"the sum 1, for .*module\.3\.weight.* got 2"):
        sn.combine({"a": 1, "b": 1}, "c")
    with pytest.raises(sn.InputError, match="running_var would be negative"):
        sn.combine({"a": -99, "b": 100}, "c")


OTHERS = {
    "seed": ({"seed": 1}, "seed is 1 and 0"),
    "kind": ({"projection": "hadamard"}, "projection is hadamard/1 and hashed/1"),
    "dim": ({"dim": 6}, "number of free parameters d is 6 and 7"),
    "scale": ({"scale": "none"}, "scale is none and None"),
    "selection": ({"exclude": "0.bias"}, r"selection \(exclude\) is \['0.bias'\] and None"),
    "dtype": ({"dtype": torch.float64}, "torch.float64"),
}


@pytest.mark.parametrize("what", list(OTHERS))
def test_what_is_not_shared_is_refused_by_name(what):
    options, message = OTHERS[what]
    save("a", 1), save("b", 2, **options)
    with pytest.raises(sn.CheckpointError, match=f"b and a: .*{message}"):
        sn.combine({"a": 0.5, "b": 0.5}, "c")


def change(path, name, **fields):
    saved = container.read(path)
    tensors = dict(saved.tensors) | ({name: saved.tensors[name] + 1} if name else {})
    container.write(container.Checkpoint({**saved.spec, **fields}, tensors), path)


@pytest.mark.parametrize(("name", "fields", "message"), [
    ("theta0.0.weight", {"theta0": "0" * 16}, "θ0 is 0000000000000000 and"),
    ("module.3.weight", {}, "'module.3.weight' differs, and is neither trained"),
    (None, {"theta0_from": "base", "base": "x/y"}, "one has θ0 in it, the other names a base"),
])  # fmt: skip
def test_another_base_is_refused(name, fields, message):
    for path in "ab":
        net = made(train=(), exclude="3")
        net.save(path)
    change("b", name, **fields)
    with pytest.raises(sn.CheckpointError, match=message):
        sn.combine({"a": 0.5, "b": 0.5}, "c")


@pytest.mark.parametrize(("options", "weights", "message"), [
    ({"projection": "orthonormal"}, [1, 1], "must have the sum 1, for orthonormal/1 has no zero"),
    ({"scale": "learned", "dim": 12}, [0.5, 0.5], "not linear in the free parameters"),
    ({}, [math.nan, 0.5], "weight of a must be a number, got nan"), ({}, [], "at least one file"),
])  # fmt: skip
def test_sums_that_mean_nothing_are_refused(options, weights, message):
    for value, path in enumerate("ab"):
        save(path, value, **options)
    with pytest.raises(sn.InputError, match=message):
        sn.combine(dict(zip("ab", weights, strict=False)), "c")


def test_heads_that_a_group_names_are_refused_with_the_remedy():
    for number in range(2):
        module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2, bias=False))
        net = sn.Subspace(module, 3, train="@head", seed=0, theta0="seed")
        net.module[1].weight.data.fill_(number)
        net.save(f"{number}")
    with pytest.raises(sn.InputError, match=r"@head are is not in a file.* give train names"):
        sn.combine({"0": 0.5, "1": 0.5}, "mean")


def test_files_without_weights_are_refused():
    with pytest.raises(sn.InputError, match=r"the weight of each file, .*, got \['a', 'b'\]"):
        sn.combine(["a", "b"], "c")


def test_means_of_anchored_nets_are_means():
    nets = [save(path, value, projection="orthonormal") for value, path in enumerate("ab")]
    sn.combine({"a": 0.5, "b": 0.5}, "c")
    got = sn.load("c", made().release()).theta()
    torch.testing.assert_close(got, (nets[0].theta() + nets[1].theta()) / 2)
