"""The file format: a safetensors file with ω, a specification, and what cannot be recomputed.

The specification is one JSON object, sorted and without spaces, under the one metadata key
`subspace_nn`. (A second key would make the bytes of a file depend on the run: safetensors writes
metadata in the order of a hash map.) No pickle anywhere. `docs/format.md` describes every field.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from subspace_nn.errors import CheckpointError
from subspace_nn.files import write_atomically

#: The newest format this version reads, and the one it writes.
FORMAT = 1

#: A header longer than this is refused before it is parsed, in bytes.
MAX_HEADER = 16 * 2**20

_KEY = "subspace_nn"
_FIELDS: dict[str, type] = {
    "D": int,
    "P": str,
    "architecture": str,
    "digest": str,
    "dim": int,
    "format": int,
    "projection": str,
    "seed": int,
    "theta0": str,
    "theta0_from": str,
}
_OPTIONAL: dict[str, type] = {"model": str, "scale": str, "sketch": list}


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        spec: the specification's fields, without `digest` and `format`, which the file adds.
        tensors: ω under "omega", whatever cannot be recomputed under other names.
    """

    spec: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def encode(checkpoint: Checkpoint) -> bytes:
    """The bytes of a file; the same for the same content, always.

    Args:
        checkpoint: what to write.

    Returns:
        The whole file.
    """
    # Cloned, for safetensors refuses tensors that share memory, as tied ones do.
    tensors = {
        name: t.detach().cpu().clone().contiguous() for name, t in checkpoint.tensors.items()
    }
    spec = {**checkpoint.spec, "format": FORMAT}
    text = _canonical({**spec, "digest": _digest(spec, tensors)})
    return safetensors.torch.save(tensors, metadata={_KEY: text})


def write(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write a file atomically.

    Args:
        checkpoint: what to write.
        path: where; its folder must exist.
    """
    write_atomically(path, encode(checkpoint))


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a file and verify that it is whole.

    Args:
        path: the file.

    Returns:
        Its content.

    Raises:
        CheckpointError: if the file is missing, empty, truncated, altered, not a checkpoint of
            this package, or of a newer format.
    """
    try:
        _check_envelope(Path(path))
        with safetensors.safe_open(path, framework="pt") as file:
            spec = _parse(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        _check_content(spec, tensors)
    except CheckpointError as error:
        raise CheckpointError(*(f"{path}: {problem}" for problem in error.problems)) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file ({error}).") from None
    return Checkpoint({k: v for k, v in spec.items() if k not in {"digest", "format"}}, tensors)


def _check_envelope(path: Path) -> None:
    """Refuse by size before anything is allocated."""
    size = path.stat().st_size
    if not path.is_file():
        raise CheckpointError("not a file.")
    if size == 0:
        raise CheckpointError("the file is empty.")
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > min(MAX_HEADER, size - 8):
        raise CheckpointError(
            f"truncated, or not a safetensors file: it has {size:,} bytes and its first eight "
            f"announce a header of {header:,}."
        )


def _parse(metadata: Mapping[str, str]) -> dict[str, Any]:
    if _KEY not in metadata:
        raise CheckpointError(
            "a safetensors file, but not a checkpoint of subspace-nn (no such metadata)."
        )
    if len(metadata) > 1:
        raise CheckpointError(f"expected the one metadata key {_KEY!r}, got {sorted(metadata)}.")
    try:
        spec = json.loads(metadata[_KEY])
    except (ValueError, RecursionError):
        raise CheckpointError("its specification is not JSON.") from None
    if not isinstance(spec, dict):
        raise CheckpointError("its specification is not a JSON object.")
    version = spec.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise CheckpointError(
            f"of format {version}, newer than {FORMAT}, the newest this version reads. "
            "Upgrade subspace-nn."
        )
    _check_fields(spec)
    return spec


def _check_fields(spec: Mapping[str, Any]) -> None:
    known = _FIELDS | _OPTIONAL
    problems = [f"field {name!r} is missing." for name in _FIELDS if name not in spec]
    problems += [f"unknown field {name!r}." for name in spec if name not in known]
    problems += [
        f"field {name!r} must be of type {known[name].__name__}, got {value!r}."
        for name, value in spec.items()
        if name in known and type(value) is not known[name]
    ]
    if problems:
        raise CheckpointError(*problems)
    if spec["format"] < 1:
        raise CheckpointError(f"field 'format' must be at least 1, got {spec['format']}.")
    if not 1 <= spec["dim"] <= spec["D"]:
        raise CheckpointError(f"expected 1 ≤ dim ≤ D, got {spec['dim']} and {spec['D']}.")


def _check_content(spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    omega = tensors.get("omega")
    if omega is None or omega.shape != (spec["dim"],) or not omega.is_floating_point():
        got = "none" if omega is None else f"{omega.dtype} of shape {tuple(omega.shape)}"
        raise CheckpointError(
            f"expected the tensor 'omega' with {spec['dim']:,} floating-point numbers, got {got}."
        )
    digest = _digest({k: v for k, v in spec.items() if k != "digest"}, tensors)
    if digest != spec["digest"]:
        raise CheckpointError(
            f"its content was altered: digest {digest}, expected {spec['digest']}."
        )


def _digest(spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits over everything in the file: against accidents, not a signature."""
    digest = hashlib.sha256(_canonical(spec).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _canonical(spec: Mapping[str, Any]) -> str:
    return json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
