"""The picture shows what happened: all of it, and nothing else."""

import struct

import numpy as np
import pytest

from subspace_nn import report
from subspace_nn.tasks.classifier import Evaluation, History

PER_EPOCH = 60


def make_history(losses: list[float], steps: int | None = None) -> History:
    """A history with an evaluation at the end of each whole epoch."""
    ends = range(PER_EPOCH, len(losses) + 1, PER_EPOCH)
    evaluations = [
        Evaluation(n, end, losses[end - 1], losses[end - 1], 9000 + n, 90 + n / 100, float(n))
        for n, end in enumerate(ends, 1)
    ]
    return History(steps or len(losses), losses, evaluations)


FALLING = [2.3 / (1 + n / 40) for n in range(3 * PER_EPOCH)]


@pytest.fixture
def panels():
    return report.curve(make_history(FALLING, steps=600), "conv, 1,000 free parameters").axes


def test_left_panel_has_each_loss_and_a_running_mean(panels):
    each, mean = panels[0].lines
    np.testing.assert_array_equal(each.get_xdata(), np.arange(1, len(FALLING) + 1))
    np.testing.assert_array_equal(each.get_ydata(), FALLING)
    inside = [np.mean(FALLING[step - 3 : step + 4]) for step in range(3, len(FALLING) - 3)]
    np.testing.assert_allclose(mean.get_ydata()[3:-3], inside)
    assert mean.get_ydata()[0] == pytest.approx(np.mean(FALLING[:4]))  # of what there is
    assert panels[0].get_yscale() == "log"
    assert [text.get_text() for text in panels[0].get_legend().texts] == [
        "each step",
        "mean of 7 steps",
    ]


def test_right_panel_has_each_evaluation_and_says_the_last(panels):
    (line,) = panels[1].lines
    np.testing.assert_array_equal(line.get_xydata().T, [[60, 120, 180], [90.01, 90.02, 90.03]])
    assert panels[1].get_title(loc="right") == "90.03 % at the end"


def test_right_panel_compares_with_levels():
    levels = {"always the commonest class": 11.35, "all 21,840 weights": 99.24}
    axes = report.curve(make_history(FALLING), "conv", levels).axes[1]
    drawn = {float(line.get_ydata()[0]) for line in axes.lines[1:]}
    assert drawn == {11.35, 99.24}
    assert [text.get_text() for text in axes.texts] == [
        "always the commonest class: 11.35 %",
        "all 21,840 weights: 99.24 %",
    ]
    low, high = axes.get_ylim()
    assert low < 11.35
    assert 99.24 < high < 100


def test_axes_say_what_they_show(panels):
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in panels]
    assert labels == [("step", "training loss (nats)"), ("step", "test accuracy (%)")]
    assert panels[0].figure.get_suptitle() == "conv, 1,000 free parameters"


@pytest.mark.parametrize(
    "history",
    [
        pytest.param(make_history(FALLING), id="whole"),
        pytest.param(make_history([2.3], steps=1), id="one step, no evaluation"),
        pytest.param(make_history([], steps=600), id="stopped before the first step"),
        pytest.param(make_history([2.3] * PER_EPOCH), id="one epoch"),
        pytest.param(make_history([1e30 * 2**n for n in range(90)]), id="huge losses"),
        pytest.param(make_history([*FALLING, *[0.0] * 90]), id="losses of zero in the end"),
    ],
)
def test_every_history_has_a_picture(history):
    content = report.png(report.curve(history, "title"), dpi=100)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", content[16:24]) == (900, 360)


def test_the_figure_belongs_to_no_window():
    assert report.curve(make_history(FALLING), "title").canvas.manager is None
