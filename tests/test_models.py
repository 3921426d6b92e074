"""The nets: parameter counts as published, or as they follow from the architecture."""

import copy

import pytest
import torch
from torch import nn

import subspace_nn as sn
from subspace_nn import models
from subspace_nn.common.errors import InputError
from subspace_nn.format import container, packing
from subspace_nn.tasks.data import mnist
from tests import second

PUBLISHED = {
    "conv": 21_840,
    "fc": 199_210,
    "lenet": 44_426,
    "fc-16": 12_730,
    "fc-32": 25_450,
    "conv-6-6": 3_369,
    "conv-8-16": 10_754,
    "tensorflow-softmax": 7_850,
    "elite-cnn": 113_386,
    "mastery-cnn": 149_674,
    "lasagne-cnn": 160_362,
    "caffe-cnn": 431_080,  # printed as 366,030
    "mastery-fc": 623_290,
    "lasagne-fc": 1_276_810,
    "tensorflow-cnn": 3_274_634,  # printed as 3,274,625
    "strokes": 25_802,
}


def test_every_net_has_its_count():
    counts = {n: sum(p.numel() for p in models.build(n).parameters()) for n in models.MODELS}
    assert counts == PUBLISHED


@pytest.mark.parametrize("name", list(models.MODELS))
def test_ten_logits(name):
    net = models.build(name).eval()
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_dropout_drops_in_training_only():
    for name in ("conv", "fc", "fc-32", "lasagne-cnn"):
        net = models.build(name, dropout=0.5)
        x = torch.rand(4, 1, 28, 28)
        assert not torch.equal(net(x), net(x))
        assert torch.equal(net.eval()(x), net(x))


def test_upright_images_have_no_slant_and_their_mass_in_the_middle():
    x = mnist().train.images[:200, None].float() / 255
    x[0, 0] = 0
    y = models.upright(x)
    assert not y[0].any()
    mass = y[1:, 0] / y[1:, 0].sum((1, 2), keepdim=True)
    u = (torch.arange(28) - 13.5).expand(28, 28)
    for moment, most in ((u, 0.02), (u.T, 0.02), (u * u.T, 0.1)):  # a few lose a corner
        assert (mass * moment).sum((1, 2)).abs().mean() < most
    assert (models.upright(y) - y).abs().mean() < 0.02
    expected = torch.tensor(second.upright(x[1, 0].tolist()))
    torch.testing.assert_close(y[1, 0], expected, rtol=0, atol=1e-3)


def test_a_net_remembers_its_name():
    for name in models.MODELS:
        net = models.build(name)
        assert models.name_of(copy.deepcopy(net)) == models.name_of(net) == name
    assert models.name_of(torch.nn.Linear(2, 2)) is None


def test_unknown_net():
    with pytest.raises(InputError, match=r"Unknown model 'cov'\. Did you mean 'conv'"):
        models.build("cov")


@pytest.mark.parametrize(("name", "stds"), [("conv", [0.005] * 4), ("fc", [0.001, 0.001, 0.01])])
def test_the_initial_weights_of_2017(name, stds):
    net = models.build(name)
    models.initialise_2017(net, seed=3)
    weights = [p for p in net.parameters() if p.dim() > 1]
    assert [w.std().item() for w in weights] == pytest.approx(stds, rel=0.15)
    assert all(not p.any() for p in net.parameters() if p.dim() == 1)
    again = models.build(name)
    models.initialise_2017(again, seed=3)
    for a, b in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


# What a file says of a net that was made by name.


def changed(module, change):
    change(module)
    return module


NAMED = {
    **{
        name: lambda name=name: models.build("conv-6-6").to(getattr(torch, name))
        for name in packing.FLOATS
    },
    "two dtypes": lambda: changed(
        models.build("conv-6-6"), lambda module: module[0].to(torch.float64)
    ),
    "a layer replaced": lambda: changed(
        models.build("conv-6-6"), lambda module: module.add_module("10", nn.Linear(25, 5))
    ),
    "a layer frozen": lambda: changed(
        models.build("conv-6-6"), lambda module: module[0].requires_grad_(requires_grad=False)
    ),
}
STILL = {"float32": {"model": "conv-6-6"}} | {
    name: {"model": "conv-6-6", "dtype": name} for name in ("float64", "float16", "bfloat16")
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("options", [{}, {"theta0": "module"}, {"train": "10.*"}], ids=str)
def test_a_saved_net_loads_by_its_name_or_has_none(name, options, tmp_path):
    path, net = tmp_path / "omega.safetensors", sn.Subspace(NAMED[name](), 30, **options)
    with torch.no_grad():
        net.omega.add_(0.25)
    net.save(path)
    spec = container.read(path).spec
    assert {key: spec[key] for key in ("model", "dtype") if key in spec} == STILL.get(name, {})
    again = sn.load(path) if name in STILL else sn.load(path, NAMED[name]())
    assert torch.equal(again.theta(), net.theta())


@pytest.mark.parametrize(
    "fields",
    [{"dtype": "float32"}, {"dtype": "int8"}, {"dtype": "float16", "model": None}],
    ids=str,
)
def test_a_dtype_is_another_than_float32_and_a_named_net_s(fields):
    saved = sn.Subspace(models.build("conv-6-6"), 30).to_checkpoint()
    spec = {key: value for key, value in {**saved.spec, **fields}.items() if value is not None}
    with pytest.raises(sn.InputError, match="field 'dtype'"):
        container.encode(container.Checkpoint(spec, saved.tensors))
