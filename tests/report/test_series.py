"""A series is one net under one recipe and one kind of projection."""

from subspace_nn.report.groups import group
from subspace_nn.report.series import names, richest, series
from tests.report import records as r


def found(*lists):
    return series(group([one for records in lists for one in records]))


def test_a_full_net_is_the_end_of_its_curve():
    (one,) = found(r.CONV_NEW, r.CONV_FULL)
    assert [g.dim for g in one.groups] == [100, 1000, 3000, 21_840]
    assert len(one.subspaces) == 3
    assert one.full is not None
    assert (one.projection, one.recipe, one.D) == ("hashed", "new", 21_840)
    assert one.at(1000) is one.groups[1]
    assert one.at(7) is None


def test_recipes_and_nets_are_apart():
    assert [(s.model, s.recipe) for s in found(r.CONV_OLD, r.CONV_NEW, r.FC_NEW, r.ZOO)] == [
        ("conv-6-6", ""), ("conv", "new"), ("conv", "2017"), ("fc", "new"),
    ]  # fmt: skip


def test_kinds_are_apart_and_share_the_full_net():
    kinds = found(r.CONV_NEW, r.KINDS, r.CONV_FULL)
    assert [s.projection for s in kinds] == ["hadamard", "hashed", "sparse"]
    assert all(s.full is kinds[0].full for s in kinds)
    assert names(kinds) == ["projection hadamard", "projection hashed", "projection sparse"]


def test_the_richest_has_the_default_projection_then_the_most_runs():
    more = r.curve(90.0, [10, 30, 100, 300, 1000], projection="sparse")
    short = r.curve(90.0, [10, 30], epochs=3)
    chosen = richest(found(more, short, r.CONV_NEW))
    assert (chosen.projection, len(chosen.subspaces)) == ("hashed", 3)
    assert richest([]) is None


def test_a_task_without_d_has_no_series():
    records = [{**one, "arguments": {"seed": one["arguments"]["seed"]}} for one in r.OWN]
    assert found(records) == []
