"""Files that are either whole or absent."""

import os
import tempfile
from pathlib import Path

from subspace_nn.common.errors import InputError

#: Bytes that are tried where nobody knows how many it will be.
_SOME = 2**20


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that a reader, or a crash, meets the old content or the new, never a part.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and take the
    name in one step (`os.replace`).

    Args:
        path: the file to write; its folder must exist.
        content: the whole content.

    Raises:
        OSError: if the folder is missing, not writable, or the disk is full; the old file is
            then still there and no temporary file is left.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(pathlib.Path(folder) / "a.txt", b"whole")
        ...     (pathlib.Path(folder) / "a.txt").read_text()
        'whole'
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    except OSError as error:
        error.filename = str(target)
        raise
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes a private file; a result is as readable as the user's other files.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(target), None
        raise


def try_writing(path: str | os.PathLike[str], size: int = _SOME) -> None:
    """See that a file can be written, before what goes into it is computed.

    As many bytes are written to its folder, or to the nearest one that exists, and removed again.

    Args:
        path: the file that is going to be written.
        size: its bytes, about.

    Raises:
        InputError: if a folder has its name, or the disk is full, read-only or not the user's.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     try_writing(pathlib.Path(folder) / "new" / "a.txt")
        ...     list(pathlib.Path(folder).iterdir())
        []
    """
    target = Path(path).absolute()
    if target.is_dir():
        raise InputError(f"{path} cannot be written: it is a folder. Choose another name.")
    there = next(folder for folder in target.parents if folder.exists() or folder.is_symlink())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            for _ in range(0, size, _SOME):
                file.write(bytes(_SOME))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror} (tried {size:,} bytes in {there}). Make "
            "room, or choose another place."
        ) from None
