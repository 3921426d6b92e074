"""A second reader, made from the pages alone, finds what the package finds."""

import hashlib
import json
import re

import pytest
import torch
from torch import nn

import subspace_nn as sn
from subspace_nn import models
from subspace_nn.subspace.layout import Layout
from subspace_nn.tasks.data import mnist
from tests import second
from tests.golden_cases import CASES, EXPECTED, path_of

WRITTEN = json.loads(EXPECTED.read_text("utf-8"))

#: Name, shape and fan-in of the tensors of the golden files' small net.
MLP = [
    ("0.weight", (8, 12), 12), ("0.bias", (8,), 12), ("2.weight", (4, 8), 8), ("2.bias", (4,), 8),
]  # fmt: skip

ROUNDED = (
    "to-float32", "to-float16", "to-bfloat16", "to-int8", "to-int4", "to-coded",
    "compact", "compact-zoo",
)  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_golden_file_is_read_and_written_to_the_byte(name):
    content = path_of(name).read_bytes()
    write = second.write_compact if CASES[name].suffix == ".snn" else second.write
    assert write(*second.read(content)) == content


@pytest.mark.parametrize(
    "name",
    [
        "hashed",
        "stages",
        "stages-zoo",
        "scale-none",
        "float64",
        "bfloat16",
        "zoo",
        "zoo-float16",
        *ROUNDED,
    ],
)
def test_theta_of_golden_files_to_the_bit(name):
    spec, tensors = second.read(path_of(name).read_bytes())
    own = {"float64": "float64", "to-float32": "float64", "bfloat16": "bfloat16"}
    dtype = spec.get("dtype") or own.get(name, "float32")
    theta = second.theta_of(spec, tensors, None if "model" in spec else MLP, dtype)
    line = f"theta torch.{dtype} ({spec['D']},)".encode()
    assert second.digits(line, second.packed(theta, dtype)) == WRITTEN[name]["theta"]


@pytest.fixture(scope="module")
def conv():
    """The net of the page's golden value."""
    net = sn.Subspace(models.build("conv"), 1000).eval()
    k = torch.arange(1000, dtype=torch.float64)
    with torch.no_grad():
        net.omega.copy_((29 * k + 5) % 67 / 64 - 0.5)
    return net


def test_the_golden_value_of_theta(conv, tmp_path):
    (golden,) = re.findall(r"^[0-9a-f]{64}$", second.PAGE, re.MULTILINE)
    conv.save(tmp_path / "omega.safetensors")
    theta = second.theta_of(*second.read((tmp_path / "omega.safetensors").read_bytes()))
    assert hashlib.sha256(second.packed(theta, "float32")).hexdigest() == golden
    assert theta == conv.theta().tolist()
    assert hashlib.sha256(conv.theta().detach().numpy().tobytes()).hexdigest() == golden


def test_a_fused_addition_gives_other_bits(conv):
    """So many as the page says: θ0 + s · Pω with one rounding."""
    moves = conv.layout.split(conv.projection @ conv.omega.detach())
    steps = {name: torch.tensor(step).float().double() for name, step in conv.steps.items()}
    # The product of two float32 numbers is exact in float64; of the sum only the last bit is lost.
    fused = [(t.double() + steps[n] * moves[n].double()).float() for n, t in conv.theta0().items()]
    changed = (torch.cat([t.flatten() for t in fused]) != conv.theta()).sum()
    assert f"{int(changed):,} of the 21,840 weights change" in second.PAGE


@pytest.mark.parametrize("name", models.MODELS)
def test_the_page_s_nets_are_the_package_s(name):
    module = models.build(name)
    own = [(n, tuple(p.shape)) for n, p in module.named_parameters()]
    described = list(second.tensors_of(name))
    assert [(n, shape) for n, shape, _ in described] == own
    assert second.architecture(described) == Layout.of(module).fingerprint()
    assert second.nets()[name][-1] == Layout.of(module).D
    assert second.nets().keys() == models.MODELS.keys()


class Awkward(nn.Module):
    """The page's second example of an architecture."""

    def __init__(self):
        super().__init__()
        self.add_module("é", nn.Linear(3, 2))
        self.z = nn.Linear(3, 2)
        self.z.bias = self.get_submodule("é").bias
        self.register_buffer("count", torch.tensor(0))


@pytest.mark.parametrize("module", [models.build("conv"), Awkward()], ids=["conv", "awkward"])
def test_the_examples_of_an_architecture(module):
    examples = re.findall(r"^  (\[\[\[.*\]\])$", second.PAGE, re.MULTILINE)
    assert Layout.of(module).fingerprint() in [second.digits(text.encode()) for text in examples]


@pytest.mark.parametrize("name", ["conv", "fc-16", "conv-6-6", "mastery-cnn", "strokes"])
def test_logits_and_labels(name):
    module, images = models.build(name).eval(), mnist().test.images[:2]
    theta = torch.cat([p.detach().flatten() for p in module.parameters()]).tolist()
    with torch.no_grad():
        expected = module(images[:, None].float() / 255).double()
    got = [second.logits(name, theta, image.tolist()) for image in images]
    torch.testing.assert_close(torch.tensor(got, dtype=torch.float64), expected, rtol=0, atol=2e-6)
    assert torch.tensor(got).argmax(1).equal(expected.argmax(1))


def test_a_padded_cross_correlation():
    x, weight = torch.rand(2, 6, 6).double(), torch.rand(3, 2, 3, 3).double()
    expected = nn.functional.conv2d(x[None], weight, torch.ones(3).double(), padding=1)[0]
    filters = weight.flatten(2).tolist()
    got = [second.correlated(x.tolist(), f, 1.0, kernel=3, padding=1) for f in filters]
    torch.testing.assert_close(torch.tensor(got), expected.float())


def test_it_takes_nothing_of_what_it_is_compared_with():
    source = (second.ROOT / "tests" / "second.py").read_text("utf-8")
    source += (second.ROOT / "tests" / "reference.py").read_text("utf-8")
    imported = set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE))
    assert imported <= {"collections", "fractions", "hashlib", "itertools", "json", "math"} | {
        "pathlib", "re", "struct", "tests",
    }  # fmt: skip
