"""What the configuration states about MNIST."""

import statistics
from pathlib import Path

import pytest

from subspace_nn.runs.store import Store
from subspace_nn.tasks.config import ALL_WEIGHTS
from subspace_nn.tasks.recipe import Recipe

RESULTS = Path(__file__).resolve().parents[2] / "results" / "measure"


@pytest.mark.parametrize("model", ALL_WEIGHTS)
def test_the_accuracy_of_all_weights_is_that_of_the_records(model):
    found = [
        record["result"]["test_accuracy"]
        for record in Store(RESULTS / f"mnist-{model}").read()
        if record["arguments"]["dim"] == "full"
        and all(record["arguments"][name] == value for name, value in vars(Recipe()).items()
                if name in record["arguments"])
    ]  # fmt: skip
    assert len(found) >= 5
    assert ALL_WEIGHTS[model] == round(statistics.mean(found), 2)
