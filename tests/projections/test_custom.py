"""`Dense` and `Functions`: a user's own P under the laws, its arguments, and its checkpoint."""

import pickle
import warnings

import pytest
import torch
from torch import nn

import subspace_nn as sn
from subspace_nn import testing
from subspace_nn.common.errors import CheckpointError, InputError
from subspace_nn.projections import KINDS, Dense, Functions, Hashed, Orthonormal

D, DIM = 60, 30
HASHED = Hashed(D, DIM)
COO = HASHED.dense().to_sparse_coo()


def matvec(omega):
    assert omega.shape == (DIM,)
    return HASHED @ omega


def rmatvec(gradient):
    assert gradient.shape == (D,)
    return HASHED.T @ gradient


def twice(gradient):
    return 2 * rmatvec(gradient)


OWN = {
    "dense": lambda: Dense(Orthonormal(D, DIM).dense()),
    "float32": lambda: Dense(HASHED.dense(torch.float32), distortion=1e-6),
    "one column": lambda: Dense(torch.full((D, 1), D**-0.5, dtype=torch.float64)),
    "sparse": lambda: Dense(COO),
    "functions": lambda: Functions(D, DIM, matvec, rmatvec),
}


@pytest.mark.parametrize("law", list(testing.LAWS))
@pytest.mark.parametrize("own", list(OWN))
def test_law(own, law):
    testing.LAWS[law](OWN[own]())


def test_a_pair_that_does_not_belong_together_is_caught():
    testing.check(Functions(D, DIM, matvec, rmatvec))
    with pytest.raises(AssertionError, match="adjoint"):
        testing.check(Functions(D, DIM, matvec, twice))


def test_columns_that_are_not_orthonormal_need_a_stated_distortion():
    matrix = 2 * HASHED.dense()  # PᵀP - I = 3 I
    testing.check(Dense(matrix, distortion=3))
    with pytest.raises(AssertionError, match=r"isometric: ‖PᵀP - I‖ = 3 > 2\.9"):
        testing.check(Dense(matrix, distortion=2.9))


def test_is_the_given_matrix():
    assert torch.equal(Dense(HASHED.dense()).dense(), HASHED.dense())
    assert torch.equal(Functions(D, DIM, matvec, rmatvec).dense(), HASHED.dense())
    for convert in ("to_sparse_coo", "to_sparse_csr", "to_sparse_csc"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # compressed layouts say they are new
            matrix = getattr(HASHED.dense(), convert)()
        assert torch.equal(Dense(matrix).dense(), HASHED.dense())


def test_equal_places_of_a_sparse_matrix_add():
    places, values = [[0, 0, 1], [0, 0, 0]], [1.0, 2.0, 4.0]
    matrix = torch.sparse_coo_tensor(places, values, (2, 1), check_invariants=True)
    assert (Dense(matrix) @ torch.ones(1)).tolist() == [3, 4]


def test_an_empty_batch():
    for own in OWN.values():
        P = own()
        assert (P @ torch.zeros(0, 2, P.dim)).shape == (0, 2, P.D)
        assert (P.T @ torch.zeros(0, P.D)).shape == (0, P.dim)


def test_stored_bytes():
    P = Dense(HASHED.dense())
    P @ torch.zeros(DIM, dtype=torch.float64)
    assert P.stored_bytes() == 8 * D * DIM
    P @ torch.zeros(DIM)
    assert P.stored_bytes() == (8 + 4) * D * DIM
    assert Dense(COO).stored_bytes() == (8 + 2 * 8) * D
    assert Functions(D, DIM, matvec, rmatvec).stored_bytes() == 0


@pytest.mark.parametrize("own", [
    lambda: Dense(HASHED.dense(), 5, distortion=0.5),
    lambda: Functions(D, DIM, matvec, rmatvec, 5, distortion=0.5),
])  # fmt: skip
def test_pickles_with_all_that_was_given(own):
    twin = pickle.loads(pickle.dumps(own()))
    assert (twin.seed, twin.distortion) == (5, 0.5)
    assert torch.equal(twin.dense(), HASHED.dense())


def test_the_sketch_tells_matrices_apart():
    one, other = Dense(HASHED.dense()), Dense(Hashed(D, DIM, seed=1).dense())
    assert one.sketch() == HASHED.sketch() == Functions(D, DIM, matvec, rmatvec).sketch()
    assert one.sketch() != other.sketch()


def test_cannot_be_made_by_name():
    assert not {"dense", "functions"} & set(KINDS)


@pytest.mark.parametrize(("matrix", "message"), [
    (torch.zeros(5), r"floating-point tensor of shape \(D, d\), got torch.float32 of shape \(5,\)"),
    (torch.eye(3, dtype=torch.int64), "got torch.int64"),
    (torch.eye(3, dtype=torch.complex64), "got torch.complex64"),
    (torch.zeros(3, 5), "from 1 to the number of weights, 3; got 5"),
    (torch.tensor([[1.0], [float("nan")]]), "must be finite"),
    (torch.tensor([[1.0], [float("inf")]]).to_sparse_coo(), "must be finite"),
], ids=["vector", "whole", "complex", "wide", "nan", "sparse infinity"])  # fmt: skip
def test_bad_matrix(matrix, message):
    with pytest.raises(InputError, match=message):
        Dense(matrix)


@pytest.mark.parametrize("distortion", [-1, float("nan"), float("inf")])
def test_bad_distortion(distortion):
    with pytest.raises(InputError, match="distortion must be a number of at least 0"):
        Dense(torch.eye(3), distortion=distortion)
    with pytest.raises(InputError, match="distortion must be a number of at least 0"):
        Functions(D, DIM, matvec, rmatvec, distortion=distortion)


def test_functions_of_another_shape():
    swapped = Functions(D, D, lambda w: w[:3], lambda g: g[None])
    with pytest.raises(
        InputError, match=r"^matvec must give a tensor of shape \(60,\), got \(3,\)"
    ):
        swapped @ torch.zeros(D)
    with pytest.raises(InputError, match=r"^rmatvec must give .* \(60,\), got \(1, 60\)"):
        swapped.T @ torch.zeros(D)


@pytest.mark.parametrize("own", list(OWN))
def test_trains_and_comes_back_from_a_checkpoint(own, tmp_path):
    torch.manual_seed(0)
    P = OWN[own]()
    net = sn.Subspace(nn.Linear(9, 6), P.dim, projection=P)
    x = torch.linspace(-1, 1, 18).view(2, 9)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        loss = net(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]

    path = tmp_path / "omega.safetensors"
    net.save(path)
    again = sn.load(path, nn.Linear(9, 6), OWN[own]())
    assert torch.equal(again(x), net(x))
    with pytest.raises(CheckpointError, match=r"another (sketch of P|projection) than the one"):
        sn.load(path, nn.Linear(9, 6), Dense(torch.eye(D)[:, : P.dim]))
