"""Files that say who is at a piece of work, so that nobody does it twice.

A claim is a file that only one process can create. Its owner renews it every few seconds. The
claim of a dead process is taken over: on the same machine at once, on another one when it has not
been renewed for a while.
"""

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from subspace_nn.common import process
from subspace_nn.common.process import Identity

try:
    import fcntl
except ImportError:  # Windows; a takeover is then not guarded against another at the same moment
    fcntl = None

#: Seconds between renewals, and without one until the process on another machine counts as dead.
RENEWED, STALE = 20.0, 120.0

#: Longer files are no claims.
_LENGTH = 1000


@contextmanager
def claim(path: Path) -> Generator[bool]:
    """Claim a piece of work for the duration of a block.

    Args:
        path: of the claim; its folder is created if needed.

    Yields:
        Whether this process has it; False if another one that is alive does.

    Raises:
        OSError: if the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = _text(process.me())
    if not _take(path, mine):
        yield False
        return
    done = threading.Event()
    threading.Thread(target=_renew, args=(path, done), name="renew-claim", daemon=True).start()
    try:
        yield True
    finally:
        done.set()
        if _read(path) == mine:  # it may have been taken over
            path.unlink(missing_ok=True)


def is_held(path: Path) -> bool:
    """Whether a living process holds a claim.

    Args:
        path: of the claim.

    Returns:
        False if there is none, or its owner is known to be dead.
    """
    text = _read(path)
    if text is None:
        return False
    owner = _owner(text)
    if owner is not None and owner.is_here:
        return owner.is_alive
    return _age(path) < STALE


def _take(path: Path, mine: str) -> bool:
    if _create(path, mine):
        return True
    if is_held(path):
        return False
    with _locked(path.parent):
        if is_held(path):  # another process may have been faster
            return False
        path.unlink(missing_ok=True)
        return _create(path, mine)


def _create(path: Path, mine: str) -> bool:
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(mine)
    except BaseException:  # a full disk: an empty claim would be taken for that of another machine
        path.unlink(missing_ok=True)
        raise
    return True


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """One takeover at a time in a folder; the lock of a killed process is gone with it."""
    if fcntl is None:
        yield
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a disk that has no locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _renew(path: Path, done: threading.Event) -> None:
    while not done.wait(RENEWED):
        with contextlib.suppress(OSError):
            os.utime(path)


def _age(path: Path) -> float:
    """Seconds since a claim was renewed, by the clock of its disk."""
    try:
        now = _clock_of(path.parent)
        return now - path.stat().st_mtime
    except OSError:  # it has just been given up
        return STALE


def _clock_of(folder: Path) -> float:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:  # a folder that only others may write
        return time.time()


def _read(path: Path) -> str | None:
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(_LENGTH).decode(errors="replace")
    except OSError:
        return None


def _text(owner: Identity) -> str:
    return f"{owner.machine} {owner.pid} {owner.started}"


def _owner(text: str) -> Identity | None:
    match text.split():
        case [machine, pid, started] if pid.isdecimal() and started.isdecimal():
            return Identity(machine, int(pid[:20]), int(started[:20]))
    return None
