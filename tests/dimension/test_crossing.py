"""Many curves and their crossings at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from subspace_nn.dimension.crossing import cross


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
