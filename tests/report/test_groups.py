"""Groups hold the runs that differ in their seed alone, and say what these have in common."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subspace_nn.report import groups as g
from subspace_nn.report.groups import Summary, group
from tests.report import records as r


def test_groups_have_mean_deviation_and_number():
    found = group([*r.CONV_NEW, r.FAILED])
    assert [(one.dim, one.accuracy) for one in found] == [
        (100, Summary(91.0, 1.0, 3)),
        (1000, Summary(93.0, 1.0, 3)),
        (3000, Summary(95.0, 1.0, 3)),
    ]


def test_a_run_in_two_folders_counts_once():
    assert group(r.CONV_NEW + r.CONV_NEW) == group(r.CONV_NEW)


def test_the_order_of_records_does_not_matter():
    assert group(reversed(r.CONV_NEW)) == group(r.CONV_NEW)


def test_a_single_run_has_no_deviation():
    assert group(r.CONV_NEW[:1])[0].accuracy == Summary(90.0, None, 1)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9))
def test_summaries_are_those_of_statistics(values):
    found = Summary.of(values)
    assert found.mean == pytest.approx(statistics.mean(values), abs=1e-6)
    assert found.std == pytest.approx(statistics.stdev(values), abs=1e-6)


def test_courses_are_means_over_the_runs_at_each_epoch():
    one = group(r.CONV_NEW)[0]
    epochs, points = one.over_epochs("test_accuracy")
    assert epochs == list(range(1, 11))
    assert points[1] == Summary(pytest.approx(87.0), pytest.approx(1.0), 3)
    epochs, points = one.loss_curve()
    assert epochs[:2] == [0.25, 0.75]  # twenty points over ten epochs, each in its middle
    assert [p.mean for p in points[:2]] == [1.0, 0.5]


def test_without_a_loss_curve_the_losses_are_those_of_the_epochs():
    records = [{**one, "result": {**one["result"], "loss_curve": []}} for one in r.CONV_NEW]
    epochs, points = group(records)[0].loss_curve()
    assert (epochs[1], points[1].mean) == (2.0, 0.5)


def test_runs_of_other_lengths_are_cut_to_the_shortest():
    first, *rest = (dict(one) for one in r.CONV_NEW[:3])
    first["result"] = {**first["result"], "evaluations": first["result"]["evaluations"][:4]}
    assert len(group([first, *rest])[0].over_epochs("test_accuracy")[0]) == 4


def test_a_step_takes_the_time_of_training_over_its_steps():
    assert group(r.CONV_NEW)[0].step_ms == pytest.approx(10.0)
    assert group(r.OWN)[0].step_ms is None


def test_what_a_task_of_ones_own_does_not_tell_is_not_there():
    one = group(r.OWN)[0]
    assert (one.D, one.dim, one.model, one.is_full) == (0, 2, "", False)
    assert one.over_epochs("test_accuracy") == ([], [])
    assert one.loss_curve() == ([], [])


def test_a_task_of_ones_own_may_mean_something_else_by_the_names():
    odd = {"evaluations": 400, "loss_curve": 0.1, "steps": "many"}
    records = [{**record, "result": {**record["result"], **odd}} for record in r.OWN]
    one = group(records)[0]
    assert one.over_epochs("test_accuracy") == ([], [])
    assert one.loss_curve() == ([], [])
    assert one.step_ms is None


@pytest.mark.parametrize(
    ("results", "names"),
    [
        pytest.param([{"rmse": 1.0, "test_accuracy": 5}], ["test_accuracy", "rmse"], id="order"),
        pytest.param([{"a": 1.0}, {"b": 1.0}], [], id="nothing in common"),
        pytest.param([{"a": "x", "b": True, "c": [1]}], [], id="no numbers"),
        pytest.param([{"D": 5, "dim": 2, "steps": 7, "mae": 3}], ["mae"], id="sizes judge nothing"),
    ],
)
def test_measures(results, names):
    records = [{**r.own(i, 0, 1.0), "result": result} for i, result in enumerate(results)]
    assert g.measures(group(records)) == names


def test_labels_tell_groups_apart():
    assert g.labels(group(r.CONV_NEW + r.CONV_FULL)) == ["100", "1,000", "3,000", "full"]
    assert (
        g.labels(group(r.ZOO + r.CONV_FULL))[-1] == "conv, scale init, lr 0.4, schedule one-cycle"
    )
    assert len(set(g.labels(group(r.CONV_NEW + r.CONV_OLD + r.KINDS)))) == 10
