"""The picture of one training."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from subspace_nn.report.figures.theme import look
from subspace_nn.report.text import label

if TYPE_CHECKING:
    from subspace_nn.tasks.classifier import History  # which imports PyTorch

_INK, _BLUE, _ORANGE = "#222222", "#1f5f8b", "#d1603d"


@look()
def curve(history: "History", title: str) -> Figure:
    """Loss and accuracy of one training against its steps.

    Args:
        history: of the training.
        title: above both panels.

    Returns:
        A figure of two panels: the training loss of each step and its mean over 50 steps, and the
        accuracy on the whole test set at the end of each epoch.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(label(title, 120), color=_INK)
    steps = range(1, len(history.losses) + 1)
    left.semilogy(steps, history.losses, color=_BLUE, alpha=0.25, linewidth=0.6, label="each step")
    left.semilogy(steps, _running_mean(history.losses), color=_BLUE, label="mean of 50 steps")
    left.set(xlabel="step", ylabel="training loss (nats)")
    if history.losses:
        left.legend(frameon=False)
    done = history.evaluations
    right.plot([e.step for e in done], [e.test_accuracy for e in done], "o-", color=_ORANGE)
    if done:
        _label_last(right, done[-1].step, done[-1].test_accuracy)
    right.set(xlabel="step", ylabel="test accuracy (%)", xlim=(0, history.steps * 1.04))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure


def _running_mean(values: list[float], window: int = 50) -> list[float]:
    means = []
    for end in range(1, len(values) + 1):
        recent = values[max(0, end - window) : end]
        means.append(sum(recent) / len(recent))
    return means


def _label_last(axes: Axes, step: int, accuracy: float) -> None:
    axes.annotate(
        f"{accuracy:.2f} %",
        (step, accuracy),
        textcoords="offset points",
        xytext=(0, -26),
        ha="right",
        color=_INK,
    )
