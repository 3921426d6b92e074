"""Maps made of maps: each is the matrix it says, with the isometry it says."""

import math
import pickle

import pytest
import torch
from torch import nn

import subspace_nn as sn
from subspace_nn.common.errors import CheckpointError, InputError
from subspace_nn.projections import (
    BlockDiagonal,
    Composition,
    Dense,
    Gaussian,
    Hadamard,
    Hashed,
    HStack,
    Identity,
    Orthonormal,
    Sum,
)
from tests.projections.cases import COMBINED

ONE, TWO, SMALL = Hashed(60, 20), Gaussian(60, 20), Hadamard(20, 7)


@pytest.mark.parametrize(("P", "expected"), [
    (ONE + TWO, ONE.dense() + TWO.dense()),
    (ONE | TWO, torch.cat((ONE.dense(), TWO.dense()), dim=1)),
    (TWO @ SMALL, TWO.dense() @ SMALL.dense()),
    (BlockDiagonal(SMALL, ONE), torch.block_diag(SMALL.dense(), ONE.dense())),
    (Sum(ONE, TWO, ONE), 2 * ONE.dense() + TWO.dense()),
    (ONE | TWO | ONE, torch.cat((ONE.dense(), TWO.dense(), ONE.dense()), dim=1)),
    ((ONE + TWO) @ SMALL, (ONE.dense() + TWO.dense()) @ SMALL.dense()),
], ids=["sum", "hstack", "composition", "block-diagonal", "three", "nested", "mixed"])  # fmt: skip
def test_is_the_matrix(P, expected):
    torch.testing.assert_close(P.dense(), expected, rtol=0, atol=1e-14)
    g = torch.linspace(-1, 1, P.D, dtype=torch.float64)
    torch.testing.assert_close(P.T @ g, expected.T @ g, rtol=0, atol=1e-13)


def test_one_part_is_the_part():
    for P in (Sum(TWO), HStack(TWO), BlockDiagonal(TWO)):
        assert torch.equal(P.dense(), TWO.dense())
        assert P.distortion == pytest.approx(TWO.distortion)
        assert P.widening(0, 60) == pytest.approx(TWO.widening(0, 60))


def test_the_bounds_are_reached():
    """For a map and itself, the worst case."""
    assert gram_error(ONE + ONE) == pytest.approx((ONE + ONE).distortion) == 3
    assert gram_error(ONE | ONE) == pytest.approx((ONE | ONE).distortion) == 1
    double, half = (Dense(c * torch.eye(20), distortion=abs(c * c - 1)) for c in (2.0, 0.5))
    both = double @ double
    assert gram_error(both) == pytest.approx(both.distortion) == 15
    block = BlockDiagonal(double, half, ONE)
    assert gram_error(block) == pytest.approx(block.distortion) == 3


def test_isometric_where_it_holds():
    for P in (Hadamard(60, 20) @ SMALL, BlockDiagonal(ONE, SMALL)):
        assert P.distortion == 0
        assert gram_error(P) < 1e-12
    far = Gaussian(5000, 3) | Hadamard(5000, 3)  # d far below D: nearly isometric
    assert gram_error(far) < 0.15


def gram_error(P):
    matrix = P.dense()
    difference = matrix.T @ matrix - torch.eye(P.dim, dtype=matrix.dtype)
    return float(torch.linalg.matrix_norm(difference, ord=2))


def test_two_hashed_maps_that_are_added_can_freeze_a_weight():
    """As `Sum` says, in one weight of 2d or so; that is why the laws are not run over such."""
    d, frozen = 5, 0
    for seed in range(200):
        P = Hashed(40, d, seed) + Hashed(40, d, seed + 1000)
        frozen += int((P.dense() == 0).all(1).sum())
    assert 0.5 < frozen / (200 * 40) * 2 * d < 1.5


@pytest.mark.parametrize("case", list(COMBINED))
def test_widening_is_near_what_rows_have(case):
    P = COMBINED[case]()
    rms = math.sqrt(float(P.dense().square().sum()) / P.D)
    # Exact but for sums, whose parts may lean to one another, and compositions.
    assert P.widening(0, P.D) * rms == pytest.approx(1, rel=0.25)


def test_widening_within_blocks():
    P = BlockDiagonal(Hashed(60, 20), Identity(4, 4))
    assert P.widening(0, 60) == pytest.approx(math.sqrt(3))
    assert P.widening(10, 20) == pytest.approx(math.sqrt(3))
    assert P.widening(60, 64) == pytest.approx(1)
    assert P.widening(0, 64) == pytest.approx(math.sqrt(64 / 24))
    assert (P @ Hashed(24, 6)).widening(0, 60) == pytest.approx(math.sqrt(3 * 24 / 6))


def test_portable_if_all_parts_are():
    assert (ONE | SMALL_60).portable
    assert not (ONE | TWO).portable
    assert (ONE | SMALL_60).fingerprint() != (SMALL_60 | ONE).fingerprint()


SMALL_60 = Hadamard(60, 7)


def test_pickles_without_what_it_computed():
    P = ONE | SMALL_60
    P @ torch.zeros(27)
    twin = pickle.loads(pickle.dumps(P))
    assert (P.stored_bytes() > 0, twin.stored_bytes()) == (True, 0)
    assert twin.fingerprint() == P.fingerprint()
    assert repr(twin) == repr(P)
    assert repr(P) == "HStack(Hashed(D=60, dim=20, seed=0), Hadamard(D=60, dim=7, seed=0))"


def test_an_anchor_is_a_direction_like_any_other():
    anchored = Orthonormal(60, 3, anchor=torch.ones(60))
    P = anchored | ONE
    assert not P.anchored
    assert P.omega0().eq(0).all()


@pytest.mark.parametrize(("make", "message"), [
    (lambda: ONE + SMALL, r"one shape \(D, d\), got \(60, 20\), \(20, 7\)"),
    (lambda: ONE | SMALL, "one number of weights D, got 60, 20"),
    (lambda: SMALL @ SMALL, "takes 7 numbers, and the inner one must give as many; it gives 20"),
    (lambda: ONE | ONE | ONE | ONE, "from 1 to the number of weights, 60; got 80"),
    (lambda: ONE + 3, "Sum takes projections, at least one; got int"),
    (Sum, "at least one; got none"),
    (HStack, "at least one; got none"),
    (BlockDiagonal, "at least one; got none"),
    (lambda: Composition(ONE, None), "got NoneType"),
])  # fmt: skip
def test_parts_that_do_not_fit(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("case", ["hstack", "sum", "nested", "composition"])
def test_trains_and_comes_back_from_a_checkpoint(case, tmp_path):
    P = COMBINED[case]()
    module = nn.Linear(P.D, 1, bias=False)
    net = sn.Subspace(module, P.dim, P, seed=P.seed)
    x = torch.linspace(-1, 1, 3 * P.D).view(3, P.D)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    losses = []
    for _ in range(5):
        loss = (net(x) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    path = tmp_path / "omega.safetensors"
    net.save(path)
    again = sn.load(path, module, COMBINED[case]())
    assert torch.equal(again(x), net(x))
    with pytest.raises(CheckpointError, match=f"Unknown projection '{P.kind}'.*give it: load"):
        sn.load(path, module)
