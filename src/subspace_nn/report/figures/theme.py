"""How figures look: colours, sizes, and the files that are made of them."""

import io
import re
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from subspace_nn.report.colours import GRID, INK, SOFT, THEME, style_sheet
from subspace_nn.report.text import label

#: Width of a letter in points, about, at the size of text used here.
LETTER = 5.2

_RC: Mapping[str, Any] = {
    # Names of nets and arguments are text, whatever dollars and backslashes they hold.
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": 9.5,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.7,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    # The grid shows where the ticks are.
    "xtick.bottom": False,
    "ytick.left": False,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}


#: matplotlib's own settings: a style of the user's changes no figure.
_DEFAULTS = {name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"}

_ATTRIBUTE = re.compile(r' (?:d|x|y|width|height|transform)="[^"]*"')
#: Decimals beyond the second; numbers below 1 are scales of letters.
_SURPLUS = re.compile(r"([1-9]\d*\.\d\d)\d+")

#: What XML cannot hold.
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

#: Of every legend.
LEGEND: Mapping[str, Any] = {
    "frameon": False,
    "fontsize": 8.5,
    "labelcolor": INK,
    "handlelength": 1.8,
    "columnspacing": 1.2,
}


@contextmanager
def look() -> Generator[None]:
    """Draw in this package's style.

    Yields:
        Nothing.
    """
    with mpl.rc_context(_DEFAULTS | dict(_RC)), warnings.catch_warnings():
        # A letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def canvas(
    width: float,
    height: float,
    *,
    title: str = "",
    right: float,
    left: float = 46,
    bottom: float = 38,
    top: float = 12,
) -> tuple[Figure, Axes]:
    """An empty figure with one panel at a fixed place; all lengths are in points.

    Args:
        width: of the figure.
        height: of the figure.
        title: above the panel, cut to the width of the figure; it takes 20 points.
        right: room to the right of the panel, for labels.
        left: room for the axis.
        bottom: room for the axis.
        top: room above the panel and its title.

    Returns:
        The figure and its panel.
    """
    top += 20 if title else 0
    figure = Figure(figsize=(width / 72, height / 72))
    box = (left / width, bottom / height)
    size = ((width - left - right) / width, (height - bottom - top) / height)
    axes = figure.add_axes((*box, *size))
    axes.minorticks_off()
    if title:
        shown = label(title, int((width - 20) / LETTER))
        figure.text(10 / width, 1 - 16 / height, shown, fontsize=10.5, fontweight="bold")
    return figure, axes


def panel_size(axes: Axes) -> tuple[float, float]:
    """Width and height of a panel.

    Args:
        axes: the panel.

    Returns:
        Both in points.
    """
    figure = axes.get_figure(root=True)
    width, height = figure.get_size_inches() if figure else (0.0, 0.0)
    box = axes.get_position()
    return float(box.width * width * 72), float(box.height * height * 72)


@look()
def png(figure: Figure, dpi: int = 150) -> bytes:
    """A figure as the bytes of a PNG file.

    Args:
        figure: any figure.
        dpi: dots per inch.

    Returns:
        The whole file.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    return buffer.getvalue()


@look()
def pdf(figure: Figure) -> bytes:
    """A figure as the bytes of a PDF file, for a paper: its letters can be searched.

    Args:
        figure: any figure.

    Returns:
        The whole file, the same for the same figure.
    """
    buffer = io.BytesIO()
    with mpl.rc_context({"pdf.fonttype": 42}):
        figure.savefig(buffer, format="pdf", metadata={"CreationDate": None})
    return buffer.getvalue()


def svg(figure: Figure) -> str:
    """A figure as an SVG file: letters are drawn, the ground is white; it looks alike everywhere.

    Args:
        figure: any figure.

    Returns:
        The file's text, the same for the same figure.
    """
    return _shorter(_svg(figure))


def adaptive_svg(figure: Figure) -> str:
    """The same in the colours of the reader's system, light or dark.

    Args:
        figure: any figure.

    Returns:
        The file's text, the same for the same figure.
    """
    text = svg(figure)
    for variable, (light, _) in THEME.items():
        text = text.replace(light, f"var(--{variable}, {light})")
    return re.sub(
        r"(<svg [^>]*>)", lambda found: f"{found[1]}\n<style>{style_sheet()}</style>", text, count=1
    )


def _shorter(text: str) -> str:
    """Lengths in attributes to a hundredth of a point; what is written stays as it is."""
    return _ATTRIBUTE.sub(lambda found: _SURPLUS.sub(r"\1", found[0]), text)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    # Without a salt the ids, and without this metadata the date, change with each run.
    with look(), mpl.rc_context({"svg.hashsalt": "subspace-nn", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _NO_XML.sub("", buffer.getvalue())
