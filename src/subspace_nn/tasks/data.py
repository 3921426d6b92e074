"""Image data sets: packaged, from a folder or downloaded, and verified bit for bit."""

import gzip
import hashlib
import importlib
import math
import os
import zlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from subspace_nn.common.errors import DataError

# The shapes are MNIST's and those of the sets made to replace it, under the same four names.
_SHAPES = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}

# SHA-256 of the published files, uncompressed. The names are also those of the packaged folders.
_DIGESTS = {
    name: dict(zip(_SHAPES, digests, strict=True))
    for name, digests in {
        "mnist": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        "fashion-mnist": (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    }.items()
}

_LEAVE_OUT = "leave out --data to use the packaged copy."

#: Debian's package dataset-fashion-mnist puts its files here.
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
#: Fashion-MNIST is published here.
FASHION_URL = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
_SECONDS = 10  # without an answer, until a download fails

# The first bytes of the files.
_GZIP = b"\x1f\x8b"
_IDX = b"\x00\x00"

_CHUNK = 1 << 16  # bytes: small enough to stay in the cache between inflating and copying


# Compared by identity: comparing tensors gives a tensor, which is neither true nor false.
@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Images and their labels.

    Attributes:
        images: (n, 28, 28) uint8, 0 is background.
        labels: (n,) uint8.
    """

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Split":
        """Copy the split to a device.

        Args:
            device: the device.

        Returns:
            A split of tensors on that device.
        """
        return Split(self.images.to(device), self.labels.to(device))

    def __repr__(self) -> str:
        """Count the images."""
        return f"{len(self.labels):,} images of {' × '.join(map(str, self.images.shape[1:]))}"


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set, verified byte by byte.

    Attributes:
        name: the name it goes by.
        train: the training set.
        test: the test set.
        digest: 16 hexadecimal digits made from the content of all its files.
    """

    name: str
    train: Split
    test: Split
    digest: str

    def __repr__(self) -> str:
        """Name the data set and count its images."""
        return f"{self.name}: {self.train} to train on, {self.test} to test on"


def mnist(folder: str | os.PathLike[str] | None = None) -> Dataset:
    """Load the MNIST handwritten digits: 60,000 to train on and 10,000 to test on.

    Args:
        folder: holds the four files, compressed or not, directly or in `raw/` or `MNIST/raw/`; by
            default the copy in the package. Nothing is downloaded.

    Returns:
        The data set, bit for bit as it was published.

    Raises:
        DataError: if the folder, or any file in it, is missing, unreadable, or not MNIST's.

    Example:
        >>> digits = mnist()
        >>> digits
        mnist: 60,000 images of 28 × 28 to train on, 10,000 images of 28 × 28 to test on
        >>> digits.train.images.shape, digits.train.labels[:5].tolist()
        (torch.Size([60000, 28, 28]), [5, 0, 4, 1, 9])
    """
    return _load("mnist", folder, _LEAVE_OUT)


def fashion_mnist(folder: str | os.PathLike[str] | None = None) -> Dataset:
    """Load Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017): clothes, in MNIST's form.

    Args:
        folder: holds the four files, as for `mnist`; by default that of `find_fashion_mnist`.

    Returns:
        The data set, bit for bit as it was published.

    Raises:
        DataError: if the folder, or any file in it, is missing, unreadable, or not the set's.
    """
    if folder is None:
        folder = find_fashion_mnist()
    return _load("fashion-mnist", folder, "give no folder to have them downloaded.")


def find_fashion_mnist() -> Path:
    """Find the files of Fashion-MNIST, or download them once.

    Returns:
        The folder of Debian's package `dataset-fashion-mnist` if that is installed; else the
        user's cache folder, which then holds the files.

    Raises:
        DataError: if they are not on this machine and cannot be downloaded.
    """
    if DEBIAN.is_dir():
        return DEBIAN
    try:
        pooch: Any = importlib.import_module("pooch")
    except ImportError:
        raise DataError(
            "Fashion-MNIST needs Debian's package dataset-fashion-mnist, or pooch to download it: "
            "pip install 'subspace-nn[tasks]'."
        ) from None
    folder = Path(pooch.os_cache("subspace-nn")) / "fashion-mnist"
    for name, digest in _DIGESTS["fashion-mnist"].items():
        if not _find(folder, name):
            _download(pooch, folder, name, digest)
    return folder


def _download(pooch: Any, folder: Path, name: str, digest: str) -> None:
    """Put one file into the cache folder, if its uncompressed bytes are the published ones."""
    pooch.get_logger().setLevel("ERROR")  # it would print each download
    try:
        path = pooch.retrieve(
            f"{FASHION_URL}{name}.gz",
            known_hash=None,  # that of the compressed bytes would depend on who compressed them
            fname=f"{name}.gz",
            path=folder,
            downloader=pooch.HTTPDownloader(timeout=_SECONDS),
        )
    except (OSError, ValueError) as error:
        raise DataError(
            f"Fashion-MNIST is not in {folder} and cannot be downloaded from {FASHION_URL} "
            f"({type(error).__name__}). Try again with a network, install Debian's package "
            "dataset-fashion-mnist, or put the files into that folder."
        ) from None
    try:
        _read(Path(path), name, digest)
    except DataError as error:
        Path(path).unlink()
        raise DataError(*(f"{problem} from {FASHION_URL}." for problem in error.problems)) from None


def _load(name: str, folder: str | os.PathLike[str] | None, otherwise: str) -> Dataset:
    digests = _DIGESTS[name]
    if folder is None:
        root, otherwise = files("subspace_nn") / "tasks" / name, "install subspace-nn again."
    else:
        root = _existing(Path(folder).expanduser(), otherwise)
    tensors, problems = _read_all(root, digests)
    if problems:
        raise DataError(*(f"{problem}, or {otherwise}" for problem in problems))
    return Dataset(
        name=name,
        train=Split(tensors["train-images-idx3-ubyte"], tensors["train-labels-idx1-ubyte"]),
        test=Split(tensors["t10k-images-idx3-ubyte"], tensors["t10k-labels-idx1-ubyte"]),
        digest=hashlib.sha256("".join(digests.values()).encode()).hexdigest()[:16],
    )


def _existing(folder: Path, otherwise: str) -> Path:
    remedy = f"Name a folder with the data set's files, or {otherwise}"
    try:
        folder.stat()
    except FileNotFoundError:
        raise DataError(f"The data folder {folder} does not exist. {remedy}") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise DataError(f"The data folder {folder} cannot be read: {error}. {remedy}") from error
    if not folder.is_dir():
        raise DataError(f"The data folder {folder} is not a folder. {remedy}")
    return folder


def _read_all(root: Traversable, digests: dict[str, str]) -> tuple[dict[str, Tensor], list[str]]:
    """Read all files; returns tensors by name, and problems without their full stop."""
    tensors: dict[str, Tensor] = {}
    problems: list[str] = []
    missing: list[str] = []
    for name, digest in digests.items():
        try:
            if path := _find(root, name):
                tensors[name] = _read(path, name, digest)
            else:
                missing.append(name)
        except DataError as error:
            problems += error.problems
    return tensors, [*_absence(root, missing), *problems]


def _places(root: Traversable) -> list[Traversable]:
    return [root, root / "raw", root / "MNIST" / "raw"]


def _find(root: Traversable, name: str) -> Traversable | None:
    spellings = [name, name.replace("-idx", ".idx")]
    variants = [spelling + suffix for spelling in spellings for suffix in ("", ".gz")]
    candidates = (place / variant for place in _places(root) for variant in variants)
    try:
        return next((path for path in candidates if path.is_file()), None)
    except OSError as error:
        raise _unreadable(error.filename, error) from error


def _absence(root: Traversable, missing: list[str]) -> list[str]:
    if not missing:
        return []
    places = ", ".join(map(str, _places(root)))
    looked = f"Looked in {places}, with and without .gz, also spelt with .idx."
    return [f"Missing: {', '.join(missing)}. {looked} Add what is missing"]


def _read(path: Traversable, name: str, digest: str) -> Tensor:
    shape = _SHAPES[name]
    header = 4 + 4 * len(shape)
    size = header + math.prod(shape)
    try:
        with path.open("rb") as file:
            content, flaw = _unpack(file, size + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    got = hashlib.sha256(content).hexdigest()
    if flaw or got != digest:
        count = f"more than {size:,}" if len(content) > size else f"{len(content):,}"
        expected = f"Expected SHA-256 {digest} of {size:,} bytes, got {got} of {count} bytes."
        what = f"{path} is not the published {name}: {flaw or 'its content differs'}."
        raise DataError(f"{what} {expected} Download the file again")
    # Writable, so that PyTorch can share it; nothing else holds it.
    return torch.frombuffer(content, dtype=torch.uint8, offset=header).view(shape)


def _unreadable(path: object, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read: {error.strerror or error}. Make it readable")


def _unpack(file: IO[bytes], limit: int) -> tuple[bytearray, str]:
    """Read at most `limit` bytes of a file, compressed or not; returns them and any damage."""
    # By content, not by name: browsers decompress a download and keep its name.
    start = file.read(2)
    file.seek(0)
    # read1 returns the bytes before any damage; read would lose them to the exception.
    read = gzip.GzipFile(fileobj=file).read1 if start == _GZIP else file.read
    content = bytearray()
    try:
        while chunk := read(min(_CHUNK, limit - len(content))):
            content += chunk
    except EOFError:
        return content, "it is truncated"
    except (gzip.BadGzipFile, zlib.error) as error:
        return content, f"it is corrupt ({error})"
    return content, "" if start in {_GZIP, _IDX} else "it is neither gzip nor IDX"
