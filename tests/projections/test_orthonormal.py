"""`orthonormal`: the form of 2017."""

import math

import pytest
import torch

from subspace_nn.common.errors import InputError
from subspace_nn.projections import Orthonormal, parse
from tests.reference import reference_orthonormal


@pytest.mark.parametrize(("D", "dim", "seed"), [
    (1, 1, 0), (7, 1, 1), (7, 7, 2), (40, 6, 5), (31, 10, 2**64 - 1),
])  # fmt: skip
@pytest.mark.parametrize("anchored", [False, True])
def test_is_the_specification(D, dim, seed, anchored):
    anchor = [math.sin(i + 1) for i in range(D)] if anchored else None
    expected = torch.tensor(reference_orthonormal(D, dim, seed, anchor), dtype=torch.float64)
    given = None if anchor is None else torch.tensor(anchor, dtype=torch.float64)
    P = Orthonormal(D, dim, seed, given).dense()
    torch.testing.assert_close(P, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("D", "dim", "seed", "golden", "sketch"), [
    (2000, 100, 0, "6b559c6d84bea2e8", (1.068103, -0.885426, -2.008364, 0.658962)),
    (997, 31, 7, "00b2cdf39bb4c1d2", (0.052605, 1.096948, -0.90161, 1.36383)),
])  # fmt: skip
def test_golden_sketch(D, dim, seed, golden, sketch):
    P = Orthonormal(D, dim, seed)
    assert P.fingerprint() == golden
    assert P.sketch() == pytest.approx(sketch, abs=1e-4)


def test_plain_and_anchored_by_name():
    """A name alone leaves it to a `Subspace`, which makes an anchor unless asked not to."""
    assert parse("orthonormal") == (Orthonormal, {})
    assert parse("orthonormal:plain") == (Orthonormal, {"anchor": None})
    assert Orthonormal(9, 3).label == "orthonormal/1:plain"
    assert Orthonormal(9, 3, anchor=torch.ones(9)).label == "orthonormal/1"


def test_starts_at_the_anchor():
    anchor = torch.randn(50, generator=torch.Generator().manual_seed(0))
    P = Orthonormal(50, 4, anchor=anchor)
    assert P.anchored
    assert P.omega0()[1:].eq(0).all()
    torch.testing.assert_close(P @ P.omega0(), anchor.double())
    assert not Orthonormal(50, 4).anchored
    assert Orthonormal(50, 4).omega0().eq(0).all()


def test_the_anchor_is_part_of_the_fingerprint():
    prints = {
        Orthonormal(9, 3, anchor=a).fingerprint() for a in (None, torch.ones(9), torch.arange(9.0))
    }
    assert len(prints) == 3


def test_stores_the_matrix_in_one_precision():
    P = Orthonormal(100, 10)
    assert P.stored_bytes() == 0
    P @ torch.zeros(10)
    assert P.stored_bytes() == 4 * 1000
    P @ torch.zeros(10, dtype=torch.float64)
    assert P.stored_bytes() == 8 * 1000
    # Half a matrix of float32 would be no float64 one: it is made anew, to full precision.
    torch.testing.assert_close(P.dense(), Orthonormal(100, 10).dense(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("anchor", [
    torch.zeros(5), torch.ones(4), torch.tensor([1, 2, float("nan"), 4, 5]), torch.ones(5, 1),
], ids=["zero", "short", "nan", "matrix"])  # fmt: skip
def test_bad_anchor(anchor):
    with pytest.raises(InputError, match="finite vector of 5 numbers that are not all zero"):
        Orthonormal(5, 2, anchor=anchor)
