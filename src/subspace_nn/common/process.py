"""Processes as others see them: who one is, and whether it is alive."""

import contextlib
import functools
import os
import socket
import threading
import time
from pathlib import Path
from typing import NamedTuple

#: Seconds between two looks at the process that is watched.
_POLL = 1.0

#: Exit code of a process whose owner died.
ORPHANED = 75


class Identity(NamedTuple):
    """A process, different from any earlier one with the same number.

    Attributes:
        machine: the host, its boot and its table of processes, without spaces.
        pid: number of the process.
        started: when it began, in ticks since boot; 0 if unknown.
    """

    machine: str
    pid: int
    started: int

    @property
    def is_here(self) -> bool:
        """Whether this process can see that one."""
        return self.machine == _machine()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs, if it is one of this machine."""
        state, started = _stat(self.pid)
        return state not in {"", "Z", "X"} and self.started in {0, started}


def me() -> Identity:
    """Identify the process that asks.

    Returns:
        Its identity.

    Example:
        >>> me().is_here, me().is_alive
        (True, True)
    """
    return Identity(_machine(), os.getpid(), _stat(os.getpid())[1])


def end_with(owner: Identity) -> None:
    """End this process within seconds after its owner has died, however that happened.

    Args:
        owner: a process of this machine.
    """
    threading.Thread(target=_watch, args=(owner,), name="end-with-owner", daemon=True).start()


def _watch(owner: Identity) -> None:
    while owner.is_alive:
        time.sleep(_POLL)
    os._exit(ORPHANED)  # sys.exit would end this thread only


@functools.cache
def _machine() -> str:
    """Containers may share a name, and a number means another process after a boot."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return "/".join(parts).replace(" ", "_")


def _stat(pid: int) -> tuple[str, int]:
    """State and start of a process; an empty state if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *rest = fields.rpartition(")")[2].split()
        return state, int(rest[18])
    except (OSError, ValueError, IndexError):
        return ("R" if not Path("/proc/self").exists() and _answers(pid) else ""), 0


def _answers(pid: int) -> bool:
    """Whether a process exists, where there is no /proc."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
