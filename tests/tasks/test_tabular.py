"""Tables that come with scikit-learn."""

import pytest

from subspace_nn.tasks import tabular
from subspace_nn.tasks.own import train

pytest.importorskip("sklearn")


@pytest.mark.parametrize(("make", "D", "rows"), [
    (tabular.digits, 4810, 1797), (tabular.breast_cancer, 4130, 569),
])  # fmt: skip
def test_problems(make, D, rows):
    problem = make()
    assert sum(p.numel() for p in problem.module.parameters()) == D
    parts = [sum(len(y) for _, y in batches) for batches in (problem.train, problem.test)]
    assert sum(parts) == rows
    assert parts[1] == round(0.3 * rows)
    again = next(iter(make().test))
    assert all(a.equal(b) for a, b in zip(next(iter(problem.test)), again, strict=True))


def test_a_subspace_learns():
    result = train(problem="subspace_nn.tasks.tabular:breast_cancer", dim=30, epochs=3)
    assert result["test_accuracy"] > 85
