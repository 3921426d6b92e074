"""Direct labels that do not overlap."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from scipy.optimize import isotonic_regression

from subspace_nn.report.colours import INK, SOFT
from subspace_nn.report.figures.theme import LETTER, panel_size

#: Height of a line of text in points, at the size of text used here.
LINE = 11.0


@dataclass(frozen=True)
class Mark:
    """A name and the point it belongs to.

    Attributes:
        x: of the point, in units of the axis.
        y: likewise.
        text: the name.
        colour: of the line to the point.
    """

    x: float
    y: float
    text: str
    colour: str = SOFT


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move places on a line apart, each as little as possible.

    The least sum of squared moves that keeps the order and the gaps is an isotonic regression of
    the places less their gaps (Barlow et al., "Statistical inference under order restrictions",
    1972).

    Args:
        places: in any order.
        gap: smallest distance of two.
        low: no place may be below.
        high: no place may be above, unless there are too many for the room.

    Returns:
        The new places, in the order of the old.

    Example:
        >>> spread([0.5, 0.5, 0.9], gap=0.1, low=0.0, high=1.0)
        [0.45, 0.55, 0.9]
    """
    if not places:
        return []
    order = np.argsort(places, kind="stable")
    gaps = gap * np.arange(len(places))
    highest = max(low, high - gaps[-1])
    fitted = isotonic_regression(np.asarray(places, dtype=float)[order] - gaps).x
    moved = np.empty(len(places))
    moved[order] = np.clip(fitted, low, highest) + gaps
    return [round(float(place), 9) for place in moved]


def at_ends(axes: Axes, marks: Sequence[Mark], *, size: float = 8.5) -> None:
    """Write names to the right of a panel, each with a thin line to its point.

    Args:
        axes: the panel, with its limits and scales set.
        marks: what to write.
        size: of the letters, in points.
    """
    points = [_to_panel(axes, mark) for mark in marks]
    width, height = panel_size(axes)
    gap = (size + 2.2) / height
    for mark, (x, y), place in zip(
        marks, points, spread([y for _, y in points], gap, 0.0, 1.0), strict=True
    ):
        line = {"color": mark.colour, "linewidth": 0.9, "clip_on": False}
        axes.plot([min(x, 1.0), 1 + 12 / width], [y, place], transform=axes.transAxes, **line)
        axes.text(
            1 + 15 / width,
            place,
            mark.text,
            transform=axes.transAxes,
            va="center",
            fontsize=size,
            color=INK,
        )


def label(axes: Axes, marks: Sequence[Mark], taken: Sequence[tuple[float, float]]) -> list[Mark]:
    """Write names near their points, where there is room.

    Each name tries places around its point, from near to far, and takes the first that covers
    neither another name nor a point.

    Args:
        axes: the panel, with its limits and scales set.
        marks: what to write, the most important first.
        taken: points of lines and other things that no name may cover, in units of the axes.

    Returns:
        The marks for which there was no room; they are not written.
    """
    width, height = panel_size(axes)
    dots = [_to_panel(axes, Mark(x, y, "")) for x, y in taken]
    dots += [_to_panel(axes, mark) for mark in marks]
    dots = [(x * width, y * height) for x, y in dots]
    boxes: list[tuple[float, float, float, float]] = []
    left_out = []
    for mark in marks:
        x, y = _to_panel(axes, mark)
        x, y = x * width, y * height
        size = (LETTER * len(mark.text), LINE)
        room = next(
            (
                box
                for box in _candidates(x, y, *size)
                if box[0] >= 0 and box[1] >= 0 and box[2] <= width + 22 and box[3] <= height
                if not any(_holds(box, dot) for dot in dots)
                if not any(_overlap(box, other) for other in boxes)
            ),
            None,
        )
        if room is None:
            left_out.append(mark)
            continue
        boxes.append(room)
        axes.annotate(
            mark.text,
            (x / width, y / height),
            ((room[0] + room[2]) / 2 / width, (room[1] + room[3]) / 2 / height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            ha="center",
            va="center",
            fontsize=8.5,
            color=INK,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": mark.colour, "linewidth": 0.7,
                "shrinkA": 0, "shrinkB": 3,
            },
        )  # fmt: skip
    return left_out


def _candidates(
    x: float, y: float, width: float, height: float
) -> list[tuple[float, float, float, float]]:
    """Boxes around a point, the near ones first: at its sides, above, below, then further off."""
    found = []
    for distance, (dx, dy) in itertools.product(
        (7, 16, 28, 42, 58), ((1, 0), (0, 1), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
    ):
        cx = x + dx * (width / 2 + distance)
        cy = y + dy * (height / 2 + distance * 0.8)
        found.append((cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2))
    return found


def _holds(box: tuple[float, float, float, float], dot: tuple[float, float]) -> bool:
    margin = 4
    return (
        box[0] - margin <= dot[0] <= box[2] + margin
        and box[1] - margin <= dot[1] <= box[3] + margin
    )


def _overlap(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _to_panel(axes: Axes, mark: Mark) -> tuple[float, float]:
    """A point in fractions of the panel."""
    x, y = axes.transAxes.inverted().transform(axes.transData.transform((mark.x, mark.y)))
    return float(x), float(y)
