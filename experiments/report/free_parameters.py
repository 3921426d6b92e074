"""The central question: how far do n free parameters go, as a small net or in a larger one?"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.report.runs import mnist, recipe, subspaces
from subspace_nn.report import cells, marks
from subspace_nn.report.document import Picture, Section, Table
from subspace_nn.report.figures import NARROW, WIDE
from subspace_nn.report.findings import Findings
from subspace_nn.report.frame import Curve, Setting, curves
from subspace_nn.report.marks import Mark
from subspace_nn.report.scales import Line, Point, accuracy_axis, along, dim_axis, draw
from subspace_nn.report.theme import (
    INK,
    LEGEND,
    MARKERS,
    PALETTE,
    SOFT,
    canvas,
    look,
    panel_size,
)

_TITLE = "MNIST: test accuracy against free parameters"

_TEXT = (
    "A line is one net, trained in subspaces of d free parameters; a star is another net with "
    "all its weights free. Where a line is above a star, the subspace is more accurate than the "
    "net of the star with the same number of free parameters."
)


def sections(found: Findings) -> Iterator[Section]:
    """Accuracy against the number of free parameters, all nets in one plot.

    Args:
        found: sweeps of any tasks.

    Yields:
        One section, if any net was trained in two d.
    """
    settings = mnist(found)
    drawn = subspaces(settings)
    if not drawn:
        return
    others = nets(settings, drawn)
    same = _same_number(drawn, others)
    yield Section(
        "free-parameters",
        "Accuracy against free parameters",
        text=_TEXT,
        pictures=(
            Picture(
                "free-parameters",
                "Test accuracy on MNIST against the number of free parameters. The axis of "
                "accuracy is logarithmic in the error. Bars are one standard deviation over the "
                "seeds.",
                partial(figure, drawn, others),
                partial(figure, drawn, others, NARROW, below=True),
            ),
        ),
        tables=(same,) if same else (),
    )


def nets(found: Sequence[Setting], drawn: Sequence[Curve]) -> list[Setting]:
    """The nets with all weights free that have no curve, each under one recipe.

    Args:
        found: settings on MNIST.
        drawn: the nets that have one.

    Returns:
        Settings by D: those of the new recipe where there is a choice.
    """
    names = {one.model for one in drawn}
    candidates = [one for one in curves(found) if one.full and one.model not in names]
    chosen = {c.model: c for c in sorted(candidates, key=lambda c: recipe(c.arguments) == "new")}
    return sorted((one.full for one in chosen.values() if one.full), key=lambda one: one.D)


def _same_number(drawn: Sequence[Curve], others: Sequence[Setting]) -> Table | None:
    """The nets against subspaces with exactly as many free parameters."""
    rows = [net for net in others if any(one.at(net.D) for one in drawn)]
    columns = [one for one in drawn if any(one.at(net.D) for net in rows)]
    if not rows:
        return None
    return Table(
        ["net", "free parameters", "all its weights", *(f"in {one.model}" for one in columns)],
        [
            [
                net.model,
                f"{net.D:,}",
                cells.percent(net),
                *(cells.percent(one.at(net.D)) for one in columns),
            ]
            for net in rows
        ],
        caption="The same number of free parameters as a net of their own and as a subspace of a "
        "larger one: test accuracy in %.",
    )


@look()
def figure(
    found: Sequence[Curve],
    nets: Sequence[Setting],
    size: tuple[float, float] = WIDE,
    *,
    below: bool = False,
) -> Figure:
    """Accuracy against free parameters: subspaces of large nets, and nets with all weights free.

    Args:
        found: each becomes a line with error bars, and an open marker where all weights are free.
        nets: each becomes a star with its name.
        size: of the figure, in points.
        below: whether the legend stands below the panel, which it does anyway if the panel has no
            room for it.

    Returns:
        A figure with a logarithmic axis of d.
    """
    rows = len(found) + bool(nets) + any(one.full for one in found)
    bottom = 56 + 14 * rows if below else 38
    drawn, axes = canvas(*size, title=_TITLE, right=30, bottom=bottom)
    taken = [place for number, one in enumerate(found) for place in _line(axes, number, one)]
    star: dict[str, Any] = {"color": INK, "marker": "*", "markersize": 10, "markeredgewidth": 0}
    stars = [_point(net) for net in nets]
    for x, mean, spread in stars:
        axes.errorbar(x, mean, spread, capsize=2, linewidth=1, zorder=4, **star)
    if nets:
        axes.plot([], [], linestyle="none", label="another net, all weights free", **star)
    if any(one.full for one in found):
        axes.plot([], [], "o", color=SOFT, mfc="none", label="the same, all weights free")
    points = [_point(one) for curve in found for one in curve.points] + stars
    accuracy_axis(axes, points)
    dim_axis(axes, [round(point.x) for point in points])
    places = taken + [(point.x, point.mean) for point in stars]
    if not below and not marks.is_free(axes, places, width=290, height=16 * rows):
        return figure(found, nets, size, below=True)
    marks.beside(axes, [Mark(net.D, net.mean, net.model) for net in nets], taken)
    handles, names = axes.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda i: not names[i].startswith("subspaces"))
    place: dict[str, Any] = {"loc": "lower right"}
    if below:
        place = {"loc": "upper left", "bbox_to_anchor": (0, 0, 1, -34 / panel_size(axes)[1])}
    axes.legend([handles[i] for i in order], [names[i] for i in order], **LEGEND, **place)
    return drawn


def _line(axes: Axes, number: int, one: Curve) -> list[tuple[float, float]]:
    """Draw the curve of one net; returns points along it, which no name may cover."""
    colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
    points = [_point(setting) for setting in one.subspaces]
    name = f"subspaces of {one.model}, {one.D:,} weights"
    draw(axes, Line(name, points, "measured", colour, marker))
    places = [(point.x, point.mean) for point in points]
    if one.full:
        places.append((one.D, one.full.mean))
        ends = places[-2:]
        axes.plot([x for x, _ in ends], [y for _, y in ends], ":", color=colour, linewidth=1)
        draw(axes, Line("", [_point(one.full)], "published", colour, marker))
    return along(places)


def _point(one: Setting) -> Point:
    return Point.of(one.dim, one.mean, one.std)
