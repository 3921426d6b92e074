"""Modules that the user names: the only code that may come from the current folder."""

import importlib
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

_OWN = __name__.partition(".")[0]


def import_named(name: str) -> ModuleType:
    """Import a module that the user named, from the current folder if it is nowhere else.

    The folder is searched last, and after PyTorch is imported: a file in it shadows no module of
    Python or PyTorch. It is not on `sys.path`, which workers begin with.

    Args:
        name: as in an import statement.

    Returns:
        The module.

    Raises:
        ImportError: if there is none; and whatever the module raises.
    """
    if not _is_own(name):
        importlib.import_module("torch")
        here = _Folder(Path.cwd())
        if here not in sys.meta_path:
            sys.meta_path.append(here)
    return importlib.import_module(name)


def share_current_folder(name: str) -> None:
    """Let processes that a user's code starts, such as those of a data loader, import it, too.

    Args:
        name: of the user's module; a module of this package needs nothing.
    """
    if not _is_own(name) and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)


def _is_own(name: str) -> bool:
    return name.partition(".")[0] == _OWN


class _Folder:
    """Finds the modules of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Folder) and self.folder == other.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return None if path is not None else PathFinder.find_spec(name, [self.folder], target)

    def invalidate_caches(self) -> None:
        PathFinder.invalidate_caches()
