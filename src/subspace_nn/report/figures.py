"""Figures of many runs, each one panel."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from subspace_nn.report import marks
from subspace_nn.report.groups import ACCURACY, Group, Summary
from subspace_nn.report.marks import Mark
from subspace_nn.report.scales import Line, accuracy_axis, along, dim_axis, draw, loss_axis
from subspace_nn.report.series import Series
from subspace_nn.report.theme import (
    GRID,
    INK,
    LEGEND,
    MARKERS,
    PALETTE,
    SOFT,
    canvas,
    panel_size,
    shade,
)

#: Sizes in points: of a figure beside another, of one across the page, and of that on a phone.
HALF, WIDE, NARROW = (374.0, 300.0), (800.0, 440.0), (374.0, 500.0)


def free_parameters(
    curves: Sequence[Series],
    nets: Sequence[Group],
    size: tuple[float, float] = WIDE,
    *,
    below: bool = False,
) -> Figure:
    """Accuracy against free parameters: subspaces of big nets, and nets with all weights free.

    Args:
        curves: nets in several d; each becomes a line with error bars, and an open marker where
            all its weights are free.
        nets: nets with all weights free; each becomes a star with its name.
        size: of the figure, in points.
        below: whether the legend stands below the panel, where it goes by itself if it has no room.

    Returns:
        A figure with a logarithmic axis of d.
    """
    rows = len(curves) + bool(nets) + any(one.full for one in curves)
    figure, axes = canvas(*size, right=30, bottom=56 + 14 * rows if below else 38)
    taken = [point for number, one in enumerate(curves) for point in _subspaces(axes, number, one)]
    star: dict[str, Any] = {"color": INK, "marker": "*", "markersize": 10, "markeredgewidth": 0}
    for g in nets:
        bar = g.accuracy.spread
        axes.errorbar(g.D, g.accuracy.mean, bar, capsize=2, linewidth=1, zorder=4, **star)
    if nets:
        axes.plot([], [], linestyle="none", label="another net, all weights free", **star)
    if any(one.full for one in curves):
        axes.plot([], [], "o", color=SOFT, mfc="none", label="the same, all weights free")
    every = [g for one in curves for g in one.groups] + list(nets)
    accuracy_axis(axes, [g.accuracy for g in every])
    dim_axis(axes, [g.dim or 0 for g in every])
    places = taken + [(g.D, g.accuracy.mean) for g in nets]
    if not below and not marks.is_free(axes, places, width=290, height=16 * rows):
        return free_parameters(curves, nets, size, below=True)
    marks.beside(axes, [Mark(g.D, g.accuracy.mean, g.model) for g in nets], taken)
    handles, names = axes.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda i: not names[i].startswith("subspaces"))
    place: dict[str, Any] = {"loc": "lower right"}
    if below:
        place = {"loc": "upper left", "bbox_to_anchor": (0, 0, 1, -34 / panel_size(axes)[1])}
    axes.legend([handles[i] for i in order], [names[i] for i in order], **LEGEND, **place)
    return figure


def _subspaces(axes: Axes, number: int, one: Series) -> list[tuple[float, float]]:
    """Draw the curve of one net; returns points along it, which no name may cover."""
    colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
    points = [(g.dim or 0, g.accuracy) for g in one.subspaces]
    name = f"subspaces of {one.model}, {one.D:,} weights"
    draw(axes, Line(name, points, "measured", colour, marker))
    places: list[tuple[float, float]] = [(dim, s.mean) for dim, s in points]
    if one.full:
        places.append((one.D, one.full.accuracy.mean))
        ends = places[-2:]
        axes.plot([x for x, _ in ends], [y for _, y in ends], ":", color=colour, linewidth=1)
        draw(axes, Line("", [(one.D, one.full.accuracy)], "published", colour, marker))
    return along(places)


def against_dim(
    lines: Sequence[Line], ylabel: str = "", size: tuple[float, float] = HALF
) -> Figure:
    """A figure against the number of free parameters, with one standard deviation.

    Args:
        lines: what to draw.
        ylabel: of the axis; test accuracy on its own axis if not given.
        size: of the figure, in points.

    Returns:
        A figure with a logarithmic axis of d.
    """
    rows = -(-len(lines) // 2) if len(lines) > 1 else 0
    figure, axes = canvas(*size, right=16, left=52 if ylabel else 46, bottom=38 + 15 * rows)
    for line in lines:
        draw(axes, line)
    summaries = [summary for line in lines for _, summary in line.points]
    if ylabel:
        axes.set_ylabel(ylabel)
    else:
        accuracy_axis(axes, summaries)
    dim_axis(axes, [dim for line in lines for dim, _ in line.points])
    if len(lines) > 1:
        below = -34 / (size[1] - 50 - 15 * rows)
        axes.legend(**LEGEND, ncols=2, loc="upper left", bbox_to_anchor=(-0.13, below))
    return figure


def courses(
    groups: Sequence[Group],
    names: Sequence[str],
    measure: str,
    *,
    ordered: bool,
    size: tuple[float, float] = HALF,
) -> Figure:
    """A figure of all groups against the epoch, with a band of one standard deviation.

    Args:
        groups: each becomes a line.
        names: of the groups, written at the ends of the lines.
        measure: "test_accuracy" (in percent, on its own axis), "train_loss" (logarithmic), or any
            other field of the evaluations.
        ordered: whether the groups have an order, which the colours then show.
        size: of the figure, in points.

    Returns:
        The figure.
    """
    letters = max(len(name) for name in names) + (8 if measure == ACCURACY else 0)
    figure, axes = canvas(*size, right=20 + marks.LETTER * letters)
    ends: list[Mark] = []
    summaries: list[Summary] = []
    for index, (one, name) in enumerate(zip(groups, names, strict=True)):
        epochs, points = one.loss_curve() if measure == "train_loss" else one.over_epochs(measure)
        if not points:
            continue
        colour = shade(index, len(groups)) if ordered else PALETTE[index % len(PALETTE)]
        style = "-" if ordered or index < len(PALETTE) else "--"
        means = [p.mean for p in points]
        axes.plot(epochs, means, style, color=colour)
        low, high = ([p.mean + sign * p.spread for p in points] for sign in (-1, 1))
        axes.fill_between(epochs, low, high, color=colour, alpha=0.22, linewidth=0)
        text = f"{name}  {means[-1]:.1f} %" if measure == ACCURACY else name
        ends.append(Mark(epochs[-1], means[-1], text, colour))
        summaries += points
    axes.set_xlim(0, math.ceil(max((mark.x for mark in ends), default=1)))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("epoch")
    if measure == ACCURACY:
        accuracy_axis(axes, summaries)
    else:
        axes.set_ylabel("training loss (nats)" if measure == "train_loss" else measure)
        loss_axis(axes, summaries)
    marks.at_ends(axes, ends)
    return figure


def relative_errors(
    found: Sequence[Series], names: Sequence[str], size: tuple[float, float] = HALF
) -> Figure:
    """How errors differ at each d: each over the mean error of all series at that d.

    Args:
        found: series of one net, which differ in one thing, such as the projection.
        names: of the series.
        size: of the figure, in points.

    Returns:
        A figure; the series stand beside each other at each d, with one standard deviation.
    """
    # The marker's room, and five points for a letter of the longest name.
    figure, axes = canvas(*size, right=36 + 5 * max(map(len, names)))
    dims = sorted({g.dim or 0 for one in found for g in one.subspaces})
    means = {
        dim: statistics.fmean(100 - g.accuracy.mean for one in found if (g := one.at(dim)))
        for dim in dims
    }
    axes.axhline(1, color=SOFT, linewidth=0.8)
    for number, (one, name) in enumerate(zip(found, names, strict=True)):
        shift = 0.7 * ((number + 0.5) / len(found) - 0.5)
        there = [(dims.index(g.dim or 0), g.accuracy, means[g.dim or 0]) for g in one.subspaces]
        axes.errorbar(
            [index + shift for index, _, _ in there],
            [(100 - s.mean) / mean for _, s, mean in there],
            [s.spread / mean for _, s, mean in there],
            color=PALETTE[number % len(PALETTE)],
            # Beyond the last colour they start again, with other markers.
            marker=MARKERS[(number + number // len(PALETTE)) % len(MARKERS)],
            markersize=5,
            linestyle="none",
            capsize=2,
            linewidth=1.2,
            label=name,
        )
    for edge in range(1, len(dims)):
        axes.axvline(edge - 0.5, color=GRID, linewidth=0.8)
    axes.set_xlim(-0.5, len(dims) - 0.5)
    axes.set_xticks(range(len(dims)), [f"{dim:,}" for dim in dims])
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("free parameters d")
    axes.set_ylabel("test error / mean of all kinds")
    axes.legend(**LEGEND, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure
