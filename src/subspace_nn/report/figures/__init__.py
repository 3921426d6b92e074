"""Figures for files, by matplotlib: nothing else of a report imports it."""

import contextlib
import os


def _import_matplotlib() -> None:
    """Import matplotlib even if MPLBACKEND names a backend that is not installed here.

    A notebook exports the backend of its own environment to every command it starts, and an
    unknown name fails the import. Nothing in this package needs a backend: it draws on `Figure`.
    """
    name = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib as mpl  # noqa: PLC0415  # the environment must change first
    finally:
        if name is not None:
            os.environ["MPLBACKEND"] = name
    if name:
        with contextlib.suppress(ValueError):
            mpl.rcParams["backend"] = name


_import_matplotlib()
