"""What is asked, and which runs belong to it."""

import dataclasses

import pytest

from subspace_nn.common.errors import InputError
from subspace_nn.measure.question import Question
from subspace_nn.runs.run import Run

SYNTHETIC = "tests.measure.synthetic:train"
ASKED = Question(SYNTHETIC, {"answer": 70})


@pytest.mark.parametrize(("question", "messages"), [
    (Question(SYNTHETIC), []),
    (Question("mnist", {"model": "fc"}), []),
    (Question("mnist", {"model": "cf", "lr": -1}), ["Unknown model 'cf'", "lr must be"]),
    (Question("mnist", {"dim": 3, "seed": 1}), ["dim is set by", "seed is set by"]),
    (Question("statistics:mean"), ["no argument 'dim'", "no argument 'seed'"]),
    (Question("tests.measure.synthetic:without_seed"), ["no argument 'seed'"]),
    (Question("nowhere:train"), ["cannot be imported"]),
    (Question(SYNTHETIC, threshold=90), ["share above 0 and at most 1, got 90"]),
    (Question(SYNTHETIC, threshold=-0.5), ["share above 0"]),
    (Question(SYNTHETIC, threshold=90, kind="absolute"), []),
    (Question(SYNTHETIC, threshold=float("nan")), ["threshold must be a number"]),
    (Question(SYNTHETIC, better="more", kind="rel"), ["Unknown better 'more'", "Unknown kind"]),
    (Question(SYNTHETIC, precision=0, confidence=1, batch=0, seed=-1), [
        "precision must be a number above 0, got 0", "confidence must be a number above 0 and",
        "batch must be a whole number of at least 1", "seed must be a whole number",
    ]),
])  # fmt: skip
def test_problems(question, messages):
    found = question.problems()
    assert len(found) == len(messages)
    for problem, message in zip(sorted(found), sorted(messages), strict=True):
        assert message in "\n".join(found)
        assert problem.endswith(".")


def test_the_id_is_that_of_every_part():
    changed = {"task": "mnist", "arguments": {}, "metric": "x", "better": "lower",
               "threshold": 0.5, "kind": "absolute", "precision": 0.1, "confidence": 0.9,
               "batch": 1, "seed": 1, "least": 2, "most": 9}  # fmt: skip
    assert set(changed) == {field.name for field in dataclasses.fields(Question)}
    ids = {ASKED.id} | {dataclasses.replace(ASKED, **{n: v}).id for n, v in changed.items()}
    assert len(ids) == 1 + len(changed)
    assert Question(SYNTHETIC, {"answer": 70}).id == ASKED.id


def test_the_id_is_that_of_earlier_versions():
    assert Question("mnist", {"model": "fc"}).id.startswith("e3f09ae6")


def test_a_file_is_named_by_what_was_asked():
    asked = dataclasses.replace(ASKED, threshold=0.95)
    assert asked.name == f"test_accuracy-0.95-{asked.id[:8]}"


def test_each_run_has_a_seed_of_its_own():
    seeds = []
    for dim in (10, 11, "full"):
        used = []
        for _ in range(5):
            used.append(ASKED.run(dim, used).arguments["seed"])
        seeds += used
    assert len(set(seeds)) == 15
    assert all(0 <= seed < 2**31 for seed in seeds)
    other = dataclasses.replace(ASKED, seed=1)
    assert other.run(10).arguments["seed"] not in seeds


def test_measurements_of_one_task_ask_for_the_same_runs():
    other = dataclasses.replace(ASKED, threshold=0.5, metric="test_error", batch=1)
    assert other.run(10).id == ASKED.run(10).id


def test_the_full_model_trains_all_weights():
    assert Question("mnist").run("full").arguments["projection"] == "identity"
    assert Question("mnist").run(10).arguments["projection"] == "hashed"
    assert ASKED.run("full").arguments["dim"] == "full"


def record(run, status="done", result=None):
    outcome = {"test_accuracy": 50.0, "D": 10_000} if result is None else result
    return {"id": run.id, "task": run.task, "arguments": dict(run.arguments), "status": status,
            "result": outcome, "seconds": 1.0}  # fmt: skip


@pytest.mark.parametrize(("run", "more", "fits"), [
    (Run.of(SYNTHETIC, {"dim": 7, "seed": 3, "answer": 70}), {}, True),
    (Run.of(SYNTHETIC, {"dim": "full", "seed": 3, "answer": 70}), {}, True),
    (Run.of(SYNTHETIC, {"dim": 7, "seed": 3}), {}, False),
    (Run.of(SYNTHETIC, {"dim": 7, "seed": 3, "answer": 70, "noise": 1}), {}, False),
    (Run.of("tests.measure.synthetic:nameless", {"dim": 7, "seed": 3}), {}, False),
    (Run.of(SYNTHETIC, {"dim": 7, "seed": 3, "answer": 70}), {"status": "failed"}, False),
    (Run.of(SYNTHETIC, {"dim": 7, "seed": 3, "answer": 70}), {"result": {"D": 7}}, False),
])  # fmt: skip
def test_which_records_fit(run, more, fits):
    assert bool(ASKED.fitting([record(run, **more)])) == fits


def test_a_full_run_in_another_projection_does_not_fit():
    asked = Question("mnist", {"model": "fc"})
    full = {"model": "fc", "dim": "full", "seed": 3}
    assert asked.fitting([record(Run.of("mnist", {**full, "projection": "identity"}))])
    assert not asked.fitting([record(Run.of("mnist", full))])


def test_all_weights_through_a_map_are_not_the_full_model():
    asked = Question("mnist", {"model": "fc", "projection": "gaussian"})
    run = Run.of("mnist", {"model": "fc", "projection": "gaussian", "dim": 199_210, "seed": 3})
    result = {"D": 199_210, "test_accuracy": 90.0}
    assert not asked.fitting([record(run, result=result)])
    assert asked.results([record(run, result=result)]) is None


def test_a_map_that_needs_some_parameters_can_be_asked_about():
    asked = Question("mnist", {"model": "fc", "projection": "layerwise:hashed"}, least=6)
    assert not asked.problems()
    runs = [asked.run(dim) for dim in ("full", 6, 700)]
    result = {"D": 199_210, "test_accuracy": 90.0}
    assert len(asked.fitting([record(run, result=result) for run in runs])) == 3
    limited = dataclasses.replace(asked, least=7, most=699)
    assert len(limited.fitting([record(run, result=result) for run in runs])) == 1


def test_records_of_one_dim_and_seed_count_once():
    twice = [record(ASKED.run(10)), {**record(ASKED.run(10)), "id": "other"}]
    assert len(ASKED.fitting(twice)) == 1


def seen(question, figures):
    return question.results(
        [record(question.run(dim), result={"D": 100, "loss": figure}) for dim, figure in figures]
    )


@pytest.mark.parametrize(("question", "threshold", "values"), [
    (Question(SYNTHETIC, metric="loss"), 1.8, [3.0]),
    (Question(SYNTHETIC, metric="loss", better="lower"), -2 / 0.9, [-3.0]),
    (Question(SYNTHETIC, metric="loss", threshold=5, kind="absolute"), 5, [3.0]),
    (Question(SYNTHETIC, metric="loss", better="lower", threshold=5, kind="absolute"), -5, [-3.0]),
])  # fmt: skip
def test_results_are_turned_so_that_higher_is_better(question, threshold, values):
    found = seen(question, [("full", 2.0), (7, 3.0)])
    assert found.threshold == pytest.approx(threshold)
    assert found.at == {7: values}
    assert found.D == 100


def test_dim_D_is_the_full_model():
    question = Question(SYNTHETIC, metric="loss")
    assert len(seen(question, [("full", 2.0), (100, 1.9)]).full) == 2
    assert seen(question, [(7, 2.0)]) is None


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_share_of_a_negative_figure_makes_no_sense(better):
    with pytest.raises(InputError, match=r"needs a metric above 0.*was -200"):
        seen(Question(SYNTHETIC, metric="loss", better=better), [("full", -200.0)])


@pytest.mark.parametrize(("result", "message"), [
    ({"loss": 1.0}, "has no 'D'; it has: loss"),
    ({"D": 3}, "has no 'test_accuracy'"),
    ({"D": 3, "test_accuracy": "good"}, "must be a number, got 'good'"),
    ({"D": 3, "test_accuracy": True}, "must be a number, got True"),
    ({"D": 3, "test_accuracy": float("nan")}, "must be a number, got nan"),
    ({"D": 3.0, "test_accuracy": 1.0}, "D must be a whole number of at least 2, got 3.0"),
])  # fmt: skip
def test_results_that_cannot_be_used(result, message):
    with pytest.raises(InputError, match=message):
        ASKED.results([record(ASKED.run("full"), result=result)])
