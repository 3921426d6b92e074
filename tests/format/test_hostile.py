"""Files from strangers: refused in time, in memory, with the one error; or the original."""

import json
import os
import random
import struct
import time
import tracemalloc

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import subspace_nn as sn
from subspace_nn import models
from subspace_nn.format import container
from subspace_nn.format.container import MAX_HEADER, Checkpoint
from tests import mutation
from tests.golden_cases import CASES, path_of

SMALL = ["to-int4", "tied", "to-coded"]


@pytest.fixture(scope="module")
def originals():
    return mutation.Originals()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "omega.safetensors"


@pytest.mark.parametrize("name", CASES)
def test_mutants_are_refused_or_load_as_the_original(name, originals, path):
    """`python -m evidence.fuzz` does the same 20,000 times, and counts seconds and bytes."""
    rng = random.Random(name)  # noqa: S311
    outcomes = set()
    for _ in range(12):
        other = originals.bytes[rng.choice(list(CASES))]
        path.write_bytes(mutation.mutant(rng, originals.bytes[name], other))
        outcomes.add(mutation.attempt(path, name, originals.meaning[name]))
    assert "refused" in outcomes


@pytest.mark.parametrize("name", CASES)
def test_forgeries_are_refused_or_are_what_they_say(name, originals, path):
    rng = random.Random(name)  # noqa: S311
    for _ in range(8):
        path.write_bytes(mutation.forgery(rng, originals.saved[name]))
        mutation.attempt(path, name, None)


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b", "", "/dev/zero", "/proc/self/mem", "."])
def test_paths_that_are_no_files_are_refused(name):
    with pytest.raises(sn.CheckpointError):
        container.read(name)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any"
    for prefix in (b"", struct.pack("<Q", len(content))):
        path.write_bytes(prefix + content)
        with pytest.raises(sn.CheckpointError):
            container.read(path)


@pytest.mark.parametrize("name", ["to-int8", "buffers"])
def test_every_bit_of_the_payload_is_covered_by_the_digest(name, originals, path):
    content = originals.bytes[name]
    begin = 8 + int.from_bytes(content[:8], "little")
    for place in range(begin, len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(sn.CheckpointError, match="content was altered"):
            container.read(path)


@pytest.mark.parametrize("name", SMALL)
def test_every_byte_of_the_header_is_refused_or_makes_no_difference(name, originals, path):
    content = originals.bytes[name]
    for place in range(8 + int.from_bytes(content[:8], "little")):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 7
        path.write_bytes(changed)
        mutation.attempt(path, name, originals.meaning[name])


# Coded ω and compact files.


@pytest.mark.parametrize("name", ["compact", "compact-zoo"])
def test_every_bit_of_a_compact_file_is_covered(name, originals, path):
    content = originals.bytes[name]
    for place in range(8 * len(content)):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(sn.CheckpointError):
            CASES[name].load(path)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(sn.CheckpointError):
            container.read(path)


def compact_of(text, omega=b"\1\x80\x3f"):
    return b"SNN\2" + struct.pack("<H", len(text)) + text + bytes(32) + omega


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"D":9,"dim":3,"seed":0}', "canonical"),
        (b'{"D": 9,"dim":3}', "canonical"),
        (b'{"dim":3,"D":9}', "canonical"),
        (b'{"D":9,"D":9,"dim":3}', "canonical"),
        (b'{"D":9,"dim":3,"P":"00"}', "canonical"),
        (b'{"D":9,"dim":3,"seed":false}', "canonical"),
        (b'{"D":9,"dim":3,"x":1}', "unknown field 'x'"),
        (b'{"D":9,"dim":3,"omega":"int4"}', "expected format 1"),
        (b'{"D":9,"dim":3,"format":4}', "of format 4, newer than 3"),
        (b'{"D":9,"dim":3,"format":1}', "expected format 2"),
        (b'{"D":9,"dim":3,"model":"\\ud800"}', "printable"),
        (b'{"D":9,"dim":NaN}', "canonical"),
        (b"[" * 5000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"D":9,"dim":3}', "its content was altered"),
    ],
)
def test_compact_headers_are_read_strictly(text, message, path):
    path.write_bytes(compact_of(text))
    assert message in bounded(container.read, path)


def test_a_compact_file_is_bounded(path):
    path.write_bytes(compact_of(b'{"D":9,"dim":3}'))
    os.truncate(path, 2**33)
    assert "at most 1,048,576 bytes, got 8,589,934,592" in bounded(container.read, path)
    few = json.dumps({"D": 2**40, "dim": 2**40}, separators=(",", ":")).encode()
    path.write_bytes(compact_of(few))
    assert "of which there may be 262,144" in bounded(container.read, path)


@pytest.mark.parametrize("omega", [
    b"\1\x80\x3f\0", b"\0\x80\x3f", b"\2\x80\x3f\x60", b"\4\x80\x3f", b"\1\x80\xbf", b"\1\0\0",
    b"\1\x80\x7f", b"\1\xc0\x7f", b"\4\x80\x3f\xff\xff\xff\xff\xff",
], ids=["zero behind", "one level", "too many levels", "a smaller step", "negative", "no step",
        "infinite", "nan", "no such code"])  # fmt: skip
def test_an_omega_has_one_code(omega, path):
    """Three numbers, coded in ways that no writer does, under right digests."""
    spec = {**container.read(path_of("to-coded")).spec, "dim": 3}
    tensors = {"omega": torch.tensor(list(omega), dtype=torch.uint8)}
    path.write_bytes(file_of(spec, tensors, version=2))
    assert "does not hold 3 finite numbers as coded does" in bounded(container.read, path)
    tensors = {"omega": torch.tensor([1, 0x80, 0x3F], dtype=torch.uint8)}
    path.write_bytes(file_of(spec, tensors, version=2))
    assert container.read(path).omega.tolist() == [-1.0] * 3


def test_the_longest_code_is_read_in_seconds(path):
    spec = {**container.read(path_of("to-coded")).spec, "D": 2**18, "dim": 2**18}
    content = b"\xff\x80\x3f" + b"\xff" * 1000
    tensors = {"omega": torch.tensor(list(content), dtype=torch.uint8)}
    path.write_bytes(file_of(spec, tensors, version=2))
    began = time.process_time()
    with pytest.raises(sn.CheckpointError):
        container.read(path)
    assert time.process_time() - began < 10


# Time and memory.


def file_of(spec, tensors, header=None, version=1):
    """A file with a right digest, whatever it says."""
    full = {**spec, "format": version}
    full["digest"] = container._digest(full, tensors)
    text = container._canonical(full)
    if header is None:
        return safetensors.torch.save(tensors, metadata={"subspace_nn": text})
    content = json.dumps({"__metadata__": {"subspace_nn": text}, **header}).encode()
    return struct.pack("<Q", len(content)) + content


def bounded(call, *args, seconds=0.5, megabytes=20):
    """Refused within a time of the processor and without taking memory; the message."""
    began = time.process_time()
    with pytest.raises(sn.CheckpointError) as caught:
        call(*args)
    assert time.process_time() - began < seconds
    tracemalloc.start()  # apart, for it takes time
    with pytest.raises(sn.CheckpointError):
        call(*args)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < megabytes * 1e6
    return str(caught.value)


@pytest.mark.parametrize("dim", [10**12, 2**63 - 1, 2**63, 10**40, 10**400, 10**4200])
def test_a_huge_d_is_refused_before_anything_is_allocated(dim, path):
    spec = {**container.read(path_of("hashed")).spec, "D": dim, "dim": dim}
    for how in (None, "int4"):
        claimed = spec | ({"omega": how} if how else {})
        header = {"omega": {"dtype": "F32", "shape": [dim], "data_offsets": [0, 4 * dim]}}
        path.write_bytes(file_of(claimed, {"omega": torch.zeros(3)}, header))
        bounded(container.read, path)
        path.write_bytes(file_of(claimed, {"omega": torch.zeros(3)}))
        message = bounded(container.read, path)
        assert ("'omega'" if dim < 2**63 else "D < 2^63") in message


@pytest.mark.parametrize("length", [MAX_HEADER + 1, 2**32, 2**63, 2**64 - 1])
def test_a_huge_header_is_refused_before_it_is_read(length, path):
    path.write_bytes(struct.pack("<Q", length))
    os.truncate(path, 2**33)  # of holes: it takes no place on the disk
    message = bounded(container.read, path)
    assert f"announce a header of {length:,}" in message


def sparse_file(path, size):
    """A file whose one large tensor is a hole: it is true of all it states, but for the digest."""
    spec = container.read(path_of("hashed")).spec
    omega = {"omega": {"dtype": "F32", "shape": [21], "data_offsets": [0, 84]}}
    large = {"module.x": {"dtype": "U8", "shape": [size], "data_offsets": [84, 84 + size]}}
    content = file_of(spec, {"omega": torch.zeros(21)}, omega | large)
    path.write_bytes(content)
    os.truncate(path, len(content) + 84 + size)


def test_a_huge_tensor_that_the_module_does_not_have_is_not_read(path):
    """A file may be large without taking place on a disk, and a header can be true of it."""
    sparse_file(path, 2**33)
    assert "tensor 'module.x': expected none, got" in bounded(sn.load, path, CASES["hashed"].make())


def test_a_huge_file_without_a_module_is_read_only_for_who_says_so(path):
    sparse_file(path, 2**33)
    assert "(--trust on the command line)" in bounded(container.read, path)
    sparse_file(path, 100)
    with pytest.raises(sn.CheckpointError, match="content was altered"):
        container.read(path, None)


def test_a_file_that_cannot_be_mapped_into_memory_is_refused(path):
    sparse_file(path, 2**43)
    for call in (container.read, lambda path: sn.load(path, CASES["hashed"].make())):
        with pytest.raises(sn.CheckpointError, match=r"cannot be mapped|tensor 'module.x'|trust"):
            call(path)


@pytest.mark.parametrize("text", [
    "[" * 100_000, "[" + "[]," * 80_000 + "[]]", '{"a":' * 50_000, "[" + "[]," * 300_000 + "[]]",
    "{" + ",".join(f'"{i}":0' for i in range(100_000)) + "}",
], ids=["deep list", "list", "deep object", "long list", "long object"])  # fmt: skip
def test_json_bombs_are_refused(text, path):
    metadata = json.dumps({"__metadata__": {"subspace_nn": text}}).encode()
    for header in (text.encode(), metadata):
        path.write_bytes(struct.pack("<Q", len(header)) + header)
        bounded(container.read, path, seconds=1, megabytes=100)


def test_many_tensors_are_refused_by_their_names(path):
    names = {f"module.{i}": torch.zeros(0) for i in range(5000)}
    spec = container.read(path_of("hashed")).spec
    path.write_bytes(file_of(spec, {"omega": torch.zeros(21), **names}))
    message = bounded(sn.load, path, CASES["hashed"].make(), seconds=1, megabytes=100)
    assert "and 4,995 more tensors" in message


@pytest.mark.parametrize(
    "projection", ["gaussian/1", "orthonormal/1", "layerwise/1:gaussian/1:2:root"]
)
def test_a_large_dense_p_is_made_only_for_who_says_so(projection, path):
    """fc has D = 199,210: with d = 5000 P has about 10⁹ entries, or 24 GB while it is made."""
    net = sn.Subspace(models.build("fc"), 5000)
    saved = net.to_checkpoint()
    spec = {**saved.spec, "projection": projection}
    path.write_bytes(container.encode(Checkpoint(spec, saved.tensors).rounded("int4")))
    assert "raise max_entries (--trust" in bounded(sn.load, path, seconds=1, megabytes=100)


def test_a_limit_of_entries_can_be_raised_and_lowered(path):
    net = sn.Subspace(nn.Linear(6, 5), 7, "gaussian")
    net.save(path)
    for limit in (35 * 7, None):
        assert sn.load(path, nn.Linear(6, 5), max_entries=limit).dim == 7
    with pytest.raises(sn.CheckpointError, match=r"245 entries, more than 244"):
        sn.load(path, nn.Linear(6, 5), max_entries=244)


# What a file may say.


def test_a_file_that_becomes_shorter_after_loading_does_no_harm(path):
    """Tensors are copies, no window on the file."""
    case = CASES["theta0-file"]
    path.write_bytes(path_of("theta0-file").read_bytes())
    net = case.load(path)
    before = net.theta().clone()
    os.truncate(path, 0)
    assert torch.equal(net.theta(), before)


@pytest.mark.parametrize("place", ["header", "specification"])
def test_a_key_twice_is_refused(place, path):
    content = path_of("hashed").read_bytes()
    header, payload = mutation._split(content)
    if place == "header":
        tensor = header[header.index(b'"omega"') : header.rindex(b"}")]
        header = header.rstrip()[:-1] + b"," + tensor + b"}"
    else:
        header = header.replace(rb"{\"D\"", rb"{\"seed\":1,\"D\"")
    path.write_bytes(mutation._join(header, payload))
    with pytest.raises(sn.CheckpointError, match=r"twice|canonical"):
        container.read(path)


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\u202e", "\x00", "", "a" * 1025])
def test_text_that_could_steer_a_terminal_is_refused(text, path):
    net = sn.Subspace(CASES["theta0-base"].make(), 9)
    with pytest.raises(sn.InputError, match="Cannot be saved: field 'base' must have 1 to"):
        container.encode(net.to_checkpoint(text))
    saved = container.read(path_of("theta0-base"))
    path.write_bytes(file_of({**saved.spec, "base": text}, dict(saved.tensors)))
    with pytest.raises(sn.CheckpointError, match="field 'base' must have 1 to") as caught:
        container.read(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["module.\x1b[2J", "x", "theta0", "module.\u202e"])
def test_names_of_tensors_are_the_format_s(name, path):
    saved = container.read(path_of("hashed"))
    path.write_bytes(file_of(saved.spec, {**saved.tensors, name: torch.zeros(1)}))
    with pytest.raises(sn.CheckpointError, match="unexpected tensor") as caught:
        container.read(path)
    assert str(caught.value).isprintable()


def test_dtypes_are_the_format_s(path):
    saved = container.read(path_of("hashed"))
    tensors = {**saved.tensors, "module.x": torch.zeros(1, dtype=torch.complex128)}
    with pytest.raises(sn.InputError, match=r"'module.x' is of torch.complex128, unknown"):
        container.encode(Checkpoint(saved.spec, tensors))
    header = {
        "omega": {"dtype": "F32", "shape": [21], "data_offsets": [0, 84]},
        "module.x": {"dtype": "F4", "shape": [2], "data_offsets": [84, 85]},
    }
    path.write_bytes(file_of(saved.spec, saved.tensors, header) + bytes(85))
    with pytest.raises(sn.CheckpointError, match="tensors of dtype F4 are not expected"):
        container.read(path)


@pytest.mark.parametrize("fields", [
    {"seed": -1}, {"seed": 2**64}, {"seed": 10**400}, {"sketch": []}, {"sketch": [1.0] * 5},
    {"sketch": ["a"] * 4}, {"sketch": [True] * 4}, {"sketch": [[]] * 4},
], ids=str)  # fmt: skip
def test_numbers_are_the_format_s(fields, path):
    saved = container.read(path_of("gaussian"))
    path.write_bytes(file_of({**saved.spec, **fields}, dict(saved.tensors)))
    with pytest.raises(sn.CheckpointError, match=r"seed < 2|'sketch' must"):
        container.read(path)


@pytest.mark.parametrize(("bytes_", "dim"), [([128, 127, 0], 1), ([0, 63, 1 << 4], 1)])
def test_packed_numbers_are_finite_and_nothing_is_between_them(bytes_, dim, path):
    saved = container.read(path_of("hashed"))
    spec = {**saved.spec, "dim": dim, "omega": "int4"}
    path.write_bytes(file_of(spec, {"omega": torch.tensor(bytes_, dtype=torch.uint8)}))
    with pytest.raises(sn.CheckpointError, match="finite numbers as int4 does"):
        container.read(path)


def test_nothing_is_unpickled_and_nothing_opened(path, tmp_path, monkeypatch):
    """A pickle under the file's name is no safetensors file."""

    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"omega": Harm()}, path)
    monkeypatch.setattr("pickle.Unpickler", None)
    with pytest.raises(sn.CheckpointError):
        sn.load(path, nn.Linear(3, 2))
    assert not (tmp_path / "harm").exists()
