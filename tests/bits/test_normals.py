"""Normal numbers from integers: the specification, the moments, and the test for others."""

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from subspace_nn import bits
from subspace_nn.bits import normals
from tests.reference import reference_word


def reference(seed, stream, index):
    words = [reference_word(seed, stream, 6 * index + j) for j in range(6)]
    return (sum((w >> 32) + w % 2**32 for w in words) + 6) / 2**32 - 6


@settings(max_examples=20)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(0, 20))
def test_numbers_are_the_specification(seed, start, count):
    got = normals.twelve(seed, "theta0/normal", start, count)
    assert got.tolist() == [reference(seed, "theta0/normal", start + i) for i in range(count)]


def test_pieces_are_cut_from_one_stream():
    whole = normals.twelve(1, "x", 0, 1000)
    with bits.pieces_of(7):
        assert torch.equal(normals.twelve(1, "x", 0, 1000), whole)
    assert torch.equal(normals.twelve(1, "x", 300, 5), whole[300:305])


def test_moments_and_distribution():
    z = normals.twelve(3, "x", 0, 200_000)
    n = math.sqrt(len(z))
    assert abs(float(z.mean())) < 5 / n
    assert abs(float(z.var()) - 1) < 5 * math.sqrt(2) / n
    assert abs(float((z**4).mean()) - 2.9) < 5 * 10 / n
    grid = torch.linspace(-3, 3, 25, dtype=torch.float64)
    share = (z[:, None] < grid).double().mean(0)
    exact = torch.tensor([statistics.NormalDist().cdf(x) for x in grid.tolist()])
    assert float((share - exact).abs().max()) < 0.008


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (40, 30), (0, 3), (2, 2)])
def test_own_and_pytorchs_draws_may_be_normal(shape):
    torch.manual_seed(0)
    assert normals.may_be_normal(torch.randn(shape))
    own = normals.twelve(0, "x", 0, math.prod(shape)).view(shape)
    assert normals.may_be_normal(own)
