"""What is asked, and which runs belong to it."""

import dataclasses

import pytest

from subspace_nn.common.errors import InputError
from subspace_nn.dimension.baseline import Baseline
from subspace_nn.dimension.question import Question
from subspace_nn.runs.run import Run

SYNTHETIC = "tests.dimension.synthetic:train"
ASKED = Question(SYNTHETIC, {"answer": 70})
PROBE = Baseline("tests.dimension.synthetic:probe", {})


@pytest.mark.parametrize(("question", "messages"), [
    (Question(SYNTHETIC), []),
    (Question("mnist", {"model": "fc"}), []),
    (Question("mnist", {"model": "cf", "lr": -1}), ["Unknown model 'cf'", "lr must be"]),
    (Question("mnist", {"dim": 3, "seed": 1}), ["dim is set by", "seed is set by"]),
    (Question("statistics:mean"), ["no argument 'dim'", "no argument 'seed'"]),
    (Question("tests.dimension.synthetic:without_seed"), ["no argument 'seed'"]),
    (Question("nowhere:train"), ["cannot be imported"]),
    (Question(SYNTHETIC, threshold=90), ["share above 0 and at most 1, got 90"]),
    (Question(SYNTHETIC, threshold=-0.5), ["share above 0"]),
    (Question(SYNTHETIC, threshold=90, kind="absolute"), []),
    (Question(SYNTHETIC, kind="gain", probe=0.7), []),
    (Question(SYNTHETIC, kind="gain", probe=0.7, threshold=80), ["A gain threshold is a share"]),
    (Question(SYNTHETIC, kind="gain"), ["needs one of baseline (a task that is run, such as"]),
    (Question(SYNTHETIC, probe=0.7), ["and probe (its metric); got probe with kind relative"]),
    (Question(SYNTHETIC, kind="gain", probe=0.7, baseline=PROBE), ["got baseline and probe with"]),
    (Question(SYNTHETIC, kind="gain", baseline=PROBE), []),
    (Question(SYNTHETIC, kind="gain", baseline="mine:probe"), [
        "baseline must be a task with arguments, or None, got 'mine:probe'",
    ]),
    (Question(SYNTHETIC, kind="gain", baseline={"task": 3, "arguments": []}), [
        "task of the baseline must be a name, got 3", "arguments of the baseline must be values",
    ]),
    (Question(SYNTHETIC, kind="gain", probe=float("inf")), ["probe must be a number"]),
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
               "batch": 1, "seed": 1, "least": 2, "most": 9, "probe": 0.5,
               "baseline": PROBE}  # fmt: skip
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


def fitting(asked, *records):
    return asked.fitting(records)[0]


@pytest.mark.parametrize(("run", "more", "fits"), [
    (Run.of(SYNTHETIC, {"dim": 7, "seed": 3, "answer": 70}), {}, True),
    (Run.of(SYNTHETIC, {"dim": "full", "seed": 3, "answer": 70}), {}, True),
    (Run.of(SYNTHETIC, {"dim": 7, "seed": 3}), {}, False),
    (Run.of(SYNTHETIC, {"dim": 7, "seed": 3, "answer": 70, "noise": 1}), {}, False),
    (Run.of("tests.dimension.synthetic:nameless", {"dim": 7, "seed": 3}), {}, False),
    (Run.of(SYNTHETIC, {"dim": 7, "seed": 3, "answer": 70}), {"status": "failed"}, False),
    (Run.of(SYNTHETIC, {"dim": 7, "seed": 3, "answer": 70}), {"result": {"D": 7}}, False),
])  # fmt: skip
def test_which_records_fit(run, more, fits):
    assert bool(fitting(ASKED, record(run, **more))) == fits


def test_a_full_run_in_another_projection_does_not_fit():
    asked = Question("mnist", {"model": "fc"})
    full = {"model": "fc", "dim": "full", "seed": 3}
    assert fitting(asked, record(Run.of("mnist", {**full, "projection": "identity"})))
    other = record(Run.of("mnist", full))
    assert asked.fitting([other]) == ([], {"other projection": 1})


def test_all_weights_through_a_map_are_not_the_full_model():
    asked = Question("mnist", {"model": "fc", "projection": "gaussian"})
    run = Run.of("mnist", {"model": "fc", "projection": "gaussian", "dim": 199_210, "seed": 3})
    result = {"D": 199_210, "test_accuracy": 90.0}
    assert not fitting(asked, record(run, result=result))
    assert asked.results([record(run, result=result)]) is None


def test_a_map_that_needs_some_parameters_can_be_asked_about():
    asked = Question("mnist", {"model": "fc", "projection": "layerwise:hashed"}, least=6)
    assert not asked.problems()
    runs = [asked.run(dim) for dim in ("full", 6, 700)]
    result = {"D": 199_210, "test_accuracy": 90.0}
    assert len(fitting(asked, *(record(run, result=result) for run in runs))) == 3
    limited = dataclasses.replace(asked, least=7, most=699)
    assert len(fitting(limited, *(record(run, result=result) for run in runs))) == 1


def test_the_order_of_records_does_not_matter():
    records = [record(ASKED.run(dim)) for dim in (10, 20, "full")]
    assert ASKED.fitting(records) == ASKED.fitting(records[::-1])
    assert ASKED.fitting(records + records) == ASKED.fitting(records)


@pytest.mark.parametrize(("arguments", "result", "reason"), [
    ({"answer": 71}, {}, "other answer"),
    ({"answer": 71, "noise": 2.0}, {}, "other answer, noise"),
    ({}, {"D": None}, "no D"),
    ({}, {"test_accuracy": None}, "no test_accuracy"),
    ({"dim": 10_000}, {}, "a dim that is not to be tried"),
    ({"dim": 4}, {}, "a dim that is not to be tried"),
    ({"dim": 501}, {}, "a dim that is not to be tried"),
    ({"dim": 7.5}, {}, "a dim that is not to be tried"),
    ({"dim": True}, {}, "a dim that is not to be tried"),
    ({"seed": "3"}, {}, "no seed"),
])  # fmt: skip
def test_why_a_record_is_left_out(arguments, result, reason):
    asked = dataclasses.replace(ASKED, least=5, most=500)
    one = record(asked.run(10))
    one["arguments"] |= arguments
    one["result"] = {n: v for n, v in (one["result"] | result).items() if v is not None}
    assert asked.fitting([one]) == ([], {reason: 1})


def seen(question, figures):
    return question.results(
        [record(question.run(dim), result={"D": 100, "loss": figure}) for dim, figure in figures]
    )


@pytest.mark.parametrize(("question", "threshold", "values"), [
    (Question(SYNTHETIC, metric="loss"), 1.8, [3.0]),
    (Question(SYNTHETIC, metric="loss", better="lower"), -2 / 0.9, [-3.0]),
    (Question(SYNTHETIC, metric="loss", threshold=0.8, kind="gain", probe=1), 1.8, [3.0]),
    (Question(SYNTHETIC, metric="loss", threshold=0.8, kind="gain", probe=-3), 1, [3.0]),
    (Question(SYNTHETIC, metric="loss", better="lower", threshold=0.8, kind="gain", probe=7),
     -3, [-3.0]),
    (Question(SYNTHETIC, metric="loss", threshold=5, kind="absolute"), 5, [3.0]),
    (Question(SYNTHETIC, metric="loss", better="lower", threshold=5, kind="absolute"), -5, [-3.0]),
])  # fmt: skip
def test_results_are_turned_so_that_higher_is_better(question, threshold, values):
    found = seen(question, [("full", 2.0), (7, 3.0)])
    assert found.threshold == pytest.approx(threshold)
    assert found.at == {7: values}
    assert found.D == 100


def test_dim_D_in_the_projection_identity_is_the_full_model():
    asked = Question("mnist", {"model": "fc"})
    arguments = {"model": "fc", "projection": "identity", "dim": 199_210, "seed": 3}
    full = record(Run.of("mnist", arguments), result={"D": 199_210, "test_accuracy": 98.0})
    assert fitting(asked, full)
    assert asked.results([full]).full == [98.0]


def test_dim_D_of_a_task_without_a_projection_is_no_full_model():
    # A task may map D numbers to D weights.
    records = [record(ASKED.run_of(10_000, seed)) for seed in range(5)]
    assert ASKED.fitting(records) == ([], {"a dim that is not to be tried": 5})
    assert ASKED.results([]) is None


def test_one_run_of_the_full_model_at_or_below_zero_does_not_matter():
    question = Question(SYNTHETIC, metric="loss")
    found = seen(question, [("full", value) for value in (-1.0, 0.0, 100.0, 101.0)])
    assert found.threshold == pytest.approx(45)


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_share_of_a_negative_figure_makes_no_sense(better):
    with pytest.raises(InputError, match=r"needs a mean above 0.* is -200"):
        seen(Question(SYNTHETIC, metric="loss", better=better), [("full", -200.0)])


@pytest.mark.parametrize(("better", "full"), [("higher", 0.7), ("higher", 0.6), ("lower", 0.8)])
def test_a_full_model_that_gains_nothing_makes_no_sense_of_a_gain(better, full):
    asked = Question(SYNTHETIC, metric="loss", better=better, kind="gain", probe=0.7)
    with pytest.raises(InputError, match=r"is 0\.\d, no gain over the probe's 0\.7"):
        seen(asked, [("full", full)])


@pytest.mark.parametrize(("result", "message"), [
    ({"loss": 1.0}, "has no 'D'; it has: loss"),
    ({"D": 3}, "has no 'test_accuracy'"),
    ({"D": 3, "test_accuracy": "good"}, "must be a number, got 'good'"),
    ({"D": 3, "test_accuracy": True}, "must be a number, got True"),
    ({"D": 3, "test_accuracy": float("nan")}, "must be a number, got nan"),
    ({"D": 3, "test_accuracy": 1.7e308}, "at most 1e\\+300, got 1.7e\\+308"),
    ({"D": 3.0, "test_accuracy": 1.0}, "D must be a whole number of at least 2, got 3.0"),
])  # fmt: skip
def test_results_that_cannot_be_used(result, message):
    with pytest.raises(InputError, match=message):
        ASKED.results([record(ASKED.run("full"), result=result)])


def test_records_fit_that_lack_arguments_younger_than_they_are():
    asked = Question("mnist", {"model": "fc"})
    run = asked.run(10)
    assert "levels" not in run.arguments
    assert fitting(asked, record(run, result={"D": 199_210, "test_accuracy": 98.0}))
