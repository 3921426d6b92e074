"""Figures of many runs."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from subspace_nn.report.groups import Group, labels

INK = "#222222"

#: Colours that differ in lightness too (Okabe and Ito, 2008).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def accuracy_against_dim(series: Mapping[str, Sequence[Group]]) -> Figure:
    """Test accuracy against the number of free parameters, with one standard deviation.

    Args:
        series: groups by name; each becomes a line.

    Returns:
        A figure with a logarithmic axis of d. The second panel shows the error, in percent, also
        logarithmic, where the upper end can be told apart.
    """
    figure = Figure(figsize=(9.5, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, groups), colour in zip(series.items(), _cycle(), strict=False):
        ordered = sorted(groups, key=lambda g: g.dim)
        dims, means = [g.dim for g in ordered], [g.mean for g in ordered]
        spreads = [g.std or 0.0 for g in ordered]
        style: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 4, "capsize": 2}
        left.errorbar(dims, means, spreads, label=name, **style)
        right.errorbar(dims, [100 - mean for mean in means], spreads, **style)
    left.set(xscale="log", ylabel="test accuracy (%)", ylim=(0, 100))
    right.set(xscale="log", yscale="log", ylabel="test error (%)")
    left.legend(frameon=False, loc="lower right", fontsize="small")
    _finish([left, right], "free parameters d")
    return figure


def curves(groups: Sequence[Group]) -> Figure:
    """Test accuracy and training loss of all groups against the epoch, in one picture.

    Args:
        groups: each becomes a line, with a band of one standard deviation.

    Returns:
        A figure of two panels.
    """
    figure = Figure(figsize=(9.5, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    shades = colormaps["viridis"]
    names = labels(groups, without=("projection",))
    for index, (one, name) in enumerate(zip(groups, names, strict=True)):
        colour = shades(0.95 * (1 - (index + 1) / len(groups)))
        for axes, figure_name in ((left, "test_accuracy"), (right, "train_loss")):
            epochs, means, spreads = one.over_epochs(figure_name)
            axes.plot(epochs, means, color=colour, label=name)
            low = [mean - spread for mean, spread in zip(means, spreads, strict=True)]
            high = [mean + spread for mean, spread in zip(means, spreads, strict=True)]
            axes.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)
    left.set(ylabel="test accuracy (%)")
    right.set(ylabel="training loss (nats)", yscale="log")
    right.legend(frameon=False, fontsize="small", ncols=2)
    _finish([left, right], "epoch")
    return figure


def png(figure: Figure, dpi: int = 150) -> bytes:
    """A figure as the bytes of a PNG file.

    Args:
        figure: any figure.
        dpi: dots per inch.

    Returns:
        The whole file.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def svg(figure: Figure) -> str:
    """A figure as an SVG element, the same text for the same figure, to stand inside a page.

    Args:
        figure: any figure.

    Returns:
        The element.
    """
    buffer = io.StringIO()
    # Without a salt the ids, and without this metadata the date, change with each run.
    with rc_context({"svg.hashsalt": "subspace-nn", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _cycle() -> Sequence[str]:
    return PALETTE * 10


def _finish(panels: Sequence[Axes], xlabel: str) -> None:
    for axes in panels:
        axes.set_xlabel(xlabel)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
