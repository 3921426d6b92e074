"""The size that is stated is that of the file that is written."""

import dataclasses

import pytest

from subspace_nn.report.sizes import checkpoint_bytes
from subspace_nn.tasks.config import RunConfig

OLD = {"init": "2017", "scale": "none"}


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({}, 0),
        ({"dim": 3, "seed": 12_345}, 0),
        ({"dim": "full", "projection": "identity"}, 0),
        ({"dim": "full", "projection": "identity", **OLD}, 0),
        ({"model": "fc-16", "projection": "sparse", "dim": 10_000}, 0),
        ({"model": "fc-16", "projection": "hadamard", "dim": 30}, 0),
        ({"model": "fc-16", "projection": "kronecker", "dim": 30, "scale": "none"}, 0),
        ({"projection": "orthonormal", "dim": 30, **OLD}, 16),
        ({"model": "fc-16", "projection": "gaussian", "dim": 30}, 16),
        ({"model": "fc-16", "projection": "fastfood", "dim": 30}, 16),
    ],
    ids=str,
)
def test_size(options, tolerance, tmp_path):
    config = RunConfig(**options)
    config.build().save(tmp_path / "omega.safetensors")
    written = (tmp_path / "omega.safetensors").stat().st_size
    assert checkpoint_bytes(dataclasses.asdict(config)) == pytest.approx(written, abs=tolerance)
