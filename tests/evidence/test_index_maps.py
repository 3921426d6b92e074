"""The map that `hashed` is compared with: a projection, and not `hashed` itself."""

import torch

from evidence.index_maps import Permuted
from subspace_nn import testing
from subspace_nn.projections import Hashed


def test_is_a_projection():
    testing.check_kind(Permuted)


def test_differs_from_hashed_in_its_places_only():
    permuted, hashed = Permuted(97, 31).dense(), Hashed(97, 31).dense()
    assert not torch.equal(permuted, hashed)
    assert torch.equal(permuted.sum(1).sign(), hashed.sum(1).sign())
    torch.testing.assert_close((permuted != 0).sum(0)[:4], (hashed != 0).sum(0)[:4], atol=1, rtol=0)


def test_no_block_is_affine():
    """a j + c mod d has equal differences; a random order of 31 has them with probability 1e-31."""
    used, affine = (kind(93, 31).dense().abs().argmax(1) for kind in (Permuted, Hashed))
    for block in range(3):
        steps, regular = (k[31 * block : 31 * block + 31].diff() % 31 for k in (used, affine))
        assert len(steps.unique()) > 1
        assert len(regular.unique()) == 1
