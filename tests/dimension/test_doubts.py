"""Signs that an interval cannot be trusted."""

import numpy as np
import pytest

from subspace_nn.dimension.doubts import are_two_kinds, largest_fall


@pytest.fixture
def dice():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("groups", "two"), [
    ([[1.0, 0.99, 1.01, 0.1, 1.0]], True),
    ([[1.0, 0.99, 1.01, 1.0], [0.1, 0.11, 0.1, 1.0]], True),
    # Apart, but never at the same dimension: a step.
    ([[1.0, 0.99, 1.01, 1.0], [0.1, 0.11, 0.1, 0.09]], False),
    # Success or failure, and nothing else.
    ([[1.0, 1.0, 0.0], [1.0, 1.0]], True),
    ([[1.0, 1.0], [0.0, 0.0, 0.0]], False),
    # Whole units that agree by luck.
    ([[0.9, 0.9, 0.9, 0.88], [0.92, 0.92]], False),
    # Too few to know.
    ([[1.0, 0.1], [0.5]], False),
    ([[1.0, 0.1], [0.5, 0.4]], False),
    ([], False),
    ([[0.5]], False),
], ids=str)  # fmt: skip
def test_two_kinds(groups, two):
    assert are_two_kinds(groups) == two


@pytest.mark.parametrize(("full", "two"), [
    ([99.96, 100.0, 100.0, 100.0, 100.0], False), ([98.9, 99.0, 99.0, 99.1, 10.0], True),
    ([99.0], False), ([], False),
], ids=str)  # fmt: skip
def test_two_kinds_of_the_full_model(full, two):
    assert are_two_kinds([[87.28, 87.92, 87.96], [94.1, 94.54, 94.96]], full) == two


@pytest.mark.parametrize(("law", "most"), [
    ("standard_normal", 4), ("random", 4), ("standard_exponential", 30),
])  # fmt: skip
def test_one_kind_is_hardly_taken_for_two(law, most):
    draw = getattr(np.random.default_rng(0), law)
    taken = sum(are_two_kinds([draw(size) for size in (5, 2, 8, 3)]) for _ in range(400))
    assert taken <= most


def test_the_largest_fall_is_that_of_the_most_errors(dice):
    means, errors = np.array([0.1, 0.9, 0.8, 0.7, 1.0]), np.array([0.1, 0.01, 0.01, 0.5, 0.1])
    fall = largest_fall(means, errors, errors * dice.standard_normal((1000, 5)))
    assert (fall.before, fall.after) == (1, 2)
    assert fall.is_certain


def test_noise_around_a_constant_is_rarely_suspect(dice):
    errors = np.full(8, 0.1)
    falls = [
        largest_fall(0.1 * dice.standard_normal(8), errors, 0.1 * dice.standard_normal((1000, 8)))
        for _ in range(400)
    ]
    assert 6 <= sum(fall.is_suspect for fall in falls) <= 40
    assert sum(fall.is_certain for fall in falls) <= 8


@pytest.mark.parametrize("means", [[0.5, 0.5, 0.5], [0.0, 0.0], [0.1, 0.9]])
def test_no_fall_without_noise(means):
    still = np.zeros((100, len(means)))
    assert not largest_fall(np.array(means), still[0], still).is_suspect


def test_a_fall_without_noise_is_certain():
    assert largest_fall(np.array([0.9, 0.5]), np.zeros(2), np.zeros((100, 2))).is_certain
