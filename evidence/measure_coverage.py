"""Does the interval of a measurement hold the truth as often as it says, and in how many runs?

    python -m evidence.measure_coverage results/measure_coverage.json

Each family of `evidence.measure_families` gives 120 tasks with known answers. Every task is
measured as a real one is, by the same planner and estimator; only the training is replaced. Half
of the measurements have the default budget of 60 runs, half 200. For each family it prints and
writes

- in how many measurements the 95 % interval holds the answer, of all and of those that call
  themselves tight;
- how many measurements call themselves tight although their records show why the interval is
  doubtful: results 0.2 and five standard deviations apart at one dimension, or a fall of the
  mean of five standard errors;
- the runs, and those of the planner of commit f0d51fe on the same tasks, where it does not crash;
- how often the interval of a plain grid holds the answer: five seeds at each of 20 dimensions,
  d_int where the means first cross the threshold, on straight lines in log d, and a bootstrap over
  the seeds.

About 15 minutes on one core. It needs the repository's history.
"""

import collections
import json
import math
import statistics
import subprocess
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import output
from evidence.measure_families import FAMILIES, LEVEL, Family, Random, Task
from subspace_nn.dimension import estimate, plan
from subspace_nn.report.document import Table

TRIALS = 120
#: Of the tasks. The rules were chosen with tasks of other seeds.
SEED = 2026
BATCH, BUDGETS = 4, (60, 200)
BASELINE = "f0d51fe"
#: Dimensions and seeds of the plain grid, and resamples of its bootstrap.
GRID_DIMS, GRID_SEEDS, RESAMPLES = 20, 5, 500
#: Records show that an interval is doubtful if results at one dimension are this far apart, or the
#: mean falls by this many standard errors.
APART, ERRORS = 0.2, 5.0

Runs = dict[int, list[float]]


@dataclass(frozen=True)
class Method:
    """A planner with its estimator.

    Attributes:
        estimate: the module `subspace_nn.dimension.estimate`.
        plan: the module `subspace_nn.dimension.plan`.
    """

    estimate: Any
    plan: Any


NOW = Method(estimate, plan)


@dataclass(frozen=True)
class Trial:
    """One measurement of a synthetic task.

    Attributes:
        held: whether the interval holds the answer.
        tight: whether the measurement called itself tight.
        doubted: whether it warned.
        shown: whether the records show why the interval is doubtful.
        runs: number of runs.
    """

    held: bool
    tight: bool
    doubted: bool
    shown: bool
    runs: int


def main() -> None:
    """Measure all tasks, print, and write the JSON named on the command line."""
    before = method_of(BASELINE)
    rows = []
    for family in FAMILIES:
        rows.append(row(family, TRIALS, before))
        print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
    content = {
        "baseline": BASELINE,
        "budgets": BUDGETS,
        "promised": total([row for row in rows if row["promised"]]),
        "doubtful": total([row for row in rows if not row["promised"]]),
        "families": rows,
    }
    print(json.dumps({name: content[name] for name in ("promised", "doubtful")}))
    output.write(output.named(), "python -m evidence.measure_coverage", **content)


def row(family: Family, trials: int, before: Method | None = None) -> dict[str, Any]:
    """All measurements of a family, counted."""
    counts = collections.Counter[str]()
    for index in range(trials):
        trial = measured(family, index)
        counts.update(
            trials=1,
            held=trial.held,
            tight=trial.tight,
            held_tight=trial.held and trial.tight,
            doubted=trial.doubted,
            tight_though_shown=trial.tight and trial.shown,
            runs=trial.runs,
        )
        if before is not None:
            counts.update(held_by_grid=grid_holds(*drawn(family, index)))
            counts.update(runs_before(family, index, before, trial.runs))
    return {"family": family.name, "promised": family.promised, **counts}


def total(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums over families, and their percentages."""
    names = [name for name, value in rows[0].items() if type(value) is int]
    sums = {name: sum(row[name] for row in rows) for name in names}
    return {
        **sums,
        "percent_held": _percent(sums["held"], sums["trials"]),
        "percent_held_of_tight": _percent(sums["held_tight"], sums["tight"]),
        "percent_held_by_grid": _percent(sums["held_by_grid"], sums["trials"]),
        "least_percent_held": min(_percent(row["held"], row["trials"]) for row in rows),
        "below_92_less_two_standard_errors": [
            row["family"] for row in rows if row["held"] / row["trials"] < _limit(row["trials"])
        ],
        "runs_against_before": round(sums["runs_where_before_ended"] / sums["runs_before"], 3),
    }


def in_words(content: Mapping[str, Any]) -> str:
    """The totals in one paragraph.

    Args:
        content: of results/measure_coverage.json.

    Returns:
        Markdown.
    """
    all_of = content["promised"]
    families = sum(row["promised"] for row in content["families"])
    held = (
        f"Of {all_of['trials']:,} measurements of {families} promised families, "
        f"{all_of['percent_held']} % of the intervals hold the answer, and "
        f"{all_of['percent_held_of_tight']} % of the {all_of['tight']:,} tight ones. "
        f"In each family at least {all_of['least_percent_held']} % do."
    )
    cost = (
        f"They take {all_of['runs_against_before']:.2f} times the runs of commit "
        f"{content['baseline']}, which crashed on {all_of['crashed_before']} of these tasks."
    )
    grid = (
        "The interval of a plain grid, the usual practice (five seeds at each of 20 dimensions, a "
        f"bootstrap over the seeds), holds the answer in {all_of['percent_held_by_grid']} %."
    )
    return f"{held} {cost} {grid}"


def as_table(content: Mapping[str, Any]) -> Table:
    """A row for each family, those that are promised first.

    Args:
        content: of results/measure_coverage.json.

    Returns:
        The table.
    """
    rows: list[list[str]] = []
    for name, promised in (("all promised", True), ("all others", False)):
        of_kind = [row for row in content["families"] if row["promised"] is promised]
        totals = content["promised" if promised else "doubtful"]
        rows += [*(_cells(row["family"], row) for row in of_kind), _cells(name, totals)]
    return Table(
        ["family", "tasks", "interval holds, %", "of the tight ones", "warned", "mean of runs"],
        rows,
    )


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    return [
        name,
        f"{row['trials']:,}",
        f"{100 * row['held'] / row['trials']:.1f}",
        f"{row['held_tight']:,} of {row['tight']:,}",
        f"{row['doubted']:,}",
        f"{row['runs'] / row['trials']:.0f}",
    ]


def _limit(trials: int, aim: float = 0.92) -> float:
    return aim - 2 * math.sqrt(aim * (1 - aim) / trials)


def _percent(count: int, of: int) -> float:
    return round(100 * count / of, 1)


def drawn(family: Family, index: int) -> tuple[Task, Random]:
    """One of a family's tasks, and the generator of its runs."""
    dice = np.random.default_rng([SEED, FAMILIES.index(family), index])
    return family.task(dice), dice


def measured(family: Family, index: int) -> Trial:
    """One measurement, by the planner as it is now."""
    task, dice = drawn(family, index)
    found, runs, narrow, at = measure(task, dice, NOW, BUDGETS[index % 2])
    return Trial(
        held=found.low <= task.answer <= found.high,
        tight=narrow and not found.doubts,
        doubted=bool(found.doubts),
        shown=not family.promised and shows(task, at),
        runs=runs,
    )


def runs_before(family: Family, index: int, before: Method, runs: int) -> dict[str, int]:
    """The runs of an earlier planner on the same task, unless it crashes, and those of now."""
    task, dice = drawn(family, index)
    try:
        with np.errstate(all="ignore"):
            _, ended, *_ = measure(task, dice, before, BUDGETS[index % 2])
    except ValueError:
        return {"crashed_before": 1}
    return {"crashed_before": 0, "runs_before": ended, "runs_where_before_ended": runs}


def measure(task: Task, dice: Random, method: Method, budget: int) -> tuple[Any, int, bool, Runs]:
    """Measure as `subspace_nn.dimension` does, without records.

    Returns:
        The estimate, the number of runs, whether the interval got as narrow as asked, and the
        results at each dimension.
    """
    effects = collections.defaultdict[int, float](dice.standard_normal)
    full: list[float] = []
    at: Runs = {}
    if task.grid:
        at = {d: [task.run(d, effects[k], dice) for k in range(task.grid)] for d in _grid(task.D)}
    runs = 0
    found, dims = _next(task, method, full, at)
    while dims and runs < budget:
        for dim in dims[: budget - runs]:
            runs += 1
            if dim == "full":
                full.append(task.run_full(dice))
            else:
                there = at.setdefault(dim, [])
                there.append(task.run(dim, effects[len(there)], dice))
        found, dims = _next(task, method, full, at)
    return found, runs, not dims, at


def _next(task: Task, method: Method, full: list[float], at: Runs) -> tuple[Any, list[Any]]:
    """The estimate, if anything was run, and the next dimensions."""
    falls_short = bool(full) and statistics.fmean(full) < LEVEL
    if first := method.plan.first_dims(len(full), mean=task.relative or falls_short):
        return None, first
    factor, constant = (LEVEL, 0.0) if task.relative else (0.0, LEVEL)
    results = method.estimate.Results(task.D, full, at, factor, constant)
    found = method.estimate.estimate(results)
    return found, method.plan.next_dims(results, found, ratio=task.ratio, batch=BATCH)


def shows(task: Task, at: Runs) -> bool:
    """Whether records show results of two kinds, or a mean that falls beyond its noise."""
    apart = max(APART, ERRORS * task.noise)
    if any(max(values) - min(values) > apart for values in at.values()):
        return True
    means = [statistics.fmean(at[dim]) for dim in sorted(at)]
    errors = [task.noise / math.sqrt(len(at[dim])) for dim in sorted(at)]
    return any(
        means[i] - means[j] > ERRORS * math.hypot(errors[i], errors[j])
        for j in range(len(means))
        for i in range(j)
    )


def _grid(D: int, points: int = GRID_DIMS) -> list[int]:
    """Dimensions from 1 to D, evenly spaced in log d, without D."""
    return sorted({round(dim) for dim in np.geomspace(1, D, points + 1)} - {D})


def grid_holds(task: Task, dice: Random) -> bool:
    """Whether the interval of a plain grid holds the answer."""
    dims = _grid(task.D)
    effects = collections.defaultdict[int, float](dice.standard_normal)
    values = np.array([[task.run(d, effects[k], dice) for d in dims] for k in range(GRID_SEEDS)])
    full = np.array([task.run_full(dice) for _ in range(GRID_SEEDS)])
    picks = dice.integers(0, GRID_SEEDS, (RESAMPLES, GRID_SEEDS))
    tops = full[picks].mean(1)
    levels = LEVEL * tops if task.relative else np.full(RESAMPLES, LEVEL)
    curves = np.column_stack([values[picks].mean(1), tops])
    crossings = [_first(curve, level) for curve, level in zip(curves, levels, strict=True)]
    low, high = np.interp(
        np.quantile(crossings, [0.025, 0.975]), range(len(dims) + 1), np.log([*dims, task.D])
    )
    return math.floor(math.exp(low)) <= task.answer <= math.ceil(math.exp(high))


def _first(curve: np.ndarray, level: float) -> float:
    """Where a curve first reaches a level, in steps of the grid, on straight lines."""
    index = int(np.argmax(curve >= level)) if curve.max() >= level else len(curve) - 1
    if index == 0 or curve[index] <= curve[index - 1]:
        return float(index)
    return index - float((curve[index] - level) / (curve[index] - curve[index - 1]))


def method_of(commit: str) -> Method:
    """The planner and the estimator of a commit."""
    return Method(*(_module(commit, name) for name in ("estimate", "plan")))


def _module(commit: str, name: str) -> types.ModuleType:
    """A file of that commit as a module; both files stand alone, but for the names of types."""
    path = f"src/subspace_nn/measure/{name}.py"  # the name of the folder at the baseline
    command = ["git", "show", f"{commit}:{path}"]
    source = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    module = types.ModuleType(f"{name}_of_{commit}")
    sys.modules[module.__name__] = module
    source = source.replace("subspace_nn.measure", "subspace_nn.dimension")  # as it is named now
    exec(compile(source, path, "exec"), module.__dict__)  # noqa: S102  # this repository's own
    return module


if __name__ == "__main__":
    main()
