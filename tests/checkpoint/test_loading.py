"""The file: small, the same bytes always, whole or refused, and a subspace again."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

import subspace_nn as sn
from subspace_nn import models, projections
from subspace_nn.format import container, packing
from subspace_nn.projections import Pieces
from subspace_nn.subspace.layout import Layout
from tests.modules import CASES, Frozen, Tied


def trained(module, dim=7, **options):
    net = sn.Subspace(module, dim, **options)
    with torch.no_grad():
        net.omega.copy_(torch.randn(dim, generator=torch.Generator().manual_seed(1)))
    return net


@pytest.fixture
def path(tmp_path):
    return tmp_path / "omega.safetensors"


@pytest.mark.parametrize("case", list(CASES.values()), ids=list(CASES))
@pytest.mark.parametrize("projection", ["hashed", "orthonormal"])
@pytest.mark.parametrize("theta0", ["auto", "module"])
def test_round_trip(case, projection, theta0, path):
    net = trained(case.make(), projection=projection, theta0=theta0, seed=3)
    net(case.input())
    net.save(path)
    again = sn.load(path, module=case.make())
    assert torch.equal(again.eval()(case.input()), net.eval()(case.input()))
    assert repr(again) == repr(net)


def test_a_zoo_model_needs_no_module_and_dropout_does_not_matter(path):
    net = trained(models.build("conv", dropout=0.5), 1000).eval()
    net.save(path)
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(sn.load(path).eval()(images), net(images))


@pytest.mark.parametrize("scale", ["init", "none"])
def test_scale_is_kept(scale, path):
    net = trained(nn.Linear(4, 4), scale=scale)
    net.save(path)
    assert sn.load(path, nn.Linear(4, 4)).scale == scale


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes(dtype, path):
    net = trained(nn.Linear(6, 6).to(dtype))
    net.save(path)
    again = sn.load(path, nn.Linear(6, 6).to(dtype))
    x = torch.ones(2, 6, dtype=dtype)
    assert torch.equal(again(x), net(x))


def test_size_is_omega_and_little_more(path):
    trained(models.build("conv"), 1000).save(path)
    assert path.stat().st_size <= 4_600
    fc = trained(nn.Linear(30, 30))
    fc.save(path)
    assert path.stat().st_size < 500
    assert set(container.read(path).tensors) == {"omega"}


def test_bytes_depend_on_the_content_alone(path, tmp_path):
    for file in (path, tmp_path / "other"):
        trained(CASES["conv, batchnorm"].make(), theta0="seed").save(file)
    assert path.read_bytes() == (tmp_path / "other").read_bytes()


def test_frozen_parameters_and_buffers_are_in_the_file(path):
    module = Frozen()
    net = trained(module)
    net.save(path)
    again = sn.load(path, Frozen())
    assert torch.equal(again.module.body.weight, module.body.weight)
    assert "theta0.head.weight" not in container.read(path).tensors


@pytest.mark.parametrize("base", [None, "mine"])
@pytest.mark.parametrize("in_file", [None, True, False])
def test_the_numbers_of_a_file_are_counted(base, in_file, path):
    module = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 4))
    module[0].requires_grad_(requires_grad=False)
    P = None if in_file is None else Pieces(torch.arange(1.0, 35), 7, in_file=in_file)
    trained(module, 7, projection=P or "hashed", theta0="module").save(path, base=base)
    again = sn.load(path, module, P)
    held = sum(tensor.numel() for tensor in container.read(path).tensors.values())
    assert sum(again.stored.values()) == held


def test_theta0_is_in_the_file_only_if_it_must(path):
    for theta0, stored in (("seed", False), ("module", True)):
        trained(nn.Linear(6, 6), theta0=theta0).save(path)
        assert ("theta0.weight" in container.read(path).tensors) == stored


def rewrite(path, **fields):
    """The same file with some fields of its specification changed and the digest right."""
    saved = container.read(path)
    path.write_bytes(
        container.encode(container.Checkpoint({**saved.spec, **fields}, saved.tensors))
    )


def rewrite_metadata(path, change):
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["subspace_nn"] = change(header["__metadata__"]["subspace_nn"])
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


def with_field(name, value):
    return lambda text: container._canonical({**json.loads(text), name: value})


def without_field(name):
    return lambda text: container._canonical(
        {k: v for k, v in json.loads(text).items() if k != name}
    )


def second_key(path):
    saved = container.read(path)
    text = json.loads(path.read_bytes()[8:].split(b"}}")[0] + b"}}")["__metadata__"]
    safetensors.torch.save_file(dict(saved.tensors), path, metadata={**text, "note": "x"})


def surplus_theta0(path):
    saved = container.read(path)
    tensors = {**saved.tensors, "theta0.weight": torch.zeros(5, 6)}
    path.write_bytes(container.encode(container.Checkpoint(saved.spec, tensors)))


DAMAGE = {
    "empty": (lambda p: p.write_bytes(b""), "the file is empty"),
    "three bytes": (lambda p: p.write_bytes(b"abc"), "truncated, or not a safetensors file"),
    "text": (lambda p: p.write_text("not a checkpoint at all"), "not a safetensors file"),
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:-1]), "not a whole safetensors file"),
    "header cut": (lambda p: p.write_bytes(p.read_bytes()[:100]), "truncated"),
    "longer": (lambda p: p.write_bytes(p.read_bytes() + b"x"), "not a whole safetensors file"),
    "huge header": (
        lambda p: p.write_bytes(struct.pack("<Q", 1 << 60) + p.read_bytes()[8:]),
        "announce a header of 1,152,921,504,606,846,976",
    ),
    "a bit of omega": (
        lambda p: p.write_bytes(p.read_bytes()[:-1] + bytes([p.read_bytes()[-1] ^ 1])),
        "its content was altered",
    ),
    "a stranger's": (
        lambda p: safetensors.torch.save_file({"omega": torch.zeros(7)}, p),
        "not a checkpoint of subspace-nn",
    ),
    "not JSON": (lambda p: rewrite_metadata(p, lambda _: "{"), "specification is not JSON"),
    "a list": (lambda p: rewrite_metadata(p, lambda _: "[]"), "is not a JSON object"),
    "deep JSON": (lambda p: rewrite_metadata(p, lambda _: "[" * 100_000), "is not JSON"),
    "newer": (
        lambda p: rewrite_metadata(p, with_field("format", container.FORMAT + 1)),
        "the newest this version reads. Upgrade",
    ),
    "seed changed": (lambda p: rewrite_metadata(p, with_field("seed", 1)), "content was altered"),
    "unknown field": (lambda p: rewrite_metadata(p, with_field("x", 1)), "unknown field 'x'"),
    "missing field": (lambda p: rewrite_metadata(p, without_field("seed")), "'seed' is missing"),
    "dim a text": (
        lambda p: rewrite_metadata(p, with_field("dim", "7")),
        "field 'dim' must be of type int, got '7'",
    ),
    "dim true": (lambda p: rewrite_metadata(p, with_field("dim", True)), "must be of type int"),
    "huge dim": (
        lambda p: rewrite_metadata(p, with_field("dim", 10**12)),
        "expected 1 ≤ dim ≤ D",
    ),
    "dim of another omega": (
        lambda p: rewrite_metadata(p, with_field("dim", 8)),
        "expected the tensor 'omega' with 8 floating-point numbers",
    ),
    "dim zero": (lambda p: rewrite_metadata(p, with_field("dim", 0)), "expected 1 ≤ dim ≤ D"),
    "format zero": (lambda p: rewrite_metadata(p, with_field("format", 0)), "at least 1, got 0"),
    "wrong D": (lambda p: rewrite(p, D=36), "another number of weights D"),
    "second key": (second_key, "expected the one metadata key 'subspace_nn', got"),
    "surplus theta0": (
        surplus_theta0,
        "tensor 'theta0.weight': expected none, got float32 of shape (5, 6)",
    ),
    "a folder": (lambda p: (p.unlink(), p.mkdir()), "not a file"),
    "missing": (lambda p: p.unlink(), "No such file"),
    "another P": (lambda p: rewrite(p, P="0" * 16), "another P than the one it was saved with"),
    "another theta0": (lambda p: rewrite(p, theta0="0" * 16), "another θ0 than"),
    "newer projection": (
        lambda p: rewrite(p, projection="hashed/2"),
        "another version of projection 'hashed' than the one it was saved with: expected 2, got 1",
    ),
    "unknown projection": (lambda p: rewrite(p, projection="x/1"), "Unknown projection 'x'"),
    "newer theta0": (lambda p: rewrite(p, theta0_from="seed/2"), "another way of drawing θ0"),
    "theta0 missing": (
        lambda p: rewrite(p, theta0_from="file"),
        "tensor 'theta0.weight': expected float32 of shape (5, 6), got none",
    ),
    "seed out of range": (
        lambda p: rewrite_metadata(p, with_field("seed", -1)),
        "expected 0 ≤ seed < 2^64, got -1",
    ),
    "scale unknown": (
        lambda p: rewrite_metadata(p, with_field("scale", "x")),
        "field 'scale' must be one of none, learned, got 'x'",
    ),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_damaged_files_are_refused(damage, path):
    trained(nn.Linear(6, 5)).save(path)
    change, message = DAMAGE[damage]
    change(path)
    with pytest.raises(sn.CheckpointError) as caught:
        sn.load(path, nn.Linear(6, 5))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("other", [nn.Linear(5, 6), nn.Linear(6, 5, bias=False), Tied()])
def test_another_architecture_is_refused(other, path):
    trained(nn.Linear(6, 5)).save(path)
    with pytest.raises(sn.CheckpointError, match="another architecture than the one it was saved"):
        sn.load(path, other)


@pytest.mark.parametrize("make", [
    lambda: projections.Hashed(35, 7, seed=5), lambda: projections.Dense(torch.eye(35)[:, :7], 5),
], ids=["hashed", "a matrix"])  # fmt: skip
def test_a_users_own_projection(make, path):
    net = trained(nn.Linear(6, 5), projection=make())
    net.save(path)
    again = sn.load(path, nn.Linear(6, 5), make())
    assert torch.equal(again.theta(), net.theta())
    if isinstance(make(), projections.Dense):
        with pytest.raises(sn.CheckpointError, match="If you made the projection yourself, give"):
            sn.load(path, nn.Linear(6, 5))


def test_a_users_own_module_must_be_given(path):
    trained(nn.Linear(6, 5)).save(path)
    with pytest.raises(sn.CheckpointError, match="names no model: give the module"):
        sn.load(path)


def test_orthonormal_is_verified_by_its_sketch(path):
    trained(nn.Linear(6, 5), projection="orthonormal").save(path)
    rewrite(path, sketch=[0.0, 0.0, 0.0, 0.0])
    with pytest.raises(sn.CheckpointError, match="another sketch of P than the one it was saved"):
        sn.load(path, nn.Linear(6, 5))


def test_an_unknown_model_names_the_known_ones(path):
    trained(models.build("fc"), 3).save(path)
    rewrite(path, model="fcc")
    with pytest.raises(sn.CheckpointError, match=r"Unknown model 'fcc'\. Did you mean 'fc'"):
        sn.load(path)


# In a new process.

READ = """
import sys
import torch
import subspace_nn as sn
from tests.modules import CASES

for line in open(sys.argv[1]):
    path, name = line.rstrip("\\n").split("\\t")
    case = CASES[name]
    with torch.no_grad():
        got = sn.load(path, case.make()).eval()(case.input())
    if not torch.equal(got, torch.load(path + ".out", weights_only=True)):
        print("another output:", path)
print("done")
"""


def test_round_trip_in_a_new_process(tmp_path):
    """Every kind of projection with every module: identical outputs."""
    lines = []
    for number, (name, case) in enumerate(CASES.items()):
        for kind in [*projections.KINDS, "layerwise:hadamard:layer", "orthonormal:plain"]:
            module = case.make()
            D = Layout.of(module).D
            net = trained(module, D if kind == "identity" else D // 2, projection=kind, seed=number)
            path = tmp_path / f"{number} {kind}"
            net.save(path, dtype="int8" if number % 3 == 0 else None)
            if number % 3 == 0:  # what was rounded is compared as it was rounded
                net = sn.load(path, module)
            with torch.no_grad():
                torch.save(net.eval()(case.input()), f"{path}.out")
            lines.append(f"{path}\t{name}\n")
    (tmp_path / "list").write_text("".join(lines), "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", READ, tmp_path / "list"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


# ω in fewer bytes.


@pytest.mark.parametrize("dtype", packing.ROUNDED)
def test_rounded_omega_has_the_net_s_dtype_again(dtype, path):
    for own in (torch.float32, torch.float64, torch.bfloat16):
        net = trained(nn.Linear(6, 5).to(own))
        net.save(path, dtype=dtype)
        again = sn.load(path, nn.Linear(6, 5).to(own))
        assert again.omega.dtype == net.omega.dtype
        expected = packing.unpack(packing.pack(net.omega, dtype), dtype, 7)
        assert torch.equal(again.omega.detach(), expected.to(net.omega.dtype))


def test_sizes_with_d_1000(path):
    """MNIST's conv net, everything included; docs/format.md has what it costs in accuracy."""
    net = trained(models.build("conv"), 1000)
    for dtype, limit in (("int8", 1450), ("int4", 950)):
        net.save(path, dtype=dtype)
        assert path.stat().st_size <= limit


def test_a_dtype_that_does_not_fit_leaves_the_old_file(path):
    net = trained(nn.Linear(6, 5))
    net.save(path)
    before = path.read_bytes()
    with torch.no_grad():
        net.omega[3] = 1e6
    for dtype, message in (("float16", "cannot be rounded to float16"), ("int3", "Unknown dtype")):
        with pytest.raises(sn.InputError, match=message):
            net.save(path, dtype=dtype)
    assert path.read_bytes() == before


# A named base model.


def pretrained(shift=0.0, of=Frozen):
    module = of()
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            generator = torch.Generator().manual_seed(number)
            parameter.copy_(torch.randn(parameter.shape, generator=generator) + shift)
    return module


def test_a_base_is_not_in_the_file_and_comes_with_the_module(path):
    net = trained(pretrained())
    net.save(path, base="someone/model")
    assert set(container.read(path).tensors) == {"omega"}
    again = sn.load(path, pretrained())
    assert again.base == "someone/model"
    assert torch.equal(again.theta(), net.theta())
    again.save(path)  # keeps the name
    assert container.read(path).spec["base"] == "someone/model"


def test_a_base_keeps_buffers_and_what_trains_beside(path):
    case = CASES["frozen and tied"]
    module = case.make()
    net = sn.Subspace(module, 3, theta0="module", train="head.bias")
    with torch.no_grad():
        net.module.head.bias.fill_(3.0)
    net(case.input())  # moves the statistics
    net.save(path, base="x")
    names = set(container.read(path).tensors)
    assert {"module.head.bias", "module.norm.running_mean"} < names
    assert not names & {"module.one.weight", "module.two.weight", "module.one.bias"}
    again = sn.load(path, module)
    assert torch.equal(again.eval()(case.input()), net.eval()(case.input()))


def other_body(module):
    module.body.weight.data[0, 0] += 1


def other_head(module):
    module.head.weight.data[0, 0] += 1


@pytest.mark.parametrize(("change", "parts"), [
    (other_body, ["another set of frozen parameters than"]),
    (other_head, ["another θ0 than"]),
    (lambda m: (other_body(m), other_head(m)), ["another θ0", "another set of frozen"]),
], ids=["body", "head", "both"])  # fmt: skip
def test_another_model_than_the_base_is_refused(change, parts, path):
    trained(pretrained()).save(path, base="someone/model")
    module = pretrained()
    change(module)
    with pytest.raises(sn.CheckpointError, match="Give the model 'someone/model'") as caught:
        sn.load(path, module)
    assert len(caught.value.problems) == len(parts)
    for problem, part in zip(caught.value.problems, parts, strict=True):
        assert part in problem
    with pytest.raises(sn.CheckpointError, match="θ0 is the weights of 'someone/model': give"):
        sn.load(path)


def test_a_drawn_theta0_is_no_base(path):
    with pytest.raises(sn.InputError, match="θ0 was drawn from the seed, it is no model's weights"):
        trained(nn.Linear(6, 5)).save(path, base="x")
    assert not path.exists()


# What the message says.


def test_all_that_differs_is_told_at_once(path):
    trained(nn.Linear(6, 5)).save(path)
    rewrite(path, P="0" * 16, theta0="1" * 16)
    with pytest.raises(sn.CheckpointError) as caught:
        sn.load(path, nn.Linear(6, 5))
    assert [problem.split(": ")[1][:10] for problem in caught.value.problems] == [
        "another θ0", "another P ",
    ]  # fmt: skip


def test_a_module_of_another_dtype_is_refused(path):
    case = CASES["conv, batchnorm"]
    trained(case.make(), theta0="module").save(path)
    with pytest.raises(sn.CheckpointError) as caught:
        sn.load(path, case.make().double())
    assert "tensor 'module.1.running_mean': expected float64 of shape (4,), got float32 of" in str(
        caught.value
    )
