"""Figures of many runs, each one panel."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from subspace_nn.report import marks
from subspace_nn.report.marks import Mark
from subspace_nn.report.scales import (
    Line,
    Point,
    accuracy_axis,
    dim_axis,
    draw,
    loss_axis,
    metric_axis,
)
from subspace_nn.report.text import label
from subspace_nn.report.theme import LEGEND, LETTER, PALETTE, SOFT, canvas, look, shade

#: Sizes in points: of a figure beside another, of one across the page, and of that on a phone.
HALF, WIDE, NARROW = (374.0, 320.0), (800.0, 460.0), (374.0, 520.0)


@dataclass(frozen=True)
class Axis:
    """How an axis of a metric is named and scaled.

    Attributes:
        name: of the metric, as the task returns it.
        kind: "percent" is logarithmic in the error, "loss" logarithmic, "plain" neither, unless
            the numbers are far apart.
    """

    name: str
    kind: str = "plain"

    def scale(self, axes: Axes, points: Sequence[Point]) -> None:
        """Scale and name the y axis for some points."""
        if self.kind == "percent":
            accuracy_axis(axes, points)
        elif self.kind == "loss":
            axes.set_ylabel(label(self.name))
            loss_axis(axes, points)
        else:
            metric_axis(axes, points, self.name)


@look()
def against_dim(
    lines: Sequence[Line], axis: Axis, title: str = "", size: tuple[float, float] = HALF
) -> Figure:
    """A figure against the number of free parameters, with one standard deviation.

    Args:
        lines: what to draw.
        axis: of the metric.
        title: of the figure.
        size: of the figure, in points.

    Returns:
        A figure with a logarithmic axis of d.
    """
    named = [line for line in lines if line.name]
    rows = -(-len(named) // 2) if len(named) > 1 else 0
    room = {"right": 16, "left": 52, "bottom": 38 + 15 * rows}
    figure, axes = canvas(*size, title=title, **room)
    for line in lines:
        draw(axes, line)
    points = [point for line in lines for point in line.points]
    axis.scale(axes, points)
    dim_axis(axes, [round(point.x) for point in points])
    if rows:
        below = -34 / (size[1] - 50 - 15 * rows)
        axes.legend(**LEGEND, ncols=2, loc="upper left", bbox_to_anchor=(-0.13, below))
    return figure


@dataclass(frozen=True)
class Course:
    """A metric over the epochs of several runs.

    Attributes:
        name: written at the end of the line.
        epochs: shape (points,).
        values: shape (runs, points).
    """

    name: str
    epochs: np.ndarray
    values: np.ndarray

    def points(self) -> list[Point]:
        """Mean and standard deviation over the runs at each epoch."""
        top = max(1.0, float(np.max(np.abs(self.values), initial=0.0)))
        scaled = self.values / top  # sums and squares of it are floats
        means = top * scaled.mean(axis=0)
        stds = means * 0 if len(scaled) == 1 else top * scaled.std(axis=0, ddof=1)
        columns = (self.epochs.tolist(), means.tolist(), stds.tolist())
        return [Point.of(*row) for row in zip(*columns, strict=True)]


@look()
def courses(
    found: Sequence[Course],
    axis: Axis,
    title: str = "",
    *,
    ordered: bool,
    size: tuple[float, float] = HALF,
) -> Figure:
    """A figure against the epoch, with a band of one standard deviation.

    Args:
        found: each becomes a line.
        axis: of the metric.
        title: of the figure.
        ordered: whether they have an order, which the colours then show.
        size: of the figure, in points.

    Returns:
        The figure.
    """
    if axis.kind == "percent" and not all(_is_percent(one.values) for one in found):
        axis = Axis(axis.name)
    percent = axis.kind == "percent"
    letters = max(len(one.name) for one in found) + (8 if percent else 0)
    figure, axes = canvas(*size, title=title, left=52, right=20 + LETTER * letters)
    ends: list[Mark] = []
    drawn: list[Point] = []
    for index, one in enumerate(found):
        points = one.points()
        colour = shade(index, len(found)) if ordered else PALETTE[index % len(PALETTE)]
        style = "-" if ordered or index < len(PALETTE) else "--"
        epochs, means, spreads = map(np.array, zip(*points, strict=True))
        axes.plot(epochs, means, style, color=colour)
        low, high = means - spreads, means + spreads
        axes.fill_between(epochs, low, high, color=colour, alpha=0.22, linewidth=0)
        text = f"{one.name}  {means[-1]:.1f} %" if percent else one.name
        ends.append(Mark(float(epochs[-1]), float(means[-1]), text, colour))
        drawn += points
    axes.set_xlim(0, math.ceil(max((mark.x for mark in ends), default=1)))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("epoch")
    axis.scale(axes, drawn)
    marks.at_ends(axes, ends)
    return figure


def _is_percent(values: np.ndarray) -> bool:
    """Whether a course stays where its last values are: from 0 to 100."""
    return bool(np.all((values >= 0) & (values <= 100)))


@dataclass(frozen=True)
class Interval:
    """A measured intrinsic dimension.

    Attributes:
        name: of the task.
        dim: d_int; None if it was not found.
        low: lower end of the interval.
        high: upper end.
        D: number of weights of the model.
        published: values from the literature.
    """

    name: str
    dim: int | None
    low: int
    high: int
    D: int
    published: Sequence[int] = ()


#: Height of a line of `intervals`, in points.
_ROW = 17.0


@look()
def intervals(found: Sequence[Interval], title: str = "", width: float = WIDE[0]) -> Figure:
    """All intrinsic dimensions in one figure: a line for each task.

    Args:
        found: the measurements, from the top.
        title: of the figure.
        width: of the figure, in points.

    Returns:
        A figure with a logarithmic axis of d: dots with intervals, hollow diamonds where the
        literature has a value, and a bar at the number of weights.
    """
    names = [label(one.name, int(0.35 * width / LETTER)) for one in found]
    left = 16 + 1.1 * LETTER * max(map(len, names))
    columns = 3 if width >= WIDE[0] else 1
    bottom = 44 + 14 * (3 // columns)
    height = _ROW * len(found) + bottom + 12 + (20 if title else 0)
    figure, axes = canvas(width, height, title=title, left=left, right=22, bottom=bottom)
    for row, one in enumerate(found):
        axes.plot(one.D, row, "|", color=SOFT, markersize=9, markeredgewidth=1.4)
        if one.dim is not None:
            error = [[one.dim - one.low], [one.high - one.dim]]
            axes.errorbar(
                one.dim, row, xerr=error, fmt="o", color=PALETTE[0], markersize=5, capsize=2.5
            )
        for value in one.published:
            axes.plot(value, row, "D", color=PALETTE[1], mfc="none", markersize=6)
    for kind, style in _LEGEND_OF_INTERVALS.items():
        axes.plot([], [], label=kind, linestyle="none", **style)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_yticks(range(len(found)), names)
    dims = [d for one in found for d in (one.D, one.dim or one.D, *one.published)]
    dim_axis(axes, dims)
    axes.set_xlabel("parameters")
    place = (0, -30 / (_ROW * len(found)))
    axes.legend(**LEGEND, ncols=columns, loc="upper left", bbox_to_anchor=place)
    return figure


_LEGEND_OF_INTERVALS: Mapping[str, Mapping[str, Any]] = {
    "measured, with interval": {"marker": "o", "color": PALETTE[0], "markersize": 5},
    "published": {"marker": "D", "color": PALETTE[1], "mfc": "none", "markersize": 6},
    "all weights D": {"marker": "|", "color": SOFT, "markersize": 9, "markeredgewidth": 1.4},
}
