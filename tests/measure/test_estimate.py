"""d_int and its interval, from results."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from evidence import measure_coverage
from subspace_nn.measure.estimate import Results, cross, estimate

D = 10_000


def results(at, full=(1.0, 1.0), **more):
    return Results(D, full, at, **more)


def same(values):
    """Two runs at each dimension that agree."""
    return {dim: [value, value] for dim, value in values.items()}


@pytest.mark.parametrize(("values", "dim", "below", "reached"), [
    ({10: 0.5, 100: 0.7, 1000: 0.95}, 631, 100, 1000),
    ({10: 0.5, 100: 0.9}, 100, 10, 100),
    ({10: 0.5, 11: 0.95}, 11, 10, 11),
    ({1: 0.95}, 1, 0, 1),
    ({7: 0.95, 30: 1.0}, 1, 0, 7),
    ({10: 0.5, 100: 0.7}, 2155, 100, D),
    # Pooled: 0.7 and 0.5 count as 0.6, 0.95 and 0.93 as 0.94.
    ({10: 0.7, 20: 0.5, 40: 0.95, 80: 0.93}, 37, 20, 40),
    ({}, 1, 0, D),
], ids=str)  # fmt: skip
def test_crossing_without_noise(values, dim, below, reached):
    found = estimate(results(same(values)))
    assert (found.dim, found.below, found.reached) == (dim, below, reached)
    if found.noise == 0:
        assert (found.low, found.high) == (below + 1, reached)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.floats(0, 1), min_size=5, max_size=5), min_size=1, max_size=4),
    st.lists(st.integers(1, 9), min_size=5, max_size=5),
    st.floats(0.01, 1.2),
)
def test_many_curves_at_once_are_each_its_isotonic_regression(rows, counts, level):
    dims, D = [3, 10, 30, 100, 300], 1000
    means, counts = np.array(rows), np.array(counts, dtype=float)
    tops = np.full(len(rows), 1.3)
    levels = np.full(len(rows), level)
    shorts, crossings = cross(means, counts, dims, ends=(0, D), levels=levels, tops=tops)
    for row, short, crossing in zip(means, shorts, crossings, strict=True):
        fit = isotonic_regression(row, weights=counts).x
        if np.abs(fit - level).min() < 1e-9:
            continue  # reached or not by rounding alone
        assert short == np.searchsorted(fit, level)
        if short:
            values, logs = [*fit, 1.3], np.log([*dims, D])
            inside = np.interp(level, values[short - 1 : short + 1], logs[short - 1 : short + 1])
            assert crossing == pytest.approx(inside)
        else:
            assert crossing < 0


def test_the_line_between_two_dimensions_is_straight_in_log_d():
    found = estimate(results(same({100: 0.8, 10_000 // 4: 0.98})))
    expected = math.exp(math.log(100) + (0.9 - 0.8) / 0.18 * math.log(25))
    assert found.dim == math.ceil(expected)


def test_runs_count_by_their_number():
    once = estimate(results({10: [0.5], 20: [0.96], 40: [0.80], 80: [1.0]}))
    often = estimate(results({10: [0.5], 20: [0.96] * 9, 40: [0.80], 80: [1.0]}))
    assert once.reached == 80
    assert often.reached == 20


def test_a_single_run_each_leaves_the_noise_unknown():
    found = estimate(results({10: [0.5], 100: [0.95]}))
    assert found.noise is None
    assert (found.low, found.high) == (1, D)


def test_a_relative_threshold_needs_two_runs_of_the_full_model():
    at = same({10: 0.5, 100: 0.95})
    assert estimate(results(at, full=[1.0])).high == D
    absolute = estimate(results(at, full=[1.0], factor=0.0, constant=0.9))
    assert (absolute.low, absolute.high) == (11, 100)


def test_noise_far_from_the_crossing_does_not_count():
    near, far = {100: [0.8, 0.81], 200: [0.95, 0.96]}, {2: [0.0, 0.5]}
    assert estimate(results(near | far)).noise == estimate(results(near)).noise


@st.composite
def noisy(draw):
    dims = draw(st.lists(st.integers(1, D - 1), min_size=1, max_size=8, unique=True))
    value = st.floats(0.01, 1.0, allow_subnormal=False)
    at = {dim: draw(st.lists(value, min_size=1, max_size=6)) for dim in dims}
    return results(at, draw(st.lists(st.floats(0.5, 1.0), min_size=2, max_size=5)))


@settings(max_examples=60, deadline=None)
@given(noisy())
def test_laws(seen):
    found = estimate(seen, resamples=50)
    assert 0 <= found.below < found.dim <= found.reached <= D
    assert 1 <= found.low <= found.dim <= found.high <= D
    assert found.low <= found.below + 1
    assert found.high >= found.reached
    fitted = [point.fitted for point in found.points]
    assert fitted == sorted(fitted)
    assert estimate(seen, resamples=50) == found


@settings(max_examples=30, deadline=None)
@given(noisy(), st.sampled_from([0.5, 4.0, 100.0]))
def test_the_unit_of_the_metric_does_not_matter(seen, unit):
    scaled = Results(
        D,
        [unit * value for value in seen.full],
        {dim: [unit * value for value in values] for dim, values in seen.at.items()},
    )
    one, other = estimate(seen, resamples=50), estimate(scaled, resamples=50)
    assert (one.below, one.reached) == (other.below, other.reached)
    assert abs(one.dim - other.dim) <= 1
    for name in ("low", "high"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=0.01, abs=1)


def test_more_confidence_is_a_wider_interval():
    dice = np.random.default_rng(0)
    at = {d: list(0.1 * math.log(d / 300) + 0.9 + 0.02 * dice.standard_normal(6))
          for d in (200, 250, 300, 360, 430)}  # fmt: skip
    widths = [estimate(results(at), confidence=c).ratio for c in (0.5, 0.9, 0.99)]
    assert widths == sorted(widths)
    assert widths[0] < widths[2]


def test_more_runs_make_a_narrower_interval():
    dice = np.random.default_rng(0)

    def ratio(n):
        at = {d: list(0.1 * math.log(d / 300) + 0.9 + 0.02 * dice.standard_normal(n))
              for d in (240, 255, 270, 285, 300, 315, 330, 350, 370)}  # fmt: skip
        return math.log(estimate(results(at)).ratio)

    assert ratio(60) < 0.6 * ratio(4)


def test_noise_of_the_full_model_widens_the_interval():
    at = same({100: 0.8, 120: 0.85, 150: 0.89, 190: 0.92, 250: 0.95})
    quiet, loud = (estimate(results(at, full=[1 - s, 1 + s, 1.0])) for s in (0.0, 0.03))
    assert quiet.high < loud.high
    assert quiet.low > loud.low


def test_the_interval_holds_the_truth():
    """A smaller form of evidence/measure_coverage.py."""
    trials = [
        measure_coverage.measured(measure_coverage.task(index), grid=False)
        for index in range(0, 100, 5)
    ]
    assert sum(trial["covered"] for trial in trials) >= 18
    tight = [trial["runs"] for trial in trials if trial["tight"]]
    assert len(tight) >= 14
    assert sum(tight) / len(tight) < 60


def test_a_grid_as_tight_takes_more_than_twice_the_runs():
    trials = [measure_coverage.measured(measure_coverage.task(index)) for index in (3, 54)]
    for trial in trials:
        assert trial["grid_runs"] > 2 * trial["runs"]


def test_synthetic_answers_are_what_they_say():
    for index in range(0, 100, 9):
        synthetic = measure_coverage.task(index)
        threshold = 0.9 * synthetic.mean(measure_coverage.D)
        assert synthetic.mean(synthetic.answer) >= threshold
        assert synthetic.mean(synthetic.answer - 1) < threshold


def test_points_tell_what_was_run():
    (first, second) = estimate(results({10: [0.5, 0.7], 100: [0.95]})).points
    assert dataclasses.astuple(first) == (10, 2, 0.6, pytest.approx(0.1414, rel=1e-3), 0.6)
    assert second.std is None
