"""`layerwise`: its P against plain Python, its shares, its names, and its checkpoint."""

import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import subspace_nn as sn
from subspace_nn import models, projections
from subspace_nn.common.errors import CheckpointError, InputError
from subspace_nn.format import container
from subspace_nn.projections import (
    BlockDiagonal,
    Fastfood,
    Gaussian,
    Hadamard,
    Hashed,
    Kronecker,
    Layerwise,
    Orthonormal,
    make,
)
from subspace_nn.projections.layerwise import SHARES, _share_out, _sizes
from subspace_nn.subspace.layout import Layout
from tests.projections.cases import TENSORS, D
from tests.reference import (
    reference_fastfood,
    reference_gaussian,
    reference_groups,
    reference_hadamard,
    reference_hashed,
    reference_kronecker,
    reference_layerwise,
    reference_orthonormal,
    reference_shares,
)

SIZES = {
    "tensor": [45, 1, 30, 6, 15],
    "layer": [46, 36, 15],
    1: [46, 51],
    2: [46, 36, 15],
    99: [46, 36, 15],
}


def hashed_rows(n, d, seed):
    return [[v if j == k else 0.0 for j in range(d)] for k, v in reference_hashed(n, d, seed)]


@pytest.mark.parametrize(("of", "reference", "tolerance"), [
    (Hashed, hashed_rows, 0),
    (Hadamard, reference_hadamard, 0),
    (Kronecker, reference_kronecker, 1e-11),
    (Fastfood, reference_fastfood, 1e-6),
    (Gaussian, reference_gaussian, 1e-13),
    (Orthonormal, reference_orthonormal, 1e-11),
])  # fmt: skip
@pytest.mark.parametrize(("group", "share", "dim", "seed"), [
    ("tensor", "weights", 31, 7), ("layer", "root", 20, 0), (1, "equal", 2, 2**64 - 1),
])  # fmt: skip
def test_is_the_specification(of, reference, tolerance, group, share, dim, seed):
    P = Layerwise(D, dim, seed, tensors=TENSORS, of=of, group=group, share=share)
    expected = reference_layerwise(dim, seed, SIZES[group], reference, share)
    torch.testing.assert_close(
        P.dense(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=tolerance
    )


@pytest.mark.parametrize("group", list(SIZES))
def test_groups_are_tensors_layers_or_prefixes(group):
    assert list(Layerwise(D, 31, tensors=TENSORS, group=group).sizes) == SIZES[group]


names = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(".".join)


@given(st.dictionaries(names, st.integers(0, 3), min_size=1), st.sampled_from(list(SIZES)))
def test_groups_are_those_of_the_reference(tensors, group):
    assert list(_sizes(tensors, group)) == reference_groups(tensors, group)


def test_groups_of_a_net():
    layout = Layout.of(models.build("conv"))
    tensors = {entry.name: entry.numel for entry in layout.entries}
    P = Layerwise(layout.D, 1000, tensors=tensors)
    assert P.sizes == (250, 10, 5000, 20, 16_000, 50, 500, 10)
    assert P.dims == (11, 1, 229, 1, 732, 2, 23, 1)
    assert Layerwise(layout.D, 1000, tensors=tensors, group="layer").sizes == (
        260,
        5020,
        16_050,
        510,
    )


def test_a_tensor_without_weights_makes_no_group():
    assert Layerwise(7, 3, tensors={"a": 3, "none": 0, "b": 4}).sizes == (3, 4)


groups_and_dim = st.lists(st.integers(1, 60), min_size=1, max_size=5).flatmap(
    lambda sizes: st.tuples(st.just(sizes), st.integers(len(sizes), sum(sizes)))
)


@given(groups_and_dim, st.sampled_from(SHARES))
def test_shares_are_those_of_the_reference(case, share):
    sizes, dim = case
    weight = {"weights": int, "root": lambda n: math.isqrt(n * 2**40), "equal": lambda _: 1}[share]
    dims = _share_out(dim, sizes, share)
    assert list(dims) == reference_shares(dim, sizes, [weight(n) for n in sizes])
    assert sum(dims) == dim
    assert all(1 <= d <= n for d, n in zip(dims, sizes, strict=True))


@given(groups_and_dim)
def test_shares_by_weights_are_within_one_of_the_proportion_or_at_the_bound(case):
    sizes, dim = case
    for d, n in zip(_share_out(dim, sizes), sizes, strict=True):
        assert d == 1 or d <= dim * n / sum(sizes) + 1


@pytest.mark.parametrize(("dim", "sizes", "share", "expected"), [
    (3, [5, 5, 5], "weights", (1, 1, 1)),
    (4, [5, 5, 5], "weights", (2, 1, 1)),  # of equal remainders the first
    (15, [5, 5, 5], "equal", (5, 5, 5)),
    (12, [100, 4, 1], "equal", (7, 4, 1)),
    (10, [900, 100, 4], "root", (7, 2, 1)),
    (1000, [250, 10, 5000, 20, 16_000, 50, 500, 10], "root", (63, 10, 280, 18, 502, 28, 89, 10)),
])  # fmt: skip
def test_shares(dim, sizes, share, expected):
    assert _share_out(dim, sizes, share) == expected


def test_sharing_out_is_quick_for_many_groups():
    sizes = [10_000 + 7 * g for g in range(2000)]
    assert sum(_share_out(100_000, sizes, "root")) == 100_000


def test_groups_of_one_size_have_different_maps():
    P = Layerwise(40, 10, tensors={"a": 20, "b": 20})
    assert P.dims == (5, 5)
    assert not torch.equal(P.dense()[:20, :5], P.dense()[20:, 5:])


def test_every_step_is_as_wide_as_its_group_needs():
    P = Layerwise(D, 20, tensors=TENSORS, share="root")
    start = 0
    for n, d in zip(P.sizes, P.dims, strict=True):
        assert P.widening(start, start + n) == pytest.approx(math.sqrt(n / d), rel=1e-14)
        start += n


def test_is_isometric_as_its_kind_is():
    assert Layerwise(D, 20, tensors=TENSORS).distortion == 0
    P = Layerwise(D, 20, tensors=TENSORS, of=Gaussian)
    assert P.distortion == max(
        Gaussian(n, d).distortion for n, d in zip(P.sizes, P.dims, strict=True)
    )


def test_portable_and_stored_as_its_kind_is():
    assert Layerwise(D, 20, tensors=TENSORS, of=Hadamard).portable
    assert not Layerwise(D, 20, tensors=TENSORS, of=Gaussian).portable
    P = Layerwise(1000, 50, tensors={"a": 400, "b": 600})
    assert P.stored_bytes() == 0
    P @ torch.zeros(50)
    assert P.stored_bytes() == sum(part.stored_bytes() for part in P.blocks.parts) > 0


def test_pickles_with_its_options():
    P = Layerwise(D, 20, 3, tensors=TENSORS, of=Hadamard, group="layer", share="root")
    twin = pickle.loads(pickle.dumps(P))
    assert (twin.label, twin.sizes, twin.dims) == (P.label, P.sizes, P.dims)
    assert torch.equal(twin.dense(), P.dense())


def test_every_part_of_the_recipe_counts():
    options = [{}, {"of": Hadamard}, {"group": "layer"}, {"share": "root"}, {"tensors": {"a": D}}]
    made = [Layerwise(D, 31, **{"tensors": TENSORS, **own}) for own in options]
    assert len({P.fingerprint() for P in made}) == len(made)
    # Names do not count beyond the groups they make.
    renamed = Layerwise(D, 31, tensors=dict(zip("abcde", TENSORS.values(), strict=True)))
    assert renamed.fingerprint() == made[0].fingerprint()


# Names.


@pytest.mark.parametrize(("name", "label"), [
    ("layerwise", "layerwise/1:hashed/1:tensor:weights"),
    ("layerwise:hadamard", "layerwise/1:hadamard/1:tensor:weights"),
    ("layerwise:root:gaussian:layer", "layerwise/1:gaussian/1:layer:root"),
    ("layerwise:2:equal", "layerwise/1:hashed/1:2:equal"),
])  # fmt: skip
def test_names(name, label):
    P = make(name, D, 31, tensors=TENSORS)
    assert P.label == label
    again = ":".join(word.partition("/")[0] for word in label.split(":"))
    assert make(again, D, 31, tensors=TENSORS).label == label


@pytest.mark.parametrize(("name", "message"), [
    ("layerwise:hadmard", r"Unknown word of layerwise 'hadmard'\. Did you mean 'hadamard'\?"),
    ("layerwise:layerwise", "Unknown word of layerwise 'layerwise'"),
    ("layerwise:0", "Unknown word of layerwise '0'"),
    ("layerwise:100", "Unknown word of layerwise '100'"),
    ("layerwise:", "Unknown word of layerwise ''"),
    ("layerwise:layer:tensor", "'layer:tensor' gives 'group' twice"),
    ("hashed:layer", "hashed takes no words after its name, got 'layer'"),
    ("orthonormal:anchored", "orthonormal takes no words after its name, got 'anchored'"),
    ("layerwize:hashed", r"Unknown projection 'layerwize'\. Did you mean 'layerwise'\?"),
    (7, "Unknown projection 7"),
])  # fmt: skip
def test_wrong_names(name, message):
    with pytest.raises(InputError, match=message):
        projections.parse(name)


@pytest.mark.parametrize(("options", "message"), [
    ({"tensors": {"a": 96}}, "must have D = 97 weights together"),
    ({"tensors": {"a": 98, "b": -1}}, "none below 0"),
    ({"group": "model"}, "Unknown group of layerwise 'model'"),
    ({"group": 0}, "Unknown group of layerwise 0"),
    ({"group": True}, "Unknown group of layerwise True"),
    ({"share": "rot"}, r"Unknown share of layerwise 'rot'\. Did you mean 'root'\?"),
])  # fmt: skip
def test_wrong_options(options, message):
    with pytest.raises(InputError, match=message):
        Layerwise(D, 31, **{"tensors": TENSORS, **options})


def test_a_parameter_for_each_group_is_needed():
    with pytest.raises(
        InputError, match=r"each of the 5 groups, got dim=4\. Raise dim, or make fewer"
    ):
        Layerwise(D, 4, tensors=TENSORS)


def test_wrong_options_are_told_together():
    with pytest.raises(InputError) as caught:
        Layerwise(D, 31, tensors={"a": 1}, group="x", share="y")
    assert len(caught.value.problems) == 3


# In a subspace.

NAMES = ["layerwise", "layerwise:gaussian:layer", "layerwise:hadamard:1:root", "orthonormal:plain"]


def net_of(name, **options):
    net = sn.Subspace(models.build("fc-16"), 40, name, seed=3, **options)
    with torch.no_grad():
        net.omega.copy_(torch.linspace(-1, 1, 40))
    return net


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", ["init", "learned", "none"])
def test_comes_back_from_a_checkpoint(name, scale, tmp_path):
    path = tmp_path / "omega.safetensors"
    net = net_of(name, scale=scale)
    net.save(path)
    again = sn.load(path)
    assert again.projection.label == net.projection.label
    assert torch.equal(again.theta(), net.theta())
    assert again.dim == 40


def test_each_tensor_moves_in_its_own_parameters():
    net = net_of("layerwise:root")
    dims, tensors = net.projection.dims, net.layout.entries
    start = 0
    for entry, d in zip(tensors, dims, strict=True):
        with torch.no_grad():
            net.omega.zero_()
            net.omega[start : start + d] = 1.0
            moved = net.layout.split(net.theta() - net.layout.flatten(net.theta0()))
        for name, move in moved.items():
            assert bool(move.any()) == (name == entry.name)
        # ‖P ω‖ = ‖ω‖, and the step is σ √(n/d).
        rms = float(moved[entry.name].square().mean().sqrt())
        assert rms == pytest.approx(net.sigma[entry.name], rel=1e-4)
        start += d


def test_one_parameter_for_each_tensor_is_told():
    with pytest.raises(InputError, match="each of the 4 groups, got dim=3"):
        sn.Subspace(models.build("fc-16"), 3, "layerwise")


@pytest.mark.parametrize(("label", "message"), [
    ("layerwise/2:hashed/1:tensor:weights", "another version of projection 'layerwise'"),
    ("layerwise/1:hashed/2:tensor:weights", "another version of projection 'hashed'"),
    ("layerwise/1:hashed:tensor:weights", "another version of projection 'hashed'"),
    ("layerwise:hashed/1:tensor:weights", "another version of projection 'layerwise'"),
    ("layerwise/1:hashed/1:tensor/1:weights", "another version of projection 'tensor'"),
    ("layerwise/1:hashed/1:tensor:root", "another P than the one it was saved with"),
    ("layerwise/1:layerwise/1", "Unknown word of layerwise 'layerwise'"),
    ("layerwise/1:hashed/1:99999999999999999999", "Unknown word of layerwise '9999"),
    ("layerwise/1:" + ":".join(["tensor"] * 100), "gives 'group' twice"),
    ("sum/1", "Unknown projection 'sum'"),
    ("hashed/1:layer", "hashed takes no words after its name"),
    (":", "Unknown projection ''"),
])  # fmt: skip
def test_a_file_with_another_label_is_refused(label, message, tmp_path):
    path = tmp_path / "omega.safetensors"
    net_of("layerwise").save(path)
    saved = container.read(path)
    altered = container.Checkpoint({**saved.spec, "projection": label}, saved.tensors)
    container.write(altered, path)
    with pytest.raises(CheckpointError) as caught:
        sn.load(path)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_groups_of_the_users_own_are_given_again(tmp_path):
    path = tmp_path / "omega.safetensors"
    layout = Layout.of(nn.Linear(9, 6))
    P = BlockDiagonal(Hadamard(54, 5), Hashed(6, 6))
    net = sn.Subspace(nn.Linear(9, 6), P.dim, P)
    assert net.D == layout.D == P.D
    net.save(path)
    assert torch.equal(sn.load(path, nn.Linear(9, 6), P).theta(), net.theta())
    with pytest.raises(CheckpointError, match="If you made the projection yourself, give it"):
        sn.load(path, nn.Linear(9, 6))
