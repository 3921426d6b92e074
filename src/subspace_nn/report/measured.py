"""The picture of one measurement: the curve, the threshold, the interval."""

from html import escape
from typing import TYPE_CHECKING

from subspace_nn.common import numbers
from subspace_nn.dimension import Answer, label, published
from subspace_nn.dimension import title as known_title
from subspace_nn.dimension.words import summary
from subspace_nn.report.chart import DIMS, Axis, Chart, Point, Rule, Series, axis_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Of the picture that a measurement leaves, in points.
SIZE = (520.0, 360.0)


def plot(answer: Answer, ax: "Axes | None" = None) -> "Axes":
    """Draw a measurement on axes of the user's.

    Args:
        answer: of the measurement.
        ax: matplotlib's, to draw on; those of a new figure by default.

    Returns:
        The axes.
    """
    from subspace_nn.report.figures.panel import draw_on  # noqa: PLC0415  # imports matplotlib

    if ax is None:
        from matplotlib import pyplot as plt  # noqa: PLC0415  # which chooses a backend

        _, ax = plt.subplots(layout="constrained")
        ax.set_title(_title(answer))
    draw_on(ax, chart(answer))
    ax.legend(frameon=False, fontsize="small")
    return ax


def html(answer: Answer) -> str:
    """A measurement as a part of a page: a table of words, and the figure.

    Args:
        answer: of the measurement.

    Returns:
        HTML that needs nothing else.
    """
    from subspace_nn.report import draw, svg  # noqa: PLC0415  # imports matplotlib

    left = "style='text-align:left'"
    rows = "".join(
        f"<tr><th {left}>{escape(name)}</th><td {left}>{escape(value)}</td></tr>"
        for name, value in summary(answer).items()
    )
    drawn = svg(draw(chart(answer, _title(answer))))
    return f"<table>{rows}</table>{drawn[drawn.index('<svg') :]}"


def _title(answer: Answer) -> str:
    return known_title(answer.question) or label(answer.question)


def chart(answer: Answer, title: str = "") -> Chart:
    """Results against d, and the intrinsic dimension that follows from them.

    Args:
        answer: of the measurement.
        title: of the figure.

    Returns:
        A chart with a logarithmic axis of d: mean and one standard deviation at each dimension,
        the monotone fit, the full model, the threshold, d_int with its interval, and published
        values if there are any.
    """
    rules = [Rule("threshold", answer.threshold, "y", dashed=True)]
    if answer.baseline is not None:
        rules.append(Rule("baseline", answer.baseline, "y"))
    if answer.dim is not None:
        words = f"d_int {answer.dim:,} ({answer.low:,} to {answer.high:,})"
        rules.append(Rule(words, answer.dim, ends=(answer.low, answer.high), colour="c1"))
    rules += [
        Rule(f"{value.source}: {value.dim:,}", value.dim, colour="c2", dashed=True)
        for value in published(answer.question)
    ]
    means = [_point(answer, p["dim"], p["mean"], p["std"], p["n"]) for p in answer.points]
    whole = _point(answer, answer.D, answer.full, answer.full_std, answer.full_n)
    fit = [Point.of(p["dim"], p["fitted"]) for p in answer.points]
    series = [
        Series("monotone fit", [*fit, Point.of(answer.D, answer.full)], "fit", "c0"),
        Series("mean of the runs", means, "dots", "c0"),
        Series("all weights", [whole], "hollow", "c0"),
    ]
    return Chart(title, DIMS, axis(answer), series, rules)


def axis(answer: Answer) -> Axis:
    """The axis of the metric of a measurement: of the error, if it is an accuracy in percent."""
    values = [answer.full, *(point["mean"] for point in answer.points)]
    return axis_of(answer.question.metric, values)


def _point(answer: Answer, dim: int, mean: float, std: float | None, n: int) -> Point:
    value = numbers.spread(mean, std or 0.0, ".4g", ".2g")
    note = f"d = {dim:,}: {value}\n{axis(answer).label}, n = {n}"
    return Point.of(dim, mean, std or 0.0, note)
