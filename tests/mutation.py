"""Damaged and forged checkpoints: what chance does to a file, and what an opponent would.

A *mutant* is a golden file with bytes changed; its digest is not made anew. It must be refused, or
load to exactly the original. A *forgery* is made with the right digest, so that only the checks
behind the digest stand in its way. It must be refused, or load as what it says it is.
"""

import json
import random
import re
import struct
from collections.abc import Callable

import safetensors.torch
import torch

import subspace_nn as sn
from subspace_nn import models, projections
from subspace_nn.format import compact, container
from subspace_nn.format.container import MAX_HEADER, Checkpoint
from tests.golden_cases import CASES, path_of

#: Numbers at the edge of something.
NUMBERS = [
    -1, 0, 1, 2, 7, 127, 128, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32, 10**9, 10**12, 2**53,
    2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, MAX_HEADER - 1, MAX_HEADER, MAX_HEADER + 1,
]  # fmt: skip
TEXTS = [
    "", "0", "-1", "hashed/1", "hashed/2", "orthonormal/1", "gaussian/1", "layerwise/1:sparse/1",
    "seed/1", "seed/9", "file", "base", "conv", "tensorflow-cnn", "float32", "int4", "int8",
    "coded", "none", "learned", "../../etc/passwd", "http://localhost/", "\x1b[2J", "\u202e",
    "\ud800", "a" * 2000, "__proto__", "__reduce__", "omega", "module.x",
    "theta0.0.weight", "*", "[", "**/" * 300,
]  # fmt: skip


def mutant(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """One or a few changes to a file's bytes.

    Args:
        rng: makes all choices.
        content: the file.
        other: another one, for splices.

    Returns:
        The changed bytes, which may by chance be the same.
    """
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        content = rng.choice(MUTATIONS)(rng, content, other)
    return content


def _flip(rng, content, _):
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8]) if content else 0):
        changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _set(rng, content, _):
    start, stop = _span(rng, content)
    return content[:start] + rng.randbytes(stop - start) + content[stop:]


def _delete(rng, content, _):
    start, stop = _span(rng, content)
    return content[:start] + content[stop:]


def _insert(rng, content, _):
    start, _ = _span(rng, content)
    return content[:start] + rng.randbytes(rng.randint(1, 64)) + content[start:]


def _repeat(rng, content, _):
    start, stop = _span(rng, content)
    return content[:stop] + content[start:stop] * rng.choice([1, 2, 50]) + content[stop:]


def _cut(rng, content, _):
    return content[: rng.randint(0, len(content))]


def _splice(rng, content, other):
    return content[: _span(rng, content)[0]] + other[_span(rng, other)[1] :]


def _length(rng, content, _):
    number = rng.choice([*NUMBERS, len(content), len(content) - 8, rng.getrandbits(64)])
    return struct.pack("<Q", number % 2**64) + content[8:]


def _number_in_header(rng, content, _):
    return _replace_in_header(rng, content, rb"-?\d+", str(rng.choice(NUMBERS)).encode())


def _text_in_header(rng, content, _):
    text = json.dumps(rng.choice(TEXTS)).strip('"').encode()
    return _replace_in_header(rng, content, rb"[\w./:]+", text)


def _token_in_header(rng, content, _):
    token = rng.choice([b"null", b"true", b"[]", b"{}", b"[" * 5000, b"1e999", b"NaN", b'""', b" "])
    return _replace_in_header(rng, content, rb'\\"|[{}\[\],:]|\d+', token)


def _header_rewritten(rng, content, _):
    """The same JSON, with keys in another order or in other words."""
    header, payload = _split(content)
    try:
        parsed = json.loads(header)
        items = list(parsed.items())
    except (ValueError, AttributeError, RecursionError):
        return content
    rng.shuffle(items)
    style = {"indent": rng.choice([None, 1]), "ensure_ascii": rng.random() < 0.5}
    text = json.dumps(dict(items), **style).encode("utf-8", "surrogatepass")
    return _join(text + b" " * rng.choice([0, 1, 100]), payload)


MUTATIONS: list[Callable[[random.Random, bytes, bytes], bytes]] = [
    _flip, _flip, _set, _delete, _insert, _repeat, _cut, _splice, _length,
    _number_in_header, _text_in_header, _token_in_header, _header_rewritten,
]  # fmt: skip


def _span(rng, content):
    start = rng.randint(0, len(content))
    return start, min(len(content), start + rng.choice([1, 2, 8, 64, 1000]))


def _split(content):
    length = int.from_bytes(content[:8], "little")
    return content[8 : 8 + length], content[8 + length :]


def _join(header, payload):
    return struct.pack("<Q", len(header)) + header + payload


def _replace_in_header(rng, content, pattern, new):
    header, payload = _split(content)
    found = list(re.finditer(pattern, header[:MAX_HEADER]))
    if not found:
        return content
    place = rng.choice(found)
    return _join(header[: place.start()] + new + header[place.end() :], payload)


def forgery(rng: random.Random, saved: Checkpoint) -> bytes:
    """A file that says something else, with the right digest.

    Args:
        rng: makes all choices.
        saved: the original's content.

    Returns:
        Its bytes.
    """
    spec, tensors = dict(saved.spec), dict(saved.tensors)
    for _ in range(rng.choice([1, 1, 2, 3])):
        rng.choice([_forge_field, _forge_field, _forge_tensor])(rng, spec, tensors)
    spec = {**spec, "format": 2 if spec.get("omega") == "coded" else 1}
    try:
        spec["digest"] = container._digest(spec, tensors)
        text = container._canonical(spec)
        if rng.random() < 0.7:
            return compact.encode(spec, tensors)
    except sn.InputError:  # it is none of a compact file's
        pass
    except (KeyError, TypeError, ValueError):  # a text that is no Unicode, an infinite number
        text = json.dumps(spec)
    return safetensors.torch.save(tensors, metadata={"subspace_nn": text})


def _forge_field(rng, spec, _):
    known = [*container._FIELDS, *container._OPTIONAL, "unknown"]
    name = rng.choice([n for n in known if n not in {"digest", "format"}])
    fitting = {
        "projection": [f"{kind}/1" for kind in projections.KINDS],
        "model": list(models.MODELS),
        "theta0_from": ["seed/1", "file", "base"],
        "omega": ["float32", "float16", "bfloat16", "int8", "int4", "coded"],
        "scale": ["none", "learned", "init"],
        "seed": [0, 1, 2**64 - 1],
        "dim": [spec.get("dim"), 1, 5, 64],
        "sketch": [[0.0] * 4, [1e308] * 4, ["a"], []],
        "include": [["*"], [], ["*bias"], ["a*" * 400]],
        "train": [["*bias"], ["0"], []],
    }
    values = [*NUMBERS, *TEXTS, None, True, 1.5, float("inf"), [], {}, [[[]]], [1] * 100]
    if rng.random() < 0.2:
        spec.pop(name, None)
    else:
        spec[name] = rng.choice(fitting.get(name, values) if rng.random() < 0.7 else values)


def _forge_tensor(rng, _, tensors):
    name = rng.choice([*tensors, "module.x", "omega", "theta0.0.weight", "é" * 10])
    tensor = tensors.get(name, torch.zeros(3))
    changes = [
        lambda t: t[: rng.randint(0, 3)] if t.dim() else t,
        lambda t: t.to(rng.choice(list(container.DTYPES.values()))),
        lambda t: t.reshape(-1),
        lambda t: t.unsqueeze(0),
        lambda t: t[:3].repeat(rng.randint(1, 99)) if t.dim() == 1 else t,
        lambda t: torch.full_like(t, 255 if t.dtype == torch.uint8 else float("nan"))
        if t.is_floating_point() or t.dtype == torch.uint8 else t,
        lambda _: torch.zeros(rng.choice([0, 1, 10_000])),
        lambda _: torch.zeros(0, 2**40),
    ]  # fmt: skip
    tensors[name] = rng.choice(changes)(tensor).contiguous().clone()
    if rng.random() < 0.1:
        del tensors[name]


class Originals:
    """The golden files' bytes, contents and what they load to, made once."""

    def __init__(self):
        self.bytes = {name: path_of(name).read_bytes() for name in CASES}
        self.saved = {name: container.read(path_of(name)) for name in CASES}
        self.meaning = {name: meaning(CASES[name].load(path_of(name))) for name in CASES}


def meaning(net: sn.Subspace) -> bytes:
    """Everything that a net is, as bytes."""
    return container.encode(net.to_checkpoint(net.base))


def attempt(path, name: str, original: bytes | None) -> str:
    """Read and load a file as a user would.

    Args:
        path: the file.
        name: of the golden file that it was made of.
        original: the meaning that it must have if it loads; None for a forgery, which must have
            that of its own specification.

    Returns:
        "refused" or "loaded".

    Raises:
        AssertionError: if it loads as something else.
    """
    try:
        saved = container.read(path)
        net = CASES[name].load(path)
    except sn.CheckpointError:
        return "refused"
    if original is not None:
        assert meaning(net) == original, "it loads as another net"
    else:
        made = net.to_checkpoint(net.base).spec
        kept = {n: v for n, v in saved.spec.items() if n not in {"omega", "sketch", "model"}}
        assert {n: made.get(n) for n in kept} == kept, "it is not what it says"
    return "loaded"
