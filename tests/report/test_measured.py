"""The picture of a measurement."""

import dataclasses

import pytest

from subspace_nn.cli.reports import _sweep
from subspace_nn.measure import Question, measure, question
from subspace_nn.report import measured, png, svg
from subspace_nn.report.build import build
from subspace_nn.report.document import Sweep
from subspace_nn.report.sections import measurements
from subspace_nn.runs.store import Store
from subspace_nn.runs.sweep import expand, sweep

SYNTHETIC = "tests.measure.synthetic:train"


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    lower = Question(SYNTHETIC, metric="test_error", better="lower", threshold=9, kind="absolute")
    beyond = Question(SYNTHETIC, threshold=110, kind="absolute")
    found = {
        name: measure(asked, folder, engine="serial", budget=30)
        for name, asked in {"own": Question(SYNTHETIC), "lower": lower, "beyond": beyond}.items()
    }
    return {**found, "known": dataclasses.replace(found["own"], question=question("toy"))}


@pytest.mark.parametrize(("name", "labels"), [
    ("own", ["d_int", "threshold", "runs", "full model"]),
    ("known", ["d_int", "Li et al. 2018: 10", "threshold", "runs", "full model"]),
    ("lower", ["d_int", "threshold", "runs", "full model"]),
    ("beyond", ["threshold", "runs", "full model"]),
])  # fmt: skip
def test_figure(answers, name, labels):
    answer = answers[name]
    picture = measured.figure(answer, "title")
    (axes,) = picture.axes
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert len(texts) == len(labels)
    assert all(text.startswith(label) for text, label in zip(texts, labels, strict=True))
    low, high = axes.get_xlim()
    dims = [point["dim"] for point in answer.points] + [answer.D]
    assert low < min(dims) < max(dims) < high
    assert axes.get_xscale() == "log"
    assert png(picture).startswith(b"\x89PNG")
    assert picture.get_tightbbox().y1 <= picture.get_size_inches()[1]  # the title is not cut off
    assert svg(picture) == svg(measured.figure(answer, "title"))


@pytest.fixture(scope="module")
def section(answers):
    sweeps = [
        Sweep("fc", [], answers=[answers["known"], answers["lower"]], folder="results/fc"),
        Sweep("own", [], answers=[answers["beyond"]], folder="results/own"),
        Sweep("other", []),
    ]
    return measurements.section(sweeps)


def test_a_line_for_each_answer(section, answers):
    (table,) = section.tables
    first, second, third = table.rows
    known = answers["known"]
    assert first[0] == "toy"
    assert first[2:6] == ["10", f"{known.dim:,}", f"{known.low:,} to {known.high:,}", "10,000"]
    assert first[1].startswith("≥ ")
    assert " = 90 % of " in first[1]
    assert second[:3] == [SYNTHETIC, "≤ 9", "–"]
    assert third[3:5] == ["–", "–"]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert len(section.pictures) == len({picture.name for picture in section.pictures}) == 3
    assert all(picture.draw().axes for picture in section.pictures)
    assert section.pictures[0].caption.startswith("toy (ten constraints on 1,000 weights): perf")
    assert section.commands[0] == "subspace-nn measure toy --out results/fc"
    assert section.commands[2].endswith("--threshold 110 --kind absolute --out results/own")


def test_more_runs_than_the_command_grants_are_told(answers):
    many = dataclasses.replace(answers["own"], runs=[str(i) for i in range(75)], reused=5)
    found = measurements.section([Sweep("own", [], answers=[many], folder="results/own")])
    assert found.commands == [f"subspace-nn measure {SYNTHETIC} --budget 70 --out results/own"]


@pytest.mark.parametrize(("seconds", "told"), [(3, "0.1"), (90, "1.5"), (36_000, "600")])
def test_minutes(seconds, told, answers):
    one = dataclasses.replace(answers["own"], seconds=seconds)
    found = measurements.section([Sweep("own", [], answers=[one], folder="results/own")])
    assert found.tables[0].rows[0][-1] == told


def test_nothing_measured_is_no_section():
    assert measurements.section([Sweep("other", [])]) is None


def test_a_report_of_a_measurement_is_that_section(tmp_path):
    sweep(expand(SYNTHETIC, [{"dim": [3, 500], "seed": [0, 1]}]), Store(tmp_path), engine="serial")
    measure(Question(SYNTHETIC), tmp_path, engine="serial", budget=30)
    (found,) = [_sweep(tmp_path, Store(tmp_path).read())]
    report = build([found])
    names = [part.name for part in report.sections]
    assert names[0] == "measured"
    own = next(part for part in report.sections if part.name == found.name)
    assert [row[0] for row in own.tables[0].rows] == ["3", "500"]
    assert f"{len(found.records)} runs" in [h.number for h in report.highlights]
