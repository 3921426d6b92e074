"""`hadamard`: its P against plain Python, golden digests, flatness, what it stores."""

import pytest
import torch

from subspace_nn.projections import Hadamard
from tests.reference import reference_hadamard

SIZES = [
    (1, 1, 0), (2, 1, 1), (2, 2, 1), (3, 3, 2), (7, 1, 1), (7, 3, 1), (7, 5, 1), (7, 7, 2),
    (64, 31, 3), (64, 64, 3), (61, 60, 2**64 - 1), (100, 25, 5),
]  # fmt: skip


@pytest.mark.parametrize(("D", "dim", "seed"), SIZES)
def test_is_the_specification(D, dim, seed):
    expected = torch.tensor(reference_hadamard(D, dim, seed), dtype=torch.float64)
    assert torch.equal(Hadamard(D, dim, seed).dense(), expected)


@pytest.mark.parametrize(("D", "dim", "seed", "golden"), [
    (21_840, 1000, 0, "fc67a93a841fb9d3"),
    (199_210, 1000, 0, "845812f6de7f962b"),
    (5000, 4999, 7, "0eaf209df87c1b1a"),
    (997, 31, 3, "6a73b767ddcca63a"),
])  # fmt: skip
def test_golden_fingerprint(D, dim, seed, golden):
    assert Hadamard(D, dim, seed).fingerprint() == golden


@pytest.mark.parametrize(("D", "dim"), [(5000, 100), (5000, 1), (5000, 4096), (8191, 10)])
def test_every_entry_has_the_size_of_its_row(D, dim):
    matrix = Hadamard(D, dim).dense().abs()
    n = Hadamard(D, dim).core
    shared = torch.arange(D) % n < D - n  # rows that two weights take
    torch.testing.assert_close(matrix[~shared], torch.full_like(matrix[~shared], n**-0.5))
    torch.testing.assert_close(matrix[shared], torch.full_like(matrix[shared], (2 * n) ** -0.5))


@pytest.mark.parametrize("D", [4096, 5000, 8191, 8192])
@pytest.mark.parametrize("dim", [1, 100, 4096, None])
def test_no_weight_stands_out(D, dim):
    P = Hadamard(D, dim or D)
    scale = P.dense(torch.float32).norm(dim=1) * (P.D / P.dim) ** 0.5
    assert scale.min() > 0.5**0.5 - 1e-5
    assert scale.max() < 2**0.5 + 1e-5


def test_the_same_bits_in_float32_on_any_number_of_threads():
    P, omega = Hadamard(300_001, 500), torch.linspace(-1, 1, 500)
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append((P @ omega, P.T @ (P @ omega)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_stores_nothing_until_used_and_a_byte_a_weight_after():
    P = Hadamard(50_000, 100)
    assert P.stored_bytes() == 0
    P @ torch.zeros(100)
    assert P.stored_bytes() == 50_000 + 8 * 100
