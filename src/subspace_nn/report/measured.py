"""The picture of one measurement: the curve, the threshold, the interval."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from subspace_nn.dimension import Answer, published
from subspace_nn.report.scales import dim_axis
from subspace_nn.report.text import label
from subspace_nn.report.theme import GROUND, LEGEND, PALETTE, SOFT, canvas, look

#: In points.
_SIZE = (520.0, 320.0)


@look()
def figure(
    answer: Answer, title: str = "", size: tuple[float, float] = _SIZE, *, legend: bool = True
) -> Figure:
    """Results against d, and the intrinsic dimension that follows from them.

    Args:
        answer: of the measurement.
        title: of the figure.
        size: of the figure, in points.
        legend: whether to name the lines; one of many figures needs none.

    Returns:
        A figure with a logarithmic axis of d: mean and one standard deviation at each dimension,
        the monotone fit, the full model, the threshold, d_int with its interval, and published
        values if there are any.
    """
    picture, axes = canvas(*size, title=title, left=52, right=16)
    blue, orange, green = PALETTE[:3]
    if answer.dim is not None:
        words = f"d_int {answer.dim:,} ({answer.low:,} to {answer.high:,})"
        axes.axvspan(answer.low, answer.high, color=orange, alpha=0.2, linewidth=0)
        axes.axvline(answer.dim, color=orange, label=words)
    for value in published(answer.question):
        axes.axvline(value.dim, color=green, linestyle=":", label=f"{value.source}: {value.dim:,}")
    axes.axhline(answer.threshold, color=SOFT, linestyle="--", linewidth=1, label="threshold")
    points = answer.points
    dims = [point["dim"] for point in points]
    axes.plot([*dims, answer.D], [*(p["fitted"] for p in points), answer.full], color=blue)
    bars = {"fmt": "o", "markersize": 4, "capsize": 2, "linewidth": 1}
    spreads = [point["std"] or 0.0 for point in points]
    axes.errorbar(dims, [p["mean"] for p in points], spreads, color=blue, label="runs", **bars)
    axes.errorbar(
        answer.D, answer.full, answer.full_std or 0.0, color=blue, mfc="none", label="full model",
        **bars,
    )  # fmt: skip
    axes.set_ylabel(label(answer.question.metric))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    dim_axis(axes, [*dims, answer.D])
    if legend:
        where = "lower right" if answer.question.better == "higher" else "upper right"
        # Lines of values stop where it stands.
        background = {"frameon": True, "facecolor": GROUND, "edgecolor": "none", "framealpha": 1}
        axes.legend(**{**LEGEND, **background}, loc=where)
    return picture
