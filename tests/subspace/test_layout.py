"""Names and θ: order, ties, round trips."""

import pytest
import torch
from torch import nn

from subspace_nn.common.errors import InputError
from subspace_nn.subspace.layout import Layout
from tests.modules import CASES, Frozen, SharedSubmodule, Tied


@pytest.mark.parametrize("case", list(CASES.values()), ids=list(CASES))
def test_D_counts_each_trainable_weight_once(case):
    module = case.make()
    trainable = [p for p in module.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trainable) == Layout.of(module).D


@pytest.mark.parametrize("case", list(CASES.values()), ids=list(CASES))
def test_flatten_and_split_are_inverse(case):
    module = case.make()
    layout = Layout.of(module)
    theta = torch.arange(float(layout.D))
    pieces = layout.split(theta)
    assert torch.equal(layout.flatten(pieces), theta)
    assert [p.shape for p in pieces.values()] == [e.shape for e in layout.entries]


def test_tied_parameters_have_one_entry_and_all_slots():
    slots = {entry.name: entry.slots for entry in Layout.of(Tied()).entries}
    assert slots["encode.weight"] == ("encode.weight", "again.weight")


def test_a_shared_submodule_has_one_slot():
    slots = [slot for entry in Layout.of(SharedSubmodule()).entries for slot in entry.slots]
    assert slots == ["first.weight", "first.bias", "rest.2.weight", "rest.2.bias"]


def test_frozen_parameters_stay_out():
    assert [e.name for e in Layout.of(Frozen()).entries] == ["head.weight", "head.bias"]


def test_fingerprint_tells_architectures_apart():
    modules = [
        nn.Linear(3, 4),
        nn.Linear(4, 3),
        nn.Linear(3, 4, bias=False),
        nn.Sequential(nn.Linear(3, 4)),
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, affine=False)),
        Tied(),
    ]
    assert len({Layout.of(module).fingerprint() for module in modules}) == len(modules)
    assert Layout.of(Tied()).fingerprint() == Layout.of(Tied()).fingerprint()


@pytest.mark.parametrize(("module", "message"), [
    (nn.ReLU(), "no parameter with requires_grad=True"),
    (nn.Linear(2, 2).requires_grad_(requires_grad=False), "no parameter with requires_grad=True"),
    (nn.LazyLinear(2), "Not initialised yet: weight, bias. Call the module on a batch"),
    (nn.ParameterList([nn.Parameter(torch.zeros(2, dtype=torch.complex64))]), "0 .torch.complex64"),
    (nn.Linear(2, 2).to(torch.float8_e4m3fn), "16 bits or more, got weight .torch.float8_e4m3fn"),
], ids=["none", "all frozen", "lazy", "complex", "float8"])  # fmt: skip
def test_bad_modules(module, message):
    with pytest.raises(InputError, match=message):
        Layout.of(module)
