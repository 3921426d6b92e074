"""The picture of one training."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from subspace_nn.report.chart import Point
from subspace_nn.report.figures.scales import loss_axis
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
    losses = np.asarray(history.losses, dtype=float)
    steps = np.arange(1, len(losses) + 1)
    left.plot(steps, losses, color=_BLUE, alpha=0.25, linewidth=0.6, label="each step")
    left.plot(steps, _running_mean(losses), color=_BLUE, label="mean of 50 steps")
    left.set(xlabel="step", ylabel="training loss (nats)")
    if len(losses):
        left.legend(frameon=False)
    loss_axis(left, [Point.of(step, loss) for step, loss in enumerate(history.losses, 1)])
    done = history.evaluations
    right.plot([e.step for e in done], [e.test_accuracy for e in done], "o-", color=_ORANGE)
    right.set(xlabel="step", ylabel="test accuracy (%)", xlim=(0, history.steps * 1.04))
    if done:
        right.set_title(f"{done[-1].test_accuracy:.2f} % at the end", loc="right", fontsize=10)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    return figure


def _running_mean(losses: np.ndarray, window: int = 50) -> np.ndarray:
    """The mean of the losses around each step; of those there are, at the ends."""
    if not len(losses):
        return losses
    box = np.ones(min(window, len(losses)))
    return np.convolve(losses, box, "same") / np.convolve(np.ones_like(losses), box, "same")
