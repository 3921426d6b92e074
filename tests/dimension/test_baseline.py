"""A share of the gain over a baseline, which is a task that is run."""

import dataclasses
import itertools
import shlex

import pytest

from subspace_nn import bits
from subspace_nn.common.errors import InputError
from subspace_nn.dimension import answer_from, answers, check, measure, question
from subspace_nn.dimension.answer import read
from subspace_nn.dimension.baseline import Baseline
from subspace_nn.dimension.catalogue import command as command_of
from subspace_nn.dimension.estimate import estimate
from subspace_nn.dimension.plan import first_dims, next_dims
from subspace_nn.dimension.plans import parse
from subspace_nn.dimension.results import Results
from subspace_nn.dimension.words import summary
from subspace_nn.runs.store import Store
from subspace_nn.runs.task import OWN
from tests.dimension import synthetic

SYNTHETIC, PROBE = "tests.dimension.synthetic:train", "tests.dimension.synthetic:probe"
#: 60 + 0.75 × (100 - 60) is 90, which the task reaches from 300 on.
ASKED = question(SYNTHETIC, {"answer": 300}, threshold=0.75, baseline=PROBE)


def run(asked, folder, **options):
    return measure(asked, folder, engine="serial", **options)


def of(given):
    return Baseline.of(given, "mnist", {"model": "lenet"})


@pytest.mark.parametrize(("given", "task", "arguments"), [
    (PROBE, PROBE, {}),
    (f"{PROBE} mean=70.5", PROBE, {"mean": 70.5}),
    ({"task": PROBE, "arguments": {"mean": 70}}, PROBE, {"mean": 70}),
    (synthetic.probe, PROBE, {}),
    ("dim=1", "mnist", {"model": "lenet", "dim": 1}),
    ({"arguments": {"model": "fc", "dim": 1}}, "mnist", {"model": "fc", "dim": 1}),
    ("mnist-fc dim=1", "mnist", {"model": "fc", "dim": 1}),
    # What gives a module and data is trained as a task that it is.
    ("subspace_nn.tasks.tabular:digits", OWN,
     {"problem": "subspace_nn.tasks.tabular:digits", "projection": "identity"}),
    (f"{PROBE} dim=full", OWN, {"problem": PROBE, "dim": "full", "projection": "identity"}),
    (f"{PROBE} dim=7 epochs=3", OWN, {"problem": PROBE, "dim": 7, "epochs": 3}),
    # All weights are each by itself, as those of the full model, unless somebody says otherwise.
    ("dim=full", "mnist", {"model": "lenet", "dim": "full", "projection": "identity"}),
    ("dim=full projection=sparse", "mnist",
     {"model": "lenet", "dim": "full", "projection": "sparse"}),
    ("tests/dimension/synthetic.py:probe", PROBE, {}),
], ids=lambda value: getattr(value, "__name__", str(value)))  # fmt: skip
def test_a_baseline_is_named_as_a_sweep_names_runs(given, task, arguments):
    found = of(given)
    assert (found.task, found.arguments) == (task, arguments)
    assert of(str(found)) == found
    assert of(found) is found


@pytest.mark.parametrize("given", ["", " ", 3, {}, {"task": 3}, {"tasks": PROBE}, ["a"],
                                   {"arguments": 3}, "mine:probe 'x"], ids=str)  # fmt: skip
def test_what_names_no_baseline(given):
    with pytest.raises(InputError, match="baseline"):
        question(SYNTHETIC, baseline=given)


@pytest.mark.parametrize(("words", "message"), [
    (f"{PROBE} means=3", "Baseline: Unknown argument of .*probe 'means'"),
    # Whether it gives a module to be trained in 3 epochs is not known before it is called.
    (f"{PROBE} epochs=3", f"to train a module that .* gives, .*'{PROBE} dim=full epochs=3'"),
    (f"{PROBE} epochs=3", "Unknown argument of .*probe 'epochs'"),
    (f"{PROBE} seed=3", "seed of the baseline is set by the measurement"),
    ("tests.dimension.synthetic:failing", "Baseline: .*failing needs dim, which is not given"),
    ("tests.dimension.synthetic:without_seed dim=3", "without_seed has no argument 'seed'"),
    ("mnist-fc lr=-1", "Baseline: lr must be"),
    ("dim=7", "The baseline, dim=7, is one of the runs to try: set least to 8 or more"),
    ("dim=full", "The baseline is the full model itself"),
    (f"{SYNTHETIC} dim=full answer=300", "The baseline is the full model itself"),
])  # fmt: skip
def test_what_cannot_work_is_refused_before_anything_runs(words, message):
    with pytest.raises(InputError, match=message):
        check(question(SYNTHETIC, {"answer": 300}, baseline=words), 60)


def test_all_weights_of_the_task_are_the_full_model_whatever_its_projection():
    asked = question("mnist-fc", {"projection": "fastfood"}, baseline="dim=full")
    with pytest.raises(InputError, match="is the full model itself"):
        check(asked, 60)
    check(question("mnist-fc", baseline="dim=full epochs=1"), 60)


def test_a_run_of_the_task_that_is_not_tried_may_be_the_baseline():
    check(question(SYNTHETIC, {"answer": 300}, baseline="dim=7", least=8), 60)
    check(question(SYNTHETIC, {"answer": 300}, baseline="dim=7 noise=0.1"), 60)


def test_a_budget_is_for_the_baseline_and_the_full_model():
    check(ASKED, 6)
    with pytest.raises(InputError, match=r"budget with a baseline .* at least 6, got 5"):
        check(ASKED, 5)


def test_a_name_that_is_unknown():
    with pytest.raises(InputError, match="cannot be imported"):
        question(SYNTHETIC, baseline="nowhere:probe")


def test_a_share_of_the_gain_over_what_was_run(tmp_path):
    found = run(ASKED, tmp_path)
    assert found.stopped == "tight"
    assert found.low <= 300 <= found.high
    assert (found.baseline_n, found.full_n) == (5, 5)
    assert found.baseline == pytest.approx(60, abs=1)
    assert found.threshold == pytest.approx(0.25 * found.baseline + 0.75 * found.full)
    records = Store(tmp_path).read()
    assert set(found.runs) == {record["id"] for record in records}
    seeds = [r["arguments"]["seed"] for r in records if r["task"] == PROBE]
    assert len(set(seeds)) == found.baseline_n
    (again,) = answers(tmp_path)
    assert again == found
    assert run(ASKED, tmp_path) == found


def test_the_baseline_comes_first_for_it_is_cheap_and_may_fail(tmp_path):
    asked = dataclasses.replace(
        ASKED, baseline=Baseline("tests.dimension.synthetic:broken_probe", {})
    )
    with pytest.raises(
        InputError,
        match=r"probe, the baseline, seed=\d+ \(and 4 more\), failed: .*no features\. The",
    ) as caught:
        run(asked, tmp_path)
    assert "least, most" not in str(caught.value)
    assert len(Store(tmp_path).read()) == 5


def test_a_full_model_that_gains_nothing(tmp_path):
    asked = question(SYNTHETIC, baseline=f"{PROBE} mean=105")
    with pytest.raises(InputError, match=r"no gain over the baseline's 10\d.*better to lower"):
        run(asked, tmp_path)
    assert len(Store(tmp_path).read()) == 10


@pytest.mark.parametrize(("base", "worst"), [
    ({"baseline": f"{PROBE} mean=98 noise=0.0"}, True), ({"probe": 98}, True),
    ({"probe": 98}, False),
])  # fmt: skip
def test_one_run_below_the_baseline_is_noise(base, worst, tmp_path):
    """Of an interrupted batch, or of a sweep; or as the only one that is missing."""
    asked = question(SYNTHETIC, {"noise": 2.0}, **base)
    budget = 5 if asked.baseline is None else 10
    found = run(asked, tmp_path / "at once", budget=budget)
    records = Store(tmp_path / "at once").read()
    fall = [r for r in records if r["result"]["test_accuracy"] < 98]
    assert len(fall) == 1
    few = [r for r in records if r["task"] == PROBE or (r in fall) == worst]
    assert len(few) < budget
    for record in few:
        Store(tmp_path / "later").write(record)
    later = run(asked, tmp_path / "later", budget=max(budget - len(few), 6))
    assert later.threshold == found.threshold
    if worst:
        with pytest.raises(InputError, match=r"no gain over the .*'s 98"):
            answer_from(asked, few)


def test_a_gain_over_a_known_value_may_be_noise(tmp_path):
    found = run(question(SYNTHETIC, {"noise": 2.0}, probe=98), tmp_path, budget=15)
    assert "gain" in found.doubts
    sure = run(question(SYNTHETIC, {"noise": 2.0}, probe=50), tmp_path, budget=15)
    assert "gain" not in sure.doubts


def test_a_gain_that_may_be_noise_is_doubted(tmp_path):
    asked = question(SYNTHETIC, baseline=f"{PROBE} mean=99.3 noise=2")
    found = run(asked, tmp_path, budget=20)
    assert "gain" in found.doubts
    assert found.stopped != "tight"
    assert "may be noise" in summary(found)["warning"]


def test_noise_of_the_baseline_is_in_the_interval_and_gets_runs(tmp_path):
    asked = question(SYNTHETIC, {"answer": 300}, threshold=0.75, baseline=f"{PROBE} noise=8")
    found = run(asked, tmp_path, budget=40)
    assert found.baseline_n > found.full_n
    assert found.low <= 300 <= found.high
    known = run(question(SYNTHETIC, {"answer": 300}, threshold=0.75, probe=60), tmp_path / "known")
    assert found.high / found.low > known.high / known.low


def test_an_interrupted_batch_of_the_baseline_is_finished_first(tmp_path):
    class KilledError(Exception):
        pass

    def killed(now):
        if now.status and now.status.finished == 3:
            raise KilledError

    with pytest.raises(KilledError):
        run(ASKED, tmp_path, on_progress=killed)
    assert [dim for dim, _ in read(tmp_path, ASKED).planned] == ["baseline"] * 5
    found = dataclasses.replace(run(ASKED, tmp_path), seconds=0)
    assert found == dataclasses.replace(run(ASKED, tmp_path / "at once"), seconds=0)


def test_the_same_task_with_other_arguments(tmp_path):
    """Which is no point of the curve, though its records have a dim."""
    quiet = {"answer": 300, "noise": 0.2}
    asked = question(SYNTHETIC, quiet, threshold=0.75, baseline="answer=9999 dim=5000")
    found = run(asked, tmp_path)
    base = synthetic.accuracy(5000, 9999)
    assert found.baseline == pytest.approx(base, abs=0.5)
    assert 5000 not in {point["dim"] for point in found.points}
    assert not found.left_out
    assert found.threshold == pytest.approx(base + 0.75 * (100 - base), abs=1)


def test_lower_may_be_better(tmp_path):
    asked = question(
        SYNTHETIC, {"answer": 300}, metric="test_error", better="lower", threshold=0.75,
        baseline=f"{SYNTHETIC} answer=300 dim=9 noise=0.1",
    )  # fmt: skip
    found = run(asked, tmp_path)
    base = 100 - synthetic.accuracy(9, 300)
    assert found.baseline == pytest.approx(base, abs=0.3)
    assert found.threshold == pytest.approx(0.25 * base, abs=0.5)
    assert found.low <= found.dim <= found.high


@pytest.mark.parametrize("words", [PROBE, f"{PROBE} mean=70.5", "answer=9999 dim=3"])
def test_command_line_file_and_python_ask_the_same(words):
    asked = question(SYNTHETIC, {"answer": 300}, baseline=words)
    assert asked.kind == "gain"
    text = f"[[measure]]\ntask = '{SYNTHETIC}'\narguments = {{ answer = 300 }}\n"
    (one,) = parse(text + f"baseline = '{words}'")
    assert one.question == asked
    base = asked.baseline
    (one,) = parse(text + f"baseline.task = '{base.task}'\n" + "".join(
        f"baseline.arguments.{name} = {value}\n" for name, value in base.arguments.items()
    ))  # fmt: skip
    assert one.question.id == asked.id
    line = shlex.split(command_of(asked, "results"))
    assert Baseline.of(line[line.index("--baseline") + 1], SYNTHETIC, {}) == base


def test_first_runs():
    assert first_dims(0, mean=True, baseline=0) == ["baseline"] * 5
    assert first_dims(0, mean=True, baseline=4) == ["baseline"]
    assert first_dims(2, mean=True, baseline=5) == ["full"] * 3
    assert first_dims(5, mean=True, baseline=9) == []


def seen(baseline, n=5):
    """Runs with little noise on both sides of 90, and one mean of the baseline."""
    at = {d: [synthetic.accuracy(d, 300) + e for e in (-0.1, 0.0, 0.1)]
          for d in (150, 200, 260, 290, 297, 303, 310, 350, 420, 500, 700)}  # fmt: skip
    return Results(10_000, [99.9, 100.0, 100.1] * 2, at, 0.75, baseline=baseline[:n])


def test_what_is_least_certain_is_run_again():
    loud = [40.0, 50.0, 60.0, 70.0, 80.0]
    assert next_dims(seen(loud), estimate(seen(loud)), ratio=1.03, batch=3) == ["baseline"] * 3
    quiet = [60.0, 60.001] * 3
    assert "baseline" not in next_dims(seen(quiet), estimate(seen(quiet)), ratio=1.03, batch=3)


def test_the_interval_holds_the_truth_however_the_baseline_fell():
    """As if it were exact, it would not: the error of its mean moves the threshold."""
    held, exact = 0, 0
    for case in range(100):
        errors = bits.normal(case, "baseline", 0, 5).tolist()
        found = estimate(seen([60 + 8 * error for error in errors]))
        held += found.low <= 300 <= found.high
        mean = sum(errors) / 5
        alone = estimate(dataclasses.replace(seen([]), constant=0.25 * (60 + 8 * mean)))
        exact += alone.low <= 300 <= alone.high
    assert held >= 93
    assert exact < 60


def test_a_baseline_of_one_run_leaves_the_interval_open():
    found = estimate(seen([60.0]))
    assert (found.low, found.high) == (1, 10_000)


def test_units_do_not_matter():
    small = estimate(seen([50.0, 60.0, 70.0]))
    large = estimate(seen([50.0, 60.0, 70.0]).times(2.0**400))
    assert (small.dim, small.low, small.high) == (large.dim, large.low, large.high)
    assert large.baseline_noise == pytest.approx(2.0**400 * small.baseline_noise)


def test_words_name_the_baseline(tmp_path):
    reported = summary(run(ASKED, tmp_path))
    assert reported["baseline"].endswith(f", n = 5 ({PROBE})")
    assert reported["threshold"].endswith("(75 % of the full model's gain over the baseline)")
    assert list(itertools.islice(reported, 3)) == ["full model", "threshold", "baseline"]
