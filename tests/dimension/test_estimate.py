"""d_int and its interval, from results."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence import measure_coverage, measure_families
from subspace_nn.dimension.estimate import estimate
from subspace_nn.dimension.results import Results

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


def test_the_order_of_runs_does_not_matter():
    dice = np.random.default_rng(0)
    at = {d: list(0.9 + 0.1 * math.log(d / 300) + 0.02 * dice.standard_normal(7))
          for d in (200, 250, 300, 360, 430)}  # fmt: skip
    full = [1.0, 0.99, 1.02]
    shuffled = {d: list(dice.permutation(values)) for d, values in reversed(at.items())}
    assert estimate(results(shuffled, full[::-1])) == estimate(results(at, full))


@pytest.mark.parametrize("unit", [2.0**-900, 2.0**400, 2.0**700, 2.0**990])
def test_results_of_any_size(unit):
    at = {10: [0.5, 0.52], 100: [0.8, 0.83], 300: [0.95, 0.96]}
    one = estimate(results(at))
    scaled = {dim: [unit * value for value in values] for dim, values in at.items()}
    found = estimate(results(scaled, full=(unit, unit)))
    assert (found.dim, found.low, found.high) == (one.dim, one.low, one.high)
    assert found.threshold == pytest.approx(unit * one.threshold)
    assert [p.mean for p in found.points] == [unit * p.mean for p in one.points]


@pytest.mark.parametrize("level", [0.1, 0.3, 0.7, 0.8, 0.9])
def test_fractions_that_equal_the_threshold_at_several_dimensions(level):
    at = {d: [level] * 3 for d in (30, 40, 50)} | {10: [0.0] * 3, 20: [0.0, 0.0, 0.1]}
    found = estimate(Results(D, [1.0] * 5, at, factor=level))
    assert (found.below, found.reached) == (20, 30)
    tenths = {d: [level - 0.1, level + 0.1, level] for d in (30, 40, 50)}
    found = estimate(Results(D, [1.0] * 5, at | tenths, factor=level))
    assert found.low <= 30 <= found.high


def test_resamples_reach_to_the_ends_of_their_gaps():
    # At 300 the mean is as good as the threshold: the curve may be a step on either side of it.
    at = {250: [0.5, 0.51, 0.49], 300: [0.88, 0.9, 0.92], 360: [1.0, 1.01, 0.99]}
    found = estimate(results(at, full=[1.0, 1.0, 1.0]))
    assert (found.low, found.high) == (251, 360)


def test_a_curve_that_falls_beyond_its_noise_has_its_last_crossing():
    def noisy(mean):
        return [mean + 0.002 * k for k in range(-5, 5)]

    dip = {10: 0.5, 20: 0.97, 40: 0.96, 80: 0.6, 160: 0.95, 320: 0.98}
    found = estimate(results({d: noisy(mean) for d, mean in dip.items()}))
    assert found.doubts == ("falls",)
    assert (found.below, found.reached) == (80, 160)
    assert found.low >= 81
    monotone = {d: noisy(mean) for d, mean in zip(dip, sorted(dip.values()), strict=True)}
    assert not estimate(results(monotone)).doubts


def test_a_fall_between_single_runs_is_run_again():
    at = {100: [0.8, 0.801], 110: [0.95, 0.951], 400: [0.6], 500: [0.97, 0.971]}
    found = estimate(results(at))
    assert found.suspects == (110, 400)
    assert not found.doubts


def test_the_interval_holds_the_truth():
    """A smaller form of evidence/measure_coverage.py."""
    promised = [family for family in measure_families.FAMILIES if family.promised]
    trials = [measure_coverage.measured(family, 0) for family in promised]
    assert sum(trial.held for trial in trials) >= 0.88 * len(trials)
    assert sum(trial.tight for trial in trials) >= 0.6 * len(trials)


@pytest.mark.parametrize("name", ["works or fails", "dip", "ripples"])
def test_what_the_records_show_is_never_called_tight(name):
    (family,) = (family for family in measure_families.FAMILIES if family.name == name)
    trials = [measure_coverage.measured(family, index) for index in range(6)]
    assert sum(trial.doubted for trial in trials) >= 3
    assert not any(trial.tight and trial.shown for trial in trials)


@pytest.mark.parametrize("family", measure_families.FAMILIES, ids=lambda family: family.name)
def test_synthetic_answers_are_what_they_say(family):
    task, dice = measure_coverage.drawn(family, 1)
    assert task.answer == task.D or task.mean(task.answer) >= task.threshold - 1e-9
    assert task.answer == 1 or task.mean(task.answer - 1) < task.threshold
    dim = max(1, task.answer - 1)
    runs = [task.run(dim, dice.standard_normal(), dice) for _ in range(2000)]
    spread = task.noise * task.spread(math.log(dim / task.place))
    assert np.mean(runs) == pytest.approx(task.mean(dim), abs=0.15 * max(spread, np.std(runs)))


def test_points_tell_what_was_run():
    (first, second) = estimate(results({10: [0.5, 0.7], 100: [0.95]})).points
    assert dataclasses.astuple(first) == (10, 2, 0.6, pytest.approx(0.1414, rel=1e-3), 0.6)
    assert second.std is None
