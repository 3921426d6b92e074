"""Figures show the records: every point where it belongs, and nothing over anything else."""

import os
import re
import struct
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from subspace_nn.report import colours, draw, pdf, png, svg
from subspace_nn.report.chart import DIMS, Axis, Chart, Point, Rule, Series, axis_of
from subspace_nn.report.figures import theme
from subspace_nn.report.figures.panel import WIDE, draw_on
from subspace_nn.report.figures.scales import accuracy_axis
from subspace_nn.report.text import label

PERCENT, LOSS = Axis("test accuracy (%)", "percent"), Axis("training loss (nats)", "log")
SERIES = [
    Series("conv", [Point.of(100, 91, 1), Point.of(1000, 93, 1), Point.of(3000, 95, 1)]),
    Series("fc", [Point.of(100, 86, 1)], colour="c1"),
]
CENTRAL = Chart("Title", DIMS, PERCENT, SERIES, wide=True)


@pytest.fixture(scope="module")
def central():
    return draw(CENTRAL)


def error_bars(figure):
    """Points with their error bars, by label: x, y, half the length of the bar."""
    found = {}
    for bars in figure.axes[0].containers:
        line, _, (segments,) = bars.lines
        halves = [(s[1][1] - s[0][1]) / 2 for s in segments.get_segments()]
        found[bars.get_label()] = list(zip(*line.get_data(), halves, strict=True))
    return found


def test_every_point_has_its_place_and_its_bar(central):
    bars = error_bars(central)
    assert bars == {"conv": [(100, 91, 1), (1000, 93, 1), (3000, 95, 1)], "fc": [(100, 86, 1)]}
    (axes,) = central.axes
    assert [text.get_text() for text in axes.get_legend().texts] == ["conv", "fc"]
    assert [text.get_text() for text in central.texts] == ["Title"]
    assert axes.get_xscale() == "log"


def test_a_message_is_written_in_the_figure():
    figure = draw(Chart("Title", DIMS, PERCENT, SERIES, message="conv is better."))
    assert [text.get_text() for text in figure.texts] == ["conv is better."]


def course(name, number):
    points = [Point.of(epoch, 80 + number + epoch, 1.4) for epoch in range(1, 11)]
    return Series(name, points, "course", colours.shade(number, 3), "-", f"{name}  91.0 %")


def drawn():
    """Every kind of figure, with the longest names that may come."""
    points = [Point.of(1, 50.0, 1.0), Point.of(100_000, 99.0, 1.0)]
    long = [label("x" * 70 + str(i)) for i in range(3)]
    named = ["published, 10 epochs", "published, 100 epochs", "recipe of 2017, 10 epochs",
             "recipe of 2017, 100 epochs", "new recipe, 10 epochs"]  # fmt: skip
    epochs = Axis("epoch", "epoch")
    yield "dims", Chart("Title" * 99, epochs, PERCENT, [course(n, i) for i, n in enumerate("abc")])
    yield "loss", Chart("", epochs, LOSS, [course(n, i) for i, n in enumerate(long)])
    yield "recipes", Chart("", DIMS, PERCENT, [Series(name, points) for name in named])
    yield "one line", Chart("", DIMS, Axis("rmse"), [Series("", points)])
    rules = [Rule("threshold", 90, "y", dashed=True), Rule("d_int", 100, ends=(50, 200))]
    yield "rules", Chart("", DIMS, PERCENT, [Series("fit", points, "fit")], rules)
    rates = [Series("d = 3", [Point.of(0.1, 1.2), Point.of(0.4, 1)], "dotted")]
    yield "rates", Chart("", Axis("learning rate", "log"), LOSS, rates)
    rows = [
        Series("measured", [Point(10, i, 5, 20) for i in range(3)], "dots"),
        Series("published", [Point(7, 1, 7, 7)], "hollow", marker="D"),
        Series("all", [Point(1000, i, 1000, 1000) for i in range(3)], "strokes"),
    ]
    for name, wide in (("rows", True), ("narrow rows", False)):
        axis = Axis("parameters", "count")
        yield name, Chart("Title", axis, Axis(""), rows, rows=long, wide=wide)


@pytest.mark.parametrize("chart", [pytest.param(c, id=name) for name, c in drawn()])
def test_nothing_leaves_the_figure(chart):
    figure = draw(chart)
    box = figure.axes[0].get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    assert box.x0 >= -1
    assert box.y0 >= -1
    assert box.x1 <= figure.bbox.x1 + 1
    assert box.y1 <= figure.bbox.y1 + 1


def test_a_row_has_its_spread_across():
    (axes,) = draw(dict(drawn())["rows"]).axes
    bars = axes.containers[0]
    _, _, (segments,) = bars.lines
    assert next(tuple(map(tuple, one)) for one in segments.get_segments()) == ((5, 0), (20, 0))
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first is at the top
    assert axes.get_xlim()[0] < 5  # where the spread begins


def test_a_short_axis_of_logarithms_has_numbers():
    figure = draw(dict(drawn())["rates"])
    FigureCanvasAgg(figure).draw()
    texts = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert {"0.1", "0.2"} <= set(texts)


def test_courses_have_a_line_a_band_and_a_name_for_each_course():
    chart = dict(drawn())["dims"]
    (axes,) = draw(chart).axes
    lines = [line for line in axes.lines if len(line.get_xdata()) == 10]
    assert [line.get_ydata()[-1] for line in lines] == [90.0, 91.0, 92.0]
    assert len(axes.collections) == 3
    low, high = axes.collections[0].get_datalim(axes.transData).intervaly
    assert (low, high) == pytest.approx((81 - 1.4, 90 + 1.4))
    assert [text.get_text() for text in axes.texts] == [one.end for one in chart.series]


@pytest.mark.parametrize(
    "values",
    [(1, 0), (0, 0), (1e200, 3e200), (1e308, -1e308), (1e-300, 1), (-1, 1e300), (5e-324, 1)],
    ids=str,
)
@pytest.mark.parametrize("axis", [LOSS, Axis("any")], ids=lambda axis: axis.scale)
def test_any_finite_numbers_can_be_drawn(values, axis):
    points = [Point.of(10 ** (i + 1), value, abs(value)) for i, value in enumerate(values)]
    for look in ("course", "line"):
        chart = Chart("", DIMS, axis, [Series("", points, look)])
        assert png(draw(chart)).startswith(b"\x89PNG")
        assert "<svg" in svg(draw(chart))


@pytest.mark.parametrize(
    "name", ["$x$", "$\\frac{1}$", "a\\b", "_x_", "^", "$", "{", "%", "\x1b[2J\u202e", "漢字"]
)
def test_any_name_is_drawn_as_it_is(name):
    series = [Series(label(name), SERIES[0].points), SERIES[1]]
    figure = draw(Chart(name, DIMS, PERCENT, series))
    texts = [text.get_text().lstrip("\u200a") for text in figure.axes[0].get_legend().texts]
    assert texts[0] == label(name)
    assert figure.texts[0].get_text() == label(name)
    assert png(figure).startswith(b"\x89PNG")


def test_the_style_of_a_user_changes_no_figure(central):
    before = svg(central)
    with mpl.rc_context({"text.usetex": True, "axes.facecolor": "red", "savefig.bbox": "tight"}):
        assert svg(draw(CENTRAL)) == before


@pytest.mark.parametrize("backend", ["no such", "module://matplotlib_inline.backend_inline"])
def test_a_backend_that_is_not_installed_is_no_trouble(backend):
    """The environment of a notebook names one to all commands that the notebook starts."""
    code = (
        "import importlib.metadata as m; own = m.entry_points\n"
        "m.entry_points = lambda **k: [e for e in own(**k) if 'inline' not in e.name]\n"
        "from subspace_nn.report.figures import theme\n"
        "theme.png(theme.canvas(100, 100, right=9)[0])\n"
        "import sys; assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"MPLBACKEND": backend}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_accuracy_stands_on_an_axis_of_the_error():
    _, axes = theme.canvas(400, 300, right=20)
    accuracy_axis(axes, [Point.of(1, 0.0), Point.of(1, 99.9)])
    heights = axes.transData.transform([(0, 0), (0, 90), (0, 99), (0, 99.9)])[:, 1]
    np.testing.assert_allclose(np.diff(heights, n=2), 0, atol=1e-6)


@pytest.mark.parametrize("accuracies", [(14.3, 15.0), (14.7, 38.0), (50.0, 98.0)])
def test_an_axis_of_accuracy_has_numbers(accuracies):
    _, axes = theme.canvas(400, 300, right=20)
    accuracy_axis(axes, [Point.of(1, a) for a in accuracies])
    assert len(axes.get_yticks()) >= 2


@pytest.mark.parametrize("accuracies", [[0.0], [100.0], [10.0, 10.0], [99.97, 100.0]], ids=str)
def test_any_accuracies_have_an_axis(accuracies):
    points = [Point.of(10 * (i + 1), a, 0.5) for i, a in enumerate(accuracies)]
    assert png(draw(Chart("", DIMS, PERCENT, [Series("", points)]))).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("metric", "values", "scale"),
    [
        ("test_accuracy", [10.0, 98.0], "percent"),
        ("test_accuracy", [0.1, 0.98], "plain"),
        ("test_accuracy", [10.0, 980.0], "plain"),
        ("accuracy_of_it", [10.0], "plain"),
        ("test_loss", [0.1], "log"),
        ("rmse", [], "plain"),
    ],
)
def test_an_axis_suits_its_metric(metric, values, scale):
    assert axis_of(metric, values).scale == scale


def test_files_are_the_same_for_the_same_figure_and_stand_alone(central):
    text = svg(central)
    assert text == svg(central)
    assert text.startswith("<?xml")
    assert "<text" not in text  # letters are drawn
    assert not re.findall(r'(?:href|src)="[^#"]', text)
    assert pdf(central) == pdf(central)
    assert pdf(central).startswith(b"%PDF")


def test_a_chart_is_drawn_on_axes_of_a_users_own():
    axes = Figure(figsize=(3, 3)).subplots()
    draw_on(axes, dict(drawn())["rules"])
    axes.legend()
    assert [text.get_text() for text in axes.get_legend().texts] == ["threshold", "d_int", "fit"]


def test_letters_keep_their_size(central):
    """9.5 points are a scale of 0.095, which two decimals would make 9."""
    sizes = {float(size) for size in re.findall(r"scale\(([\d.]+) ", svg(central))}
    assert 0.095 in sizes
    assert all(size >= 0.085 for size in sizes)


def test_an_adaptive_svg_takes_the_colours_of_the_reader(central):
    text = theme.adaptive_svg(central)
    assert "var(--ink, #22262b)" in text
    assert "prefers-color-scheme: dark" in text
    drawing = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    used = set(re.findall(r"#[0-9a-f]{6}", drawing))
    assert used <= {light for light, _ in colours.THEME.values()}
    assert not re.findall(r"(?<!, )#[0-9a-f]{6}", drawing)  # each is a variable's


def test_png_has_the_size_asked_for(central):
    content = theme.png(central, dpi=72)
    assert struct.unpack(">II", content[16:24]) == tuple(map(int, WIDE))


def test_no_two_colours_are_the_same():
    for shown in zip(*colours.THEME.values(), strict=True):
        assert len(set(shown)) == len(shown)


def contrast(one, other):
    """Of two colours, as the guidelines for accessible pages have it (WCAG 2.1)."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return np.dot(linear, (0.2126, 0.7152, 0.0722))

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


FAINT = {"ground", "grid", "tint", "s0", "s1", "s2"}


@pytest.mark.parametrize("name", [n for n in colours.THEME if n not in FAINT])
def test_colours_stand_out_from_the_ground(name):
    light, dark = colours.THEME[name]
    for colour, ground in zip((light, dark), colours.THEME["ground"], strict=True):
        assert contrast(colour, ground) >= (4.5 if name in {"ink", "soft", "link"} else 2.2)
