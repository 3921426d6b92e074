"""Figures show the records: every point where it belongs, and nothing over anything else."""

import re
import struct

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from subspace_nn.report import figures, theme
from subspace_nn.report.groups import Summary, group, labels
from subspace_nn.report.scales import Line, accuracy_axis
from subspace_nn.report.series import series
from tests.report import records as r


def error_bars(figure):
    """Points with their error bars, by label: x, y, half the length of the bar."""
    found = {}
    for bars in figure.axes[0].containers:
        line, _, (segments,) = bars.lines
        halves = [(s[1][1] - s[0][1]) / 2 for s in segments.get_segments()]
        found[bars.get_label()] = list(zip(*line.get_data(), halves, strict=True))
    return found


@pytest.fixture
def central():
    curves = series(group(r.CONV_NEW + r.CONV_FULL)) + series(group(r.FC_NEW))
    return figures.free_parameters(curves, group(r.ZOO))


def test_the_central_figure_has_every_net(central):
    bars = error_bars(central)
    conv = np.array(bars["subspaces of conv, 21,840 weights"])
    np.testing.assert_allclose(conv, [[100, 91, 1], [1000, 93, 1], [3000, 95, 1]], rtol=1e-9)
    assert "subspaces of fc, 199,210 weights" in bars
    (axes,) = central.axes
    assert [text.get_text() for text in axes.texts] == ["conv-6-6"]
    names = [text.get_text() for text in axes.get_legend().texts]
    assert names[-2:] == ["another net, all weights free", "the same, all weights free"]
    assert axes.get_xscale() == "log"


def test_the_legend_of_the_central_figure_covers_no_point(central):
    renderer = FigureCanvasAgg(central).get_renderer()
    (axes,) = central.axes
    legend = axes.get_legend().get_window_extent(renderer)
    for bars in axes.containers:
        for point in axes.transData.transform(bars.lines[0].get_xydata()):
            assert not legend.contains(*point)


def drawn():
    """Every kind of figure, with the longest names that may come."""
    curves = series(group(r.CONV_NEW + r.CONV_FULL)) + series(group(r.FC_NEW))
    conv, nets = group(r.CONV_NEW), group(r.ZOO)
    long = [("tensorflow-softmax", g) for g in conv]
    points = [(1, Summary(50.0, 1.0, 3)), (100_000, Summary(99.0, 1.0, 3))]
    named = ["published, 10 epochs", "published, 100 epochs", "recipe of 2017, 10 epochs",
             "recipe of 2017, 100 epochs", "new recipe, 10 epochs"]  # fmt: skip
    yield "wide", figures.free_parameters(curves, nets)
    yield "narrow", figures.free_parameters(curves, nets, figures.NARROW, below=True)
    yield "dims", figures.courses(conv, labels(conv), "test_accuracy", ordered=True)
    yield "nets", figures.courses(conv, [n for n, _ in long], "test_accuracy", ordered=False)
    yield "loss", figures.courses(conv, [n for n, _ in long], "train_loss", ordered=False)
    yield "recipes", figures.against_dim([Line(name, points) for name in named])
    yield "one line", figures.against_dim([Line("", points)], "rmse")
    kinds = series(group(r.CONV_NEW + r.KINDS))
    yield "kinds", figures.relative_errors(kinds, ["orthonormal"] * 3)


@pytest.mark.parametrize("figure", [pytest.param(f, id=name) for name, f in drawn()])
def test_nothing_leaves_the_figure(figure):
    box = figure.axes[0].get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    assert box.x0 >= -1
    assert box.y0 >= -1
    assert box.x1 <= figure.bbox.x1 + 1
    assert box.y1 <= figure.bbox.y1 + 1


def test_courses_have_a_line_a_band_and_a_name_for_each_group():
    groups = group(r.CONV_NEW)
    (axes,) = figures.courses(groups, labels(groups), "test_accuracy", ordered=True).axes
    lines = [line for line in axes.lines if len(line.get_xdata()) == 10]
    assert [line.get_ydata()[-1] for line in lines] == [91.0, 93.0, 95.0]
    assert len(axes.collections) == 3
    low, high = axes.collections[0].get_datalim(axes.transData).intervaly
    assert (low, high) == (81.0, 92.0)  # from 82 - 1 at the first epoch to 91 + 1 at the last
    assert [text.get_text() for text in axes.texts] == [
        "100  91.0 %",
        "1,000  93.0 %",
        "3,000  95.0 %",
    ]


def test_losses_of_zero_can_be_drawn():
    records = [{**one, "result": {**one["result"], "loss_curve": [1.0, 0.0]}} for one in r.CONV_NEW]
    groups = group(records)
    figure = figures.courses(groups, labels(groups), "train_loss", ordered=True)
    assert theme.png(figure).startswith(b"\x89PNG")


def test_relative_errors_are_over_the_mean_of_all_kinds():
    found = series(group(r.CONV_NEW + r.KINDS))
    bars = error_bars(figures.relative_errors(found, [one.projection for one in found]))
    errors = {"hadamard": [12, 10], "hashed": [9, 7], "sparse": [11, 9]}
    for name, ours in errors.items():
        expected = [
            e / np.mean(all_)
            for e, all_ in zip(ours, zip(*errors.values(), strict=True), strict=True)
        ]
        np.testing.assert_allclose([y for _, y, _ in bars[name][:2]], expected)


def test_accuracy_stands_on_an_axis_of_the_error():
    _, axes = theme.canvas(400, 300, right=20)
    accuracy_axis(axes, [Summary(0.0, None, 1), Summary(99.9, None, 1)])
    heights = axes.transData.transform([(0, 0), (0, 90), (0, 99), (0, 99.9)])[:, 1]
    np.testing.assert_allclose(np.diff(heights, n=2), 0, atol=1e-6)


@pytest.mark.parametrize("accuracies", [[0.0], [100.0], [10.0, 10.0], [99.97, 100.0]], ids=str)
def test_any_accuracies_have_an_axis(accuracies):
    points = [(10 * (i + 1), Summary(a, 0.5, 3)) for i, a in enumerate(accuracies)]
    figure = figures.against_dim([Line("", points)])
    assert theme.png(figure).startswith(b"\x89PNG")


def test_svg_is_the_same_for_the_same_figure_and_stands_alone(central):
    text = theme.svg(central)
    assert text == theme.svg(central)
    assert text.startswith("<?xml")
    assert "<text" not in text  # letters are drawn
    assert not re.findall(r'(?:href|src)="[^#"]', text)


def test_inline_svg_takes_the_colours_of_its_page(central):
    text = theme.inline_svg(central, "central")
    assert text.startswith("<svg")
    assert "var(--c0, #0072b2)" in text
    colours = set(re.findall(r"#[0-9a-f]{6}", text))
    assert colours <= {light for light, _ in theme.THEME.values()}
    assert len(re.findall(r' id="', text)) == len(set(re.findall(r' id="([^"]+)"', text)))


def test_png_has_the_size_asked_for(central):
    content = theme.png(central, dpi=72)
    assert struct.unpack(">II", content[16:24]) == tuple(map(int, figures.WIDE))


def test_no_two_colours_are_the_same():
    lights = [light for light, _ in theme.THEME.values()]
    darks = [dark for _, dark in theme.THEME.values()]
    assert len(set(lights)) == len(lights)
    assert len(set(darks)) == len(darks)


def contrast(one, other):
    """Of two colours, as the guidelines for accessible pages have it (WCAG 2.1)."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return np.dot(linear, (0.2126, 0.7152, 0.0722))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


FAINT = {"ground", "grid", "s0", "s1", "s2"}


@pytest.mark.parametrize("name", [n for n in theme.THEME if n not in FAINT])
def test_colours_stand_out_from_the_ground(name):
    light, dark = theme.THEME[name]
    for colour, ground in zip((light, dark), theme.THEME["ground"], strict=True):
        assert contrast(colour, ground) >= (4.5 if name in {"ink", "soft"} else 2.2)
