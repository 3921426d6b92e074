"""`hashed`: its P against a second implementation in plain Python, golden digests, its balance."""

import math

import pytest
import torch

from subspace_nn.errors import InputError
from subspace_nn.projections import Hashed
from tests.reference import reference_hashed


@pytest.mark.parametrize(("D", "dim", "seed"), [
    (1, 1, 0), (7, 1, 1), (7, 7, 2), (130, 64, 3), (200, 31, 2**64 - 1), (99, 98, 5), (300, 12, 6),
])  # fmt: skip
def test_is_the_specification(D, dim, seed):
    expected = torch.zeros(D, dim, dtype=torch.float64)
    for weight, (k, value) in enumerate(reference_hashed(D, dim, seed)):
        expected[weight, k] = value
    torch.testing.assert_close(Hashed(D, dim, seed).dense(), expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize(("D", "dim", "seed", "golden"), [
    (21_840, 1000, 0, "4116f7f3e413b98f"),
    (199_210, 1000, 0, "a53b96a24dce2ad3"),
    (5000, 4999, 7, "e4c36161b5f167d9"),
])  # fmt: skip
def test_golden_fingerprint(D, dim, seed, golden):
    assert Hashed(D, dim, seed).fingerprint() == golden


@pytest.mark.parametrize(("D", "dim"), [(1000, 999), (1000, 501), (997, 10), (64, 64)])
def test_weights_per_parameter_differ_by_at_most_one(D, dim):
    counts = (Hashed(D, dim).dense() != 0).sum(0)
    assert counts.min() == D // dim
    assert counts.max() == math.ceil(D / dim)
    assert bool(((Hashed(D, dim).dense() != 0).sum(1) == 1).all())


def test_stores_nothing_until_used_and_four_bytes_a_weight_after():
    P = Hashed(100_000, 100)
    assert P.stored_bytes() == 0
    P @ torch.zeros(100)
    assert P.stored_bytes() == 4 * 100_000 + 8 * 100


def test_dim_has_a_limit():
    with pytest.raises(InputError, match=r"below 2\^30"):
        Hashed(2**31, 2**30)
