"""Every committed measurement counts every finished record in its folder that fits."""

from pathlib import Path

import pytest

from evidence.measure_answers import derived
from subspace_nn.runs.store import stores

RESULTS = Path(__file__).parents[2] / "results" / "measure"


@pytest.mark.parametrize("store", stores([RESULTS]), ids=lambda store: store.folder.name)
def test_an_answer_is_that_of_all_records_in_its_folder(store):
    pairs = derived(store)
    assert pairs
    for committed, found in pairs:
        assert set(committed.runs) == set(found.runs)
        assert committed.left_out == found.left_out == {}
        assert (committed.dim, committed.low, committed.high) == (found.dim, found.low, found.high)
        assert (committed.stopped, committed.doubts) == (found.stopped, found.doubts)
