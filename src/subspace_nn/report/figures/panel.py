"""A chart as a figure of matplotlib."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from subspace_nn.report.chart import Chart, Point, Rule, Scale, Series
from subspace_nn.report.colours import SOFT, THEME
from subspace_nn.report.figures import marks, scales
from subspace_nn.report.figures.marks import Mark
from subspace_nn.report.figures.theme import LEGEND, LETTER, canvas, look, panel_size
from subspace_nn.report.text import label

#: Sizes in points: of a figure next to another, and of one across the page.
HALF, WIDE = (374.0, 320.0), (800.0, 460.0)

#: Height of a line of a chart with rows, and of one of a legend, in points.
_ROW, _LINE = 17.0, 15.0


@look()
def draw(chart: Chart, size: tuple[float, float] | None = None) -> Figure:
    """Draw a chart.

    Args:
        chart: what to draw.
        size: of the figure, in points; by default that of its place on a page, and as high as its
            rows need.

    Returns:
        The figure.
    """
    width, height = size or (WIDE if chart.wide else HALF)
    unnamed = [one for one in chart.series if not one.end]  # by a word at its end
    names = dict.fromkeys(one.name for one in (*unnamed, *chart.rules) if one.name)
    columns = 2 if width < WIDE[0] or max(map(len, names), default=0) > 40 else 3
    legend = -(-len(names) // columns) if len(names) > 1 else 0
    rows = _rows(chart, width)
    letters = max((len(one.end) for one in chart.series), default=0)
    bottom = 40 + _LINE * legend
    if rows and size is None:
        height = _ROW * len(rows) + bottom + 34
    figure, axes = canvas(
        width, height, title=chart.message or chart.title,
        left=16 + 1.1 * LETTER * max(map(len, rows)) if rows else 52,
        right=20 + LETTER * letters if letters else 24, bottom=bottom,
    )  # fmt: skip
    draw_on(axes, chart)
    if legend:
        across, up = panel_size(axes)
        place = (-40 / across, -34 / up)
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        axes.legend(
            handles.values(), handles, **LEGEND, ncols=columns, loc="upper left",
            bbox_to_anchor=place,
        )  # fmt: skip
    return figure


def draw_on(axes: Axes, chart: Chart) -> None:
    """Draw a chart on axes of any figure; its title and its legend are the caller's.

    Args:
        axes: matplotlib's.
        chart: what to draw.
    """
    for rule in chart.rules:
        _rule(axes, rule)
    for one in chart.series:
        _series(axes, one, across=bool(chart.rows))
    _axes(axes, chart)
    _labels(axes, chart)


def _rows(chart: Chart, width: float) -> list[str]:
    """The names of rows, none longer than a good third of a figure."""
    return [label(name, int(0.35 * width / LETTER)) for name in chart.rows]


def _axes(axes: Axes, chart: Chart) -> None:
    axes.set_xlabel(chart.x.label)
    figure = axes.get_figure(root=True)
    if rows := _rows(chart, 72 * figure.get_figwidth() if figure else WIDE[0]):
        ends = [Point.of(x, 0) for p in chart.points for x in (p.low, p.x, p.high)]
        _scale_x(axes, chart.x.scale, ends)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), rows)
        return
    axes.set_ylabel(chart.y.label)
    _scale_x(axes, chart.x.scale, chart.points)
    lines = [Point.of(0, rule.at) for rule in chart.rules if rule.across == "y"]
    points = [*chart.points, *lines]
    if chart.y.scale == "percent":
        scales.accuracy_axis(axes, points)
    elif chart.y.scale == "log":
        scales.loss_axis(axes, points)
    else:
        scales.metric_axis(axes, points)


def _scale_x(axes: Axes, scale: Scale, points: Sequence[Point]) -> None:
    if scale == "count":
        scales.dim_axis(axes, [round(point.x) for point in points])
    elif scale == "epoch":
        axes.set_xlim(0, math.ceil(max((point.x for point in points), default=1)))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    elif scale == "log":
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(scales.plain))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _series(axes: Axes, one: Series, *, across: bool) -> None:
    colour = THEME[one.colour][0]
    # matplotlib leaves names that begin with _ out of legends.
    name = f"\u200a{one.name}" if one.name.startswith("_") else one.name or None
    x, y, low, high = np.array([point[:4] for point in one.points] or np.empty((0, 4))).T
    if one.look == "course":
        axes.plot(x, y, one.marker if one.marker in {"-", "--"} else "-", color=colour, label=name)
        axes.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0)
        return
    if one.look == "strokes":
        axes.plot(x, y, "|", color=colour, markersize=9, markeredgewidth=1.4, label=name)
        return
    middle = x if across else y
    spread = np.abs(np.array([middle - low, high - middle]))
    style: dict[str, Any] = {
        "linestyle": _LINES.get(one.look, "none"),
        "linewidth": 1.1 if one.look == "dashed" else 1.7,
        "marker": "" if one.look in {"fit", "dotted"} else one.marker,
        "markersize": 10 if one.marker == "*" else 5.5,
        "markeredgewidth": 0 if one.marker == "*" else 1,
    }
    if one.look not in {"fit", "dotted"}:
        style["xerr" if across else "yerr"] = spread
    if one.look in {"hollow", "dashed"}:
        style["markerfacecolor"] = "none"
    axes.errorbar(x, y, label=name, color=colour, capsize=2, elinewidth=1, **style)


_LINES = {"line": "-", "fit": "-", "dashed": "--", "dotted": ":"}


def _rule(axes: Axes, rule: Rule) -> None:
    colour = THEME[rule.colour][0]
    line, band = (
        (axes.axvline, axes.axvspan) if rule.across == "x" else (axes.axhline, axes.axhspan)
    )
    if rule.ends:
        band(*rule.ends, color=colour, alpha=0.2, linewidth=0)
    style = "--" if rule.dashed else "-"
    line(rule.at, color=colour, linestyle=style, linewidth=1.2, label=rule.name or None)


def _labels(axes: Axes, chart: Chart) -> None:
    """Names at the ends of lines, and next to points where there is room."""
    ends = [
        Mark(one.points[-1].x, one.points[-1].y, one.end, THEME[one.colour][0])
        for one in chart.series
        if one.end and one.points
    ]
    if ends:
        marks.at_ends(axes, ends)
    named = [Mark(point.x, point.y, point.label, SOFT) for point in chart.points if point.label]
    if named:
        marks.label(axes, named, list(_taken(chart.series)))


def _taken(found: Iterable[Series]) -> Iterable[tuple[float, float]]:
    """Points along the lines, which no name may cover."""
    for one in found:
        places = [(point.x, point.y) for point in one.points]
        yield from scales.along(places) if one.look in {"line", "dashed"} else places
