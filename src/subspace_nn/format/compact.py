"""The compact file: a coded ω under a header in which every byte counts. `docs/format.md` has it.

The four fingerprints are bytes, not digits, and fields that are as usual are left out.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from subspace_nn.common.errors import CheckpointError, InputError

#: The end of a compact file's name.
SUFFIX = ".snn"

#: What a compact file begins with: no safetensors file does, whose header would be too long.
_MAGIC = b"SNN\2"

#: Fields that are left out where they have these values.
_USUAL = {
    "format": 2,
    "omega": "coded",
    "projection": "hashed/1",
    "seed": 0,
    "theta0_from": "seed/1",
}

#: Fields of 16 hexadecimal digits, in the order of their bytes.
_DIGITS = ("P", "architecture", "digest", "theta0")

#: A longer file is not read: there may be 2^18 codes, of two bytes at most.
_MOST = 2**20


def is_one(path: str | os.PathLike[str]) -> bool:
    """Whether a file is compact, by its first bytes.

    Args:
        path: the file.

    Returns:
        True if it is; False for what is no file.
    """
    if "\0" in str(path) or not Path(path).is_file():
        return False
    with Path(path).open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def encode(spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    """The bytes of a compact file.

    Args:
        spec: the whole specification.
        tensors: ω alone, coded.

    Returns:
        The file.

    Raises:
        InputError: if ω is not coded, or there are other tensors.
    """
    problem, text = None, _text(spec)
    if spec.get("omega") != "coded":
        problem = 'its ω is not coded: save(path, dtype="coded")'
    elif others := sorted(tensors.keys() - {"omega"}):
        problem = f"it has tensors in addition to ω, {', '.join(others[:3])}"
    elif len(text) >= 1 << 16:
        problem = f"its specification has {len(text):,} characters, more than 65,535"
    elif odd := [name for name in _DIGITS if not re.fullmatch("[0-9a-f]{16}", spec[name])]:
        problem = f"its fields {', '.join(odd)} are not 16 hexadecimal digits"
    if problem:
        raise InputError(
            f"Cannot be saved as a compact file (*{SUFFIX}): {problem}. Or name the file "
            "*.safetensors."
        )
    digits = b"".join(bytes.fromhex(spec[name]) for name in _DIGITS)
    omega = tensors["omega"].numpy().tobytes()
    return _MAGIC + len(text).to_bytes(2, "little") + text + digits + omega


def decode(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a compact file; of its content nothing is checked but its form.

    Args:
        path: the file.

    Returns:
        The specification and ω, as `encode` takes them.

    Raises:
        CheckpointError: if it is too long, truncated, or not as `encode` writes it.
    """
    size = path.stat().st_size
    if size > _MOST:
        raise CheckpointError(f"a compact file has at most {_MOST:,} bytes, got {size:,}.")
    content = path.read_bytes()
    start = len(_MAGIC) + 2
    end = start + int.from_bytes(content[start - 2 : start], "little")
    first = end + 8 * len(_DIGITS)
    if len(content) <= first:
        raise CheckpointError(f"truncated: its {size:,} bytes end before those of ω.")
    try:
        own = json.loads(content[start:end])
    except (ValueError, RecursionError):
        raise CheckpointError("its specification is not JSON.") from None
    if not isinstance(own, dict):
        raise CheckpointError("its specification is not a JSON object.")
    digits = {name: content[end + 8 * i : end + 8 * i + 8].hex() for i, name in enumerate(_DIGITS)}
    spec = _USUAL | own | digits
    try:
        same = _text(spec) == content[start:end]
    except (ValueError, RecursionError):  # half a character, which has no bytes
        same = False
    if not same:
        raise CheckpointError("its specification is not in canonical form: it was altered.")
    return spec, {"omega": torch.tensor(list(content[first:]), dtype=torch.uint8, device="cpu")}


def _text(spec: Mapping[str, Any]) -> bytes:
    own = {
        name: value
        for name, value in spec.items()
        if name not in _DIGITS and not (name in _USUAL and _USUAL[name] == value)
    }
    return json.dumps(
        own, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()
