"""A report has a part for everything in the records, and none for what is not there."""

import pytest

from subspace_nn.report import build as builder
from subspace_nn.report.build import build
from subspace_nn.report.document import Section
from subspace_nn.report.parts import sweeps
from subspace_nn.report.parts.sweeps import About
from tests.report import records as r


def parts(**records):
    return {section.name: section for section in build(r.findings(**records)).sections}


def row(table, key, column=0):
    (found,) = [row for row in table.rows if row[column] == key]
    return dict(zip(table.columns, found, strict=True))


@pytest.fixture(scope="module")
def whole():
    return parts(conv_hashed=r.CONV_NEW + r.CONV_FULL, zoo=r.ZOO, houses=[*r.OWN, r.FAILED])


def test_each_sweep_has_a_part(whole):
    assert list(whole) == ["conv-hashed", "houses", "zoo", "environment"]
    assert [section.folded for section in whole.values()] == [False, False, True, True]


def test_no_records_make_a_report_without_parts():
    report = build(r.findings(empty=[]))
    assert (report.sections, report.highlights) == ([], [])


def test_a_client_adds_parts_of_its_own():
    def mine(found):
        yield Section("mine", f"{len(found.runs)} runs")

    report = build(r.findings(houses=r.OWN), [mine, *builder.PARTS], title="Ours")
    assert [section.title for section in report.sections] == ["6 runs", "houses", "Environment"]
    assert report.title == "Ours"


def test_a_client_says_more_of_a_sweep():
    about = About("Old", "Why.", ["Note."], {"printed": lambda one: "~9" * (one.dim == 100)}, ["x"])
    found = r.findings(conv=r.CONV_NEW, zoo=r.ZOO)
    first, second = sweeps.sections(found, {"zoo": About(), "conv": about})
    assert (first.name, second.name) == ("zoo", "conv")
    assert (second.title, second.text, second.commands) == ("Old", "Why.", ["x"])
    assert second.notes[-1] == "Note."
    assert row(second.tables[0], "100")["printed"] == "~9"
    assert row(second.tables[0], "1,000")["printed"] == "–"


def test_an_accuracy_is_in_percent_and_a_file_has_a_size(whole):
    (table,) = whole["conv-hashed"].tables
    assert row(table, "1,000") == {
        "d": "1,000", "test accuracy (%)": "93.00 ± 1.00", "n": "3", "seconds a run": "60",
        "file, bytes": "4,360",
    }  # fmt: skip
    assert table.columns[table.strong[0]] == "test accuracy (%)"


def test_a_task_of_ones_own_is_judged_by_its_own_metric(whole):
    (table,) = whole["houses"].tables
    assert row(table, "4") == {"d": "4", "rmse": "2.55 ± 0.071", "n": "2", "seconds a run": "1.5"}
    assert [p.name for p in whole["houses"].pictures] == ["houses-free-parameters"]
    assert "1 more failed: ValueError: no such house" in whole["houses"].notes[0]
    assert whole["houses"].commands == ["subspace-nn sweep --task houses:train"]


def test_a_task_with_a_name_is_judged_by_the_metric_of_its_measurement():
    task = "subspace_nn.tasks.cartpole:train"
    records = [
        {**one, "task": task, "result": {"evaluations": 800 + i, "failures": i, "test_return": 9.0}}
        for i, one in enumerate(r.OWN)
    ]
    (table,) = parts(cartpole=records)["cartpole"].tables
    assert table.columns[table.strong[0]] == "test return"


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ((0.91, 0.95), "test accuracy"),
        ((91.0, 0.2), "test accuracy (%)"),
        ((400.0, 3.0), "test accuracy"),
    ],
)
def test_a_share_is_not_taken_for_a_percentage(values, column):
    records = [r.own(2, seed, 0.0) for seed in range(2)]
    records = [
        {**one, "result": {"test_accuracy": v}} for one, v in zip(records, values, strict=True)
    ]
    (table,) = parts(mine=records)["mine"].tables
    assert column in table.columns


def test_a_task_that_gives_no_numbers_has_a_table_still():
    records = [{**one, "result": {"note": "x"}} for one in r.OWN]
    (table,) = parts(mine=records)["mine"].tables
    assert row(table, "4") == {"d": "4", "n": "2", "seconds a run": "1.5"}


def test_runs_that_all_failed_make_no_part():
    assert parts(mine=[r.FAILED]) == {}


def test_environments_are_listed_once_a_sweep(whole):
    (table,) = whole["environment"].tables
    assert [one[0] for one in table.rows] == ["conv-hashed", "houses", "zoo"]
    assert row(table, "zoo")["hardware"] == "a <fast> machine"


def test_a_run_in_two_folders_counts_once():
    report = build(r.findings(conv=r.CONV_NEW, copy=r.CONV_NEW))
    assert report.highlights[-1].number == "9 runs"


def test_names_are_unique():
    names = ["environment", "mine", "Mine", "<mine>", "", "../mine"]
    found = r.Findings.of([(r.Sweep(name, name), r.OWN) for name in names])
    report = build(found)
    sections = [section.name for section in report.sections]
    pictures = [one.name for section in report.sections for one in section.pictures]
    assert len(set(sections)) == len(sections) == len(names) + 1
    assert len(set(pictures)) == len(pictures) == len(names)
    assert not any(set(name) & set('/\\<>:"') for name in sections + pictures)


def test_many_lines_are_split_by_net():
    records = [
        one
        for model, D in (("conv", 21_840), ("fc", 199_210))
        for one in r.curve(50.0, [2, 3, 4, 5, 6, 7], seeds=(0,), model=model, D=D)
    ]
    pictures = parts(many=records)["many"].pictures
    assert [p.name for p in pictures] == [
        "many-free-parameters",
        "many-conv-test-accuracy", "many-conv-loss", "many-fc-test-accuracy", "many-fc-loss",
    ]  # fmt: skip
