"""Projections in graphs: one of `torch.compile`, whether tables exist or not, and exported ones."""

import gc

import pytest
import torch

from subspace_nn.common.errors import InputError
from subspace_nn.projections import KINDS, Gaussian, Hashed, Kronecker, _compiled, make
from subspace_nn.projections._compiled import PROJECTIONS
from subspace_nn.projections.linear import place
from tests.projections.cases import CASES, COMBINED

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


# Exported


class Products(torch.nn.Module):
    """Products of many maps and of some of their rows."""

    def __init__(self, cases):
        super().__init__()
        self.maps = {name: make_P() for name, make_P in cases.items()}

    def forward(self, xs):
        return [product for n, P in self.maps.items() for product in (P @ xs[n], P[3:9] @ xs[n])]


def values(function, maps):
    generator = torch.Generator().manual_seed(1)
    xs = {
        name: torch.randn(P.dim, generator=generator, dtype=torch.float64).requires_grad_()
        for name, P in maps.items()
    }
    products = function(xs)
    sum(product.square().sum() for product in products).backward()
    return [*products, *(x.grad for x in xs.values())]


def test_an_exported_program_needs_nothing_of_this_package():
    cases = {name: CASES[name] for name in (*KINDS, "layerwise hashed 31", *COMBINED)} | RECOMPUTED
    products = Products(cases)  # the first use of each P is in the exporter
    xs = {name: torch.zeros(P.dim, dtype=torch.float64) for name, P in products.maps.items()}
    program = torch.export.export(products, (xs,))
    assert not [node for node in program.graph.nodes if "subspace_nn" in str(node.target)]
    expected = values(Products(cases), products.maps)
    for got in values(program.module(), products.maps), values(products, products.maps):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def test_a_dense_form_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(_compiled, "MAX_ENTRIES", 97 * 31 - 1)
    one = {"x": torch.zeros(31)}
    torch.export.export(Products({"x": CASES["hashed"]}), (one,))
    with pytest.raises(InputError, match="merge"):
        torch.export.export(Products({"x": CASES["sparse"]}), (one,))
