"""From weights back to ω, for every kind of projection."""

import pytest
import torch

from subspace_nn import projections
from subspace_nn.projections.coordinates import coordinates

SIZES = {"identity": (40, 40)}


def make(kind):
    return projections.make(kind, *SIZES.get(kind, (97, 11)), seed=3)


@pytest.mark.parametrize("kind", list(projections.KINDS))
def test_omega_comes_back(kind):
    P = make(kind)
    omega = torch.randn(P.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(coordinates(P, P @ omega), omega, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kind", ["hashed", "gaussian", "sparse"])
def test_the_nearest_point_of_the_subspace(kind):
    P = make(kind)
    target = torch.randn(97, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = torch.linalg.lstsq(P.dense(), target[:, None]).solution[:, 0]
    torch.testing.assert_close(coordinates(P, target), expected, rtol=1e-10, atol=1e-10)


def test_an_ill_conditioned_map():
    matrix = torch.randn(60, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    P = projections.Dense(matrix * torch.logspace(0, -2, 8, dtype=torch.float64))
    omega = torch.arange(1.0, 9.0, dtype=torch.float64)
    torch.testing.assert_close(coordinates(P, P @ omega), omega, rtol=1e-8, atol=1e-8)


def test_zero_is_zero():
    assert not coordinates(make("hashed"), torch.zeros(97)).any()
