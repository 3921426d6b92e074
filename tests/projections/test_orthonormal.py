"""`orthonormal`: the form of 2017."""

import pytest
import torch

from subspace_nn import bits
from subspace_nn.errors import InputError
from subspace_nn.projections import Orthonormal


def test_is_the_q_factor_of_anchor_and_gaussians():
    anchor = torch.linspace(-1, 1, 40, dtype=torch.float64)
    gauss = bits.normal(5, "orthonormal", 0, 40 * 6).view(40, 6)
    gauss[:, 0] = anchor
    P = Orthonormal(40, 6, seed=5, anchor=anchor).dense()
    # Gram–Schmidt, column by column, is the decomposition with a positive diagonal.
    for column in range(6):
        v = gauss[:, column].clone()
        for earlier in range(column):
            v -= (v @ P[:, earlier]) * P[:, earlier]
        torch.testing.assert_close(P[:, column], v / v.norm())


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
