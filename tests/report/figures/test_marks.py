"""Names stand apart, near their points, and cover nothing."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

from subspace_nn.report.figures import marks
from subspace_nn.report.figures.marks import Mark, spread
from subspace_nn.report.figures.theme import canvas

places = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(places)
def test_spread_places_are_apart_and_in_order(wanted):
    got = spread(wanted, gap=0.05, low=0.0, high=1.0)
    ordered = [got[i] for i in sorted(range(len(wanted)), key=lambda i: wanted[i])]
    assert all(b - a >= 0.05 - 1e-8 for a, b in itertools.pairwise(ordered))
    assert min(got) >= -1e-8
    assert max(got) <= 1 + 1e-8


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9, unique=True))
def test_places_with_room_stay(wanted):
    assert spread([w / 10 for w in wanted], 0.1, 0.0, 1.0) == [w / 10 for w in wanted]


@given(st.floats(0, 1), st.floats(0, 1))
def test_two_places_give_way_alike(one, other):
    got = spread([one, other], gap=0.2, low=-9.0, high=9.0)
    short = max(0.0, 0.2 - abs(one - other)) / 2
    assert [abs(a - b) for a, b in zip(got, (one, other), strict=True)] == pytest.approx(
        [short, short], abs=1e-8
    )


def test_more_names_than_room_still_stand_apart():
    got = spread([0.5] * 9, gap=0.2, low=0.0, high=1.0)
    assert sorted(got) == pytest.approx([0.2 * i for i in range(9)])


@pytest.fixture
def panel():
    _, axes = canvas(400, 300, right=30)
    axes.set_xlim(0, 10)
    axes.set_ylim(0, 10)
    return axes


def boxes(axes):
    renderer = FigureCanvasAgg(axes.get_figure()).get_renderer()
    return [text.get_window_extent(renderer) for text in axes.texts]


def test_names_at_the_ends_do_not_touch(panel):
    marks.at_ends(panel, [Mark(10, 5 + i / 20, f"name {i}") for i in range(8)])
    found = sorted((box.y0, box.y1) for box in boxes(panel))
    assert len(found) == 8
    assert all(a[1] <= b[0] + 1.5 for a, b in itertools.pairwise(found))


def test_names_beside_points_cover_neither_names_nor_points(panel):
    wanted = [Mark(5 + i / 5, 5 + (i % 3) / 5, f"name {i}") for i in range(6)]
    line = [(x / 10, 4.5) for x in range(100)]
    left_out = marks.label(panel, wanted, line)
    assert left_out == []
    found = [text.get_position() for text in panel.texts]
    assert len(set(found)) == 6
    for (x, y), mark in zip(found, wanted, strict=True):
        assert abs(x * 10 - mark.x) + abs(y * 10 - mark.y) > 0.1


def test_a_name_without_room_is_given_back(panel):
    crowd = [(x / 5, y / 5) for x in range(-50, 100) for y in range(-50, 100)]
    mark = Mark(5, 5, "name")
    assert marks.label(panel, [mark], crowd) == [mark]
    assert not panel.texts
