"""An answer in words."""

import dataclasses

import pytest

from subspace_nn.dimension import Question, measure, question
from subspace_nn.dimension.words import _rule, summary

SYNTHETIC = "tests.dimension.synthetic:train"


@pytest.mark.parametrize(("metric", "better", "doubted"), [
    ("test_error", "higher", True), ("test_error", "lower", False),
    ("test_accuracy", "lower", True), ("test_accuracy", "higher", False),
])  # fmt: skip
def test_a_wrong_direction_is_doubted(metric, better, doubted, tmp_path):
    asked = Question(SYNTHETIC, metric=metric, better=better)
    if metric == "test_error":  # around 0 for the full model
        asked = dataclasses.replace(asked, threshold=0.1, kind="absolute")
    reported = summary(measure(asked, tmp_path, engine="serial", budget=20))
    assert ("did you mean --better" in reported.get("warning", "")) == doubted


def test_summary_of_a_known_task(tmp_path):
    answer = measure(Question(SYNTHETIC), tmp_path, engine="serial", budget=15)
    toy = dataclasses.replace(
        answer, question=question("toy"), stopped="tight", D=1000, dim=10, low=10, high=11,
        threshold=0.9, full=1.0, full_std=0.0, full_n=5, runs=["a"] * 31, reused=4, seconds=90.0,
    )  # fmt: skip
    assert summary(toy) == {
        "full model": "performance 1 ± 0, n = 5",
        "threshold": "0.9 (90 % of the full model's mean)",
        "d_int": "10, 95 % interval 10 to 11",
        "D / d_int": "100.0 (D = 1,000)",
        "Li et al. 2018": "10 (exact)",
        "runs": "31 (1.5 min in total), 4 of them reused",
        "stopped": "the interval is as narrow as requested (20 %)",
    }


@pytest.mark.parametrize(("asked", "options", "expected"), [
    (Question(SYNTHETIC), {"budget": 6},
     {"stopped": "budget exhausted; rerun with a larger --budget to continue"}),
    (Question(SYNTHETIC, threshold=110, kind="absolute"), {},
     {"d_int": "not found: the full model does not reach the threshold",
      "threshold": "110 (absolute)"}),
    (Question(SYNTHETIC), {"budget": 1}, {"d_int": "not found: the budget went to the full model"}),
], ids=["budget", "unreachable", "nothing"])  # fmt: skip
def test_summary(asked, options, expected, tmp_path):
    answer = measure(asked, tmp_path, engine="serial", **options)
    rows = summary(answer)
    assert {name: rows[name] for name in expected} == expected


def test_the_rule_for_a_lower_share():
    asked = Question(SYNTHETIC, metric="test_error", better="lower", kind="relative")
    assert _rule(asked) == "the full model's mean over 0.9"
