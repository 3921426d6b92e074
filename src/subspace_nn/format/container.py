"""The file format: a safetensors file with ω, a specification, and what cannot be recomputed.

The specification is one JSON object, sorted and without spaces, under the one metadata key
`subspace_nn`. (A second key would make the bytes of a file depend on the run: safetensors writes
metadata in the order of a hash map.) No pickle anywhere. `docs/format.md` describes every field.

A file may come from a stranger. So it is read in the order of what things cost: its length, its
header, the sizes that the header states, and only then the tensors.
"""

import hashlib
import json
import math
import os
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from subspace_nn.common.atomic import write_atomically
from subspace_nn.common.errors import CheckpointError, InputError
from subspace_nn.format import compact, packing
from subspace_nn.projections import LEARNED

#: The newest format this version reads; it writes format 3 for stages and for a P in the file,
#: format 2 for a coded ω, else format 1.
FORMAT = 3

#: Name of the checkpoint of a folder.
CHECKPOINT = "omega.safetensors"

#: A message names this many files at most.
_FEW = 3

#: A header longer than this is refused before it is parsed, in bytes.
MAX_HEADER = 2**20

#: A specification of more characters is refused before it is parsed.
MAX_SPEC = 2**18

#: A string of the specification, or a tensor's name, is not longer than this.
MAX_TEXT = 1024

#: A list of the specification is not longer than this.
MAX_LIST = 64

#: There are no more stages.
MAX_STAGES = 4096

#: Tensors of more bytes in all are not read where there is no module to compare them with.
MAX_BYTES = 2**30

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
_OPTIONAL: dict[str, type] = {
    "base": str,
    "dtype": str,
    "exclude": list,
    "frozen": str,
    "include": list,
    "model": str,
    "omega": str,
    "scale": str,
    "sketch": list,
    "stages": list,
    "train": list,
}
#: What a tensor may be of.
DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "U16": torch.uint16,
    "U32": torch.uint32,
    "U64": torch.uint64,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "C64": torch.complex64,
}


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file.

    Attributes:
        spec: the specification's fields, without `digest` and `format`, which the file adds.
        tensors: ω under "omega", as it is stored; what cannot be recomputed under other names.
    """

    spec: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def omega(self) -> Tensor:
        """ω as numbers, shape (d,); of float32 where it was rounded."""
        stored = self.tensors["omega"]
        if "omega" not in self.spec:
            return stored
        return packing.unpack(stored, self.spec["omega"], self.spec["dim"])

    def rounded(self, dtype: str) -> "Checkpoint":
        """The same with ω in another dtype.

        Args:
            dtype: one of `packing.ROUNDED`.

        Returns:
            A checkpoint with the field `omega`, unless the dtype is ω's own.

        Raises:
            InputError: if the dtype is unknown, or ω is not finite or too large for it.
        """
        if "omega" not in self.spec and packing.FLOATS.get(dtype) == self.omega.dtype:
            return self
        tensors = {**self.tensors, "omega": packing.pack(self.omega, dtype)}
        return Checkpoint({**self.spec, "omega": dtype}, tensors)


@dataclass(frozen=True)
class Stated:
    """The header's statement of a tensor.

    Attributes:
        dtype: its dtype.
        shape: its shape.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        return self.dtype.itemsize * math.prod(self.shape)

    def __str__(self) -> str:
        """As in an error's message."""
        return f"{str(self.dtype).removeprefix('torch.')} of shape {self.shape}"


def encode(checkpoint: Checkpoint, *, is_compact: bool = False) -> bytes:
    """The bytes of a file; the same for the same content, always.

    Args:
        checkpoint: what to write.
        is_compact: whether to write a compact file instead of a safetensors file.

    Returns:
        The whole file.

    Raises:
        InputError: if a reader would refuse the file: its header is too long, or it has a field,
            a name or a dtype that the format does not know; or if it cannot be compact.
    """
    # Cloned, for safetensors refuses tensors that share memory, as tied ones do.
    tensors = {
        name: t.detach().cpu().clone().contiguous() for name, t in checkpoint.tensors.items()
    }
    spec = {**checkpoint.spec, "format": _format(checkpoint.spec)}
    spec["digest"] = _digest(spec, tensors)
    try:
        _check_fields(spec)
        _check_stated(spec, {n: Stated(t.dtype, tuple(t.shape)) for n, t in tensors.items()})
    except CheckpointError as error:
        raise InputError(*(f"Cannot be saved: {problem}" for problem in error.problems)) from None
    if is_compact:
        return compact.encode(spec, tensors)
    content = safetensors.torch.save(tensors, metadata={_KEY: _canonical(spec)})
    header = int.from_bytes(content[:8], "little")
    if header > MAX_HEADER:
        raise InputError(
            f"Cannot be saved: the header would have {header:,} bytes, more than {MAX_HEADER:,}, "
            f"for {len(tensors):,} tensors. If θ0 is that of a known model, name it: "
            "save(path, base=…)."
        )
    return content


def write(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write a file atomically: compact under a name that ends in .snn, else safetensors.

    Args:
        checkpoint: what to write.
        path: where; its folder must exist.
    """
    write_atomically(path, encode(checkpoint, is_compact=Path(path).suffix == compact.SUFFIX))


def check_size(spec: Mapping[str, Any], stated: Mapping[str, Stated]) -> None:  # noqa: ARG001
    """Refuse a file whose tensors have more than `MAX_BYTES`, if no module bounds them.

    A file may be far larger than the space it takes on a disk or in an archive.

    Args:
        spec: the specification.
        stated: what the header states of each tensor.

    Raises:
        CheckpointError: if it is larger.
    """
    size = sum(tensor.nbytes for tensor in stated.values())
    if size > MAX_BYTES:
        raise CheckpointError(
            f"its tensors have {size:,} bytes, more than {MAX_BYTES:,}, and without a module they "
            "cannot be checked before they are read. If you trust the source of the file, read it "
            "with check=None (--trust on the command line)."
        )


def read(
    path: str | os.PathLike[str],
    check: Callable[[Mapping[str, Any], Mapping[str, Stated]], None] | None = check_size,
) -> Checkpoint:
    """Read a file and verify that it is whole.

    Args:
        path: the file.
        check: called with the specification and what the header states of each tensor, before
            any tensor is read; raises a `CheckpointError` where they do not fit. `check_size` by
            default; None for none.

    Returns:
        Its content.

    Raises:
        CheckpointError: if the file is missing, empty, truncated, altered, not a checkpoint of
            this package, of a newer format, or refused by `check`.
    """
    try:
        if compact.is_one(path):
            return _read_compact(Path(path), check)
        header = _header(Path(path))
        with _opened(path) as file:
            _check_keys(header)
            spec = _parse(file.metadata() or {})
            stated = {name: _stated(file.get_slice(name)) for name in file.keys()}  # noqa: SIM118
            _check_stated(spec, stated)
            if check is not None:
                check(spec, stated)
            # Cloned, for the library's tensors are a window on the file, which may change.
            tensors = {name: file.get_tensor(name).clone() for name in stated}
        _check_content(spec, tensors)
    except CheckpointError as error:
        raise CheckpointError(*(f"{path}: {problem}" for problem in error.problems)) from None
    except OSError as error:
        why = f"{path}: cannot be read ({error.strerror or error}). {_instead(Path(path))}"
        raise CheckpointError(why.rstrip()) from None
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file ({error}).") from None
    return _checkpoint(spec, tensors)


def _instead(path: Path) -> str:
    """What the folder of a missing checkpoint holds."""
    folder = path.parent
    if path.name != CHECKPOINT or path.exists() or not folder.is_dir():
        return ""
    kinds = ("*.safetensors", f"*{compact.SUFFIX}", "weights/*.safetensors", f"*/{CHECKPOINT}")
    found = sorted({str(file) for kind in kinds for file in folder.glob(kind)})
    if found:
        more = f", … ({len(found):,} in all)" if len(found) > _FEW else ""
        return f"Name one of the checkpoints there: {', '.join(found[:_FEW])}{more}."
    if any(re.fullmatch(r"[0-9a-f]{16}\.json", file.name) for file in folder.glob("*.json")):
        return (
            f"The folder {folder} holds records of runs, without weights: a sweep keeps these with "
            f"--save, a measurement does not. subspace-nn runs {folder} lists them."
        )
    return f"The folder {folder} holds no checkpoint."


def _read_compact(
    path: Path, check: Callable[[Mapping[str, Any], Mapping[str, Stated]], None] | None
) -> Checkpoint:
    spec, tensors = compact.decode(path)
    _check_format(spec)
    _check_fields(spec)
    stated = {name: Stated(t.dtype, tuple(t.shape)) for name, t in tensors.items()}
    _check_stated(spec, stated)
    if check is not None:
        check(spec, stated)
    _check_content(spec, tensors)
    return _checkpoint(spec, tensors)


def _checkpoint(spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Checkpoint:
    return Checkpoint({k: v for k, v in spec.items() if k not in {"digest", "format"}}, tensors)


def _format(spec: Mapping[str, Any]) -> int:
    if "stages" in spec or spec["projection"] in LEARNED:
        return 3
    return 2 if spec.get("omega") == packing.CODED else 1


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits that identify these tensors.

    Args:
        tensors: by name.

    Returns:
        The first 64 bits of the SHA-256 of their names, dtypes, shapes and bytes.
    """
    return _hash_tensors(hashlib.sha256(), tensors)


def _header(path: Path) -> bytes:
    """The header, unless its length is impossible."""
    if "\0" in str(path):
        raise CheckpointError("no path has a null character.")
    if not path.is_file() and path.exists():
        raise CheckpointError("not a file.")
    size = path.stat().st_size
    if size == 0:
        raise CheckpointError("the file is empty.")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(MAX_HEADER, size - 8):
            raise CheckpointError(
                f"truncated, or not a safetensors file: it has {size:,} bytes and its first eight "
                f"announce a header of {length:,}; {MAX_HEADER:,} is the limit."
            )
        return file.read(length)


def _opened(path: str | os.PathLike[str]) -> Any:
    try:
        return safetensors.safe_open(path, framework="pt")
    except RuntimeError:  # PyTorch's, which maps the file, whatever its length
        size = Path(path).stat().st_size
        raise CheckpointError(f"its {size:,} bytes cannot be mapped into memory.") from None


def _check_keys(header: bytes) -> None:
    """Refuse a key that occurs twice: two readers could take different ones."""
    try:
        json.loads(header, object_pairs_hook=_unique)
    except CheckpointError:
        raise
    except ValueError:  # the library accepts it, Python does not
        raise CheckpointError("not a safetensors file: its header is not JSON.") from None


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise CheckpointError(f"the header has the key {_short(key)} twice.")
        found[key] = value
    return found


def _parse(metadata: Mapping[str, str]) -> dict[str, Any]:
    if _KEY not in metadata:
        raise CheckpointError(
            "a safetensors file, but not a checkpoint of subspace-nn (no such metadata)."
        )
    if len(metadata) > 1:
        keys = _short(sorted(metadata))
        raise CheckpointError(f"expected the one metadata key {_KEY!r}, got {keys}.")
    if len(metadata[_KEY]) > MAX_SPEC:
        raise CheckpointError(f"its specification has more than {MAX_SPEC:,} characters.")
    try:
        spec = json.loads(metadata[_KEY])
        text = _canonical(spec)
    except (ValueError, RecursionError):
        raise CheckpointError("its specification is not JSON.") from None
    if not isinstance(spec, dict):
        raise CheckpointError("its specification is not a JSON object.")
    _check_format(spec)
    _check_fields(spec)
    if text != metadata[_KEY]:
        raise CheckpointError("its specification is not in canonical form: it was altered.")
    return spec


def _check_format(spec: Mapping[str, Any]) -> None:
    version = spec.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise CheckpointError(
            f"of format {_short(version)}, newer than {FORMAT}, the newest this version reads. "
            "Upgrade subspace-nn."
        )


def _check_fields(spec: Mapping[str, Any]) -> None:
    if problems := list(_type_problems(spec)) or list(_value_problems(spec)):
        raise CheckpointError(*problems)


def _type_problems(spec: Mapping[str, Any]) -> Iterator[str]:
    known = _FIELDS | _OPTIONAL
    yield from (f"field {name!r} is missing." for name in _FIELDS if name not in spec)
    yield from (f"unknown field {_short(name)}." for name in spec if name not in known)
    for name, value in spec.items():
        if name not in known:
            continue
        if type(value) is not known[name]:
            yield f"field {name!r} must be of type {known[name].__name__}, got {_short(value)}."
        elif known[name] is str and not _is_plain(value):
            yield (
                f"field {name!r} must have 1 to {MAX_TEXT:,} printable characters, "
                f"got {_short(value)}."
            )


def _value_problems(spec: Mapping[str, Any]) -> Iterator[str]:
    yield from _number_problems(spec)
    yield from _word_problems(spec)
    yield from _pattern_problems(spec)
    yield from _company_problems(spec)


def _number_problems(spec: Mapping[str, Any]) -> Iterator[str]:
    """Sizes, the seed, the version, and sums of P."""
    if spec["format"] < 1:
        yield f"field 'format' must be at least 1, got {_short(spec['format'])}."
    if not 1 <= spec["dim"] <= spec["D"] < 1 << 63:
        got = f"{_short(spec['dim'])} and {_short(spec['D'])}"
        yield f"expected 1 ≤ dim ≤ D < 2^63, got {got}."
    if not 0 <= spec["seed"] < 1 << 64:
        yield f"expected 0 ≤ seed < 2^64, got {_short(spec['seed'])}."
    stages = spec.get("stages", [0])
    if not (
        1 <= len(stages) < MAX_STAGES
        and all(type(seed) is int and 0 <= seed < 1 << 64 for seed in stages)
    ):
        yield (
            f"field 'stages' must have 1 to {MAX_STAGES - 1:,} seeds from 0 to 2^64 - 1, "
            f"got {len(stages):,}: {_short(stages)}. For more stages, store θ0: wrap what merge() "
            "gives."
        )
    sketch = spec.get("sketch", [0.0] * 4)
    if len(sketch) != 4 or not all(type(number) in {int, float} for number in sketch):
        yield f"field 'sketch' must have four numbers, got {_short(sketch)}."


def _word_problems(spec: Mapping[str, Any]) -> Iterator[str]:
    """Fields that have one of a few words."""
    words = {
        "dtype": [name for name in packing.FLOATS if name != "float32"],
        "omega": packing.ROUNDED,
        "scale": ["none", "learned"],
    }
    for name, valid in words.items():
        if name in spec and spec[name] not in valid:
            yield f"field {name!r} must be one of {', '.join(valid)}, got {_short(spec[name])}."


def _pattern_problems(spec: Mapping[str, Any]) -> Iterator[str]:
    """Lists of patterns of names."""
    for name in ("exclude", "include", "train"):
        texts = spec.get(name, ["a"])
        if not 1 <= len(texts) <= MAX_LIST or not all(map(_is_plain, texts)):
            got = _short(texts)
            yield f"field {name!r} must have 1 to {MAX_LIST} printable texts, got {got}."
    if spec.get("include") == ["*"]:
        yield "field 'include' says what holds without it."


def _company_problems(spec: Mapping[str, Any]) -> Iterator[str]:
    """Fields that belong to another one."""
    if (spec["theta0_from"] == "base") != ("base" in spec):
        yield "field 'base' belongs to theta0_from='base', and only to that."
    if "frozen" in spec and "base" not in spec:
        yield "field 'frozen' belongs to theta0_from='base' only."
    if "dtype" in spec and "model" not in spec:
        yield "field 'dtype' belongs to a 'model', and only to that."
    if "stages" in spec and spec["theta0_from"] == "file":
        yield "field 'stages' belongs to a θ0 that is not in the file."
    if spec["format"] != _format(spec):
        yield f"expected format {_format(spec)} for its fields, got {_short(spec['format'])}."


def _stated(tensor: Any) -> Stated:
    name = tensor.get_dtype()
    if name not in DTYPES:
        raise CheckpointError(f"tensors of dtype {name} are not expected in a checkpoint.")
    return Stated(DTYPES[name], tuple(tensor.get_shape()))


def _check_stated(spec: Mapping[str, Any], stated: Mapping[str, Stated]) -> None:
    """Check the tensors as far as possible without a module."""
    names = [name for name in stated if not _is_plain(name) or not _is_known(name)]
    if names:
        raise CheckpointError(*(f"unexpected tensor {_short(name)}." for name in sorted(names)[:5]))
    for name, tensor in stated.items():
        if tensor.dtype not in DTYPES.values():
            raise CheckpointError(f"tensor {name!r} is of {tensor.dtype}, unknown to the format.")
        # An empty tensor may have other dimensions of any length, which overflow its strides.
        if math.prod(max(n, 1) for n in tensor.shape) >= 1 << 63:
            raise CheckpointError(f"tensor {name!r} has the shape {_short(tensor.shape)}.")
    _check_defining(spec, stated)
    omega, dim = stated.get("omega"), spec["dim"]
    own = [Stated(dtype, (dim,)) for dtype in packing.FLOATS.values()]
    how = spec.get("omega")
    if how == packing.CODED:
        if omega is None or not packing.fits(how, dim, omega.dtype, omega.shape):
            raise CheckpointError(
                f"expected the tensor 'omega' with the bytes of {_short(dim)} codes, of which "
                f"there may be {packing.MOST_CODED:,}, got {omega or 'none'}."
            )
        return
    if how:
        own = [Stated(*packing.stored_shape(how, dim))]
    if omega not in own:
        wanted = f"{own[0]}" if how else f"{_short(dim)} floating-point numbers"
        raise CheckpointError(f"expected the tensor 'omega' with {wanted}, got {omega or 'none'}.")


def defining(spec: Mapping[str, Any], dim: int) -> dict[str, Stated]:
    """The tensors that define P and the point, where no seed or not a seed alone does.

    Args:
        spec: the specification.
        dim: number of columns of P.

    Returns:
        What they must be, by name; ω of earlier stages may also be of float64.
    """
    kind = LEARNED.get(spec["projection"])
    numbers = kind.stated(spec["D"], dim) if kind else {}
    found = {f"projection.{name}": Stated(*stated) for name, stated in numbers.items()}
    if "stages" in spec:
        found["stages"] = Stated(torch.float32, (len(spec["stages"]), spec["dim"]))
    return found


def _check_defining(spec: Mapping[str, Any], stated: Mapping[str, Stated]) -> None:
    expected = defining(spec, spec["dim"])
    got = {n: t for n, t in stated.items() if n == "stages" or n.startswith("projection.")}
    for name in sorted({*expected, *got}):
        one, other = expected.get(name), got.get(name)
        if one is None or other is None:
            raise CheckpointError(
                f"tensor {name!r}: expected {one or 'none'}, got {other or 'none'}."
            )
        # With factors of tensors P has fewer columns; who has the module knows how many.
        free = spec.get("scale") == "learned" and name != "stages"
        double = name == "stages" and other == Stated(torch.float64, one.shape)
        if not (free or double or one == other):
            raise CheckpointError(f"tensor {name!r}: expected {one}, got {other}.")


def _is_known(name: str) -> bool:
    return name in {"omega", "stages"} or name.startswith(("module.", "theta0.", "projection."))


def _is_plain(text: object) -> bool:
    return isinstance(text, str) and 1 <= len(text) <= MAX_TEXT and text.isprintable()


def _check_content(spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    digest = _digest({k: v for k, v in spec.items() if k != "digest"}, tensors)
    if digest != spec["digest"]:
        raise CheckpointError(
            f"its content was altered: digest {digest}, expected {_short(spec['digest'])}."
        )
    if "omega" in spec and not packing.is_sound(tensors["omega"], spec["omega"], spec["dim"]):
        raise CheckpointError(
            f"the tensor 'omega' does not hold {spec['dim']:,} finite numbers as {spec['omega']} "
            "does."
        )


def _digest(spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits over everything in the file: against accidents, not a signature."""
    return _hash_tensors(hashlib.sha256(_canonical(spec).encode()), tensors)


def _hash_tensors(digest: "hashlib._Hash", tensors: Mapping[str, Tensor]) -> str:
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _canonical(spec: Mapping[str, Any]) -> str:
    return json.dumps(
        spec, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def _short(value: object) -> str:
    """A value of a file, for a message: of a few characters, none of which steers a terminal."""
    return reprlib.repr(value)
