"""`hashed`: its P against a second implementation in plain Python, golden digests, its balance."""

import math
import pickle

import pytest
import torch

from benchmarks.timing import Peak
from subspace_nn import bits, testing
from subspace_nn.common.errors import InputError
from subspace_nn.projections import Hashed, hashed, kernels, make
from tests.reference import reference_hashed


@pytest.mark.parametrize(("D", "dim", "seed"), [
    (1, 1, 0), (7, 1, 1), (7, 7, 2), (130, 64, 3), (200, 31, 2**64 - 1), (99, 98, 5), (300, 12, 6),
    (515, 10, 7),
])  # fmt: skip
def test_is_the_specification(D, dim, seed):
    expected = torch.zeros(D, dim, dtype=torch.float64)
    for weight, (k, value) in enumerate(reference_hashed(D, dim, seed)):
        expected[weight, k] = value
    assert torch.equal(Hashed(D, dim, seed).dense(), expected)


def test_norms_are_rounded_as_ieee_754_says():
    """`torch.sqrt` is not: 51 is the first number whose root differs, where MKL computes it."""
    for n in range(1, 1000):
        (norm,) = (Hashed(n, 1) @ torch.ones(1, dtype=torch.float64)).abs().unique().tolist()
        assert norm == 1 / math.sqrt(n)


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
    P = Hashed(50_000, 100)
    assert P.stored_bytes() == 0
    P @ torch.zeros(100)
    assert P.stored_bytes() == 4 * 50_000 + 8 * 100


def test_dim_has_a_limit():
    with pytest.raises(InputError, match=r"below 2\^30"):
        Hashed(2**31, 2**30)


@pytest.mark.parametrize("chunk", [7, 64, 300, 1 << 18])
@pytest.mark.parametrize(("D", "dim", "seed"), [
    (1, 1, 0), (130, 1, 4), (130, 64, 3), (400, 400, 5), (400, 399, 5), (500, 12, 6),
    (1000, 301, 6),
])  # fmt: skip
def test_recomputed_in_any_pieces_it_is_the_stored_one(D, dim, seed, chunk):
    stored = Hashed(D, dim, seed, store=True)
    omega, g = bits.normal(0, "omega", 0, dim).float(), bits.normal(0, "g", 0, 2 * D).view(2, D)
    theta, sums = stored @ omega, stored.T @ g
    for P in (Hashed(D, dim, seed, store=False), Hashed(D, dim, seed, store=True)):
        with bits.pieces_of(chunk):
            assert torch.equal(P @ omega, theta)
            torch.testing.assert_close(P.T @ g, sums, rtol=0, atol=1e-12)


@pytest.mark.parametrize("law", list(testing.LAWS))
def test_law_where_recomputed(law):
    testing.LAWS[law](Hashed(97, 31, seed=7, store=False))


@pytest.mark.parametrize("store", [False, True])
def test_the_same_bits_on_any_number_of_threads(store):
    P, g = Hashed(300_001, 500, store=store), torch.linspace(-1, 1, 300_001)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append((P @ g[:500], P.T @ g))
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, *results))


@pytest.mark.parametrize("store", [False, True])
def test_sums_of_tens_of_millions_do_not_stall(store):
    """Added up one by one, numbers of one sign stop at 2^24 in float32."""
    P = Hashed(3 << 24, 1, store=store)
    ones = torch.ones(P.D)
    column = P @ torch.ones(1)
    assert float(P.T @ column) == pytest.approx(1, rel=3e-3)
    assert float(P.T @ ones) == pytest.approx(float(column.sum(dtype=torch.float64)), abs=0.01)


def test_one_gradient_alone_is_added_up_as_one_of_many():
    P, g = Hashed(300_001, 500), bits.normal(0, "g", 0, 300_001).float()
    assert torch.equal(P.T @ g, (P.T @ torch.stack((g, g)))[1])


def test_stored_up_to_a_size():
    assert Hashed(1 << 26, 100).store
    assert not Hashed((1 << 26) + 1, 100).store
    assert Hashed((1 << 26) + 1, 100, store=True).store


@pytest.mark.parametrize("kind", ["hashed", "sparse", "gaussian"])
def test_a_word_of_the_name_says_whether_it_is_stored(kind):
    stored, recomputed = (make(f"{kind}:{word}", 97, 31, 7) for word in ("stored", "recomputed"))
    assert (stored.store, recomputed.store) == (True, False)
    torch.testing.assert_close(stored.dense(), recomputed.dense(), rtol=0, atol=1e-14)
    # A checkpoint holds what P is, not what was kept of it.
    assert stored.label == recomputed.label == f"{kind}/1"
    assert stored.fingerprint() == recomputed.fingerprint()
    for words in ("kept", "stored:recomputed"):
        with pytest.raises(InputError, match="takes no words"):
            make(f"{kind}:{words}", 97, 31)


@pytest.mark.parametrize("store", [False, True])
def test_pickles_whether_it_is_stored(store):
    P = Hashed(100, 10, 4, store=store)
    P @ torch.zeros(10)
    twin = pickle.loads(pickle.dumps(P))
    assert (twin.store, twin.stored_bytes(), repr(twin)) == (store, 0, repr(P))


@pytest.mark.parametrize("fused", [False, True])
def test_recomputed_it_stores_little_and_needs_little_more_than_theta(monkeypatch, fused):
    if not fused:
        monkeypatch.setattr(kernels, "usable", lambda _: False)
    elif not kernels.usable(torch.device("cpu")):
        pytest.skip("Numba is not installed")
    P, omega = Hashed(4_000_000, 1000, store=False), torch.ones(1000)
    with Peak() as forward:
        theta = P @ omega
    with Peak() as backward:
        P.T @ theta
    assert forward.bytes < 1.5 * theta.nbytes  # θ among it
    if fused:  # reads the gradient where it is
        assert backward.bytes < 0.1 * theta.nbytes
    else:
        assert theta.nbytes < min(forward.bytes, backward.bytes)
        assert backward.bytes < 1.5 * theta.nbytes
    assert P.stored_bytes() == (16 * 4000 + 12 * 1000 + 8 if fused else 0)


@pytest.mark.parametrize(("n", "dim"), [(1, 5), (5, 5), (37, 5), (60, 30), (17, 30)])
def test_sum_of_blocks_is_the_sum_one_by_one(n, dim):
    """Other devices than a CPU take it."""
    places = torch.cat([torch.randperm(dim) + dim * (block % 2) for block in range(13)])[:n]
    part = bits.normal(0, "part", 0, 3 * n).view(3, n)
    want = torch.zeros(3, 2 * dim, dtype=torch.float64).index_add_(-1, places, part)
    torch.testing.assert_close(hashed._sum_of_blocks(part, places, dim, 2 * dim), want)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize(("D", "dim"), [(1_000_003, 100), (10_000_019, 70_001)])
def test_cuda_gives_the_same_bits_and_the_same_sums_each_time(monkeypatch, D, dim, store, fused):
    if not fused:
        monkeypatch.setattr(kernels, "usable", lambda _: False)
    P, omega, g = Hashed(D, dim, store=store), torch.linspace(-1, 1, dim), torch.linspace(-1, 1, D)
    assert torch.equal((P @ omega.cuda()).cpu(), P @ omega)
    sums = P.T @ g.cuda()
    assert all(torch.equal(P.T @ g.cuda(), sums) for _ in range(5))
    torch.testing.assert_close(sums.cpu(), P.T @ g, rtol=0, atol=1e-3)
