"""The picture of a measurement."""

import dataclasses

import pytest

from subspace_nn.dimension import Question, measure, question
from subspace_nn.report import draw, measured, png, svg
from subspace_nn.report.build import build
from subspace_nn.report.findings import Findings, Sweep, read
from subspace_nn.report.parts import measurements
from subspace_nn.runs.store import Store
from subspace_nn.runs.sweep import expand, sweep

SYNTHETIC = "tests.dimension.synthetic:train"


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    lower = Question(SYNTHETIC, metric="test_error", better="lower", threshold=9, kind="absolute")
    beyond = Question(SYNTHETIC, threshold=110, kind="absolute")
    gain = question(SYNTHETIC, threshold=0.75, baseline="tests.dimension.synthetic:probe")
    asked = {"own": Question(SYNTHETIC), "lower": lower, "beyond": beyond, "gain": gain}
    found = {name: measure(one, folder, engine="serial", budget=30) for name, one in asked.items()}
    return {**found, "known": dataclasses.replace(found["own"], question=question("toy"))}


DRAWN = ["monotone fit", "mean of the runs", "all weights"]


@pytest.mark.parametrize(("name", "labels"), [
    ("own", ["threshold", "d_int", *DRAWN]),
    ("known", ["threshold", "d_int", "Li et al. 2018: 10", *DRAWN]),
    ("lower", ["threshold", "d_int", *DRAWN]),
    ("beyond", ["threshold", *DRAWN]),
    ("gain", ["threshold", "baseline", "d_int", *DRAWN]),
])  # fmt: skip
def test_figure(answers, name, labels):
    answer = answers[name]
    picture = draw(measured.chart(answer, "title"))
    (axes,) = picture.axes
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert len(texts) == len(labels)
    for label in labels:
        assert any(text.startswith(label) for text in texts)
    low, high = axes.get_xlim()
    dims = [point["dim"] for point in answer.points] + [answer.D]
    assert low < min(dims) < max(dims) < high
    assert axes.get_xscale() == "log"
    assert png(picture).startswith(b"\x89PNG")
    assert picture.get_tightbbox().y1 <= picture.get_size_inches()[1]  # the title is not cut off
    assert svg(picture) == svg(draw(measured.chart(answer, "title")))


def found(**answers):
    """Findings of answers alone, by the name of their folder."""
    return Findings.of([
        (Sweep(name, name, f"results/{name}", list_), []) for name, list_ in answers.items()
    ])  # fmt: skip


@pytest.fixture(scope="module")
def sections(answers):
    every = found(fc=[answers["known"], answers["lower"]], own=[answers["beyond"]], other=[])
    return [*measurements.summary(every), *measurements.pictures(every)]


def test_a_line_for_each_answer(sections, answers):
    summary, each = sections
    (table,) = summary.tables
    first, second, third = table.rows
    known = answers["known"]
    assert first[0] == "toy"
    assert first[2:6] == ["10", f"{known.dim:,}", f"{known.low:,} to {known.high:,}", "10,000"]
    assert first[1].startswith("≥ ")
    assert " = 90 % of " in first[1]
    assert second[:3] == [SYNTHETIC, "≤ 9", "–"]
    assert third[3:5] == ["–", "–"]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert [one.name for one in each.pictures] == [
        "measured-toy-90",
        "measured-tests.dimension.synthetic-train-absolute-9",
        "measured-tests.dimension.synthetic-train-absolute-110",
    ]
    assert each.pictures[0].chart.title == "ten constraints on 1,000 weights"
    (picture,) = summary.pictures
    *_, dots = picture.chart.series
    assert [(p.x, p.low, p.high) for p in dots.points] == sorted(
        (one.dim, one.low, one.high) for one in (known, answers["lower"])
    )
    assert len(picture.chart.rows) == 3
    assert all(draw(one.chart).axes for one in (*summary.pictures, *each.pictures))
    assert each.commands[0] == "subspace-nn measure toy --out results/fc"
    assert each.commands[2].endswith("--threshold 110 --kind absolute --out results/own")


def test_a_baseline_is_in_the_row_and_in_the_command(answers):
    gain = answers["gain"]
    every = found(own=[gain])
    (section,), (pictures,) = measurements.summary(every), measurements.pictures(every)
    (row,) = section.tables[0].rows
    assert row[1].endswith(f"75 % of {gain.full:.4g} over {gain.baseline:.4g}")
    assert "--baseline tests.dimension.synthetic:probe" in pictures.commands[0]


def test_names_of_measurements_are_all_different(answers):
    own = answers["own"]
    parts = ({"part": "a" * 90 + side + "b" * 90} for side in "xy")
    asked = [question(SYNTHETIC, one) for one in parts]
    asked += [Question(SYNTHETIC, threshold=share) for share in (0.8, 0.9)]
    every = found(own=[dataclasses.replace(own, question=q, stopped="budget") for q in asked])
    (section,), (pictures,) = measurements.summary(every), measurements.pictures(every)
    long, other = (row[0] for row in section.tables[0].rows[:2])
    assert "x" in long
    assert "y" in other
    (note,) = (note for note in section.notes if note.startswith("The budget was spent"))
    assert len({*note.removesuffix(".").split(": ", 1)[1].split("; ")}) == 4
    assert f"{SYNTHETIC}, ≥ {own.threshold:.4g} = 80 % of" in note
    assert len({*section.pictures[0].chart.rows}) == 4
    assert len({one.chart.title for one in pictures.pictures}) == 4


def test_more_runs_than_the_command_grants_are_in_the_command(answers):
    many = dataclasses.replace(answers["own"], runs=[str(i) for i in range(75)], reused=5)
    (section,) = measurements.pictures(found(own=[many]))
    assert section.commands == [f"subspace-nn measure {SYNTHETIC} --budget 70 --out results/own"]


@pytest.mark.parametrize(("seconds", "minutes"), [(3, "0.1"), (90, "1.5"), (36_000, "600")])
def test_minutes(seconds, minutes, answers):
    one = dataclasses.replace(answers["own"], seconds=seconds)
    assert measurements.table([one]).rows[0][-1] == minutes


def test_nothing_measured_is_no_section():
    assert list(measurements.summary(found(other=[]))) == []


def test_a_report_of_a_measurement_begins_with_it(tmp_path):
    sweep(expand(SYNTHETIC, [{"dim": [3, 500], "seed": [0, 1]}]), Store(tmp_path), engine="serial")
    measure(Question(SYNTHETIC), tmp_path, engine="serial", budget=30)
    report = build(read([tmp_path]))
    names = [part.title for part in report.sections]
    assert names[0] == "Intrinsic dimensions"
    assert f"{len(Store(tmp_path).read())} runs" in [h.number for h in report.highlights]
