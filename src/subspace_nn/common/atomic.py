"""Files that are either whole or absent."""

import os
import tempfile
from pathlib import Path


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
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
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
