"""Projections inside of `torch.compile`: one graph, whether tables exist or not."""

import gc

import pytest
import torch

from subspace_nn.projections import Gaussian, Hashed, Kronecker, make
from subspace_nn.projections._compiled import PROJECTIONS
from subspace_nn.projections.linear import place
from tests.projections.cases import CASES

RECOMPUTED = {
    "hashed, recomputed": lambda: Hashed(97, 31, store=False),
    "gaussian, recomputed": lambda: Gaussian(97, 31, store=False),
}


@pytest.fixture(autouse=True)
def _no_graphs_of_other_tests():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def energy(P, omega):
    """A function of P, of some of its rows and of both adjoints."""
    theta, part = P.__matmul__(omega), P[10:40].__matmul__(omega)
    back = P.T.__matmul__(theta.sin()) + P[10:40].T.__matmul__(part.cos())
    return (back * omega).sum()


@pytest.mark.parametrize("case", [
    "hashed", "sparse", "hadamard", "fastfood", "kronecker", "orthonormal", "layerwise hashed 31",
    "sum", "hstack", "composition", *RECOMPUTED,
])  # fmt: skip
def test_one_graph_with_the_same_results(case):
    make_P = (CASES | RECOMPUTED)[case]
    P, omega = make_P(), torch.linspace(-1, 1, make_P().dim, requires_grad=True)
    compiled = torch.compile(lambda x: energy(P, x), backend="aot_eager", fullgraph=True)
    value = compiled(omega)  # the first use of P: no table exists
    (gradient,) = torch.autograd.grad(value, omega)
    expected = energy(make_P(), omega)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, omega)[0])


def test_each_projection_has_its_own_graph():
    omega = torch.linspace(-1, 1, 31)
    compiled = torch.compile(lambda P, x: P[10:40].__matmul__(x), backend="eager", fullgraph=True)
    for seed in range(4):
        P = make("hashed", 97, 31, seed)
        assert torch.equal(compiled(P, omega), P[10:40] @ omega)


def test_a_batch_inside_of_a_graph():
    P, batch = Kronecker(97, 31), torch.linspace(-1, 1, 93).view(3, 31)
    compiled = torch.compile(torch.func.vmap(P.__matmul__), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(batch), P @ batch)


def test_weights_are_placed_in_one_graph():
    P, omega = Hashed(97, 31), torch.linspace(-1, 1, 31)
    origins = torch.ones(5, 11), torch.zeros(42)

    def weights(x):
        return place(P, x, (0.5, 2.0), origins)

    compiled = torch.compile(weights, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(omega), weights(omega))


def test_a_projection_is_not_kept_alive():
    number = Hashed(97, 31)._number
    gc.collect()
    assert number not in PROJECTIONS
