"""What all kinds share apart from the laws: arguments, names, what tells one P from another."""

import math

import pytest
import torch
from torch.autograd import forward_ad

from subspace_nn import bits
from subspace_nn.common.errors import InputError
from subspace_nn.projections import KINDS, make
from tests.projections.cases import KIND
from tests.reference import reference_identity


@pytest.mark.parametrize(("D", "dim", "message"), [
    (0, 1, "D must be a whole number of at least 1, got 0"),
    (2.0, 1, "D must be a whole number"),
    (10, 0, "dim must be a whole number from 1 to the number of weights, 10; got 0"),
    (10, -1, "got -1"),
    (10, 11, "got 11"),
    (10, True, "got True"),
    (10, 1.5, "got 1.5"),
])  # fmt: skip
@pytest.mark.parametrize("kind", list(KINDS))
def test_sizes_are_checked(kind, D, dim, message):
    with pytest.raises(InputError, match=message):
        make(kind, D, dim)


def test_unknown_kind():
    with pytest.raises(InputError, match=r"Unknown projection 'hashd'\. Did you mean 'hashed'"):
        make("hashd", 10, 2)


def test_identity_is_the_specification():
    expected = torch.tensor(reference_identity(9), dtype=torch.float64)
    assert torch.equal(make("identity", 9, 9).dense(), expected)


def test_identity_is_the_full_space():
    with pytest.raises(InputError, match="dim must be 10, got 9"):
        make("identity", 10, 9)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "identity"])
def test_every_part_of_the_recipe_counts(kind):
    made = [make(kind, *recipe) for recipe in [(50, 7, 0), (50, 7, 1), (50, 8, 0), (51, 7, 0)]]
    assert len({P.fingerprint() for P in made}) == len(made)
    assert len({P.sketch() for P in made}) == len(made)
    assert not torch.equal(made[0].dense(), made[1].dense())


@pytest.mark.parametrize("kind", list(KINDS))
def test_widening_is_the_root_of_D_over_d(kind):
    D, dim = (50, 50) if kind == "identity" else (50, 7)
    assert make(kind, D, dim).widening(3, 10) == pytest.approx(math.sqrt(D / dim), rel=1e-15)


def test_sketch_does_not_depend_on_the_order_of_use():
    fresh, used = (make("orthonormal", 60, 9) for _ in range(2))
    used.dense()
    assert fresh.sketch() == pytest.approx(used.sketch(), abs=1e-5)


def test_repr_is_the_recipe():
    assert repr(make("hashed", 100, 10, 3)) == "Hashed(D=100, dim=10, seed=3)"


@pytest.mark.parametrize("case", list(KIND))
def test_operands_of_any_strides_and_none_at_all(case):
    P = KIND[case]()
    matrix = P.dense()
    every = bits.normal(0, "omega", 0, 6 * P.D).view(2, P.D, 3)
    for size, product, dense in ((P.dim, P.__matmul__, matrix.T), (P.D, P.T.__matmul__, matrix)):
        for x in (
            every[:, :size].mT,
            every[0, :size, 0],
            every[0, 0, 0].expand(size),  # the gradient of a sum
            every[0, :3, 0, None].expand(3, size),
            every.new_empty(2, 0, size),
        ):
            before = x.clone()
            torch.testing.assert_close(product(x), x @ dense)
            assert torch.equal(x, before)


@pytest.mark.parametrize("kind", ["hashed", "hadamard", "gaussian"])
def test_forward_derivatives_where_nobody_asks_for_backward_ones(kind):
    P = make(kind, 97, 31, 7)
    matrix = P.dense()
    omega, tangent = bits.normal(0, "omega", 0, 62).view(2, 31)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(omega.clone().requires_grad_(), tangent)
        (slope,) = torch.autograd.grad((P @ dual).pow(3).sum(), dual)  # forward over reverse
        want = matrix.T @ (6 * (matrix @ omega) * (matrix @ tangent))
        torch.testing.assert_close(forward_ad.unpack_dual(slope).tangent, want)
        with torch.no_grad():
            there = P @ forward_ad.make_dual(omega, tangent)
        torch.testing.assert_close(forward_ad.unpack_dual(there).tangent, matrix @ tangent)
    with torch.no_grad():
        along = torch.func.jvp(P.__matmul__, (omega,), (tangent,))[1]
        batch = torch.func.vmap(P.__matmul__)(torch.stack((omega, tangent)))
    torch.testing.assert_close(along, matrix @ tangent)
    torch.testing.assert_close(batch, torch.stack((matrix @ omega, matrix @ tangent)))


def test_a_result_asks_for_a_gradient_where_its_operand_does():
    P, omega = make("hashed", 97, 31), torch.ones(31, requires_grad=True)
    assert (P @ omega).requires_grad
    assert not (P @ omega.detach()).requires_grad
    with torch.no_grad():
        assert not (P @ omega).requires_grad
