"""Figures show the records: every point where it belongs, and nothing over anything else."""

import os
import re
import struct
import subprocess
import sys
from html import escape

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from subspace_nn.report import figures, theme
from subspace_nn.report.figures import Axis, Course, Interval
from subspace_nn.report.scales import Line, Point, accuracy_axis
from subspace_nn.report.text import label


def error_bars(figure):
    """Points with their error bars, by label: x, y, half the length of the bar."""
    found = {}
    for bars in figure.axes[0].containers:
        line, _, (segments,) = bars.lines
        halves = [(s[1][1] - s[0][1]) / 2 for s in segments.get_segments()]
        found[bars.get_label()] = list(zip(*line.get_data(), halves, strict=True))
    return found


LINES = [
    Line("conv", [Point(100, 91, 1), Point(1000, 93, 1), Point(3000, 95, 1)], colour="#0072b2"),
    Line("fc", [Point(100, 86, 1)]),
]
PERCENT, LOSS = Axis("test_accuracy", "percent"), Axis("training loss (nats)", "loss")


@pytest.fixture(scope="module")
def central():
    return figures.against_dim(LINES, PERCENT, "Title", figures.WIDE)


def test_every_point_has_its_place_and_its_bar(central):
    bars = error_bars(central)
    assert bars == {"conv": [(100, 91, 1), (1000, 93, 1), (3000, 95, 1)], "fc": [(100, 86, 1)]}
    (axes,) = central.axes
    assert [text.get_text() for text in axes.get_legend().texts] == ["conv", "fc"]
    assert [text.get_text() for text in central.texts] == ["Title"]
    assert axes.get_xscale() == "log"


EPOCHS = np.arange(1.0, 11)


def lines_of(names):
    return [Course(n, EPOCHS, 80 + i + EPOCHS + [[0], [2]]) for i, n in enumerate(names)]


def drawn():
    """Every kind of figure, with the longest names that may come."""
    points = [Point(1, 50.0, 1.0), Point(100_000, 99.0, 1.0)]
    long = [label("x" * 70 + str(i)) for i in range(3)]
    named = ["published, 10 epochs", "published, 100 epochs", "recipe of 2017, 10 epochs",
             "recipe of 2017, 100 epochs", "new recipe, 10 epochs"]  # fmt: skip
    yield "dims", figures.courses(lines_of("abc"), PERCENT, "Title" * 99, ordered=True)
    yield "long names", figures.courses(lines_of(long), PERCENT, ordered=False)
    yield "loss", figures.courses(lines_of(long), LOSS, ordered=False)
    yield "recipes", figures.against_dim([Line(name, points) for name in named], PERCENT)
    yield "one line", figures.against_dim([Line("", points)], Axis("rmse"))
    tasks = [Interval(name, 10, 5, 20, 1000, [7]) for name in long] + [Interval("a", None, 0, 0, 9)]
    yield "intervals", figures.intervals(tasks, "Title")
    yield "narrow", figures.intervals(tasks, "Title", figures.NARROW[0])
    yield "one interval", figures.intervals(tasks[:1])


@pytest.mark.parametrize("figure", [pytest.param(f, id=name) for name, f in drawn()])
def test_nothing_leaves_the_figure(figure):
    box = figure.axes[0].get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    assert box.x0 >= -1
    assert box.y0 >= -1
    assert box.x1 <= figure.bbox.x1 + 1
    assert box.y1 <= figure.bbox.y1 + 1


def test_courses_have_a_line_a_band_and_a_name_for_each_course():
    (axes,) = figures.courses(lines_of(["100", "1,000"]), PERCENT, ordered=True).axes
    lines = [line for line in axes.lines if len(line.get_xdata()) == 10]
    assert [line.get_ydata()[-1] for line in lines] == [91.0, 92.0]
    assert len(axes.collections) == 2
    low, high = axes.collections[0].get_datalim(axes.transData).intervaly
    assert (low, high) == pytest.approx((82 - 2**0.5, 91 + 2**0.5))
    assert [text.get_text() for text in axes.texts] == ["100  91.0 %", "1,000  92.0 %"]


@pytest.mark.parametrize(
    "values",
    [(1, 0), (0, 0), (1e200, 3e200), (1e308, -1e308), (1e-300, 1), (-1, 1e300), (5e-324, 1)],
    ids=str,
)
@pytest.mark.parametrize("axis", [LOSS, Axis("any")], ids=lambda axis: axis.kind)
def test_any_finite_numbers_can_be_drawn(values, axis):
    course = Course("x", np.array([1.0, 2.0]), np.array([values, values[::-1]]))
    assert theme.png(figures.courses([course], axis, ordered=True)).startswith(b"\x89PNG")
    points = [Point.of(10 ** (i + 1), value, abs(value)) for i, value in enumerate(values)]
    assert "<svg" in theme.svg(figures.against_dim([Line("", points)], axis))


@pytest.mark.parametrize(
    "name", ["$x$", "$\\frac{1}$", "a\\b", "_x_", "^", "$", "{", "%", "\x1b[2J\u202e", "漢字"]
)
def test_any_name_is_drawn_as_it_is(name):
    figure = figures.against_dim([Line(label(name), LINES[0].points), LINES[1]], PERCENT, name)
    assert escape(label(name), quote=False) in theme.inline_svg(figure, "x")
    assert theme.png(figure).startswith(b"\x89PNG")


def test_the_style_of_a_user_changes_no_figure():
    before = theme.svg(figures.against_dim(LINES, PERCENT))
    with mpl.rc_context({"text.usetex": True, "axes.facecolor": "red", "savefig.bbox": "tight"}):
        assert theme.svg(figures.against_dim(LINES, PERCENT)) == before


@pytest.mark.parametrize("backend", ["no such", "module://matplotlib_inline.backend_inline"])
def test_a_backend_that_is_not_installed_is_no_trouble(backend):
    """The environment of a notebook names one to all commands that the notebook starts."""
    code = (
        "import importlib.metadata as m; own = m.entry_points\n"
        "m.entry_points = lambda **k: [e for e in own(**k) if 'inline' not in e.name]\n"
        "from subspace_nn.report import figures, png, theme\n"
        "png(theme.canvas(100, 100, right=9)[0])\n"
        "import sys; assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"MPLBACKEND": backend}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_accuracy_stands_on_an_axis_of_the_error():
    _, axes = theme.canvas(400, 300, right=20)
    accuracy_axis(axes, [Point(1, 0.0), Point(1, 99.9)])
    heights = axes.transData.transform([(0, 0), (0, 90), (0, 99), (0, 99.9)])[:, 1]
    np.testing.assert_allclose(np.diff(heights, n=2), 0, atol=1e-6)


@pytest.mark.parametrize("accuracies", [[0.0], [100.0], [10.0, 10.0], [99.97, 100.0]], ids=str)
def test_any_accuracies_have_an_axis(accuracies):
    points = [Point(10 * (i + 1), a, 0.5) for i, a in enumerate(accuracies)]
    figure = figures.against_dim([Line("", points)], PERCENT)
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


def test_numbers_in_names_keep_their_digits():
    figure = figures.against_dim([Line("lr 0.00123", LINES[0].points), LINES[1]], PERCENT)
    assert "lr 0.00123" in theme.inline_svg(figure, "x")


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
