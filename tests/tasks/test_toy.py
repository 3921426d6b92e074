"""The toy of Li et al.: ten constraints on a thousand weights."""

import pytest

from subspace_nn.common.errors import InputError
from subspace_nn.runs.run import Run
from subspace_nn.tasks.toy import train


@pytest.mark.parametrize(("dim", "seeds", "low", "high"), [
    (10, range(6), 0.9998, 1.0), (11, range(2), 0.9998, 1.0), (200, range(2), 0.9998, 1.0),
    ("full", range(2), 0.9998, 1.0), (9, range(6), 0.0, 0.9), (3, range(2), 0.0, 0.01),
])  # fmt: skip
def test_performance(dim, seeds, low, high):
    for seed in seeds:
        result = train(dim=dim, seed=seed)
        assert low <= result["performance"] <= high
        assert result["D"] == 1000
        assert result["dim"] == (1000 if dim == "full" else dim)


@pytest.mark.parametrize("projection", ["orthonormal", "gaussian", "fastfood"])
def test_any_projection_solves_it_in_ten(projection):
    assert train(dim=10, projection=projection)["performance"] > 0.9998


def test_mistakes_are_found_before_a_run():
    with pytest.raises(InputError) as caught:
        Run.of("toy", {"dim": 1001, "seed": -1, "projection": "nothing"})
    assert [problem.split()[0] for problem in caught.value.problems] == ["dim", "Unknown", "seed"]


def test_a_training_not_arithmetic():
    assert train(dim=10)["steps"] > 10
