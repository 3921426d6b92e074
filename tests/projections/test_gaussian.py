"""`gaussian`: its P against plain Python, stored against recomputed, its distortion, its memory."""

import pickle

import pytest
import torch

from benchmarks.timing import Peak
from subspace_nn import bits, testing
from subspace_nn.projections import Gaussian, make
from tests.reference import reference_gaussian


@pytest.mark.parametrize(("D", "dim", "seed"), [
    (1, 1, 0), (7, 1, 1), (7, 7, 2), (40, 13, 3), (31, 10, 2**64 - 1), (50, 49, 5),
])  # fmt: skip
def test_is_the_specification(D, dim, seed):
    expected = torch.tensor(reference_gaussian(D, dim, seed), dtype=torch.float64)
    torch.testing.assert_close(Gaussian(D, dim, seed).dense(), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("D", "dim", "seed", "golden", "sketch"), [
    (2000, 100, 0, "80ff894215ac3ed4", (-0.677335, 0.561319, 0.423275, -0.805506)),
    (997, 31, 7, "99e68f9bcd7b6881", (-0.033222, 2.067073, -1.002676, -0.51146)),
])  # fmt: skip
@pytest.mark.parametrize("store", [False, True])
def test_golden_sketch(D, dim, seed, golden, sketch, store):
    P = Gaussian(D, dim, seed, store=store)
    assert P.fingerprint() == golden
    assert P.sketch() == pytest.approx(sketch, abs=1e-4)


@pytest.mark.parametrize("block", [1, 64, 1000, 1 << 20])
def test_neither_the_block_nor_the_store_changes_it(block):
    D, dim = 101, 31
    omega, g = torch.linspace(-1, 1, 2 * dim).view(2, dim).double(), torch.ones(2, 1, D).double()
    want = Gaussian(D, dim, 3, store=True)
    theta, sums = want @ omega, want.T @ g
    for P in (Gaussian(D, dim, 3, store=False), Gaussian(D, dim, 3, store=True)):
        with bits.pieces_of(block):
            torch.testing.assert_close(P @ omega, theta, rtol=0, atol=1e-14)
            torch.testing.assert_close(P.T @ g, sums, rtol=0, atol=1e-14)


@pytest.mark.parametrize("block", [64, 1 << 20])
@pytest.mark.parametrize("dim", [1, 2, 31, 32])
def test_recomputed_in_float32(dim, block):
    D, seed = 2000, 5
    omega, g = torch.ones(3, dim), torch.linspace(-1, 1, D)
    want = Gaussian(D, dim, seed, store=True)
    P = Gaussian(D, dim, seed, store=False)
    with bits.pieces_of(block):
        theta, sums = P @ omega, P.T @ g
    torch.testing.assert_close(theta.double(), want @ omega.double(), rtol=0, atol=2e-6)
    torch.testing.assert_close(sums.double(), want.T @ g.double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dim", [31, 32])
@pytest.mark.parametrize("law", list(testing.LAWS))
def test_law_where_recomputed(law, dim):
    testing.LAWS[law](make("gaussian", 97, dim, seed=7, store=False))


def test_recomputed_in_float32_no_weight_is_frozen():
    """The highest words round to u = 1, whose logarithm is 0."""
    row = 264_386
    P = Gaussian(row + 1, 2, 13, store=False)
    g = torch.zeros(P.D)
    g[row] = 1
    assert (P.T @ g != 0).all()
    torch.testing.assert_close(P.T @ g, (P.T @ g.double()).float(), rtol=0, atol=1e-6)


def test_stored_up_to_a_size():
    assert Gaussian(2**16, 2**10).store
    assert not Gaussian(2**16 + 1, 2**10).store
    assert Gaussian(2**16 + 1, 2**10, store=True).store


def test_stored_bytes():
    P = Gaussian(100, 10, store=False)
    assert P.stored_bytes() == 0
    P @ torch.zeros(10)
    assert P.stored_bytes() == 8 * 10
    P = Gaussian(100, 10, store=True)
    assert P.stored_bytes() == 0
    P @ torch.zeros(10)
    assert P.stored_bytes() == 8 * 10 + 4 * 1000
    P @ torch.zeros(10, dtype=torch.float64)
    assert P.stored_bytes() == 8 * 10 + 8 * 1000
    # Half a matrix of float32 would be no float64 one: it is made anew, to full precision.
    torch.testing.assert_close(P.dense(), Gaussian(100, 10).dense(), rtol=0, atol=1e-14)


def test_pickles_whether_it_is_stored():
    for store in (False, True):
        P = Gaussian(100, 10, 4, store=store)
        P @ torch.zeros(10)
        twin = pickle.loads(pickle.dumps(P))
        assert (twin.store, twin.stored_bytes(), repr(twin)) == (store, 0, repr(P))


def test_recomputed_it_needs_little_more_than_theta():
    D, dim = 1_000_000, 50
    P, omega = Gaussian(D, dim, store=False), torch.ones(dim)
    with Peak() as forward:
        theta = P @ omega
    with Peak() as backward:
        P.T @ theta
    for peak in (forward.bytes, backward.bytes):  # θ among it; the matrix would be 50 times θ
        assert theta.nbytes < peak < 4 * theta.nbytes
    assert P.stored_bytes() == 8 * dim


@pytest.mark.parametrize(("D", "dim"), [
    (1, 1), (2, 2), (3, 2), (5, 5), (9, 3), (30, 20), (100, 3), (100, 10), (100, 100), (400, 40),
])  # fmt: skip
def test_distortion_holds_for_99_seeds_in_100_and_is_not_vacuous(D, dim):
    seen = torch.stack([gram_error(Gaussian(D, dim, seed)) for seed in range(200)])
    bound = Gaussian(D, dim).distortion
    assert float((seen <= bound + 1e-12).double().mean()) >= 0.99
    if D >= 100 and dim >= 10:
        assert float(seen.median()) >= bound / 2


def gram_error(P):
    """‖PᵀP - I‖ in the spectral norm."""
    matrix = P.dense()
    gram = matrix.T @ matrix
    return torch.linalg.eigvalsh(gram - torch.eye(P.dim, dtype=gram.dtype)).abs().max()
