"""The origin of a result: versions, hardware, command line."""

import platform
import shlex
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def describe(device: "torch.device | str" = "cpu") -> dict[str, str | int]:
    """Name the software and the machine.

    Args:
        device: the device that computes.

    Returns:
        Flat dictionary, ready for JSON.

    Example:
        >>> sorted(describe())
        ['device', 'hardware', 'python', 'subspace-nn', 'system', 'threads', 'torch']
    """
    import torch  # noqa: PLC0415  # readers of records need none

    return {
        "subspace-nn": _own_version(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "device": str(device),
        "hardware": _hardware(torch.device(device)),
        "threads": torch.get_num_threads(),
    }


def _own_version() -> str:
    try:
        return version("subspace-nn")
    except PackageNotFoundError:
        return "not installed"


def _hardware(device: "torch.device") -> str:
    import torch  # noqa: PLC0415

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def command(argv: Sequence[str]) -> str:
    """A process's command line, as a shell would take it.

    Args:
        argv: as `sys.argv`.

    Returns:
        `subspace-nn …` for this package's own command; empty for a notebook or `python -c`.

    Example:
        >>> command(["/usr/bin/subspace-nn", "sweep", "dim=3,10", "seed=range(0,5)"])
        "subspace-nn sweep dim=3,10 'seed=range(0,5)'"
        >>> command(["/home/me/study.py", "--quick"])
        'python study.py --quick'
    """
    # A word may be no UTF-8, as the name of a folder; a record is.
    given = [word.encode(errors="surrogateescape") for word in argv]
    program, *words = [word.decode(errors="backslashreplace") for word in given] or [""]
    path = Path(program)
    if path.name in {"", "-", "-c", "-m", "ipykernel_launcher.py"}:
        return ""
    if path.name == "subspace-nn" or path.parent == Path(__file__).parents[1]:
        return shlex.join(["subspace-nn", *words])
    started = ["-m", path.parent.name] if path.name == "__main__.py" else [path.name]
    return shlex.join(["python", *started, *words])


def commit() -> dict[str, str | bool]:
    """The commit of the package's source, where that is a git checkout.

    Returns:
        `commit`, and `dirty`: whether the source differs from it. Empty if it is no checkout.
    """
    source = Path(__file__).parents[1]
    try:
        head = _git(source, "rev-parse", "HEAD")
        changes = _git(source, "status", "--porcelain", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"commit": head, "dirty": bool(changes)}


def commit_of(file: Path) -> dict[str, str | bool]:
    """The commit of the git checkout that the source of a user's task is in.

    Args:
        file: of the task.

    Returns:
        `task_commit`, and `task_dirty`: whether a file under version control there differs from
        it, or this one is not under version control. Empty if it is no checkout, or the package.
    """
    if file.is_relative_to(Path(__file__).parents[1]):
        return {}
    try:
        head = _git(file.parent, "rev-parse", "HEAD")
        changes = _git(file.parent, "status", "--porcelain", "--untracked-files=no")
        changes += _git(file.parent, "status", "--porcelain", "--", file.name)
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"task_commit": head, "task_dirty": bool(changes)}


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    # A fixed program with fixed arguments.
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, check=True, text=True, errors="replace"
    )
    return done.stdout.strip()
