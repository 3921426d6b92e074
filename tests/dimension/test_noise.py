"""The noise of runs and of their means."""

import numpy as np
import pytest

from subspace_nn.dimension.noise import MANY, Noise, noises


def test_groups_share_their_noise():
    noise = Noise.of([[1.0, 3.0], [10.0, 12.0], [5.0]])
    assert noise.freedom == 2
    assert noise.std == pytest.approx(np.std([1, 3], ddof=1))
    assert Noise.of([[1.0], [2.0]]).std is None


def test_a_mean_of_few_runs_spreads_as_students_t_says():
    values = [0.0, 1.0, 2.0, 3.0, 4.0]
    means = Noise.of([values]).means(5, np.random.default_rng(0), 40_000)
    spread = np.std(values, ddof=1) / np.sqrt(5)
    assert np.std(means) == pytest.approx(spread * np.sqrt(4 / 2), rel=0.05)  # ν / (ν - 2)
    assert np.mean(means) == pytest.approx(0, abs=0.02)


def test_without_noise_nothing_moves():
    assert not Noise.of([[1.0]]).means(3, np.random.default_rng(0), 10).any()


def test_many_runs_have_a_noise_of_their_own():
    common = Noise.of([[0.0, 1.0]])
    assert noises([[2.0] * MANY, [2.0]], common)[1] is common
    assert noises([[2.0] * MANY, [2.0]], common)[0].std == 0
