"""The picture of one measurement: the curve, the threshold, the interval."""

from subspace_nn.common import numbers
from subspace_nn.dimension import Answer, published
from subspace_nn.report.chart import DIMS, Axis, Chart, Point, Rule, Series, axis_of

#: Of the picture that a measurement leaves, in points.
SIZE = (520.0, 360.0)


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
