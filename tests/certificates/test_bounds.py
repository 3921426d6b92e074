"""Bounds, against SciPy and against what they must be."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from subspace_nn.certificates import bounds

cases = st.integers(1, 100_000).flatmap(
    lambda n: st.tuples(st.integers(0, n), st.just(n), st.floats(-3000, -0.01))
)


@given(cases)
@example((0, 3, -29.0))  # whose share is lost next to 1
def test_the_binomial_bound_is_the_quantile_of_a_beta_distribution(case):
    """Clopper and Pearson's upper limit."""
    errors, n, log_share = case
    got = bounds.binomial(errors, n, log_share)
    if errors < n and log_share > -600:
        expected = stats.beta.isf(math.exp(log_share), errors + 1, n - errors)
        if expected < 1 - 1e-9 and log_share > -30:
            assert got == pytest.approx(max(expected, errors / n), abs=1e-9)
    assert errors / n <= got <= 1


@given(cases)
def test_the_tail_at_the_bound_is_the_share(case):
    errors, n, log_share = case
    q = bounds.binomial(errors, n, log_share)
    if errors / n + 1e-9 < q < 0.99:
        assert bounds.log_tail(errors, n, q) == pytest.approx(log_share, rel=1e-6, abs=1e-4)


@given(cases)
def test_no_bound_is_below_the_binomial_one_and_fewer_bits_are_better(case):
    values = {name: bound(*case) for name, bound in bounds.BOUNDS.items()}
    assert all(values["binomial"] <= value + 1e-12 for value in values.values())
    assert values["chernoff"] <= min(values["maurer"], values["bernstein"]) + 1e-12
    assert values["chernoff"] <= values["hoeffding"] + 1e-12
    errors, n, log_share = case
    assert bounds.binomial(errors, n, log_share / 2) <= values["binomial"]


@pytest.mark.parametrize(("errors", "n"), [(0, 1), (1, 1), (0, 60_000), (60_000, 60_000), (7, 8)])
def test_ends(errors, n):
    assert bounds.binomial(errors, n, -1e-300) >= errors / n
    assert bounds.binomial(errors, n, -1e6) == pytest.approx(1.0)
