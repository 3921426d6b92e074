"""`kronecker`: its P against plain Python, golden sketches, its factors, scales of the weights."""

import math

import pytest
import torch

from subspace_nn.projections import Kronecker
from tests.reference import reference_kronecker


@pytest.mark.parametrize(("D", "dim", "seed"), [
    (1, 1, 0), (2, 1, 1), (2, 2, 1), (3, 3, 2), (7, 1, 1), (7, 5, 1), (7, 7, 2), (9, 8, 2),
    (64, 31, 3), (64, 64, 3), (61, 60, 2**64 - 1), (61, 59, 4), (100, 25, 5),
])  # fmt: skip
def test_is_the_specification(D, dim, seed):
    expected = torch.tensor(reference_kronecker(D, dim, seed), dtype=torch.float64)
    torch.testing.assert_close(Kronecker(D, dim, seed).dense(), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("D", "dim", "seed", "golden", "sketch"), [
    (21_840, 1000, 0, "7cb7db2a0922c9a7", (-0.190714, 0.56972, 1.670379, 0.539034)),
    (997, 31, 7, "6f0a0cde459a1e34", (0.211969, 1.84657, -0.891779, 0.645121)),
    (500, 499, 7, "8053a6338944897a", (0.101984, -0.888785, -0.5893, 1.88572)),
])  # fmt: skip
def test_golden_sketch(D, dim, seed, golden, sketch):
    P = Kronecker(D, dim, seed)
    assert P.fingerprint() == golden
    assert P.sketch() == pytest.approx(sketch, abs=1e-4)


def test_factors_hold_every_size():
    for D in range(1, 80):
        for dim in range(1, D + 1):
            P = Kronecker(D, dim)
            (D1, d1), (D2, d2) = P.factors
            assert d1 <= D1
            assert d2 <= D2
            left = D - D1 * D2
            assert left >= 0
            assert left**2 < D
            assert min(dim, D1 * D2) <= d1 * d2


@pytest.mark.parametrize(("D", "dim"), [
    (5000, 100), (5000, 1), (5000, 2), (5000, 5), (5000, 19), (5000, 97),
    (5000, 2500), (4999, 4970), (5000, 5000),
])  # fmt: skip
@pytest.mark.parametrize("seed", [0, 1])
def test_no_weight_stands_out(D, dim, seed):
    scale = Kronecker(D, dim, seed).dense(torch.float32).norm(dim=1) * math.sqrt(D / dim)
    assert scale.min() > 0.35
    assert scale.max() < 1.2


def test_stores_signs_and_two_factors():
    P = Kronecker(100_000, 100)
    assert P.factors == ((316, 10), (316, 10))
    assert P.stored_bytes() == 0
    P @ torch.zeros(100)
    assert P.stored_bytes() == 100_000 + 8 * 2 * 3160
