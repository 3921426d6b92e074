"""Whole measurements: the answer, engines, records, kills."""

import dataclasses
import functools
import subprocess
import sys

import pytest
import torch

from evidence.measure_kill import kill_and_resume
from subspace_nn.common.errors import InputError
from subspace_nn.dimension import Question, answer_from, answers, measure, question
from subspace_nn.dimension.answer import place, read
from subspace_nn.runs.store import Store
from subspace_nn.runs.sweep import expand, sweep

SYNTHETIC = "tests.dimension.synthetic:train"
ASKED = Question(SYNTHETIC, {"answer": 300})


def run(asked, folder, **options):
    return measure(asked, folder, engine="serial", **options)


def record_ids(folder):
    return {record["id"] for record in Store(folder).read()}


@pytest.mark.parametrize("answer", [7, 40, 300, 5000])
def test_known_answers(answer, tmp_path):
    found = run(Question(SYNTHETIC, {"answer": answer}), tmp_path)
    assert found.stopped == "tight"
    assert found.low <= answer <= found.high <= 1.2 * found.low
    assert found.low <= found.dim <= found.high
    assert found.D == 10_000
    assert found.bloat == 10_000 / found.dim
    assert found.full_n >= 5
    assert found.threshold == pytest.approx(0.9 * found.full)
    assert set(found.runs) == record_ids(tmp_path)
    assert sum(point["n"] for point in found.points) + found.full_n == len(found.runs)


@pytest.mark.parametrize("seed", range(3))
def test_the_toy_of_li_et_al_is_10(seed, tmp_path):
    """evidence/measure_toy.py has 20 seeds."""
    found = run(question("toy", seed=seed), tmp_path)
    assert (found.dim, found.low, found.high, found.D) == (10, 10, 10, 1000)
    assert found.bloat == 100


def test_lower_may_be_better(tmp_path):
    asked = Question(SYNTHETIC, {"answer": 300}, metric="test_error", better="lower",
                     threshold=10, kind="absolute")  # fmt: skip
    found = run(asked, tmp_path)
    assert found.low <= 300 <= found.high
    assert found.threshold == 10
    fitted = [point["fitted"] for point in found.points]
    assert fitted == sorted(fitted, reverse=True)


def test_an_absolute_threshold_takes_one_run_of_the_full_model(tmp_path):
    found = run(dataclasses.replace(ASKED, threshold=90, kind="absolute"), tmp_path)
    assert found.full_n == 1
    assert found.low <= 300 <= found.high


def test_what_the_full_model_does_not_reach(tmp_path):
    found = run(dataclasses.replace(ASKED, threshold=110, kind="absolute"), tmp_path)
    assert (found.stopped, found.dim, found.bloat) == ("unreachable", None, None)
    assert found.full_n == len(found.runs) == 5


def test_one_unlucky_run_of_the_full_model_does_not_end_it(tmp_path):
    asked = Question(SYNTHETIC, {"answer": 300, "noise": 1.0}, threshold=99, kind="absolute",
                     seed=27)  # fmt: skip
    assert asked.run("full").execute()["result"]["test_accuracy"] < 99
    found = run(asked, tmp_path, budget=12)
    assert (found.full_n, found.stopped) == (5, "budget")
    assert found.full > 99
    assert sum(point["n"] for point in found.points) == 7


def dims_of(folder):
    dims = (record["arguments"]["dim"] for record in Store(folder).read())
    return sorted(dim for dim in dims if dim != "full")


def test_dimensions_below_the_least_are_not_tried(tmp_path):
    asked = Question("tests.dimension.synthetic:failing", least=100)
    found = run(asked, tmp_path)
    assert found.low <= 300 <= found.high
    assert dims_of(tmp_path)[0] >= 100
    # The least one is the answer where it is enough.
    enough = run(Question(SYNTHETIC, {"answer": 7}, least=50), tmp_path)
    assert (enough.dim, enough.low, enough.stopped) == (50, 50, "tight")
    assert enough.high <= 60


@pytest.mark.parametrize("batch", [1, 4])
def test_dimensions_beyond_the_largest_are_not_tried(batch, tmp_path):
    quiet = {"answer": 300, "noise": 0.05}
    asked = dataclasses.replace(ASKED, arguments=quiet, most=1000, batch=batch)
    found = run(asked, tmp_path / "a")
    assert found.stopped == "tight"
    assert found.low <= 300 <= found.high
    assert dims_of(tmp_path / "a")[-1] == 1000
    short = run(dataclasses.replace(asked, most=200), tmp_path / "b")
    assert (short.stopped, short.dim) == ("beyond", None)
    assert dims_of(tmp_path / "b")[-2:] == [200, 200]
    # With a larger limit these records count.
    further = run(asked, tmp_path / "b")
    assert further.reused == len(short.runs)
    assert further.low <= 300 <= further.high


def test_what_every_dimension_solves_is_tight_however_coarse(tmp_path):
    for number, precision in enumerate((0.2, 2.0, 5.0)):
        asked = Question("tests.dimension.synthetic:solved", precision=precision)
        found = run(asked, tmp_path / str(number))
        assert (found.stopped, found.dim, found.low) == ("tight", 1, 1)


def test_values_that_json_changes_are_the_same_question(tmp_path):
    task = "tests.dimension.synthetic:layered"
    first = run(Question(task), tmp_path)
    again = run(Question(task, {"layers": (1, 2)}), tmp_path, budget=30)
    assert again.reused == len(first.runs)
    assert run(Question(task, {"layers": (1, 2)}, precision=0.01), tmp_path, budget=30).made == 30
    assert run(Question(task, {"layers": (1, 2)}, precision=0.01), tmp_path, budget=9).made == 30


def test_a_task_may_pass_on_what_it_is_given(tmp_path):
    found = run(Question("tests.dimension.synthetic:open_to_all", {"answer": 40}), tmp_path)
    assert found.low <= 40 <= found.high


def test_a_spent_budget_says_so_and_a_larger_one_goes_on(tmp_path):
    loud = dataclasses.replace(ASKED, arguments={"answer": 300, "noise": 3.0})
    first = run(loud, tmp_path / "a", budget=23)
    assert (first.stopped, len(first.runs)) == ("budget", 23)
    before = record_ids(tmp_path / "a")
    further = run(loud, tmp_path / "a", budget=45)
    assert before <= record_ids(tmp_path / "a")
    assert further.high / further.low < first.high / first.low
    at_once = run(loud, tmp_path / "b", budget=45)
    assert without_times(further) == without_times(at_once)


def without_times(answer):
    return dataclasses.replace(answer, seconds=0, runs=sorted(answer.runs), reused=0)


def test_a_smaller_budget_than_before_leaves_the_answer(tmp_path):
    loud = dataclasses.replace(ASKED, arguments={"answer": 300, "noise": 3.0})
    found = run(loud, tmp_path, budget=30)
    assert run(loud, tmp_path, budget=8) == found
    assert found.made == 30


def test_a_budget_for_less_than_the_full_model(tmp_path):
    found = run(ASKED, tmp_path, budget=2)
    assert (found.stopped, found.dim) == ("budget", None)
    assert (found.low, found.high) == (1, 10_000)


def test_the_same_again_runs_nothing(tmp_path):
    seen = []
    first = run(ASKED, tmp_path)
    again = run(ASKED, tmp_path, on_progress=seen.append)
    assert again == first
    assert all(not s.status.latest for s in seen if s.status)


def test_records_that_fit_are_used(tmp_path):
    grid = {"answer": 300, "dim": [100, 250, 350, 1000, "full"], "seed": [0, 1, 2]}
    sweep(expand(SYNTHETIC, [grid]), Store(tmp_path), engine="serial")
    sweep(expand(SYNTHETIC, [{"answer": 5, "dim": 4, "seed": 0}]), Store(tmp_path), engine="serial")
    found = run(ASKED, tmp_path)
    assert found.reused == 15
    assert found.low <= 300 <= found.high
    assert len(found.runs) < len(run(ASKED, tmp_path / "new").runs) + 15


def extra(folder):
    """Two more records of the task, from a sweep."""
    grid = {"answer": 300, "dim": 310, "seed": [0, 1]}
    sweep(expand(SYNTHETIC, [grid]), Store(folder), engine="serial")


def test_records_that_came_later_count(tmp_path):
    first = run(ASKED, tmp_path)
    extra(tmp_path)
    again = run(ASKED, tmp_path)
    assert set(first.runs) < set(again.runs)
    assert again.made == first.made
    assert {point["dim"]: point["n"] for point in again.points}[310] >= 2


def test_every_fitting_record_counts_in_whatever_order_they_came(tmp_path):
    """A folder in which another plan has left more runs than this one would make."""
    loud = dataclasses.replace(ASKED, arguments={"answer": 300, "noise": 2.0})
    run(dataclasses.replace(loud, precision=0.05), tmp_path, budget=60)
    before = record_ids(tmp_path)
    found = run(loud, tmp_path, budget=1)
    assert before <= set(found.runs)
    assert sum(point["n"] for point in found.points) + found.full_n == len(found.runs)
    records = Store(tmp_path).read()
    made = [i for i in found.runs if i not in before]
    for order in (records, records[::-1]):
        assert answer_from(loud, order, made, 1) == found


def test_with_all_records_and_no_answer_no_run_is_made(tmp_path):
    first = run(ASKED, tmp_path)
    place(tmp_path, ASKED).unlink()
    again = run(ASKED, tmp_path, budget=1)
    assert again.reused == len(again.runs) == len(first.runs)
    assert (again.stopped, again.dim, again.low, again.high) == (
        first.stopped, first.dim, first.low, first.high
    )  # fmt: skip


def test_an_interrupted_batch_is_finished_first(tmp_path):
    class KilledError(Exception):
        pass

    def killed(now):
        if now.status and now.status.latest and len(now.records) >= 9:
            raise KilledError

    with pytest.raises(KilledError):
        run(ASKED, tmp_path, on_progress=killed)
    assert len(read(tmp_path, ASKED).planned) == 4
    assert without_times(run(ASKED, tmp_path)) == without_times(run(ASKED, tmp_path / "at once"))


def test_finished_records_that_do_not_fit_are_counted_by_reason(tmp_path):
    grid = {"answer": [5, 6], "dim": 4, "seed": [0, 1]}
    sweep(expand(SYNTHETIC, [grid]), Store(tmp_path), engine="serial")
    assert run(ASKED, tmp_path).left_out == {"other answer": 4}


def test_seeds_that_work_or_fail_are_doubted(tmp_path):
    found = run(Question("tests.dimension.synthetic:lucky"), tmp_path, budget=40)
    assert found.doubts == ["kinds"]
    assert found.stopped in {"doubtful", "budget"}


def test_a_metric_in_fractions_at_the_threshold_is_measured(tmp_path):
    asked = Question("tests.dimension.synthetic:episodes", metric="score", threshold=0.8,
                     kind="absolute")  # fmt: skip
    found = run(asked, tmp_path)
    assert (found.stopped, found.full) == ("tight", 1.0)
    assert found.low <= 40 <= found.high


def test_two_neighbouring_whole_numbers_are_tight(tmp_path):
    asked = Question(SYNTHETIC, {"answer": 4, "noise": 10.0}, threshold=0.85, batch=8)
    found = run(asked, tmp_path, budget=100)
    assert (found.stopped, found.low, found.high) == ("tight", 3, 4)


def test_a_second_measurement_uses_the_records_of_the_first(tmp_path):
    first = run(ASKED, tmp_path)
    second = run(dataclasses.replace(ASKED, threshold=0.95), tmp_path)
    assert second.reused == len(first.runs)
    assert second.dim > first.dim
    alone = run(dataclasses.replace(ASKED, threshold=0.95), tmp_path / "alone")
    assert len(second.runs) - second.reused < len(alone.runs)
    assert len(answers(tmp_path)) == 2


def test_a_record_that_is_gone_does_not_count(tmp_path):
    first = run(ASKED, tmp_path)
    (tmp_path / f"{first.runs[-1]}.json").unlink()
    again = run(ASKED, tmp_path)
    assert record_ids(tmp_path) == set(again.runs)


@pytest.mark.parametrize("engine", [
    "loky", "dask", pytest.param("ray", marks=pytest.mark.clusters),
])  # fmt: skip
def test_every_engine_makes_the_same_records(engine, tmp_path):
    asked = dataclasses.replace(ASKED, batch=12)
    expected = run(asked, tmp_path / "serial")
    found = measure(asked, tmp_path / engine, engine=engine, jobs=2)
    assert dataclasses.replace(found, seconds=0) == dataclasses.replace(expected, seconds=0)
    results = [
        {record["id"]: record["result"] for record in Store(tmp_path / name).read()}
        for name in ("serial", engine)
    ]
    assert results[0] == results[1]


def test_killed_and_resumed_gives_the_same_answer_and_repeats_no_run(tmp_path):
    """evidence/measure_kill.py kills ten times."""
    outcome = kill_and_resume(tmp_path, kills=2)
    assert outcome["same_answer"]
    assert outcome["repeated"] == 0
    assert len(outcome["victims"]) == 2


def test_two_measurements_at_once_make_no_run_twice(tmp_path):
    log, folder = tmp_path / "log", tmp_path / "records"
    words = [
        "tests.dimension.synthetic:logged",
        f"log={log}",
        "--out",
        folder,
        "--engine",
        "serial",
    ]
    both = [
        subprocess.Popen([sys.executable, "-m", "subspace_nn", "measure", *words, "--budget", "16"])
        for _ in range(2)
    ]
    assert [process.wait(120) for process in both] == [0, 0]
    lines = log.read_text().splitlines()
    assert len(lines) == len(set(lines)) == len(record_ids(folder))
    (found,) = answers(folder)
    assert set(found.runs) == record_ids(folder)


def test_progress_tells_of_every_batch_and_run(tmp_path):
    seen = []
    found = run(ASKED, tmp_path, on_progress=seen.append)
    batches = [now for now in seen if now.status is None]
    assert [len(now.records) for now in batches] == sorted(len(now.records) for now in batches)
    assert sum(len(now.planned) for now in batches) == len(found.runs)
    ended = [now for now in seen if now.status and now.status.latest]
    assert len(ended) == len(found.runs)
    assert not batches[-1].planned


def test_a_failed_run_ends_it_and_is_tried_again(tmp_path):
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            run(Question("tests.dimension.synthetic:failing"), tmp_path)
        assert "RuntimeError: no luck with d = 40" in str(caught.value)
        assert "Fix the task" in str(caught.value)
    assert not answers(tmp_path)


@pytest.mark.parametrize(("asked", "message"), [
    (Question("tests.dimension.synthetic:nameless"), "has no 'D'"),
    (Question("tests.dimension.synthetic:text"), "must be a number"),
    (Question("tests.dimension.synthetic:bare"), "returns values by name, as in .*, got float"),
    (Question("tests.dimension.synthetic:single"), "D must be a whole number of at least 2, got 1"),
    (Question("tests.dimension.synthetic:grown"), r"D: 10,000 .dim=full. and 10,001 .dim=\d+"),
    (Question(SYNTHETIC, metric="accuracy"), "no 'accuracy'; it has: D, test_accuracy"),
    (Question(SYNTHETIC, threshold=90), "share above 0"),
    (Question(SYNTHETIC, least=0), "least must be a whole number of at least 1, got 0"),
    (Question(SYNTHETIC, least=9, most=8), "most must be a whole number of at least 9, got 8"),
    (Question(SYNTHETIC, confidence=0.9999), "confidence may be at most 0.999"),
    (Question(None), "task must be a name, got None"),
    (Question("tests.dimension.synthetic:leaving"), r"failed: SystemExit: full \d+"),
    (Question("tests.dimension.synthetic:two_lines"),
     r"dim=full, seed=\d+ \(and 4 more\), failed: ValueError: the data are gone\. The traceback"),
])  # fmt: skip
def test_mistakes(asked, message, tmp_path):
    with pytest.raises(InputError, match=message):
        run(asked, tmp_path)


def test_a_result_without_the_metric_is_told_at_once_and_of_which_record(tmp_path):
    for _ in range(2):  # the record counts as done
        with pytest.raises(InputError, match="remove these records") as caught:
            run(Question("tests.dimension.synthetic:nameless"), tmp_path)
        (record,) = Store(tmp_path).read()
        assert record["id"] in str(caught.value)


def test_a_name_with_a_slash_is_a_file_in_the_folder(tmp_path):
    found = run(Question("tests.dimension.synthetic:slashed", metric="val/acc"), tmp_path)
    assert answers(tmp_path) == [found]


@pytest.mark.parametrize("task", [(1, 2, 3), torch.nn.Linear(2, 2), functools.partial(print)])
def test_what_workers_cannot_import_is_no_task(task, tmp_path):
    with pytest.raises(InputError, match=r"a name or a function, got \w+\."):
        run(task, tmp_path)


@pytest.mark.parametrize("budget", [0, -1, 1.5, True])
def test_a_bad_budget(budget, tmp_path):
    with pytest.raises(InputError, match="budget must be a whole number of at least 1"):
        run(ASKED, tmp_path, budget=budget)
    assert not list(tmp_path.iterdir())


def test_dimensions_that_are_asked_for_come_after_the_full_model(tmp_path):
    asked, planned = Question(SYNTHETIC), []
    found = run(asked, tmp_path, budget=7, first=[250, 350, 250], on_progress=planned.append)
    assert [one.question.dim_of(r.task, r.arguments) for one in planned for r in one.planned][
        -2:
    ] == [250, 350]
    assert [point["dim"] for point in found.points] == [250, 350]
    assert run(asked, tmp_path / "few", budget=2, first=[250, 350]).full_n == 2


@pytest.mark.parametrize(("first", "message"), [
    ([0], "first must be a whole number of at least 1, got 0"), (["3"], "first must be"),
    ([10_000, 3], r"to try are at most 9,999 \(D is 10,000\), got 10,000"),
])  # fmt: skip
def test_dimensions_that_cannot_be_tried(first, message, tmp_path):
    with pytest.raises(InputError, match=message):
        run(Question(SYNTHETIC), tmp_path, first=first)
    assert {r["arguments"]["dim"] for r in Store(tmp_path).read()} <= {"full"}
