"""The picture of one measurement: the curve, the threshold, the interval."""

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from subspace_nn.measure import Answer, published
from subspace_nn.report.theme import GROUND, INK, LEGEND, PALETTE, SOFT, canvas

#: In points.
_SIZE = (520.0, 320.0)


def figure(answer: Answer, title: str = "", size: tuple[float, float] = _SIZE) -> Figure:
    """Results against d, with what a measurement made of them.

    Args:
        answer: of the measurement.
        title: above the picture.
        size: of the figure, in points.

    Returns:
        A figure with a logarithmic axis of d: mean and one standard deviation at each dimension,
        the monotone fit, the full model, the threshold, d_int with its interval, and published
        values where there are any.
    """
    picture, axes = canvas(*size, right=16, top=28 if title else 12)
    blue, orange, green = PALETTE[:3]
    if answer.dim is not None:
        label = f"d_int {answer.dim:,} ({answer.low:,} to {answer.high:,})"
        axes.axvspan(answer.low, answer.high, color=orange, alpha=0.2, linewidth=0)
        axes.axvline(answer.dim, color=orange, label=label)
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
    axes.set(xscale="log", xlabel="free parameters d", ylabel=answer.question.metric)
    axes.set_xlim(0.8 * min([*dims, answer.D]), 1.3 * answer.D)
    axes.xaxis.set_major_formatter(FuncFormatter(_whole))
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    where = "lower right" if answer.question.better == "higher" else "upper right"
    # Lines of values stop where it stands.
    background = {"frameon": True, "facecolor": GROUND, "edgecolor": "none", "framealpha": 1}
    axes.legend(**{**LEGEND, **background}, loc=where)
    return picture


def _whole(dim: float, _: int) -> str:
    return f"{round(dim):,}" if dim >= 1 else ""
