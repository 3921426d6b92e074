"""What is run next."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subspace_nn.dimension.estimate import estimate
from subspace_nn.dimension.plan import first_dims, is_beyond, is_narrow, next_dims
from subspace_nn.dimension.results import Results

D = 10_000
#: One run at each of some dimensions, no further apart than a factor e near 10.
ABOVE = {18: [1.0], 24: [1.0], 56: [1.0], 100: [1.0]}
AROUND = {2: [0.1], 5: [0.3]} | ABOVE


def planned(at, *, full=(1.0, 1.0, 1.0, 1.0, 1.0), ratio=1.2, batch=4, D=D):
    seen = Results(D, full, at)
    return next_dims(seen, estimate(seen), ratio=ratio, batch=batch)


@pytest.mark.parametrize(("at", "expected"), [
    ({}, [6, 40, 251, 1585]),
    ({100: [0.5], 1000: [0.95]}, [158, 251, 398, 631]),
    # No more cuts than are needed.
    ({100: [0.5], 125: [0.95]}, [112]),
    ({9: [0.5], 12: [0.95]}, [10, 11]),
    # Neighbours: their noise.
    ({9: [0.5], 10: [0.95]}, [9, 10, 9, 10]),
    ({9: [0.5] * 3, 10: [0.95]}, [10, 10, 9, 10]),
    # A look around: the curve may cross once more.
    ({9: [0.5] * 5, 10: [0.95] * 5}, [3, 316]),
    ({9: [0.5] * 5, 10: [0.95] * 5, 3: [0.1], 316: [1.0]}, [56]),
    ({9: [0.5] * 5, 10: [0.95] * 5} | AROUND, []),
    # A jump takes five runs on either side, a slope two.
    ({9: [0.5] * 2, 10: [0.95] * 2} | AROUND, [9, 10, 9, 10]),
    ({9: [0.88, 0.89], 10: [0.95, 0.96]} | AROUND | {7: [0.6], 8: [0.7]}, []),
    ({1: [0.95]}, [1, 1, 1, 1]),
    ({1: [0.95, 0.951], 2: [0.97], 5: [1.0]} | ABOVE, []),
    # A single low run above is run again, and the one before it.
    ({9: [0.5] * 2, 10: [0.95, 0.96]} | AROUND | {24: [0.7]}, [18, 24, 18, 24]),
], ids=str)  # fmt: skip
def test_next(at, expected):
    assert planned(at) == expected


def test_neighbouring_whole_numbers_are_tight():
    at = {2: [0.2, 0.21], 3: [0.88, 0.91, 0.89, 0.9, 0.87, 0.92], 4: [0.97, 0.98]}
    at |= {7: [1.0], 14: [1.0], 30: [1.0]}
    found = estimate(Results(D, (1.0,) * 5, at))
    assert (found.low, found.high) == (3, 4)
    assert planned(at) == []


def test_gaps_are_cut_where_noise_is_not_what_makes_the_interval_wide():
    steps = {250: 0.5, 285: 0.9, 325: 1.0}
    at = {d: [mean + 0.001 * k for k in (-2, -1, 0, 1, 2)] for d, mean in steps.items()}
    assert planned(at) == [267, 304]


def test_results_of_two_kinds_take_more_runs_at_each_end():
    at = AROUND | {9: [0.1] * 4, 10: [0.95] * 4, 5: [0.1, 0.101, 0.1, 0.95, 0.1]}
    assert planned(at) == [9, 10, 9, 10]
    assert planned(at | {9: [0.1] * 10, 10: [0.95] * 10}) == []


def test_the_full_model_is_run_where_it_is_the_larger_doubt():
    at = {299: [0.899, 0.8991], 301: [0.9009, 0.901]}
    assert "full" in planned(at, full=[0.9, 1.0, 1.1])
    assert "full" not in planned({299: [0.7, 1.08], 301: [0.75, 1.1]})


@pytest.mark.parametrize(("there", "mean", "count"), [
    (0, True, 5), (2, True, 3), (5, True, 0), (9, True, 0), (0, False, 1), (1, False, 0),
])  # fmt: skip
def test_the_full_model_comes_first(there, mean, count):
    assert first_dims(there, mean=mean) == ["full"] * count


@pytest.mark.parametrize(("at", "batch", "expected"), [
    ({}, 4, [4, 17, 72, 300]),
    ({}, 1, [300]),
    ({20: [0.5]}, 2, [77, 300]),
    ({20: [0.5], 300: [0.95]}, 2, [49, 122]),
    ({20: [0.5], 300: [0.8]}, 2, [300, 300]),
    ({20: [0.5], 300: [0.8, 0.81]}, 2, []),
], ids=str)  # fmt: skip
def test_no_dimension_beyond_the_largest(at, batch, expected):
    seen = Results(D, [1.0] * 5, at, most=300)
    assert next_dims(seen, estimate(seen), ratio=1.2, batch=batch) == expected


def test_a_gap_up_to_the_full_model():
    assert planned({9000: [0.5]}, ratio=1.01) == [9192, 9387, 9587, 9791]
    assert planned({9990: [0.6]}) == [9990] * 4


@settings(max_examples=80, deadline=None)
@given(
    at=st.dictionaries(
        st.integers(1, D - 1), st.lists(st.floats(0, 1), min_size=1, max_size=4), max_size=6
    ),
    batch=st.integers(1, 9),
    ratio=st.sampled_from([1.01, 1.2, 2.0]),
    limits=st.tuples(st.integers(1, 50), st.none() | st.integers(50, D)),
)
def test_laws(at, batch, ratio, limits):
    least, most = limits
    at = {dim: values for dim, values in at.items() if least <= dim <= (most or D)}
    seen = Results(D, [1.0, 0.99], at, least=least, most=most)
    found = estimate(seen, resamples=20)
    dims = next_dims(seen, found, ratio=ratio, batch=batch)
    assert len(dims) <= batch
    inside = [dim for dim in dims if dim != "full"]
    new = [dim for dim in inside if dim not in at]
    assert len(new) == len(set(new))
    assert all(least <= dim <= (most or D) for dim in inside)
    if not dims and not is_beyond(seen, found):
        assert is_narrow(found, ratio)
