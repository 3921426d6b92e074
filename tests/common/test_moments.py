import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subspace_nn.common.moments import deviation, mean


@given(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=9))
def test_means_and_deviations_are_those_of_statistics(values):
    top = max(map(abs, values)) or 1.0
    assert mean(values) == pytest.approx(statistics.mean(values), abs=1e-12 * top)
    slow = top * statistics.stdev([value / top for value in values])
    assert deviation(values) == pytest.approx(slow, abs=1e-12 * top)


@pytest.mark.parametrize("value", [1.7e308, 1 / 3, 5e-324])
def test_equal_values_have_no_deviation(value):
    assert mean([value] * 3) == pytest.approx(value, rel=1e-15)
    assert deviation([value] * 3) == 0
