"""Settings hold the runs that differ in their seed alone, and what these have in common."""

import math

import pytest

from subspace_nn.report import cells, frame
from subspace_nn.report.frame import curves, settings
from tests.report import records as r


def found(*records, metric="test_accuracy"):
    return settings(frame.runs(("sweep", one) for one in records), metric)


def test_settings_have_mean_deviation_and_number():
    assert [(one.dim, one.mean, one.std, one.n) for one in found(*r.CONV_NEW, r.FAILED)] == [
        (100, 91.0, 1.0, 3),
        (1000, 93.0, 1.0, 3),
        (3000, 95.0, 1.0, 3),
    ]


def test_the_order_and_number_of_copies_of_records_do_not_matter():
    assert found(*reversed(r.CONV_NEW), *r.CONV_NEW) == found(*r.CONV_NEW)


def test_a_single_run_has_no_deviation():
    (one,) = found(r.CONV_NEW[0])
    assert (one.mean, one.n) == (90.0, 1)
    assert math.isnan(one.std)


def test_courses_have_a_row_a_run_and_a_column_an_epoch():
    one, *_ = found(*r.CONV_NEW)
    table = frame.course(one, "test_accuracy")
    assert table.shape == (3, 10)
    assert table[:, 1].tolist() == [86.0, 87.0, 88.0]
    epochs, losses = frame.losses(one)
    assert epochs[:2].tolist() == [0.25, 0.75]  # twenty points over ten epochs, each in its middle
    assert losses[:, :2].tolist() == [[1.0, 0.5]] * 3


def test_without_a_loss_curve_the_losses_are_those_of_the_epochs():
    records = [{**one, "result": {**one["result"], "loss_curve": []}} for one in r.CONV_NEW]
    epochs, losses = frame.losses(found(*records)[0])
    assert (epochs[1], losses[0, 1]) == (2.0, 0.5)


def test_runs_of_other_lengths_are_cut_to_the_shortest():
    first, *rest = (dict(one) for one in r.CONV_NEW[:3])
    first["result"] = {**first["result"], "evaluations": first["result"]["evaluations"][:4]}
    assert frame.course(found(first, *rest)[0], "test_accuracy").shape == (3, 4)


def test_a_step_takes_the_time_of_training_over_its_steps():
    assert found(*r.CONV_NEW)[0].step_ms == pytest.approx(10.0)
    assert math.isnan(found(*r.OWN)[0].step_ms)


@pytest.mark.parametrize(
    "odd",
    [{}, {"evaluations": 400, "loss_curve": 0.1, "steps": "many"}, {"evaluations": [1, 2]}],
    ids=str,
)
def test_a_task_of_ones_own_may_mean_something_else_by_the_names(odd):
    records = [{**record, "result": {**record["result"], **odd}} for record in r.OWN]
    one = found(*records, metric="rmse")[0]
    assert (one.D, one.dim, one.model, one.full) == (0, 2, "", False)
    assert frame.course(one, "rmse").size == 0
    assert frame.losses(one)[1].size == 0
    assert math.isnan(one.step_ms)
    assert math.isnan(one.checkpoint_bytes)


@pytest.mark.parametrize(
    ("results", "first", "names"),
    [
        pytest.param([{"rmse": 1.0, "test_accuracy": 5}], [], ["test_accuracy", "rmse"], id="1st"),
        pytest.param([{"a": 1.0}, {"b": 1.0}], [], [], id="nothing in common"),
        pytest.param([{"a": "x", "b": True, "c": [1]}], [], [], id="no numbers"),
        pytest.param([{"D": 5, "dim": 2, "steps": 7, "mae": 3}], [], ["mae"], id="sizes judge not"),
        pytest.param([{"a": 1, "score": 2}], ["score"], ["score", "a"], id="what was asked"),
        pytest.param([{"age": 1, "test_return": 2}], [], ["test_return", "age"], id="tests"),
    ],
)  # fmt: skip
def test_metrics(results, first, names):
    assert frame.metrics(results, first) == names


def test_labels_distinguish_settings():
    assert cells.labels(found(*r.CONV_NEW, *r.CONV_FULL)) == ["100", "1,000", "3,000", "full"]
    assert len(set(cells.labels(found(*r.CONV_NEW, *r.CONV_OLD, *r.KINDS)))) == 10


def test_labels_that_differ_in_the_middle_are_not_cut_there():
    texts = [f"{'a' * 20}{middle}{'b' * 20}" for middle in "xy"]
    one = r.record(90.0)
    records = [{**one, "id": t, "arguments": {**one["arguments"], "images": t}} for t in texts]
    assert cells.labels(found(*records)) == [f"images {text}" for text in texts]


def test_a_full_net_is_the_end_of_its_curve():
    (one,) = curves(found(*r.CONV_NEW, *r.CONV_FULL))
    assert [p.dim for p in one.points] == [100, 1000, 3000, 21_840]
    assert len(one.subspaces) == 3
    assert one.full is one.points[-1]
    assert (one.projection, one.D) == ("hashed", 21_840)
    assert one.at(1000) is one.points[1]
    assert one.at(7) is None


def test_recipes_and_nets_are_curves_of_their_own():
    every = curves(found(*r.CONV_OLD, *r.CONV_NEW, *r.FC_NEW, *r.ZOO))
    assert [(c.model, c.arguments["init"]) for c in every] == [
        ("conv-6-6", "default"), ("conv", "default"), ("conv", "2017"), ("fc", "default"),
    ]  # fmt: skip


def test_kinds_are_apart_and_share_the_full_net():
    kinds = curves(found(*r.CONV_NEW, *r.KINDS, *r.CONV_FULL))
    assert [one.projection for one in kinds] == ["hadamard", "hashed", "sparse"]
    assert all(one.full == kinds[0].full for one in kinds)


def test_a_task_without_d_has_no_curve():
    records = [{**one, "arguments": {"seed": one["arguments"]["seed"]}} for one in r.OWN]
    assert curves(found(*records, metric="rmse")) == []
