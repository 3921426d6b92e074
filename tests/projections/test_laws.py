"""Every law over every kind, size and combination; chunks and threads where they matter."""

import importlib
import pkgutil

import pytest
import torch

from subspace_nn import bits, hadamard, projections, testing
from subspace_nn.errors import InputError
from subspace_nn.projections import KINDS, Layerwise
from tests.projections.cases import ANCHORED, CASES, COMBINED, KIND, LARGE, LAYERWISE


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_keeps_every_law_at_every_size(kind):
    testing.check_kind(KINDS[kind])


def test_layerwise_keeps_every_law_at_every_size():
    def make(D, dim, seed):
        return Layerwise(D, dim, seed, tensors={"a": D // 2, "b": D - D // 2})

    testing.check_kind(make)


@pytest.mark.parametrize("case", [*LAYERWISE, *COMBINED, *ANCHORED])
def test_maps_made_of_maps_keep_every_law(case):
    testing.check(CASES[case]())


def test_the_edges_are_those_of_the_contract():
    sizes = list(testing.EDGES.values())
    assert (1, 1) in sizes
    assert any(D == d > 1 for D, d in sizes)
    assert any(D - d == 1 for D, d in sizes)
    assert any(D % d for D, d in sizes)


def test_a_kind_that_takes_no_size_is_not_passed():
    def refuse(*size):
        raise InputError(f"no {size}")

    with pytest.raises(AssertionError, match="no size was accepted"):
        testing.check_kind(refuse)


@pytest.mark.parametrize("case", list(LARGE))
def test_threads_that_share_the_work_give_the_same_bits(case):
    testing.same_on_any_threads(LARGE[case]())


CHUNKS = {"_CHUNK", "_WIDE_CHUNK", "_BAND", "_BLOCK"}


def _modules():
    names = [name for _, name, _ in pkgutil.iter_modules(projections.__path__)]
    kinds = [importlib.import_module(f"subspace_nn.projections.{name}") for name in names]
    return [bits, hadamard, *kinds]


@pytest.mark.parametrize("size", [16, 256])
@pytest.mark.parametrize("case", list(KIND))
def test_any_chunk_size_gives_the_same_bits(case, size, monkeypatch):
    expected = KIND[case]().dense()
    changed = [(m, name) for m in _modules() for name in CHUNKS & set(vars(m))]
    assert (bits, "_CHUNK") in changed
    for module, name in changed:
        monkeypatch.setattr(module, name, size)
    P = KIND[case]()
    tolerance = 0 if P.portable else 1e-12
    torch.testing.assert_close(P.dense(), expected, rtol=0, atol=tolerance)
