"""Golden files: written on 2026-11-22, they load for ever, to the same weights bit for bit.

If a test here fails, the change is wrong, not the file: files like it are in other people's hands.
A new P, θ0 or field is a new version or a new format, with more golden files.
"""

import hashlib
import json

import pytest
import torch

import subspace_nn as sn
from subspace_nn import projections
from subspace_nn.format import container, packing
from tests.golden_cases import CASES, EXPECTED, FOLDER, path_of, summary

WRITTEN = json.loads(EXPECTED.read_text("utf-8"))


@pytest.mark.parametrize("name", WRITTEN)
def test_golden_files_load_for_ever(name):
    expected = dict(WRITTEN[name])
    assert hashlib.sha256(path_of(name).read_bytes()).hexdigest() == expected.pop("sha256")
    got = summary(CASES[name].load(path_of(name)))
    if isinstance(expected["theta"], list):  # a kind that is the same to a tolerance only
        assert got.pop("theta") == pytest.approx(expected.pop("theta"), rel=1e-5, abs=1e-6)
    assert got == expected


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_saved_today_is_what_was_saved(name, tmp_path):
    """The same net gives the same file; but for the sketch, which is the same to a tolerance."""
    case, path = CASES[name], tmp_path / f"omega{CASES[name].suffix}"
    case.net().save(path, dtype=case.dtype, base=case.base)
    now, then = container.read(path), container.read(path_of(name))
    assert {**now.spec, "sketch": 0} == {**then.spec, "sketch": 0}
    assert container.fingerprint(now.tensors) == container.fingerprint(then.tensors)
    if "sketch" not in then.spec:
        assert path.read_bytes() == path_of(name).read_bytes()


def test_every_case_is_written_and_every_file_is_a_case():
    assert set(WRITTEN) == set(CASES)
    assert {path.name for path in FOLDER.iterdir()} == {path_of(name).name for name in CASES} | {
        "expected.json"
    }


def test_every_kind_origin_and_dtype_has_a_golden_file():
    specs = [container.read(path_of(name)).spec for name in CASES]
    labels = {spec["projection"] for spec in specs}
    assert {n.split("/")[0] for n in labels - projections.LEARNED.keys()} == set(projections.KINDS)
    assert labels >= projections.LEARNED.keys()
    assert {spec["theta0_from"] for spec in specs} == {"seed/1", "file", "base"}
    assert {spec.get("omega") for spec in specs} == {None, *packing.ROUNDED}
    assert {spec.get("scale") for spec in specs} == {None, "none", "learned"}
    assert {spec.get("dtype") for spec in specs} == {None, "float16"}


def test_theta_does_not_depend_on_how_a_processor_adds():
    """θ0 + step · Pω with two roundings, as IEEE 754 has them: no fused multiply-add."""
    net = CASES["hashed"].load(path_of("hashed"))
    moves = net.layout.split(net.projection @ net.omega.detach())
    expected = [
        origin.numpy() + moves[name].numpy() * torch.tensor(net.steps[name]).float().numpy()
        for name, origin in net.theta0().items()
    ]
    joined = torch.cat([torch.from_numpy(part).flatten() for part in expected])
    assert torch.equal(net.theta(), joined)


def test_a_base_is_a_note_that_nothing_follows(tmp_path):
    """A name that looks like a path or an address opens nothing: the module is what is given."""
    case, path = CASES["theta0-base"], tmp_path / "omega.safetensors"
    for base in ("../../etc/passwd", "https://127.0.0.1:1/model", str(tmp_path)):
        case.net().save(path, base=base)
        with pytest.raises(sn.CheckpointError, match=r"load\(path, module\)"):
            sn.load(path)
        assert sn.load(path, case.module()).base == base
    assert [file.name for file in tmp_path.iterdir()] == ["omega.safetensors"]
