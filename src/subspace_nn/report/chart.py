"""A figure as data: a page draws it in the browser, and `figures` for a file."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from subspace_nn.report import text

#: Larger numbers are drawn here: matplotlib computes with limits and ticks far beyond the data.
_LARGEST = 1e200

#: How an axis is scaled: "percent" is logarithmic in the error, "log" logarithmic where all numbers
#: are positive, "count" likewise with whole numbers, "plain" linear unless they are far apart.
Scale = Literal["percent", "log", "count", "plain", "epoch"]

#: How a series looks: a line with marks, dashed with hollow marks, hollow marks, marks, a line, a
#: dotted one, a line in a band, strokes across.
Look = Literal["line", "dashed", "hollow", "dots", "fit", "dotted", "course", "strokes"]


class Point(NamedTuple):
    """A value with its spread.

    Attributes:
        x: number of free parameters, or epoch.
        y: mean of a metric.
        low: lower end of its spread.
        high: upper end.
        note: what else to say of it: number of runs, command.
        label: written next to it.
    """

    x: float
    y: float
    low: float
    high: float
    note: str = ""
    label: str = ""

    @classmethod
    def of(cls, x: float, mean: float, std: float = 0.0, note: str = "") -> "Point":
        """A point that can be drawn: NaN is no spread, and numbers stay in matplotlib's range."""
        y = _drawable(mean)
        spread = 0.0 if math.isnan(std) else std
        return cls(x, y, _drawable(y - spread), _drawable(y + spread), note)


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        label: what it shows, with the unit.
        scale: how.
    """

    label: str
    scale: Scale = "plain"


def axis_of(metric: str, values: Sequence[float]) -> Axis:
    """The axis of a metric, by its name and its values.

    Args:
        metric: as a task returns it.
        values: all that there are.

    Returns:
        An axis in percent, logarithmic in the error, if the metric is an accuracy between 0 and
        100 that is no share; a logarithmic one for a loss; a plain one for anything else.

    Example:
        >>> axis_of("test_accuracy", [97.5]), axis_of("test_accuracy", [0.975]).scale
        (Axis(label='test accuracy (%)', scale='percent'), 'plain')
    """
    percent = metric.endswith("accuracy") and _is_percent(values) and max(values, default=0) > 1
    words = text.metric(metric, percent=percent)
    return Axis(words, "percent" if percent else "log" if "loss" in metric else "plain")


def _is_percent(values: Sequence[float]) -> bool:
    return all(0 <= value <= 100 for value in values)


#: The axis of the number of free parameters.
DIMS = Axis("free parameters d", "count")


@dataclass(frozen=True)
class Series:
    """Points that belong together.

    Attributes:
        name: in the legend; none if empty. Series with the same name are shown and hidden together.
        points: in the order of a line.
        look: how they are drawn.
        colour: a variable of `colours.THEME`.
        marker: as matplotlib names it.
        end: written at the end of the line.
    """

    name: str
    points: Sequence[Point]
    look: Look = "line"
    colour: str = "ink"
    marker: str = "o"
    end: str = ""


@dataclass(frozen=True)
class Rule:
    """A straight line across a figure.

    Attributes:
        name: in the legend.
        at: where.
        across: the axis on which that is.
        ends: of a band around it.
        colour: a variable of `colours.THEME`.
        dashed: whether it is dashed.
    """

    name: str
    at: float
    across: Literal["x", "y"] = "x"
    ends: tuple[float, float] | None = None
    colour: str = "soft"
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """A figure.

    Attributes:
        title: of the figure.
        x: the axis across.
        y: the axis up.
        series: what is drawn.
        rules: lines across.
        rows: names of lines; y of a point is then the number of its line from the top, and its
            spread is across.
        wide: whether it takes the width of a page.
        message: what to see in it, in one sentence.
    """

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    rules: Sequence[Rule] = ()
    rows: Sequence[str] = ()
    wide: bool = False
    message: str = ""

    @property
    def points(self) -> list[Point]:
        """All points."""
        return [point for one in self.series for point in one.points]

    def as_json(self) -> dict[str, Any]:
        """The chart in the words of `web/charts.js`; numbers with six significant digits."""
        return {
            "title": self.title,
            "message": self.message,
            "x": [self.x.label, self.x.scale],
            "y": [self.y.label, self.y.scale],
            "rows": list(self.rows),
            "wide": self.wide,
            "rules": [
                [one.name, _short(one.at), one.across, list(map(_short, one.ends or ())),
                 one.colour, one.dashed]
                for one in self.rules
            ],
            "series": [
                [one.name, one.look, one.colour, one.marker, one.end, _rows(one.points)]
                for one in self.series
            ],
        }  # fmt: skip


def _rows(points: Iterable[Point]) -> list[list[Any]]:
    return [[*map(_short, point[:4]), *point[4:]] for point in points]


def _short(number: float) -> float:
    short = float(f"{number:.6g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short


def _drawable(number: float) -> float:
    return max(-_LARGEST, min(_LARGEST, number))
