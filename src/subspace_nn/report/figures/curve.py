"""The picture of one training."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from subspace_nn.report.chart import Point
from subspace_nn.report.colours import SOFT
from subspace_nn.report.figures.scales import accuracy_axis, loss_axis
from subspace_nn.report.figures.theme import look
from subspace_nn.report.text import label

if TYPE_CHECKING:
    from subspace_nn.tasks.classifier import History  # which imports PyTorch

_INK, _BLUE, _ORANGE = "#222222", "#1f5f8b", "#d1603d"

#: Points in the running mean, as a share of all steps: the steep beginning must stay.
_WINDOW = 1 / 25


@look()
def curve(history: "History", title: str, levels: Mapping[str, float] | None = None) -> Figure:
    """Loss and accuracy of one training against its steps.

    Args:
        history: of the training.
        title: above both panels.
        levels: accuracies in percent to compare with, by what they are: a line each.

    Returns:
        A figure of two panels: the training loss of each step and its running mean, and the
        accuracy on the whole test set at the end of each epoch, on an axis that is logarithmic in
        the error.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    figure.suptitle(label(title, 120), color=_INK)
    _losses(left, history)
    _accuracies(right, history, levels or {})
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure


def _losses(axes: Axes, history: "History") -> None:
    losses = np.asarray(history.losses, dtype=float)
    steps, window = np.arange(1, len(losses) + 1), max(1, round(len(losses) * _WINDOW))
    axes.plot(steps, losses, color=_BLUE, alpha=0.25, linewidth=0.6, label="each step")
    axes.plot(steps, _running_mean(losses, window), color=_BLUE, label=f"mean of {window} steps")
    axes.set(xlabel="step", ylabel="training loss (nats)")
    if len(losses):
        axes.legend(frameon=False)
    loss_axis(axes, [Point.of(step, loss) for step, loss in enumerate(history.losses, 1)])


def _accuracies(axes: Axes, history: "History", levels: Mapping[str, float]) -> None:
    done = history.evaluations
    axes.plot([e.step for e in done], [e.test_accuracy for e in done], "o-", color=_ORANGE)
    axes.set(xlabel="step", ylabel="test accuracy (%)", xlim=(0, history.steps * 1.04))
    if done:
        axes.set_title(f"{done[-1].test_accuracy:.2f} % at the end", loc="right", fontsize=10)
    drawn = [*(e.test_accuracy for e in done), *levels.values()]
    if drawn:
        accuracy_axis(axes, [Point.of(0, accuracy) for accuracy in drawn], room=0.09)
    for name, level in levels.items():
        above = level >= max(drawn)
        axes.axhline(level, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"{name}: {level:.2f} %", (0.01, level), xycoords=("axes fraction", "data"),
            xytext=(0, 3 if above else -3), textcoords="offset points",
            va="bottom" if above else "top", fontsize=8.5, color=_INK,
        )  # fmt: skip


def _running_mean(losses: np.ndarray, window: int) -> np.ndarray:
    """The mean of the losses around each step; of those there are, at the ends."""
    if not len(losses):
        return losses
    box = np.ones(window)
    return np.convolve(losses, box, "same") / np.convolve(np.ones_like(losses), box, "same")
