"""The picture of a measurement."""

import dataclasses

import pytest

from subspace_nn.measure import Question, measure, question
from subspace_nn.report import measured, png, svg

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
    assert svg(picture) == svg(measured.figure(answer, "title"))
