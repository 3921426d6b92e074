"""A report has a part for all that the records tell, and none for what they do not."""

from pathlib import Path

import pytest

from subspace_nn.projections import KINDS
from subspace_nn.report.build import build
from subspace_nn.report.document import Sweep
from subspace_nn.runs.sweep import parse
from tests.report import records as r

EVERYTHING = [
    Sweep("conv-large-2017", r.CONV_OLD, "As it was.", ["make the old ones"]),
    Sweep("conv-hashed", r.CONV_NEW + r.CONV_FULL, "", ["make the new ones"]),
    Sweep("big-models", r.FC_NEW, "", ["make the big ones"]),
    Sweep("zoo", r.ZOO, "", ["make the small ones"]),
    Sweep("projections", r.KINDS, "", ["make the kinds"]),
    Sweep("houses", [*r.OWN, r.FAILED], "", ["make houses"]),
]
RACE = {
    "model": "conv", "dim": 1000, "target": 93.5, "epochs": 1, "n": 5,
    "old_seconds": 1150.0, "new_seconds": 9.1, "ratio": 126.4,
}  # fmt: skip
BENCHMARKS = {"time_to_accuracy": {"command": "make race", "results": [RACE]}}


def parts(*sweeps, benchmarks=None):
    return {section.name: section for section in build(sweeps, benchmarks).sections}


def row(table, key, column=0):
    (found,) = [row for row in table.rows if row[column] == key]
    return dict(zip(table.columns, found, strict=True))


@pytest.fixture(scope="module")
def whole():
    return parts(*EVERYTHING, benchmarks=BENCHMARKS)


def test_parts_across_sweeps_come_first_then_the_literature_then_others(whole):
    assert list(whole) == [
        "free-parameters", "recipes", "which-projection", "costs", "conv-large-2017", "zoo",
        "conv-hashed", "big-models", "projections", "houses", "environment",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("index", "absent"),
    [
        (0, {"free-parameters", "recipes", "which-projection", "costs"}),
        (1, {"which-projection"}),
        (2, {"which-projection"}),
        (3, {"free-parameters", "recipes", "which-projection", "costs"}),
        (5, {"free-parameters", "recipes", "which-projection", "costs"}),
    ],
)
def test_a_part_without_records_is_not_there(index, absent):
    sweep = EVERYTHING[index]
    found = parts(sweep)
    assert not absent & set(found)
    assert {sweep.name, "environment"} <= set(found)


def test_no_records_make_a_report_without_parts():
    assert build([Sweep("empty", [])]).sections == []


def test_old_new_and_published_stand_in_one_row(whole):
    conv, fc = whole["recipes"].tables
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


def test_kinds_stand_beside_each_other(whole):
    (table,) = whole["which-projection"].tables
    assert [one[0] for one in table.rows] == ["hadamard", "hashed", "sparse"]
    assert row(table, "hashed")["d = 1,000 (n\u00a0=\u00a03)"] == "93.00 ± 1.00"
    assert table.rows[1][-2:] == ["95.00 ± 1.00", "10.0"]
    assert table.rows[2][-2:] == ["–", "–"]  # only the hashed ones have that d


def test_learning_rates_stand_beside_each_other():
    found = parts(Sweep("rates", r.RATES, "", ["make rates"]), Sweep("kinds", r.KINDS))
    (table,) = found["one-learning-rate"].tables
    assert table.caption == "conv, 2 epochs"
    first, second = table.rows
    assert first == ["sparse", "100", "80.00 ± 0.00", "85.00 ± 0.00", "–", "0.00"]
    assert second[-2:] == ["70.00 ± 0.00", "2.00 ± 0.00"]
    assert found["one-learning-rate"].notes[-1] == (
        "From d = 100 on, the default is within 1 point of the best in 1 of 2; "
        "not for conv sparse at d = 1,000 (2.00 ± 0.00; 2 epochs)."
    )
    assert found["one-learning-rate"].commands == ["make rates"]
    # They are neither a comparison of kinds nor told a second time.
    assert "rates" not in found
    assert {t.caption for t in found["which-projection"].tables} == {"conv, 10 epochs"}


def test_trainings_of_other_lengths_are_cases_of_their_own():
    twice = [
        *r.RATES,
        *(
            {**one, "id": one["id"] + "9", "arguments": {**one["arguments"], "epochs": 1}}
            for one in r.RATES
        ),
    ]
    found = parts(Sweep("rates", twice))["one-learning-rate"]
    assert [table.caption for table in found.tables] == ["conv, 1 epoch", "conv, 2 epochs"]
    assert "in 2 of 4" in found.notes[-1]


@pytest.mark.parametrize(
    ("tried", "behind"),
    [
        # A third rate with one seed takes nothing away from what more seeds tell of a second.
        ({0.4: [80.0, 80.0, 80.0], 0.8: [84.0, 79.0, 80.0], 0.1: [70.0]}, "1.00 ± 1.53"),
        ({0.4: [80.0, 80.0, 80.0], 0.8: [84.0]}, "4.00"),
    ],
)
def test_a_learning_rate_is_compared_with_the_default_over_the_seeds_of_both(tried, behind):
    records = [
        r.record(accuracy, epochs=2, lr=lr, dim=100, seed=seed)
        for lr, accuracies in tried.items()
        for seed, accuracy in enumerate(accuracies)
    ]
    (table,) = parts(Sweep("rates", records))["one-learning-rate"].tables
    assert table.rows[0][-1] == behind


def test_one_learning_rate_is_no_comparison(whole):
    assert "one-learning-rate" not in whole


def test_rates_beside_which_the_default_was_not_tried_are_no_verdict():
    few = [one for one in r.RATES if one["arguments"]["lr"] != 0.4]
    found = parts(Sweep("rates", few))["one-learning-rate"]
    assert [row[-1] for row in found.tables[0].rows] == ["–"]
    assert len(found.notes) == 1


def test_the_experiments_of_this_package_are_shown():
    """Every run of the sweep files, as if it had been done: all kinds, all learning rates."""
    sweeps_ = []
    for name, seeds in (("kinds", [0, 1]), ("learning-rates", 0)):
        text = (Path(__file__).parents[2] / "experiments" / f"{name}.toml").read_text("utf-8")
        runs = [dict(run.arguments) for run in parse(text, {"seed": seeds})]
        sweeps_.append(Sweep(name, [
            r.record(90.0, D={"conv": 21_840, "fc": 199_210}[one["model"]], **one) for one in runs
        ]))  # fmt: skip
    found = parts(*sweeps_)
    conv, fc = found["which-projection"].tables
    assert (conv.caption, fc.caption) == ("conv, 1 epoch", "fc, 2 epochs")
    assert len(conv.rows) == len(fc.rows) == 10
    assert "d = 10,000 (n\u00a0=\u00a02)" in conv.columns
    tables = {table.caption: table for table in found["one-learning-rate"].tables}
    assert set(tables) == {"conv, 1 epoch", "conv, 10 epochs", "fc, 2 epochs", "fc, 10 epochs"}
    conv, fc = tables["conv, 1 epoch"], tables["fc, 2 epochs"]
    assert {row[0].partition(":")[0] for row in conv.rows} == set(KINDS)
    assert {row[0].partition(":")[0] for row in fc.rows} == set(KINDS)
    assert "within 1 point of the best in" in found["one-learning-rate"].notes[-1]


def test_measured_stands_beside_published(whole):
    (table,) = whole["conv-large-2017"].tables
    assert row(table, "1,000") == {
        "d": "1,000", "published, % (Greydanus 2017)": "93.5", "measured, %": "83.00 ± 1.00",
        "n": "3", "seconds a run": "60", "file, bytes": "92,432",
    }  # fmt: skip
    assert table.columns[table.strong[0]] == "measured, %"


def test_a_task_of_ones_own_has_its_own_figures(whole):
    (table,) = whole["houses"].tables
    assert row(table, "4") == {"d": "4", "rmse": "2.55 ± 0.071", "n": "2", "seconds a run": "1.5"}
    assert [p.name for p in whole["houses"].pictures] == ["houses-free-parameters"]
    assert "1 more failed: ValueError: no such house" in whole["houses"].notes[0]


def test_a_task_that_gives_no_numbers_has_a_table_still():
    records = [{**one, "result": {"note": "x"}} for one in r.OWN]
    (table,) = parts(Sweep("mine", records))["mine"].tables
    assert row(table, "4") == {"d": "4", "n": "2", "seconds a run": "1.5"}


def test_runs_that_all_failed_make_no_part():
    assert parts(Sweep("mine", [r.FAILED])) == {}


def test_times_and_sizes(whole):
    race, sizes = whole["costs"].tables
    assert row(race, "conv")["times sooner"] == "126"
    assert row(sizes, "1,000", 1)["checkpoint, bytes"] == "4,360"
    assert row(sizes, "all 21,840", 1)["times smaller"] == "1.0"
    assert whole["costs"].commands[0] == "make race"


def test_a_figure_that_was_not_reached_is_told():
    missed = {**RACE, "new_seconds": None, "ratio": None}
    benchmarks = {"time_to_accuracy": {"command": "make race", "results": [missed]}}
    found = build(EVERYTHING, benchmarks)
    (costs,) = [section for section in found.sections if section.name == "costs"]
    assert row(costs.tables[0], "conv")["times sooner"] == "–"
    assert not any("sooner" in one.text for one in found.highlights)


def test_every_part_has_the_commands_that_make_it_again(whole):
    assert whole["free-parameters"].commands == [
        "make the small ones", "make the new ones", "make the big ones"
    ]  # fmt: skip
    assert whole["which-projection"].commands == ["make the new ones", "make the kinds"]
    assert whole["houses"].commands == ["make houses"]


def test_highlights(whole):
    del whole
    found = [(one.number, one.text) for one in build(EVERYTHING, BENCHMARKS).highlights]
    assert [number for number, _ in found] == ["93.0 %", "4,360 bytes", "126 times", "48 runs"]
    assert "93.5 % after 100" in found[0][1]


def test_environments_are_told_once_a_sweep(whole):
    (table,) = whole["environment"].tables
    assert len(table.rows) == len(EVERYTHING)
    assert row(table, "zoo")["hardware"] == "a <fast> machine"


def test_a_run_in_two_folders_counts_once():
    twice = build([EVERYTHING[1], Sweep("copy", r.CONV_NEW)])
    assert twice.highlights[-1].number == "12 runs"


def test_pictures_have_names_of_their_own(whole):
    names = [picture.name for section in whole.values() for picture in section.pictures]
    assert len(names) == len(set(names))


def test_sweeps_have_names_of_their_own():
    names = ["costs", "mine", "mine", "<my> sweep", ""]
    found = parts(*(Sweep(name, [r.own(i, 0, 1.0)]) for i, name in enumerate(names)))
    assert set(found) == {"costs-2", "mine", "mine-2", "my-sweep", "sweep", "environment"}


def test_many_lines_are_split_by_net():
    records = [
        one
        for model, D in (("conv", 21_840), ("fc", 199_210))
        for one in r.curve(50.0, [2, 3, 4, 5, 6, 7], seeds=(0,), model=model, D=D)
    ]
    pictures = parts(Sweep("many", records))["many"].pictures
    assert [p.name for p in pictures] == [
        "many-conv-accuracy", "many-conv-loss", "many-fc-accuracy", "many-fc-loss",
    ]  # fmt: skip
