"""Rows of a projection at sizes of use, how they are asked for, and what they cost.

That they are the rows of P is a law, `testing.sliced`.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from subspace_nn import bits, testing
from subspace_nn.common.errors import InputError
from subspace_nn.projections import (
    Dense,
    Fastfood,
    Functions,
    Gaussian,
    Hadamard,
    Hashed,
    Identity,
    Kronecker,
    Layerwise,
    Orthonormal,
    Sparse,
    kernels,
)
from tests.projections.cases import LARGE

D, DIM = 1 << 16, 64
TENSORS = {f"layer{i}": D // 64 for i in range(64)}
SCALING = {
    "hashed": lambda: Hashed(D, DIM),
    "hashed, recomputed": lambda: Hashed(D, DIM, store=False),
    "sparse": lambda: Sparse(D, 4 * DIM),
    "sparse, recomputed": lambda: Sparse(D, 4 * DIM, store=False),
    "gaussian": lambda: Gaussian(D, DIM),
    "gaussian, recomputed": lambda: Gaussian(D, DIM, store=False),
    "layerwise": lambda: Layerwise(D, 2 * DIM, tensors=TENSORS),
    "fastfood": lambda: Fastfood(D, DIM),
    "kronecker": lambda: Kronecker(D, DIM),
    "orthonormal": lambda: Orthonormal(D, DIM),
    "dense": lambda: Dense(Orthonormal(D, 8).dense()),
    "a sum": lambda: Hashed(D, DIM) + Kronecker(D, DIM),
    "side by side": lambda: Hashed(D, DIM) | Kronecker(D, DIM),
    "a composition": lambda: Hashed(D, 2 * DIM) @ Hashed(2 * DIM, DIM),
}
#: Portable kinds whose tables are recomputed, and maps whose blocks are cut by pieces.
RECOMPUTED = {
    "hashed": lambda: Hashed(5003, 300, 7, store=False),
    "hashed, two weights an ω": lambda: Hashed(5003, 2600, 7, store=False),
    "sparse": lambda: Sparse(5003, 300, 7, store=False),
    "gaussian, even": lambda: Gaussian(503, 30, 7, store=False),
    "gaussian, odd": lambda: Gaussian(503, 31, 7, store=False),
    "hadamard, few columns": lambda: Hadamard(5003, 20, 7),
    "hadamard, many columns": lambda: Hadamard(5003, 2000, 7),
    "hadamard, twice": lambda: Hadamard(503, 500, 7),
}


class Work(TorchDispatchMode):
    """Count the numbers that operations read and write, and the largest tensor they make."""

    def __init__(self):
        super().__init__()
        self.total = self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        made = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        held = {x.untyped_storage().data_ptr() for x in given}
        is_view = not func._schema.is_mutable and all(
            x.untyped_storage().data_ptr() in held for x in made
        )
        if not is_view:
            self.total += sum(x.numel() for x in (*given, *made))
            self.largest = max(self.largest, *(x.numel() for x in made), 0)
        return result


def work(product, x):
    """Numbers that a product reads and writes, and those of the largest tensor it makes."""
    product(x)  # makes the tables
    with Work() as counted:
        product(x)
    return counted.total, counted.largest


START, COUNT = D // 2 - 100, D // 64


def costs(P):
    """`work` of P ω and of its share for COUNT rows, and the same of Pᵀ g."""
    omega, g = bits.normal(0, "omega", 0, P.dim).float(), bits.normal(0, "g", 0, P.D).float()
    rows, part = P[START : START + COUNT], g[START : START + COUNT]
    return (
        (work(P.__matmul__, omega), work(rows.__matmul__, omega)),
        (work(P.T.__matmul__, g), work(rows.T.__matmul__, part)),
    )


@pytest.fixture
def in_torch(monkeypatch):
    """No kernels, whose work no mode counts."""
    monkeypatch.setattr(kernels, "usable", lambda _: False)


@pytest.mark.usefixtures("in_torch")
@pytest.mark.parametrize("case", list(SCALING))
def test_a_64th_of_the_rows_costs_a_16th_at_most(case):
    P = SCALING[case]()
    for (all_, _), (some, largest) in costs(P):
        assert some < all_ / 16
        assert largest <= max(6 * COUNT, 6 * P.dim, P.dim * COUNT * isinstance(P, Gaussian))


@pytest.mark.usefixtures("in_torch")
def test_rows_of_a_hashed_map_with_long_blocks_cost_themselves_and_some_d_numbers():
    P = Hashed(D, D // 2, store=False)
    for _, (some, largest) in costs(P):
        assert some < 50 * P.dim
        assert largest <= 4 * P.dim


@pytest.mark.usefixtures("in_torch")
def test_rows_of_hadamard_cost_their_share_but_for_the_additions_forward():
    P = Hadamard(D, DIM)
    (forward, adjoint) = costs(P)
    (all_, _), (some, largest) = forward  # all columns are added up in the order of the transform
    assert some < 1.1 * all_
    assert largest <= 64 * COUNT
    (all_, _), (some, largest) = adjoint
    assert some < all_ / 16
    assert largest <= 2 * COUNT


def test_rows_of_the_identity_are_copied():
    P = Identity(D, D)
    assert costs(P)[0] == ((2 * D, D), (2 * COUNT, COUNT))


@pytest.mark.parametrize("case", [*LARGE, *RECOMPUTED])
def test_rows_at_sizes_of_use(case):
    P = (LARGE | RECOMPUTED)[case]()
    if P.dim < 10_000:  # the law compares with the dense form
        testing.sliced(P)


def test_rows_without_columns_in_some_blocks_of_the_transform():
    P = Hadamard(1 << 12, 3, 7)
    omega = bits.normal(0, "omega", 0, 3)
    for start in range(0, 1 << 12, 1 << 9):
        for count in (1, 2, 3, 100):
            assert torch.equal(P[start : start + count] @ omega, (P @ omega)[start : start + count])


def test_functions_give_rows_at_the_cost_of_all():
    P = Functions(9, 2, lambda w: torch.nn.functional.pad(w, (0, 7)), lambda g: g[:2])
    assert (P[1:4] @ torch.tensor([1.0, 2.0])).tolist() == [2, 0, 0]
    assert (P[1:4].T @ torch.tensor([1.0, 2.0, 3.0])).tolist() == [0, 1]


def test_ends_can_be_left_out():
    P, omega = Hashed(97, 31), torch.ones(31)
    assert torch.equal(P[:] @ omega, P @ omega)
    assert torch.equal(torch.cat((P[:40] @ omega, P[40:] @ omega)), P @ omega)
    assert repr(P[40:]) == "Hashed(D=97, dim=31, seed=0)[40:97]"


@pytest.mark.parametrize("rows", [
    3, slice(0, 9, 2), slice(5, 3), slice(0, 98), slice(-3, None), slice(0.0, 5), (1, 2), "a",
], ids=repr)  # fmt: skip
def test_other_rows_are_refused(rows):
    with pytest.raises(InputError, match=r"P\[start:stop\] .* 0 ≤ start ≤ stop ≤ 97, got "):
        Hashed(97, 31)[rows]


def test_operands_of_rows_are_checked():
    rows = Hashed(97, 31)[10:20]
    with pytest.raises(InputError, match=r"\(\*, 31\)"):
        rows @ torch.ones(30)
    with pytest.raises(InputError, match=r"\(\*, 10\)"):
        rows.T @ torch.ones(97)


def test_rows_keep_a_float32_product_under_autocast():
    P, omega = Gaussian(97, 31), bits.normal(0, "omega", 0, 31).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        part = P[10:20] @ omega
    torch.testing.assert_close(part, P[10:20] @ omega)
