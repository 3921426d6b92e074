"""Every law over every kind, size and combination; chunks and threads where they matter."""

import importlib
import pkgutil

import pytest

from subspace_nn import bits, projections, testing
from subspace_nn.common.errors import InputError
from subspace_nn.projections import KINDS, Layerwise, fwht
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


def test_every_size_of_a_piece_is_made_small():
    """Whatever else is called so in these modules decides how P is made, not in what pieces."""
    sizes = {"_CHUNK", "_WIDE_CHUNK", "_BAND", "_BLOCK", "_PIECE"}
    names = [name for _, name, _ in pkgutil.iter_modules(projections.__path__)]
    kinds = [importlib.import_module(f"subspace_nn.projections.{name}") for name in names]
    held = [(m, name) for m in (bits, fwht, *kinds) for name in sizes & set(vars(m))]
    assert {(bits, "_CHUNK"), (fwht, "_PIECE")} <= set(held)
    before = [vars(m)[name] for m, name in held]
    with testing._pieces_of(16):
        assert {vars(m)[name] for m, name in held} == {16, 64}
    assert [vars(m)[name] for m, name in held] == before


@pytest.mark.parametrize("golden", ["9d9a5b0126e85d43", (0.5, 0.5, 0.5, 0.5)])
def test_another_map_than_the_golden_one_is_told(golden):
    testing.check(KIND["gaussian"](), golden=testing.golden(KIND["gaussian"]()))
    with pytest.raises(AssertionError, match="\ngolden: "):
        testing.check(KIND["gaussian"](), golden=golden)
