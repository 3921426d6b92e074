"""Costs of projections: what is measured is right, and what would be too big is not made."""

import dataclasses
import json
import re

import pytest
import torch

from benchmarks.timing import Peak
from subspace_nn.common.errors import InputError
from subspace_nn.projections import (
    KINDS,
    BlockDiagonal,
    Dense,
    Gaussian,
    Hadamard,
    Hashed,
    base,
    costs,
    make,
)

SIZES = [(20_000, 1), (20_000, 100), (20_000, 15_000)]
TENSORS = {"a": 15_000, "b": 4990, "c": 10}


@pytest.mark.parametrize(("kind", "D", "dim"), [
    ("gaussian", 500, 40), ("sparse", 500, 100), ("fastfood", 300, 20), ("gaussian", 50, 3),
    ("sparse", 60, 60), ("gaussian", 30, 1), ("hashed", 500, 40), ("identity", 40, 40),
])  # fmt: skip
def test_isometry_error_is_the_spectral_norm(kind, D, dim):
    P = make(kind, D, dim)
    matrix = P.dense()
    difference = matrix.T @ matrix - torch.eye(dim, dtype=torch.float64)
    expected = float(torch.linalg.matrix_norm(difference, ord=2))
    assert costs.isometry_error(P) == pytest.approx(expected, rel=0.03, abs=2e-6)
    few = costs.isometry_error(P, steps=8)
    assert few is None or few <= expected * 1.001 + 2e-6


@pytest.mark.parametrize("rows", [0, 1, 12, 50])
def test_coverage_is_the_share_of_rows(rows):
    matrix = torch.zeros(50, 3)
    matrix[:rows] = torch.tensor([1.0, -1.0, 1.0])
    assert costs.coverage(Dense(matrix)) == rows / 50


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_is_measured(kind):
    D, dim = (500, 500) if kind == "identity" else (500, 40)
    tensors = {"a.weight": 450, "a.bias": 50}
    (cost,) = costs.measure([kind], D, dim, seed=3, tensors=tensors).kinds
    P = make(kind, D, dim, 3, tensors=tensors)
    assert (cost.name, cost.label, cost.reason) == (kind, P.label, None)
    assert (cost.fingerprint, cost.distortion, cost.coverage) == (P.fingerprint(), P.distortion, 1)
    assert cost.isometry_error <= P.distortion + 1e-5
    assert cost.rounds == costs.ROUNDS
    assert min(cost.forward_ms, cost.adjoint_ms) > 0
    fresh = make(kind, D, dim, 3, tensors=tensors)  # the fingerprint is made in another dtype
    fresh @ torch.zeros(dim)
    fresh.T @ torch.zeros(D)
    assert cost.stored_bytes == fresh.stored_bytes()


def test_projections_come_in_order_and_once():
    found = costs.measure(["sparse", "hashed", "sparse"], 100, 10)
    assert [cost.name for cost in found.kinds] == ["sparse", "hashed"]
    assert found.copy_ms > 0
    json.dumps(dataclasses.asdict(found), allow_nan=False)


@pytest.mark.parametrize(("name", "dim", "reason"), [
    ("identity", 10, r"dim must be 1,000,000, got 10"),
    ("orthonormal", 10**4, r"It needs up to 400\.0 GB; 0\.0 are left\. It needs about 100,500 s"),
    ("sparse", 10**5, r"It needs up to 0\.\d GB"),
    ("hashed", 10, r"It needs up to 0\.1 GB"),
    ("gaussian", 10, r"It needs up to 0\.\d GB"),
    ("layerwise", 10, r"It needs up to 0\.\d GB"),
])  # fmt: skip
def test_what_is_too_big_is_not_made(name, dim, reason, monkeypatch):
    def refuse(*_):
        raise AssertionError("made")

    for kind in KINDS.values():
        monkeypatch.setattr(kind, "_matvec", refuse)
    (cost,) = costs.measure([name], 10**6, dim, memory=4e7).kinds
    assert re.search(reason, cost.reason)
    assert cost.forward_ms is None


def test_what_is_too_slow_is_not_made():
    gaussian, hashed = costs.measure(["gaussian", "hashed"], 10**6, 10**4, seconds=10).kinds
    assert "It needs about 1,500 s; 10 are allowed" in gaussian.reason
    assert hashed.reason is None


def test_what_others_hold_is_not_left():
    memory = Hashed(10**5, 10).needs().bytes + 8 * 10**5 + 1000
    one, other = costs.measure(["hashed", "fastfood"], 10**5, 10, memory=memory).kinds
    assert one.reason is None
    assert "It needs up to" in other.reason


def test_little_time_means_fewer_rounds_and_no_isometry(monkeypatch):
    monkeypatch.setattr(costs, "_seconds", lambda work: (work(), 1.0)[1])  # all takes a second
    for seconds, rounds, known in ((0.1, 1, False), (20, 4, False), (40, 9, True), (99, 15, True)):
        (cost,) = costs.measure(["hashed"], 1000, 100, seconds=seconds).kinds
        assert cost.rounds == rounds
        assert (cost.isometry_error is not None) == known
        assert (cost.forward_ms, cost.adjoint_ms, cost.coverage) == (1000, 1000, 1)


def test_theta_itself_can_be_too_big():
    with pytest.raises(InputError, match="θ and a copy take 8,000,000,000 bytes, more than the 4"):
        costs.measure(["hashed"], 10**9, 10, memory=4e9)


@pytest.mark.parametrize(("names", "D", "dim", "seed", "message"), [
    (["hashd"], 100, 10, 0, "Unknown projection 'hashd'"),
    (["hashed"], 100, 101, 0, "got 101"),
    (["hashed"], 100, 10, -1, "seed must be"),
])  # fmt: skip
def test_wrong_arguments(names, D, dim, seed, message):
    with pytest.raises(InputError, match=message):
        costs.measure(names, D, dim, seed=seed)


@pytest.mark.parametrize(("D", "dim"), SIZES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "identity"])
def test_needed_bytes_are_enough_and_not_absurd(kind, D, dim):
    if D * dim > 1e7 and kind in {"gaussian", "orthonormal", "sparse"}:
        D, dim = 600, 500
    if kind == "layerwise" and dim < len(TENSORS):
        dim = len(TENSORS)
    P = make(kind, D, dim, tensors=TENSORS if D == 20_000 else None)
    theta, omega = torch.ones(D), torch.ones(dim)
    with Peak() as peak:
        P @ omega
        P.T @ theta
        P.fingerprint()
    held = theta.nbytes + omega.nbytes
    needs = P.needs()
    # Gaussian works on blocks of some MB however small it is.
    needed = needs.bytes if kind == "gaussian" else needs.growing_bytes
    assert peak.bytes + held <= needed < 12 * (peak.bytes + held) + base.BLOCKS


def test_needs_of_combinations_are_those_of_the_parts():
    parts = Hashed(1000, 10), Gaussian(1000, 10), Hadamard(1000, 10)
    whole, own = BlockDiagonal(*parts).needs(), [part.needs() for part in parts]
    assert whole.entries == 10_000
    assert whole.growing_bytes > sum(needs.growing_bytes for needs in own)
    assert whole.bytes == whole.growing_bytes + base.BLOCKS
    assert whole.seconds == sum(needs.seconds for needs in own)
