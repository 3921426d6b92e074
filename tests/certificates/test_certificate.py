"""Certificates: the checker of the page agrees, and refuses what was tampered with."""

import copy
import json
import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, TensorDataset

import subspace_nn as sn
from subspace_nn import sources
from subspace_nn.certificates import bounds, message
from subspace_nn.format import container
from subspace_nn.projections import Hashed
from tests.second import ROOT

PAGE = (ROOT / "docs" / "certificates.md").read_text("utf-8")
(SOURCE,) = re.findall(r"```python\n(# check\.py\n.*?)```", PAGE, re.DOTALL)
CHECKER = {}
exec(SOURCE, CHECKER)  # noqa: S102

X = torch.randn(300, 6, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] + 0.3 * X[:, 1] > 0).long()


def mlp(norm=False):
    layers = [nn.Linear(6, 8), nn.BatchNorm1d(8)] if norm else [nn.Linear(6, 8)]
    return nn.Sequential(*layers, nn.Tanh(), nn.Linear(8, 2))


def gridded(dim=10, levels=5, **options):
    net = sn.Subspace(mlp(options.pop("norm", False)), dim, **options)
    codes = torch.randint(levels, (dim,), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        net.omega.copy_((codes - levels // 2) * 0.25)
    return net


def saved(net, certificate, folder):
    """The bytes that the certificate is about."""
    compact = not [n for n in net.to_checkpoint().tensors if n != "omega"]
    path = folder / ("net.snn" if compact else "net.safetensors")
    net.save(path, dtype="coded")
    assert certificate.file["bytes"] == path.stat().st_size
    return path.read_bytes()


def given_data(x=X, y=Y):
    return x.numpy().tobytes(), y.numpy().tobytes()


CASES = {
    "plain": ({}, {}),
    "seeded": ({"seed": 7, "levels": 3}, {"delta": 0.01}),
    "another map": ({"projection": "hadamard", "scale": "none"}, {}),
    "searched": ({}, {"among": {"architecture": 6, "preprocessing": 2}}),
    "buffers": ({"norm": True}, {}),
    "theta0 in the file": ({"theta0": "module"}, {}),
    "learnt prior": ({"theta0": "module"}, {"prior": "θ0 was trained on other data"}),
    "sample": ({}, {"of": 10_000}),
    "tested": ({}, {"test": [(X[:50], Y[:50])]}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_forty_lines_agree(name, tmp_path):
    options, arguments = CASES[name]
    net = gridded(**options)
    certificate = sn.certify(net, [(X[:100], Y[:100]), (X[100:], Y[100:])], **arguments)
    held = json.loads(certificate.to_json())
    content = saved(net, certificate, tmp_path)
    CHECKER["check"](held, content, *given_data())
    share = math.log(certificate.delta) - certificate.bits * math.log(2)
    if "of" not in arguments:
        assert certificate.bound == bounds.binomial(certificate.errors, 300, share)
        wrong = int((net.eval()(X).argmax(1) != Y).sum())
        assert certificate.errors == wrong
    assert certificate.bits == sum(certificate.terms.values())


def test_the_checker_has_forty_lines():
    lines = [line for line in SOURCE.splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 41  # forty, and the imports
    assert re.findall("import.*", SOURCE) == ["import hashlib, json, math"]


@pytest.mark.parametrize("name", CASES)
def test_the_checker_refuses_what_was_tampered_with(name, tmp_path):
    options, arguments = CASES[name]
    net = gridded(**options)
    certificate = sn.certify(net, [(X, Y)], **arguments)
    held, content = json.loads(certificate.to_json()), saved(net, certificate, tmp_path)
    inputs, targets = given_data()

    def refused(claim, *given):
        with pytest.raises(AssertionError):
            CHECKER["check"](claim, *given)

    other = gridded(**{**options, "dim": 9})
    other.save(tmp_path / "other.safetensors", dtype="coded")
    refused(held, (tmp_path / "other.safetensors").read_bytes(), inputs, targets)
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1
        refused(held, bytes(changed), inputs, targets)
    refused(held, content, inputs[::-1], targets)
    refused(held, content, inputs, targets[8:] + targets[:8][::-1])
    for field, value in {
        "bound": certificate.bound - 0.01, "bits": certificate.bits - 1, "delta": 0.5,
        "errors": certificate.errors - 1, "n": certificate.n + 1, "train_error": 0.0,
        "terms": {**held["terms"], "dim": 1}, "among": {"architecture": 2},
    }.items():  # fmt: skip
        refused({**held, field: value}, content, inputs, targets)
    if held["prior"] is None and name in {"buffers", "theta0 in the file"}:
        refused({**held, "prior": "learnt"}, content, inputs, targets)


def test_another_file_of_the_same_net_is_no_part_of_a_certificate(tmp_path):
    """A stored form that takes more bits is paid for as it is stored."""
    net = gridded()
    net.save(tmp_path / "a.safetensors")
    loaded = sn.load(tmp_path / "a.safetensors", mlp())
    stored = sn.certify(loaded, [(X, Y)], file=tmp_path / "a.safetensors")
    CHECKER["check"](
        json.loads(stored.to_json()), (tmp_path / "a.safetensors").read_bytes(), *given_data()
    )
    assert stored.terms["omega"] == 8 * 4 * 10
    assert stored.bound > sn.certify(net, [(X, Y)]).bound


def test_a_second_run_agrees_and_finds_every_field_that_was_changed():
    net = gridded()
    certificate = sn.certify(net, [(X, Y)], test=[(X, Y)])
    held = json.loads(certificate.to_json())
    assert sn.certify(net, [(X[:7], Y[:7]), (X[7:], Y[7:])], test=[(X, Y)]).differences(held) == []
    for name in held:
        changed = copy.deepcopy(held)
        changed[name] = "x"
        (problem,) = certificate.differences(changed)
        assert problem.startswith(f"{name}: expected ")
        del changed[name]
        assert len(certificate.differences(changed)) == 1


@given(st.integers(1, 10**30))
def test_gamma_is_the_length_of_elias_code(number):
    binary = f"{number:b}"
    assert message.gamma(number) == len("0" * (len(binary) - 1) + binary)


def test_the_message_is_a_prefix_code():
    """Kraft's sum over the choices of a whole class of nets: at most 1, all of ω included."""
    spec = {"projection": "hashed/1", "omega": "coded", "theta0_from": "seed/1", "D": 10**6}
    total = 0.0
    for dim in range(1, 40):
        for seed in range(20):
            for size in range(3, 20):
                tensors = {"omega": torch.empty(size, dtype=torch.uint8)}
                found = sn.format.container.Checkpoint({**spec, "dim": dim, "seed": seed}, tensors)
                bits = sum(message.terms(found, {}).values())
                total += 2.0 ** (8 * size - bits)  # all ω of so many bytes
    assert total <= 2.0**-message.NET


def test_any_model_and_loss():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(6, 1)

        def forward(self, batch):
            return self.one(batch["x"]) + batch["more"][0]

    net = sn.Subspace(Pair(), 3)
    data = [({"x": X, "more": [torch.zeros(300, 1)]}, X.sum(1))]
    found = sn.certify(
        net, data, wrong=lambda outputs, targets: (outputs[:, 0] - targets).abs() > 1
    )
    assert found.n == 300
    assert 0 < found.train_error < 1
    assert net.training


class Loader:
    def __iter__(self):
        raise AssertionError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delta": 0}, "delta must be a number above 0 and below 1, got 0"),
        ({"delta": 1.0}, "delta must be"),
        ({"of": -1}, "of must be a whole number of at least 1"),
        ({"among": {"architecture": 0}}, "architecture must be one of a whole number"),
        ({"among": {"architecture": 1.5}}, "architecture must be one of a whole number"),
    ],
)
def test_mistakes_are_found_before_the_data_are_read(arguments, message):
    with pytest.raises(sn.InputError, match=message):
        sn.certify(gridded(), Loader(), **arguments)


def test_what_cannot_be_certified():
    with pytest.raises(sn.InputError, match="no example"):
        sn.certify(gridded(), [])
    net = gridded()
    with torch.no_grad():
        net.omega.copy_(torch.linspace(0.1, 1.7, 10).sqrt())
    with pytest.raises(sn.InputError, match="not that of the file: they differ by"):
        sn.certify(net, [(X, Y)])
    with pytest.raises(sn.InputError, match=r"expected shape \(300,\), got \(300, 2\)"):
        sn.certify(gridded(), [(X, Y)], wrong=lambda outputs, _: outputs > 0)


def test_what_the_data_may_have_decided_is_in_the_message():
    P = sources.lottery(torch.arange(1.0, 75), 10)
    net = gridded(projection=P, theta0="module")
    P.in_file = False
    with pytest.raises(sn.InputError, match=r"does not hold P \(pieces/1\), and"):
        sn.certify(net, Loader())
    fixed = sn.certify(net, [(X, Y)], prior="P is fixed")
    P.in_file = True
    assert sn.certify(net, [(X, Y)]).bits > fixed.bits + 32 * net.D
    net.base = "mine"
    with pytest.raises(sn.InputError, match="does not hold θ0, the weights of 'mine', and"):
        sn.certify(net, Loader())
    net = gridded(11, projection=P | Hashed(74, 1))
    with pytest.raises(sn.InputError, match="hstack/1"):
        sn.certify(net, Loader())


@pytest.mark.parametrize("base", [None, "mine"])
def test_a_prior_is_no_end_of_an_earlier_stage(base):
    net = gridded(theta0="module")
    net.base = base
    alone = sn.certify(net, [(X, Y)], prior="other data").bits
    net.next_stage()
    if base is None:
        with pytest.raises(sn.InputError, match=r"earlier stages.*net\.base"):
            sn.certify(net, Loader(), prior="other data")
    else:
        assert sn.certify(net, [(X, Y)], prior="other data").bits > alone + 8 * 4 * 10 - 100


def test_the_bound_holds():
    """Eight tasks; `python -m evidence.certificate_coverage` makes two hundred."""
    from evidence.certificate_coverage import attempt  # noqa: PLC0415

    assert sum(attempt(seed, steps=8)["broken"] for seed in range(8)) <= 1


def test_a_prior_pays_for_what_earlier_stages_learnt(tmp_path):
    net = sn.Subspace(mlp(norm=True), dim=5)
    torch.nn.init.ones_(net.omega)
    paid = []
    for _ in range(2):
        net.save(tmp_path / "net.safetensors")
        found = container.read(tmp_path / "net.safetensors")
        paid.append(message.terms(found, {}, is_prior=True).get("other tensors", 0))
        net.next_stage()
    assert paid[0] == 0
    assert paid[1] > 8 * 4 * 5


def test_a_loader_that_shuffles_is_read_in_order_and_whole():
    x = torch.randn(70, 6, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(x, (x[:, 0] > 0).long())
    net = sn.Subspace(nn.Linear(6, 2), 3)
    want = sn.certify(net, DataLoader(data, 16))
    assert sn.certify(net, DataLoader(data, 16, shuffle=True, drop_last=True)) == want
    few = DataLoader(data, 16, sampler=SubsetRandomSampler([7, 5, 30]))
    assert (
        sn.certify(net, few).data == sn.certify(net, DataLoader(data, 1, sampler=[5, 7, 30])).data
    )
    drawn = DataLoader(data, 16, sampler=RandomSampler(data, replacement=True, num_samples=20))
    assert sn.certify(net, drawn, of=70).sample["n"] == 20


def test_an_error_leaves_the_net_in_training_mode():
    net = sn.Subspace(nn.Linear(6, 2), 3)
    with pytest.raises(RuntimeError):
        sn.certify(net, [(torch.ones(2, 5), torch.ones(2))])
    assert net.training


def test_only_a_subspace_is_certified():
    with pytest.raises(sn.InputError, match="Expected a Subspace"):
        sn.certify(torch.nn.Linear(2, 2), [])
