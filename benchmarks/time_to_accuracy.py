"""Seconds of training until the accuracy of 2017 is reached: its recipe against the new one.

    python -m benchmarks.time_to_accuracy results/time_to_accuracy.json

The net is conv, accuracy that of the whole test set, one thread.

The old recipe is not trained again. Its time is that of a step, measured here, times the steps
that its committed record (results/conv-large-2017) needed until it stayed at or above the figure;
all of its steps, if it never did. Making P, which takes it up to minutes, is left out.

The new recipe is trained here, once for each seed, and evaluated every few steps; the clock stands
still meanwhile. Making P and θ0 is part of its time. Its schedule is shorter the easier the figure
is; nothing else differs from d to d. A seed that does not stay at the figure counts as not there.

Between the steps of the new recipe the old one makes a step now and then, so that both are timed
under the same load. A ratio is the quotient of the medians.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from benchmarks import output
from subspace_nn.common.errors import InputError
from subspace_nn.runs.store import Store
from subspace_nn.tasks.classifier import Progress, as_input, count_correct, fit
from subspace_nn.tasks.config import RunConfig
from subspace_nn.tasks.data import Dataset, mnist

RECORDS = Path("results/conv-large-2017")


@dataclass(frozen=True)
class Case:
    """A figure of 2017 and how the new recipe is to reach it.

    Attributes:
        dim: number of free parameters.
        target: test accuracy in percent.
        epochs: of the new recipe's schedule.
        bar: how many times sooner it is to be there.
    """

    dim: int
    target: float
    epochs: int
    bar: int


CASES = (Case(1000, 93.5, 1, 100), Case(3000, 97.0, 2, 50), Case(10_000, 98.8, 5, 20))
SEEDS = (0, 1, 2, 3, 4)
#: Steps between evaluations, and between those where the old recipe makes its.
EVALUATE_EVERY, OLD_EVERY = 20, 40
#: Steps that the old recipe then makes.
TIMED = 2


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    torch.set_num_threads(1)
    data = mnist()
    for case in CASES:  # a missing record is reported before an hour is spent
        committed(case.dim)
    results = [race(case, data, SEEDS) for case in CASES]
    about = {"batch": 256, "evaluated_every": EVALUATE_EVERY}
    command = "python -m benchmarks.time_to_accuracy"
    output.write(output.named(), command, **about, results=results)


def race(case: Case, data: Dataset, seeds: Sequence[int]) -> dict[str, Any]:
    """Time both recipes on one figure.

    Args:
        case: the figure.
        data: training and test set.
        seeds: of the new recipe's trainings.

    Returns:
        The figures by name.
    """
    records = committed(case.dim)
    start = time.perf_counter()
    step = old_recipe(case.dim, data)
    setup = time.perf_counter() - start
    runs = [train(case, seed, data, step) for seed in seeds]
    return report(case, runs, setup, records)


def committed(dim: int) -> list[list[dict[str, float]]]:
    """The old recipe's committed courses.

    Args:
        dim: number of free parameters.

    Returns:
        The evaluations of each finished run.

    Raises:
        InputError: if there is none.
    """
    found = [
        record["result"]["evaluations"]
        for record in Store(RECORDS).read()
        if record["arguments"]["dim"] == dim and record["status"] == "done"
    ]
    if not found:
        raise InputError(
            f"{RECORDS} has no finished run of d = {dim:,}: "
            "subspace-nn sweep conv-large-2017 makes it."
        )
    return found


def old_recipe(dim: int, data: Dataset) -> Callable[[], None]:
    """The recipe of 2017 on the conv net.

    Args:
        dim: number of free parameters.
        data: training set, of which one batch is used.

    Returns:
        A function that makes one whole step of Adam.
    """
    config = RunConfig(
        model="conv",
        dim=dim,
        projection="orthonormal",
        init="2017",
        scale="none",
        lr=3e-3,
        beta2=0.99,
        dropout=0.5,
    )
    net, size = config.build(), config.batch_size
    optimizer = config.optimizer(net, config.seed, 1)
    x, y = as_input(data.train.images[:size]), data.train.labels[:size].long()

    def step() -> None:
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def train(case: Case, seed: int, data: Dataset, old_step: Callable[[], None]) -> dict[str, Any]:
    """One training of the new recipe, with the clock stopped while anything else is done.

    Args:
        case: the figure.
        seed: of the run.
        data: training and test set.
        old_step: makes a step of the old recipe.

    Returns:
        `seed`; `course`: seconds, steps and accuracy at each evaluation; `old_ms`: times of the
        old recipe's steps.
    """
    config = RunConfig(model="conv", dim=case.dim, epochs=case.epochs, seed=seed)
    course: list[dict[str, float]] = []
    old_ms: list[float] = []
    start = time.perf_counter()
    net = config.build()
    spent, last, seen = time.perf_counter() - start, time.perf_counter(), 0

    def watch(progress: Progress) -> None:
        nonlocal spent, last, seen
        now = time.perf_counter()
        if progress.step == seen:  # the loop's own evaluation lies between: no time of training
            last = now
            return
        spent, seen = spent + now - last, progress.step
        evaluated = course[-1]["step"] if course else 0
        if seen - evaluated >= EVALUATE_EVERY or seen == progress.steps:
            correct, _ = count_correct(net, data.test)
            accuracy = 100 * correct / len(data.test.labels)
            course.append({"step": seen, "seconds": spent, "test_accuracy": accuracy})
        if seen // OLD_EVERY > len(old_ms) // TIMED:
            old_step()  # not timed: the caches hold the other net
            for _ in range(TIMED):
                before = time.perf_counter()
                old_step()
                old_ms.append(1e3 * (time.perf_counter() - before))
        last = time.perf_counter()

    fit(net, data, config, seed=seed, on_progress=watch)
    return {"seed": seed, "course": course, "old_ms": old_ms}


def reached(course: Sequence[dict[str, float]], target: float, *, stays: bool) -> int | None:
    """Where a course reaches a figure.

    Args:
        course: evaluations, each with `test_accuracy`.
        target: the figure.
        stays: whether no later evaluation may be below it.

    Returns:
        Index of the evaluation, or None if there is none.
    """
    above = [evaluation["test_accuracy"] >= target for evaluation in course]
    if not stays:
        return above.index(True) if any(above) else None
    last_below = max((i for i, there in enumerate(above) if not there), default=-1)
    return last_below + 1 if last_below + 1 < len(above) else None


def report(
    case: Case,
    runs: Sequence[dict[str, Any]],
    setup: float,
    records: Sequence[Sequence[dict[str, float]]],
) -> dict[str, Any]:
    """Print and return the figures of one case.

    Args:
        case: the figure.
        runs: of the new recipe.
        setup: seconds that the old recipe took to make P.
        records: evaluations of the old recipe's committed runs.

    Returns:
        The figures by name; `ratio` is that of both staying at the figure, `ratio_first` that of
        both reaching it for the first time.
    """
    step = statistics.median(time for run in runs for time in run["old_ms"])
    found: dict[str, Any] = {"model": "conv", **vars(case), "n": len(runs)}
    for stays, suffix in ((True, ""), (False, "_first")):
        places = [(c, reached(c, case.target, stays=stays)) for c in records]
        steps = statistics.median(c[-1 if i is None else i]["step"] for c, i in places)
        times = [
            None if (i := reached(run["course"], case.target, stays=stays)) is None
            else run["course"][i]["seconds"]
            for run in runs
        ]  # fmt: skip
        there = [time for time in times if time is not None]
        found[f"old_steps{suffix}"] = steps
        found[f"old_reached{suffix}"] = sum(i is not None for _, i in places)
        found[f"old_seconds{suffix}"] = round(steps * step / 1e3, 1)
        found[f"new_each{suffix}"] = [time and round(time, 2) for time in times]
        found[f"new_reached{suffix}"] = len(there)
        seconds = statistics.median(there) if len(there) == len(times) else None
        found[f"new_seconds{suffix}"] = seconds and round(seconds, 2)
        found[f"ratio{suffix}"] = seconds and round(steps * step / 1e3 / seconds, 1)
    final = [run["course"][-1]["test_accuracy"] for run in runs]
    found |= {
        "old_runs": len(records),
        "old_step_ms": round(step, 2),
        "old_setup_seconds": round(setup, 1),
        "new_final_accuracy": [round(accuracy, 2) for accuracy in final],
    }
    print(_sentence(found), flush=True)
    return found


def _sentence(found: dict[str, Any]) -> str:
    if found["ratio"] is None:
        new = f"the new recipe stays there in {found['new_reached']} of {found['n']} seeds"
    else:
        new = (
            f"{found['ratio']:.0f} times sooner, {found['new_seconds']:.1f} s (n = {found['n']}), "
            f"with {found['epochs']} epochs"
        )
    never = "" if found["old_reached"] else ", all its steps: it never stayed there"
    steps = f"{found['old_steps']:.0f} steps of {found['old_step_ms']:.1f} ms{never}"
    return (
        f"conv d = {found['dim']:,}, {found['target']} %: recipe of 2017 "
        f"{found['old_seconds']:.0f} s ({steps}); {new}; bar {found['bar']} times"
    )


if __name__ == "__main__":
    main()
