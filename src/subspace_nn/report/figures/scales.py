"""The axes of figures: accuracy, free parameters, loss."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from subspace_nn.report.chart import Point
from subspace_nn.report.figures.theme import panel_size

#: Accuracy is drawn on a logarithmic axis of the error, where 90 to 99 % is as long as 99 to 99.9.
_TICKS = (0, 10, 30, 50, 70, 80, 90, 95, 97, 98, 99, 99.5, 99.8, 99.9)
_SMALLEST_ERROR = 0.05

#: Ratio of the largest mean to the smallest from which an axis is logarithmic.
_FAR = 1e3


def accuracy_axis(axes: Axes, points: Sequence[Point], room: float = 0.04) -> None:
    """Make y an axis of accuracy in percent that is logarithmic in the error.

    Args:
        axes: the panel.
        points: all that is drawn, for the limits.
        room: above and below them, as a share of their height.
    """
    lows = [p.low for p in points] or [0.0]
    highs = [p.high for p in points] or [99.9]
    ends = _to_height(np.array([max(0.0, min(lows)), min(100.0, max(highs))]))
    margin = room * float(ends[1] - ends[0]) + 0.01
    low, high = _from_height(ends + np.array([-margin, margin]))
    axes.set_yscale("function", functions=(_to_height, _from_height))
    axes.set_ylim(low, high)
    ticks = [t for t in _TICKS if low <= t <= high]
    if len(ticks) < 2:
        ticks = [t for t in MaxNLocator(4).tick_values(low, high) if low <= t <= high]
    axes.yaxis.set_major_locator(FixedLocator(_apart(axes, ticks)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(plain))


def metric_axis(axes: Axes, points: Sequence[Point]) -> None:
    """Make y an axis of plain numbers: logarithmic if they are positive and far apart.

    Args:
        axes: the panel.
        points: all that is drawn.
    """
    means = [p.y for p in points]
    if means and min(means) > 0 and max(means) / min(means) > _FAR:
        loss_axis(axes, points)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(plain))


def loss_axis(axes: Axes, points: Sequence[Point]) -> None:
    """Make y logarithmic if everything is positive.

    Args:
        axes: the panel.
        points: all that is drawn.
    """
    lowest = min((p.y for p in points), default=0.0)
    if lowest <= 0:
        return
    far = max(p.y for p in points) / lowest > 1e3
    axes.set_yscale("log")
    axes.set_ylim(lowest * 0.85, None)
    axes.yaxis.set_major_locator(LogLocator(subs=(1,) if far else (1, 2, 5), numticks=9))
    axes.yaxis.set_major_formatter(FuncFormatter(plain))
    axes.yaxis.set_minor_locator(NullLocator())


def dim_axis(axes: Axes, dims: Sequence[int]) -> None:
    """Make x a logarithmic axis of the number of free parameters.

    Args:
        axes: the panel.
        dims: all that are drawn, for the limits.
    """
    axes.set_xscale("log")
    low, high = max(1, min(dims, default=1)), max(10, *dims, 1)
    axes.set_xlim(low / 1.5, high * 1.6)
    if high < 100 * low and len(set(dims)) < 8:  # powers of ten would be too few
        axes.xaxis.set_major_locator(FixedLocator(sorted(set(dims))))
    axes.xaxis.set_major_formatter(FuncFormatter(_count))
    axes.xaxis.set_minor_locator(NullLocator())


def along(points: Sequence[tuple[float, float]], steps: int = 12) -> list[tuple[float, float]]:
    """Points on the straight lines that join points of (d, accuracy) in a figure.

    Args:
        points: the ends.
        steps: number of points on each line.

    Returns:
        The points, with the ends.

    Example:
        >>> along([(10, 90.0), (1000, 99.9)], steps=2)
        [(10, 90.0), (100.0, 99.0), (1000.0, 99.9)]
    """
    found = list(points[:1])
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        for t in (i / steps for i in range(1, steps + 1)):
            height = float(_to_height(y0)) * (1 - t) + float(_to_height(y1)) * t
            found.append((round(x0 ** (1 - t) * x1**t, 9), round(float(_from_height(height)), 9)))
    return found


def _apart(axes: Axes, ticks: Sequence[float]) -> list[float]:
    """The ticks, from the top, without those too near to the one before."""
    _, height = panel_size(axes)
    low, high = _to_height(np.array(axes.get_ylim()))
    kept: list[float] = []
    for tick in reversed(ticks):
        before = float(_to_height(kept[-1])) if kept else math.inf
        if (before - float(_to_height(tick))) / (high - low) * height >= 13:
            kept.append(tick)
    return kept


def _to_height(accuracy: Any) -> Any:
    return -np.log10(np.maximum(100 - np.asarray(accuracy, dtype=float), _SMALLEST_ERROR))


def _from_height(height: Any) -> Any:
    return 100 - 10.0 ** -np.asarray(height, dtype=float)


def plain(value: float, _: int) -> str:
    """A number of an axis, as it is."""
    return f"{value:g}"


def _count(value: float, _: int) -> str:
    return f"{value / 1e6:g} million" if value >= 1e6 else f"{value:,.0f}"
