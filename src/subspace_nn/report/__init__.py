"""Records become tables, figures, and one page."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subspace_nn.report.figures.curve import curve as curve
    from subspace_nn.report.figures.panel import draw as draw
    from subspace_nn.report.figures.theme import pdf as pdf
    from subspace_nn.report.figures.theme import png as png
    from subspace_nn.report.figures.theme import svg as svg

__all__ = ["curve", "draw", "pdf", "png", "svg"]

_ROOMS = {"curve": "curve", "draw": "panel", "pdf": "theme", "png": "theme", "svg": "theme"}


def __getattr__(name: str) -> Any:
    """What draws imports matplotlib, and a page needs none of it."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"subspace_nn.report.figures.{_ROOMS[name]}"), name)
