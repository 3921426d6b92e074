"""`fastfood`: its P against plain Python, golden sketches, its distortion over seeds."""

import math

import pytest
import torch

from subspace_nn.projections import Fastfood
from tests.reference import reference_fastfood


@pytest.mark.parametrize(("D", "dim", "seed"), [
    (1, 1, 0), (7, 1, 1), (7, 2, 1), (7, 7, 2), (64, 31, 3), (64, 32, 3), (61, 60, 2**64 - 1),
    (100, 25, 5),
])  # fmt: skip
def test_is_the_specification(D, dim, seed):
    expected = torch.tensor(reference_fastfood(D, dim, seed), dtype=torch.float64)
    # The Gaussians are rounded to float32.
    torch.testing.assert_close(Fastfood(D, dim, seed).dense(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("D", "dim", "seed", "golden", "sketch"), [
    (21_840, 1000, 0, "0f80b7ee27cd76c7", (-0.415863, -0.043192, -1.071016, -0.11831)),
    (997, 31, 7, "e6b89b430b9ab1ae", (0.977521, -0.875535, 0.495998, 0.447984)),
    (500, 499, 7, "f4f2a78efc9811e9", (0.633917, -1.428886, -0.769172, 0.488651)),
])  # fmt: skip
def test_golden_sketch(D, dim, seed, golden, sketch):
    P = Fastfood(D, dim, seed)
    assert P.fingerprint() == golden
    assert P.sketch() == pytest.approx(sketch, abs=1e-4)


def seen(P):
    matrix = P.dense()
    difference = matrix.T @ matrix - torch.eye(P.dim, dtype=matrix.dtype)
    return float(torch.linalg.matrix_norm(difference, ord=2))


@pytest.mark.parametrize(("D", "dim"), [
    (1, 1), (50, 1), (4, 2), (9, 5), (64, 63), (64, 64), (200, 10), (1000, 10), (400, 3),
])  # fmt: skip
def test_distortion_holds_over_seeds(D, dim):
    bound = Fastfood(D, dim).distortion
    beyond = sum(seen(Fastfood(D, dim, seed)) > bound + 1e-12 for seed in range(100))
    assert beyond <= 1


@pytest.mark.parametrize(
    ("D", "dim", "tightness"), [(1000, 10, 5), (5000, 100, 4), (20_000, 16, 4)]
)
def test_distortion_is_not_vacuous(D, dim, tightness):
    P = Fastfood(D, dim)
    assert P.distortion < tightness * seen(P)
    assert Fastfood(100 * D, dim).distortion < 0.25 * max(1, P.distortion)


def test_columns_have_norm_one_in_the_mean():
    squares = torch.stack([Fastfood(90, 5, s).dense().square().sum(0) for s in range(400)])
    error = squares.std(0) / math.sqrt(400)
    assert bool(((squares.mean(0) - 1).abs() < 4 * error).all())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_weight_stands_out(seed):
    scale = Fastfood(5000, 100, seed).dense().norm(dim=1) * math.sqrt(5000 / 100)
    assert scale.min() > 0.7
    assert scale.max() < 1.3
    # With d = b all rows of a block have one norm.
    scale = Fastfood(5000, 64, seed).dense().norm(dim=1) * math.sqrt(5000 / 64)
    torch.testing.assert_close(scale, torch.ones_like(scale), rtol=0, atol=1e-6)


def test_stores_nothing_until_used_and_thirteen_bytes_a_weight_after():
    P = Fastfood(128_000, 100)
    assert P.stored_bytes() == 0
    P @ torch.zeros(100)
    assert P.stored_bytes() == 13 * 128_000
