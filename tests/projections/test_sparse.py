"""`sparse`: its P against plain Python, golden fingerprints, its coverage, its distortion."""

import math
import pickle

import pytest
import torch

from subspace_nn import bits
from subspace_nn.projections import Hashed, Sparse
from tests.reference import reference_sparse

SMALL = [(D, dim) for D in range(1, 8) for dim in range(1, D + 1)]


@pytest.mark.parametrize(("D", "dim", "seed"), [
    (1, 1, 0), (7, 1, 1), (7, 7, 2), (130, 64, 3), (200, 31, 2**64 - 1), (99, 98, 5), (300, 12, 6),
])  # fmt: skip
def test_is_the_specification(D, dim, seed):
    expected = torch.zeros(D, dim, dtype=torch.float64)
    for weight, row in enumerate(reference_sparse(D, dim, seed)):
        for k, value in row:
            expected[weight, k] = value
    assert torch.equal(Sparse(D, dim, seed).dense(), expected)


@pytest.mark.parametrize(("D", "dim", "seed", "golden"), [
    (21_840, 100, 0, "121052939a29903f"),
    (21_840, 1000, 0, "9c3f13b523d6bb68"),
    (199_210, 1000, 0, "55c0e013aa2ba47a"),
    (5000, 4999, 7, "d286cde8f90fed53"),
])  # fmt: skip
def test_golden_fingerprint(D, dim, seed, golden):
    assert Sparse(D, dim, seed).fingerprint() == golden


@pytest.mark.parametrize(("D", "dim", "s"), [
    (1, 1, 1), (4, 2, 1), (4, 3, 2), (4, 4, 2), (9, 2, 1), (16, 6, 2), (100, 14, 1), (100, 15, 2),
    (21_840, 221, 1), (21_840, 222, 2), (21_840, 1000, 7), (199_210, 750, 2), (10**8, 10**4, 1),
    (10**16, 15 * 10**7 - 1, 1), (10**16, 15 * 10**7, 2),
])  # fmt: skip
def test_nonzeros_are_dim_over_the_root_of_D_rounded(D, dim, s):
    assert Sparse(D, dim).nonzeros == s
    assert s == max(1, math.floor(dim / math.sqrt(D) + 0.5))


@pytest.mark.parametrize(("D", "dim"), [*SMALL, (64, 64), (101, 50), (1000, 300)])
def test_every_row_has_s_entries_and_every_column_unit_norm(D, dim):
    for seed in range(20 if D < 10 else 1):
        P = Sparse(D, dim, seed)
        matrix = P.dense()
        assert bool(((matrix != 0).sum(1) == P.nonzeros).all())
        counts = (matrix != 0).sum(0)
        assert int(counts.min()) >= 1
        # Not torch.sqrt, whose last bit depends on the processor.
        norms = [1 / math.sqrt(count) for count in counts.tolist()]
        expected = torch.tensor(norms, dtype=torch.float64).expand_as(matrix)
        assert torch.equal(matrix.abs(), torch.where(matrix != 0, expected, 0.0))


def test_with_one_entry_a_row_it_is_hashed():
    seed = bits.words(3, "sparse", 0, 1).item() % 2**64
    assert torch.equal(Sparse(1000, 40, 3).dense(), Hashed(1000, 40, seed).dense())
    assert Sparse(1000, 40).distortion == 0


def test_groups_have_their_own_signs_and_places():
    matrix = Sparse(400, 40).dense()  # two groups of 20
    assert not torch.equal(matrix[:, :20], matrix[:, 20:])
    assert not torch.equal(matrix[:, :20].abs(), matrix[:, 20:].abs())


def test_half_precision_is_summed_in_single():
    P, omega = Sparse(64, 64), torch.linspace(-1, 1, 64)
    for dtype in (torch.float16, torch.bfloat16):
        half = omega.to(dtype)
        assert torch.equal(P @ half, (P @ half.float()).to(dtype))
        assert torch.equal(P.T @ half, (P.T @ half.float()).to(dtype))


def test_stores_nothing_until_used_and_four_bytes_an_entry_after():
    P = Sparse(50_000, 1000)
    assert P.stored_bytes() == 0
    P @ torch.zeros(1000)
    assert P.stored_bytes() == 4 * 4 * 50_000 + 8 * 1000


@pytest.mark.parametrize(("D", "dim"), [
    (3, 3), (5, 5), (9, 6), (10, 10), (30, 20), (100, 14), (100, 15), (100, 50), (100, 100),
    (400, 30), (400, 45),
])  # fmt: skip
def test_distortion_holds_for_99_seeds_in_100_and_is_not_vacuous(D, dim):
    seen = torch.stack([gram_error(Sparse(D, dim, seed)) for seed in range(200)])
    bound = Sparse(D, dim).distortion
    assert float((seen <= bound + 1e-12).double().mean()) >= 0.99
    if D >= 100:
        assert float(seen.median()) >= bound / 2


def gram_error(P):
    """‖PᵀP - I‖ in the spectral norm."""
    matrix = P.dense()
    gram = matrix.T @ matrix
    return torch.linalg.eigvalsh(gram - torch.eye(P.dim, dtype=gram.dtype)).abs().max()


@pytest.mark.parametrize(("D", "dim"), [(1000, 200), (97, 97)])
def test_recomputed_it_is_the_stored_one_and_stores_nothing(D, dim):
    P, stored = Sparse(D, dim, 3, store=False), Sparse(D, dim, 3)
    assert torch.equal(P.dense(), stored.dense())
    assert (P.stored_bytes(), stored.store) == (0, True)
    assert not pickle.loads(pickle.dumps(P)).store


def test_stored_up_to_a_size():
    D = 1 << 24  # s = 4 from d = 14,336 on, and 5 from d = 18,432 on
    assert (Sparse(D, 16_000).nonzeros, Sparse(D, 20_000).nonzeros) == (4, 5)
    assert Sparse(D, 16_000).store
    assert not Sparse(D, 20_000).store
