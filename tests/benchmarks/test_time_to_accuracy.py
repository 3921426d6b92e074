"""When a course is said to have reached a figure, and what the quotient is made of."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.time_to_accuracy import Case, reached, report


def course(*accuracies):
    return [
        {"step": 10 * i, "seconds": float(i), "test_accuracy": a}
        for i, a in enumerate(accuracies, 1)
    ]


@pytest.mark.parametrize(
    ("accuracies", "first", "stays"),
    [
        ((50, 95, 90, 96, 97), 1, 3),
        ((50, 60), None, None),
        ((50, 95, 60), 1, None),
        ((95, 96), 0, 0),
        ((), None, None),
    ],
    ids=str,
)
def test_reached(accuracies, first, stays):
    assert reached(course(*accuracies), 93.5, stays=False) == first
    assert reached(course(*accuracies), 93.5, stays=True) == stays


@given(st.lists(st.sampled_from([90, 93.5, 95]), max_size=8))
def test_to_stay_is_to_be_above_from_there_on(accuracies):
    place = reached(course(*accuracies), 93.5, stays=True)
    good = [
        i for i in range(len(accuracies))
        if all(a >= 93.5 for a in itertools.islice(accuracies, i, None))
    ]  # fmt: skip
    assert place == (min(good) if good else None)


CASE = Case(dim=1000, target=93.5, epochs=1, bar=100)


def make(*accuracies, seed=0):
    return {"seed": seed, "course": course(*accuracies), "old_ms": [40.0, 50.0, 60.0]}


def test_the_quotient_is_that_of_the_medians(capsys):
    runs = [make(90, 94), make(94, 95), make(90, 92, 94)]
    found = report(CASE, runs, 1.0, [course(90, 94, 93, 95)])
    assert (found["old_steps"], found["old_step_ms"], found["old_seconds"]) == (40, 50.0, 2.0)
    assert (found["new_seconds"], found["new_each"]) == (2.0, [2.0, 1.0, 3.0])
    assert found["ratio"] == 1.0
    assert (found["old_steps_first"], found["ratio_first"]) == (20, 0.5)
    assert "1 times sooner" in capsys.readouterr().out


def test_an_old_recipe_that_never_stays_there_is_charged_its_whole_training(capsys):
    found = report(CASE, [make(94)], 1.0, [course(90, 94, 93)])
    assert (found["old_steps"], found["old_reached"]) == (30, 0)
    assert "it never stayed there" in capsys.readouterr().out


def test_a_seed_that_does_not_stay_there_makes_no_quotient(capsys):
    found = report(CASE, [make(94), make(94, 90)], 1.0, [course(94)])
    assert (found["ratio"], found["new_seconds"], found["new_reached"]) == (None, None, 1)
    assert "in 1 of 2 seeds" in capsys.readouterr().out
