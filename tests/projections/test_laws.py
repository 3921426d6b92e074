"""Every law over every kind, size and combination; chunks and threads where they matter."""

import pytest

from subspace_nn import testing
from subspace_nn.common.errors import InputError
from subspace_nn.projections import KINDS, Dense, Hashed, Layerwise
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


EDGES = {
    "1, 1": lambda D, dim: (D, dim) == (1, 1),
    "d = 1": lambda D, dim: dim == 1 < D,
    "d = D": lambda D, dim: dim == D > 1,
    "d = D - 1": lambda D, dim: dim == D - 1 > 1,
    "D/d not whole": lambda D, dim: D % dim > 0,
}


@pytest.mark.parametrize("edge", list(EDGES))
def test_a_kind_that_is_wrong_at_an_edge_alone_is_caught(edge):
    def make(D, dim, seed):
        P = Hashed(D, dim, seed)
        return Dense(2 * P.dense()) if EDGES[edge](D, dim) else P

    with pytest.raises(AssertionError, match="\nisometric: "):
        testing.check_kind(make)


def test_a_kind_that_takes_no_size_is_not_passed():
    def refuse(*size):
        raise InputError(f"no {size}")

    with pytest.raises(AssertionError, match="no size was accepted"):
        testing.check_kind(refuse)


@pytest.mark.parametrize("case", list(LARGE))
def test_threads_that_share_the_work_give_the_same_bits(case):
    testing.same_on_any_threads(LARGE[case]())


@pytest.mark.parametrize("golden", ["9d9a5b0126e85d43", (0.5, 0.5, 0.5, 0.5)])
def test_another_map_than_the_golden_one_is_told(golden):
    testing.check(KIND["gaussian"](), golden=testing.golden(KIND["gaussian"]()))
    with pytest.raises(AssertionError, match="\ngolden: "):
        testing.check(KIND["gaussian"](), golden=golden)
