"""The project's own report: sections that only its MNIST runs fill, on top of the generic ones."""

from pathlib import Path

import pytest

from experiments.report import free_parameters, learning_rates, parts, projections, recipes
from experiments.report.published import EXPERIMENTS, as_number, published
from experiments.report.runs import mnist, richest, subspaces
from subspace_nn import models
from subspace_nn.projections import KINDS
from subspace_nn.report import draw
from subspace_nn.report.build import build
from subspace_nn.report.frame import curves
from subspace_nn.runs.grid import parse, read
from subspace_nn.tasks.config import RunConfig
from tests.report import records as r

ROOT = Path(__file__).parents[2]
RACE = {
    "model": "conv", "dim": 1000, "target": 93.5, "epochs": 1, "n": 5,
    "old_seconds": 1150.0, "new_seconds": 9.1, "ratio": 126.4,
}  # fmt: skip
STEP = {
    "model": "conv", "projection": "hashed", "dim": 10, "plain_ms": 37.4, "subspace_ms": 39.7,
    "ratio": 1.02,
}  # fmt: skip
BENCHMARKS = {
    "time_to_accuracy": {"command": "race", "results": [RACE]},
    "step_time": {"command": "bench", "results": [STEP]},
}
EVERYTHING = r.findings(
    conv_large_2017=r.CONV_OLD,
    conv_hashed=r.CONV_NEW + r.CONV_FULL,
    big_models=r.FC_NEW,
    zoo=r.ZOO,
    kinds=r.KINDS,
    houses=[*r.OWN, r.FAILED],
)


def sections(found, benchmarks=None):
    report = build(found, parts(benchmarks or {}), unfolded=3)
    return {section.name: section for section in report.sections}


def row(table, key, column=0):
    (found,) = [row for row in table.rows if row[column] == key]
    return dict(zip(table.columns, found, strict=True))


@pytest.fixture(scope="module")
def whole():
    return sections(EVERYTHING, BENCHMARKS)


def test_the_question_comes_first_and_the_rest_is_folded(whole):
    assert list(whole) == [
        "free-parameters", "2017-and-now", "projections-compared", "costs", "conv-large-2017",
        "zoo", "conv-hashed", "big-models", "houses", "environment",
    ]  # fmt: skip
    assert [name for name, one in whole.items() if not one.folded] == list(whole)[:3]


@pytest.mark.parametrize(
    ("records", "absent"),
    [
        (r.CONV_OLD, {"free-parameters", "2017-and-now", "projections-compared", "costs"}),
        (r.CONV_NEW + r.CONV_FULL, {"projections-compared", "one-learning-rate"}),
        (r.FC_NEW, {"projections-compared"}),
        (r.OWN, {"free-parameters", "2017-and-now", "projections-compared", "costs"}),
    ],
)
def test_a_part_without_records_is_not_there(records, absent):
    found = sections(r.findings(mine=records))
    assert not absent & set(found)
    assert {"mine", "environment"} <= set(found)


def test_old_new_and_published_stand_in_one_row(whole):
    conv, fc = whole["2017-and-now"].tables
    assert row(conv, "1,000") == {
        "d": "1,000",
        "published, 10 epochs": "~89",
        "recipe of 2017, 10 epochs (n\u00a0=\u00a03)": "83.00 ± 1.00",
        "new recipe, 10 epochs (n\u00a0=\u00a03)": "93.00 ± 1.00",
        "gain": "+10.0",
        "published, 100 epochs": "93.5",
    }
    assert row(conv, "full")["new recipe, 10 epochs (n\u00a0=\u00a03)"] == "98.10 ± 0.10"
    assert row(conv, "full")["gain"] == "–"
    assert row(conv, "10,000")["published, 100 epochs"] == "98.8"
    assert fc.caption == "fc, 199,210 weights"


def test_the_same_number_of_free_parameters_stands_in_one_row(whole):
    (table,) = whole["free-parameters"].tables
    assert row(table, "conv-6-6") == {
        "net": "conv-6-6",
        "free parameters": "3,369",
        "all its weights": "95.10 ± 0.10",
        "in fc": "88.00 ± 1.00",
    }


def test_kinds_stand_side_by_side(whole):
    (table,) = whole["projections-compared"].tables
    assert [one[0] for one in table.rows] == ["hadamard", "hashed", "sparse"]
    assert row(table, "hashed")["d = 1,000 (n\u00a0=\u00a03)"] == "93.00 ± 1.00"
    assert table.rows[1][-2:] == ["95.00 ± 1.00", "10.0"]
    assert table.rows[2][-2:] == ["–", "–"]  # only the hashed ones have that d


def test_published_values_stand_in_the_table_of_their_sweep(whole):
    assert whole["conv-large-2017"].title == EXPERIMENTS["conv-large-2017"].title
    (table,) = whole["conv-large-2017"].tables
    assert row(table, "1,000") == {
        "d": "1,000", "published, % (Greydanus 2017)": "93.5", "test accuracy (%)": "83.00 ± 1.00",
        "n": "3", "seconds a run": "60", "file, bytes": "4,360",
    }  # fmt: skip
    assert table.columns[table.strong[0]] == "test accuracy (%)"


def test_times_and_sizes(whole):
    race, sizes, steps = whole["costs"].tables
    assert row(race, "conv")["times faster"] == "126"
    assert row(sizes, "1,000", 1)["checkpoint, bytes"] == "4,360"
    assert row(sizes, "all 21,840", 1)["times smaller"] == "1.0"
    assert steps.rows[0][-1] == "1.02"
    assert list(whole["costs"].commands) == ["race", "bench"]


def test_an_accuracy_that_was_not_reached_has_no_ratio():
    missed = {"command": "race", "results": [{**RACE, "new_seconds": None, "ratio": None}]}
    found = sections(EVERYTHING, {"time_to_accuracy": missed})
    assert row(found["costs"].tables[0], "conv")["times faster"] == "–"


def test_learning_rates_stand_side_by_side():
    found = sections(r.findings(rates=r.RATES, kinds=r.KINDS))
    part = found["one-learning-rate"]
    (table,) = part.tables
    assert table.caption == "conv, 2 epochs"
    first, second = table.rows
    assert first == ["sparse", "100", "80.00 ± 0.00", "85.00 ± 0.00", "–", "0.00"]
    assert second[-2:] == ["70.00 ± 0.00", "2.00 ± 0.00"]
    assert part.notes[-1].startswith("From d = 100 on, the default is within 1 point of the best")
    assert "in 1 of 2; not for conv sparse at d = 1,000 (2.00 ± 0.00; 2 epochs)" in part.notes[-1]
    # They are neither a comparison of kinds nor listed a second time.
    assert "rates" not in found
    assert {t.caption for t in found["projections-compared"].tables} == {"conv, 10 epochs"}


@pytest.mark.parametrize(
    ("tried", "behind"),
    [
        # A third rate with one seed takes nothing away from what more seeds say of a second.
        ({0.4: [80.0, 80.0, 80.0], 0.8: [84.0, 79.0, 80.0], 0.1: [70.0]}, "1.00 ± 1.53"),
        ({0.4: [80.0, 80.0, 80.0], 0.8: [84.0]}, "4.00"),
        ({0.8: [84.0], 0.1: [80.0]}, "–"),
    ],
)
def test_a_learning_rate_is_compared_with_the_default_over_the_seeds_of_both(tried, behind):
    records = [
        r.record(accuracy, epochs=2, lr=lr, dim=100, seed=seed)
        for lr, accuracies in tried.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    (section,) = learning_rates.section(mnist(r.findings(rates=records)))
    assert section.tables[0].rows[0][-1] == behind


def test_the_default_is_that_of_the_recipe():
    assert RunConfig.lr == learning_rates.DEFAULT


def test_the_experiments_of_this_project_are_shown():
    """Every run of the sweep files, as if it had been done: all kinds, all learning rates."""
    weights = {"conv": 21_840, "fc": 199_210}
    done = {
        name: [
            r.record(90.0, D=weights[run.arguments["model"]], **run.arguments)
            for run in parse(read(Path(name)), seeds)
        ]
        for name, seeds in (("kinds", {"seed": [0, 1]}), ("learning-rates", {"seed": 0}))
    }
    found = sections(r.findings(**done))
    conv, fc = found["projections-compared"].tables
    assert (conv.caption, fc.caption) == ("conv, 1 epoch", "fc, 2 epochs")
    assert len(conv.rows) == len(fc.rows) == 10
    assert "d = 10,000 (n\u00a0=\u00a02)" in conv.columns
    tables = {table.caption: table for table in found["one-learning-rate"].tables}
    assert set(tables) == {"conv, 1 epoch", "conv, 10 epochs", "fc, 2 epochs", "fc, 10 epochs"}
    for name in ("conv, 1 epoch", "fc, 2 epochs"):
        assert {row[0].partition(":")[0] for row in tables[name].rows} == set(KINDS)


def test_the_richest_curve_has_the_default_projection_then_the_most_runs():
    more = r.curve(90.0, [10, 30, 100, 300, 1000], projection="sparse")
    short = r.curve(90.0, [10, 30], epochs=3)
    found = curves(mnist(r.findings(mine=[*more, *short, *r.CONV_NEW])))
    chosen = richest(found)
    assert (chosen.projection, len(chosen.subspaces)) == ("hashed", 3)
    assert richest([]) is None


def test_the_central_figure_has_every_net():
    settings = mnist(EVERYTHING)
    drawn = subspaces(settings)
    chart = free_parameters.chart(drawn, free_parameters.nets(settings, drawn))
    lines = {one.name: one for one in chart.series if one.look == "line"}
    conv = lines["subspaces of conv, 21,840 weights"]
    assert [point[:2] for point in conv.points] == [(100, 91), (1000, 93), (3000, 95)]
    assert "subspaces of fc, 199,210 weights" in lines
    assert [point.label for point in chart.points if point.label] == ["conv-6-6"]
    assert chart.message == "1,000 numbers instead of 21,840 weights: 93.0 % on MNIST, in 10 epochs"
    figure = draw(chart)
    assert [text.get_text() for text in figure.axes[0].texts] == ["conv-6-6"]
    assert figure.texts[0].get_text() == chart.message


def test_relative_errors_are_over_the_mean_of_all_kinds():
    found = curves(mnist(r.findings(kinds=r.CONV_NEW + r.KINDS)))
    chart = projections.chart(found)
    errors = {"hadamard": [12, 10], "hashed": [9, 7], "sparse": [11, 9]}
    means = [sum(column) / 3 for column in zip(*errors.values(), strict=True)]
    assert list(chart.rows) == ["hashed", "sparse", "hadamard"]  # the best is at the top
    for column, one in enumerate(chart.series[:2]):
        for point in one.points:
            kind = chart.rows[int(point.y)]
            assert point.x == pytest.approx(errors[kind][column] / means[column])


WITH_VALUES = [name for name, experiment in EXPERIMENTS.items() if experiment.values]


@pytest.mark.parametrize("name", WITH_VALUES)
def test_every_published_value_belongs_to_a_run_of_its_experiment(name):
    text = read(Path(name))
    runs = [r.record(90.0, **run.arguments) for run in parse(text)]
    known = EXPERIMENTS[name]
    shown = {published(known, one) for one in mnist(r.findings(mine=runs))} - {""}
    assert shown == set(known.values.values())


@pytest.mark.parametrize("model", EXPERIMENTS["tutorials"].parameters)
def test_printed_numbers_of_weights_stand_only_where_they_differ(model):
    printed = EXPERIMENTS["tutorials"].parameters[model]
    assert int(printed.replace(",", "")) != sum(p.numel() for p in models.build(model).parameters())


@pytest.mark.parametrize(
    ("text", "number"), [("93.5", 93.5), ("~9", 9.0), ("99+", None), ("98-99", None), ("", None)]
)
def test_as_number(text, number):
    assert as_number(text) == number


def test_recipes_need_both_a_curve_and_a_rival():
    assert list(recipes.sections(r.findings(zoo=r.ZOO))) == []
