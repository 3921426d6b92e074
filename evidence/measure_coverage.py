"""Does the interval of a measurement hold the truth as often as it says, and for how many runs?

    python -m evidence.measure_coverage results/measure_coverage.json

100 synthetic tasks with known answers, d* from 7 to 5,000, D = 100,000: the mean result is one of
four curves in log d with a given slope at the threshold (90 % of the full model's mean), and each
run adds normal noise of its own. Every task is measured as a real one is, by the same planner and
estimator; what is not real is the training. It prints and writes

- in how many trials the 95 % interval holds the truth;
- the runs, beside those of a fixed grid as Li et al. (2018) used: n seeds at every dimension of a
  grid, d_int the first at which the mean reaches the threshold, a bootstrap over the seeds, the
  interval from the grid point before. Each trial gets the cheapest grid, of many, whose interval
  is no wider in that very trial;
- what happens if the seeds are shared between dimensions instead of fresh;
- what happens if some seeds fail altogether, which a few runs often do not show: a result is then
  lower by so much with such a probability. What that takes off the mean is added to all results,
  so that the answers stay known.
"""

import dataclasses
import itertools
import json
import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from subspace_nn.common.atomic import write_atomically
from subspace_nn.measure.estimate import Estimate, Results, estimate
from subspace_nn.measure.plan import first_dims, next_dims

D = 100_000
TRIALS = 100
RATIO, BATCH, BUDGET = 1.2, 4, 200
#: The full model's noise, as a part of that at the crossing.
FULL_NOISE = 0.3
#: How often a seed fails, and how much lower its result then is.
FAILING = [(0.02, 0.3), (0.05, 0.1), (0.05, 0.3), (0.1, 0.3)]
#: What a seed does to all dimensions alike, where seeds are shared: its part of the variance.
SHARED = 0.64

# Where a logistic curve from 0.1 to 1 is at 0.9.
_P = 0.8 / 0.9
_LOGIT = math.log(_P / (1 - _P))

#: Accuracy z natural logarithms above the crossing, for a slope there; 0.9 at z = 0, 1 at most.
CURVES: dict[str, Callable[[float, float], float]] = {
    "logistic": lambda z, slope: (
        0.1 + 0.9 / (1 + math.exp(-_LOGIT - slope * z / 0.9 / _P / (1 - _P)))
    ),
    "saturating": lambda z, slope: max(0.1, 1 - 0.1 * math.exp(min(50.0, -10 * slope * z))),
    "broken line": lambda z, slope: min(1.0, max(0.1, 0.9 + slope * z)),
    "step": lambda z, slope: 1.0 if z * slope > 0 else 0.3,
}
#: Slope at the threshold, in accuracy per natural logarithm of d, and standard deviation of a run.
#: MNIST's fully connected net has about 0.08 and 0.004.
SETTINGS = list(itertools.product((0.05, 0.1, 0.2), (0.003, 0.01, 0.03)))

#: Grids: points in a factor of e, and seeds at each.
GRIDS = list(itertools.product((2, 3, 5, 8, 12, 16, 24, 32), (3, 5, 10, 20)))


@dataclass
class Synthetic:
    """A task with a known answer.

    Attributes:
        answer: the smallest dimension whose mean reaches the threshold.
        curve: name of its curve.
        slope: at the crossing.
        noise: standard deviation of a run.
        dice: where its noise comes from.
        shared: whether the k-th runs of all dimensions share a seed.
        failing: how often a seed fails, and how much lower its result then is.
    """

    answer: int
    curve: str
    slope: float
    noise: float
    dice: np.random.Generator
    shared: bool = False
    failing: tuple[float, float] = (0.0, 0.0)
    effects: dict[int, float] = dataclasses.field(default_factory=dict)

    def mean(self, dim: int) -> float:
        """Mean result at a dimension; the crossing lies between answer - 1 and answer."""
        z = math.log(dim) - math.log(self.answer - 0.5)
        # The full model's mean is not quite 1: scaled, so that 0.9 is exactly 90 % of it.
        top = CURVES[self.curve](math.log(D) - math.log(self.answer - 0.5), self.slope)
        value = CURVES[self.curve](z, self.slope)
        return value if value < 0.9 else 0.9 + (value - 0.9) * 0.1 / (top - 0.9)

    def run(self, dim: int, count: int) -> float:
        """The result of the count-th run at a dimension."""
        noise = self.dice.standard_normal()
        if self.shared:
            effect = self.effects.setdefault(count, self.dice.standard_normal())
            noise = math.sqrt(SHARED) * effect + math.sqrt(1 - SHARED) * noise
        rate, drop = self.failing
        failure = drop * (rate - (self.dice.random() < rate)) if rate else 0.0
        return self.mean(dim) + self.noise * noise + failure

    def run_full(self) -> float:
        """The result of a run of the full model."""
        return self.mean(D) + FULL_NOISE * self.noise * self.dice.standard_normal()


def main() -> None:
    """Run all trials, print, and write the JSON named on the command line."""
    trials = [measured(task(index)) for index in range(TRIALS)]
    covered = sum(trial["covered"] for trial in trials)
    tight = [trial for trial in trials if trial["tight"]]
    ours, grids = (sum(t[name] for t in tight) for name in ("runs", "grid_runs"))
    print(f"{covered} of {TRIALS} intervals hold the truth")
    print(
        f"{len(tight)} reached a width of {RATIO} within {BUDGET} runs: median "
        f"{statistics.median(t['runs'] for t in tight):.0f} runs, {ours:,} together; "
        f"the cheapest grids that are as tight: {grids:,}, {grids / ours:.1f} times as many"
    )
    held = sum(t["grid_covered"] for t in tight)
    print(f"the grids' intervals hold the truth in {held} of {len(tight)}")
    shared = [measured(task(index, shared=True), grid=False) for index in range(TRIALS)]
    covered_shared = sum(trial["covered"] for trial in shared)
    print(f"{covered_shared} of {TRIALS} hold it if seeds are shared between dimensions")
    failing = [_with_failures(rate, drop) for rate, drop in FAILING]
    for case in failing:
        print(
            f"{case['covered_tight']} of {case['tight']} tight ones hold it if {case['rate']:.0%} "
            f"of the seeds end {case['drop']} lower; of all, {case['covered']} of {TRIALS}"
        )
    if len(sys.argv) > 1:
        content = {
            "command": "python -m evidence.measure_coverage",
            "covered": covered,
            "covered_with_shared_seeds": covered_shared,
            "failing_seeds": failing,
            "runs": ours,
            "runs_of_grids": grids,
            "trials": trials,
        }
        write_atomically(Path(sys.argv[1]), (json.dumps(content, indent=1) + "\n").encode())


def _with_failures(rate: float, drop: float) -> dict[str, Any]:
    """All trials, with seeds that fail."""
    tasks = (dataclasses.replace(task(index), failing=(rate, drop)) for index in range(TRIALS))
    trials = [measured(one, grid=False) for one in tasks]
    tight = [trial for trial in trials if trial["tight"]]
    return {
        "rate": rate,
        "drop": drop,
        "covered": sum(trial["covered"] for trial in trials),
        "tight": len(tight),
        "covered_tight": sum(trial["covered"] for trial in tight),
    }


def task(index: int, *, shared: bool = False) -> Synthetic:
    """One of the trials' tasks; answers are spread evenly in log d."""
    answer = round(7 * (5000 / 7) ** (index / (TRIALS - 1)))
    slope, noise = SETTINGS[index % len(SETTINGS)]
    curve = list(CURVES)[index // len(SETTINGS) % len(CURVES)]
    return Synthetic(answer, curve, slope, noise, np.random.default_rng(index), shared=shared)


def measured(synthetic: Synthetic, *, grid: bool = True) -> dict[str, Any]:
    """One trial, by the planner and by the cheapest grid that is as tight."""
    found, runs = measure(synthetic)
    outcome = {
        "answer": synthetic.answer,
        "curve": synthetic.curve,
        "slope": synthetic.slope,
        "noise": synthetic.noise,
        "d_int": found.dim,
        "interval": [found.low, found.high],
        "covered": found.low <= synthetic.answer <= found.high,
        "tight": found.ratio <= RATIO + 1e-9,
        "runs": runs,
    }
    if grid and outcome["tight"]:
        low, high, cost = cheapest_grid(synthetic, found.ratio)
        outcome |= {"grid_runs": cost, "grid_covered": low <= synthetic.answer <= high}
    return outcome


def measure(synthetic: Synthetic) -> tuple[Estimate, int]:
    """What `subspace_nn.measure` does, without records."""
    full: list[float] = []
    at: dict[int, list[float]] = {}
    runs = 0
    found = None
    while runs < BUDGET:
        dims = first_dims(len(full), mean=True)
        if not dims:
            results = Results(D, full, at)
            found = estimate(results)
            dims = next_dims(results, found, ratio=RATIO, batch=BATCH)
        if not dims:
            break
        for dim in dims[: BUDGET - runs]:
            runs += 1
            if dim == "full":
                full.append(synthetic.run_full())
            else:
                there = at.setdefault(dim, [])
                there.append(synthetic.run(dim, len(there)))
    return estimate(Results(D, full, at)), runs


def cheapest_grid(synthetic: Synthetic, ratio: float) -> tuple[int, int, int]:
    """The cheapest grid whose interval is no wider than a ratio.

    Returns:
        The interval's ends, and the number of runs. If no grid is fine enough, that of the
        largest, which flatters the grids.
    """
    sizes = {(points, seeds): len(grid_dims(points)) * seeds + seeds for points, seeds in GRIDS}
    low, high = 1, D
    for points, seeds in sorted(GRIDS, key=lambda grid: sizes[grid]):
        low, high = grid_interval(synthetic, grid_dims(points), seeds)
        if high / low <= ratio:
            return low, high, sizes[points, seeds]
    return low, high, max(sizes.values())


def grid_dims(points: int) -> list[int]:
    """Dimensions from 1 to D, so many in each factor of e."""
    count = math.ceil(points * math.log(D))
    return sorted({round(math.exp(i / points)) for i in range(count)} - {D})


def grid_interval(synthetic: Synthetic, dims: list[int], seeds: int) -> tuple[int, int]:
    """The 95 % interval of a grid: first crossings of the means of resampled seeds."""
    values = np.array([[synthetic.run(dim, k) for dim in dims] for k in range(seeds)])
    full = np.array([synthetic.run_full() for _ in range(seeds)])
    picks = synthetic.dice.integers(0, seeds, (500, seeds))
    reached = values[picks].mean(1) >= 0.9 * full[picks].mean(1)[:, None]
    first = np.where(reached.any(1), reached.argmax(1), len(dims))
    low, high = np.quantile(first, [0.025, 0.975], method="nearest").astype(int)
    ends = [0, *dims, D]
    return ends[low] + 1, ends[high + 1]


if __name__ == "__main__":
    main()
