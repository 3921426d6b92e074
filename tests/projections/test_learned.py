"""The kinds that are learned under the laws, and what they refuse."""

import pytest
import torch

from subspace_nn import bits, testing
from subspace_nn.common.errors import InputError
from subspace_nn.projections import LEARNED, Columns, Dense, Hadamard, Orthonormal, Pieces


def vector(D, seed=0):
    return bits.normal(seed, "test", 0, D)


MAKE = {
    "dense/1:stored": lambda D, dim, seed: Dense(
        Orthonormal(D, dim, seed).dense(torch.float32), seed, distortion=1e-6, in_file=True
    ),
    "pieces/1:stored": lambda D, dim, seed: Pieces(vector(D), dim, seed, in_file=True),
    "columns/1:stored": lambda D, dim, seed: Columns(
        D, bits.permutation(seed, "test", 1 << D.bit_length() - 1)[:dim], seed
    ),
}


def test_every_learned_kind_is_tested():
    assert MAKE.keys() == LEARNED.keys()


@pytest.mark.parametrize("label", list(MAKE))
def test_laws_at_all_sizes(label):
    def sized(D, dim, seed):
        if label.startswith("columns") and dim > 1 << D.bit_length() - 1:
            raise InputError("more than the transform has")
        return MAKE[label](D, dim, seed)

    testing.check_kind(sized)


@pytest.mark.parametrize("label", list(MAKE))
def test_the_numbers_give_the_same_map(label):
    P = MAKE[label](97, 31, 5)
    assert P.label == label
    numbers = P.numbers()
    stated = {name: (t.dtype, tuple(t.shape)) for name, t in numbers.items()}
    assert stated == P.stated(97, 31)
    again = LEARNED[label].restored(97, 31, 5, numbers)
    assert torch.equal(again.dense(), P.dense())
    assert (again.fingerprint(), again.label) == (P.fingerprint(), label)


def test_pieces_contain_the_vector():
    v = vector(1000)
    for dim in (1, 7, 1000):
        P = Pieces(v, dim)
        torch.testing.assert_close(P @ (P.T @ v), v, rtol=1e-6, atol=1e-6)


def test_columns_are_those_of_the_transform():
    P = Columns(70, [63, 2, 0], 9)
    assert torch.equal(P.dense(), Hadamard(70, 64, 9).dense()[:, [0, 2, 63]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Columns(70, [64]), "from 0 to 63"),
        (lambda: Columns(70, [-1]), "from 0 to 63"),
        (lambda: Columns(70, [3, 3]), "different numbers"),
        (lambda: Columns(70, [0.5]), "whole numbers"),
        (lambda: Columns(70, ["a"]), "whole numbers"),
        (lambda: Columns(70, None), "whole numbers"),
        (lambda: Columns(70, [2**63]), "whole numbers"),
        (lambda: Pieces(None, 2), "got a NoneType"),
        (lambda: Dense(None), "got a NoneType"),
        (lambda: Columns(70, torch.tensor([], dtype=torch.int64)), "dim must be"),
        (lambda: Pieces(torch.zeros(9), 2), "zero on 2 of its 2 pieces"),
        (lambda: Pieces(torch.full((9,), torch.nan), 2), "finite"),
        (lambda: Pieces(torch.ones(9, 2), 2), r"shape \(9, 2\)"),
        (lambda: Pieces(torch.ones(9), 10), "dim must be"),
        (lambda: Dense(torch.eye(3).double(), in_file=True), "float32"),
        (lambda: Dense(torch.eye(3).to_sparse(), in_file=None), "sparse"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(InputError, match=message):
        make()
