"""`Dense` and `Functions`: a user's own P under the laws, its arguments, and its checkpoint."""

import pickle

import pytest
import torch
from torch import nn

import subspace_nn as sn
from subspace_nn import testing
from subspace_nn.errors import InputError
from subspace_nn.projections import KINDS, Dense, Functions, Hashed, Orthonormal, Sparse

D, DIM = 60, 30


def of_layout(layout):
    sparse = Sparse(D, DIM)
    if layout == torch.strided:
        return Dense(Orthonormal(D, DIM).dense())
    if layout == torch.sparse_coo:
        return Dense(sparse.dense().to_sparse_coo(), distortion=sparse.distortion)
    # Compressed layouts warn that they are new.
    compress = {torch.sparse_csr: torch.Tensor.to_sparse_csr, torch.sparse_csc: torch.Tensor.to_sparse_csc}
    with pytest.warns(UserWarning, match="beta"):
        matrix = compress[layout](sparse.dense())
    return Dense(matrix, distortion=sparse.distortion)


HASHED = Hashed(D, DIM)


def matvec(omega):
    assert omega.dim() == 1
    return HASHED @ omega


def rmatvec(gradient):
    assert gradient.dim() == 1
    return HASHED.T @ gradient


def twice(gradient):
    return 2 * rmatvec(gradient)


OWN = {
    "strided": lambda: of_layout(torch.strided),
    "float32": lambda: Dense(HASHED.dense(torch.float32), distortion=1e-6),
    "coo": lambda: of_layout(torch.sparse_coo),
    "functions": lambda: Functions(D, DIM, matvec, rmatvec),
}


@pytest.mark.parametrize("law", list(testing.LAWS))
@pytest.mark.parametrize("own", list(OWN))
def test_law(own, law):
    testing.LAWS[law](OWN[own]())
