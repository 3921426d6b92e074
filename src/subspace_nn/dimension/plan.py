"""The next runs: first those that bracket the crossing, then those that refine it."""

import itertools
import math
import statistics
from typing import Literal

from subspace_nn.dimension.estimate import Estimate
from subspace_nn.dimension.noise import MANY
from subspace_nn.dimension.results import Results

#: Where a run belongs: a dimension, the full model, or the baseline of a gain.
Dim = int | Literal["full", "baseline"]

#: Runs of the full model to begin with, if its mean matters; and of the baseline.
FULL_RUNS = 5
#: The interval holds the gap between two dimensions that were run. This is the share of the width
#: asked for (in log d) that the gap may take up; the rest is for noise.
_SHARE_OF_GAP = 0.7
#: A gap is not cut if it is shorter than this part of the width asked for.
_FINEST = 0.25
#: Gaps within this factor of the crossing are at most as long in the end.
_LOOK = math.e
#: Standard deviations of a run between the ends of a gap that make it a jump.
_JUMP = 12.0
#: At each end of the gap, so that its noise is known; and where results are of two kinds.
_LEAST_RUNS, _LEAST_RUNS_OF_KINDS = 2, 10


def first_dims(full: int, *, mean: bool, baseline: int | None = None) -> list[Dim]:
    """The first runs: those of the baseline and of the full model, until their noise is known.

    Args:
        full: number of the full model's runs so far.
        mean: whether its mean matters, because the threshold is relative to it or it seems to fall
            short; otherwise one run is enough, for D.
        baseline: number of the baseline's runs so far; None if there is none.

    Returns:
        "baseline", once for each run that is missing; then, as it is likely to be cheaper and may
        fail, "full" likewise.
    """
    if baseline is not None and baseline < FULL_RUNS:
        return ["baseline"] * (FULL_RUNS - baseline)
    return ["full"] * ((FULL_RUNS if mean else 1) - full)


def next_dims(results: Results, found: Estimate, *, ratio: float, batch: int) -> list[Dim]:
    """The next runs, or none if the interval is as narrow as asked.

    While the gap between the two dimensions around the crossing is wide, it is cut into equal
    parts of log d. Then its ends are run again, the one with fewer runs first, and the full model
    or the baseline where that is the larger part of the uncertainty. If noise is not what makes
    the interval wide, the gaps inside it are cut once more. Runs far from the crossing say little
    about it: they only check that the curve does not cross the threshold once more. If more runs
    move the crossing into another gap, that one is treated in the same way, which corrects an early
    mistake.

    Args:
        results: of the runs so far.
        found: the estimate from it.
        ratio: how far apart the interval's ends may be, high / low; neighbouring whole numbers
            always may.
        batch: number of runs to give at most.

    Returns:
        Dimensions, as often as they are to be run.

    Example:
        >>> from subspace_nn.dimension.estimate import estimate
        >>> seen = Results(D=10_000, full=[0.98, 0.98, 0.97], at={})
        >>> next_dims(seen, estimate(seen), ratio=1.2, batch=3)
        [10, 100, 1000]
        >>> seen = Results(D=10_000, full=[0.98, 0.98, 0.97], at={10: [0.2], 100: [0.95]})
        >>> next_dims(seen, estimate(seen), ratio=1.2, batch=3)
        [18, 32, 56]
    """
    dims = _bracket(results, found, ratio, batch)
    return list[Dim](dims) if dims else _refine(results, found, ratio, batch)


def _bracket(results: Results, found: Estimate, ratio: float, batch: int) -> list[int]:
    """Dimensions that narrow the gap around the crossing; none if it is narrow enough."""
    below, reached = found.below, found.reached
    width = _SHARE_OF_GAP * math.log(ratio)
    if below < results.largest < reached - 1:  # not tried yet, and no smaller one is enough
        return [*_cut(below, results.largest, width, batch - 1), results.largest]
    if _length(below, reached) > width + 1e-9 and below < results.largest:
        return _cut(below, reached, width, batch)
    return []


def _refine(results: Results, found: Estimate, ratio: float, batch: int) -> list[Dim]:
    """Runs that make the interval around a narrow gap narrow, and its ends sure."""
    if found.suspects:
        return list[Dim](_fewest_first({d: len(results.at[d]) for d in found.suspects}, batch))
    runs = {d: len(results.at[d]) for d in (found.below, found.reached) if d in results.at}
    if found.noise is None or min(runs.values(), default=0) < _least_runs(results, found):
        return _repeat(runs, results, found, batch)
    if is_beyond(results, found):
        return []
    if is_narrow(found, ratio):
        return list[Dim](_unseen(results, found)[:batch])
    cuts = sorted(_cuts(results, found, runs, ratio)[:batch])
    return list[Dim](cuts) if cuts else _repeat(runs, results, found, batch)


def is_beyond(results: Results, found: Estimate) -> bool:
    """Whether the crossing lies beyond the largest dimension to try.

    Args:
        results: of the runs so far.
        found: the estimate from it.

    Returns:
        Whether there is such a limit, and it falls short.
    """
    return results.most is not None and found.below == results.largest


def _cut(below: int, reached: int, width: float, batch: int) -> list[int]:
    """Dimensions inside of a gap that cut it evenly, no more than are needed."""
    start = math.log(max(below, 1))
    length = math.log(reached) - start
    parts = min(batch, max(1, math.ceil(length / width - 1e-9) - 1)) + 1
    dims = (round(math.exp(start + length * part / parts)) for part in range(1, parts))
    inside = {min(max(dim, below + 1), reached - 1) for dim in dims}
    return sorted(inside - {below, reached})  # where there is nothing between them


def _unseen(results: Results, found: Estimate) -> list[int]:
    """Dimensions around the crossing where nobody looked whether the curve crosses once more."""
    start, end = found.below / _LOOK, found.reached * _LOOK
    gaps = itertools.pairwise(sorted({results.least - 1, *results.at, results.largest}))
    return [
        dim
        for a, b in gaps
        if b >= start and a <= end and _length(a, b) > math.log(_LOOK)
        for dim in _cut(a, b, math.inf, 1)
    ]


def _cuts(results: Results, found: Estimate, runs: dict[int, int], ratio: float) -> list[int]:
    """The middles of gaps that make the interval wide, widest gap first."""
    if found.noise_ratio <= ratio + 1e-9:  # it is not the noise that does
        least = _FINEST * math.log(ratio)
    elif min(runs.values(), default=0) >= MANY:
        least = math.log(ratio)
    else:  # more runs may put these gaps out of the interval
        return []
    edges = sorted({results.least - 1, *results.at, results.D})
    gaps = itertools.pairwise(edge for edge in edges if found.low - 1 <= edge <= found.high)
    long = sorted((gap for gap in gaps if _length(*gap) > least), key=lambda gap: -_length(*gap))
    middles = (dim for gap in long for dim in _cut(*gap, math.inf, 1))
    return [dim for dim in middles if dim <= results.largest]


def _length(below: int, reached: int) -> float:
    """Of the gap in which the crossing may be, in log d."""
    return math.log(reached / (below + 1))


def is_narrow(found: Estimate, ratio: float) -> bool:
    """Whether the interval is as narrow as asked.

    Args:
        found: the estimate.
        ratio: how far apart the interval's ends may be; neighbouring whole numbers always may: from
            3 to 4 is more than a fifth, but d is a whole number, and such an interval says enough.

    Returns:
        Whether it is.
    """
    return found.ratio <= ratio + 1e-9 or found.high - found.low <= 1


def _least_runs(results: Results, found: Estimate) -> int:
    """Runs at each end of the gap, at least."""
    if "kinds" in found.doubts:
        return _LEAST_RUNS_OF_KINDS
    ends = [
        statistics.fmean(results.at[d]) for d in (found.below, found.reached) if d in results.at
    ]
    # A step in the curve, or seeds that work or fail.
    jumps = ends[-1] - ends[0] > _JUMP * (found.noise or 0.0)
    return MANY if jumps else _LEAST_RUNS


def _fewest_first(runs: dict[int, int], batch: int) -> list[int]:
    """Dimensions to run again, the one with the fewest runs first."""
    runs = dict(runs)
    chosen: list[int] = []
    for _ in range(batch):
        fewest = min(runs, key=lambda dim: runs[dim])
        chosen.append(fewest)
        runs[fewest] += 1
    return chosen


def _repeat(runs: dict[int, int], results: Results, found: Estimate, batch: int) -> list[Dim]:
    runs, full, baseline = dict(runs), len(results.full), len(results.baseline)
    chosen: list[Dim] = []
    for _ in range(batch):
        count = sum(runs.values())
        here = _error(found.noise, count, len(runs)) if runs else 0.0
        top = results.factor * _error(found.full_noise, full)
        base = (1 - results.factor) * _error(found.baseline_noise, baseline)
        if runs and (found.noise is None or here >= max(top, base)):
            (fewest,) = _fewest_first(runs, 1)
            chosen.append(fewest)
            runs[fewest] += 1
        elif base > top:
            chosen.append("baseline")
            baseline += 1
        else:
            chosen.append("full")
            full += 1
    return chosen


def _error(noise: float | None, count: int, groups: int = 1) -> float:
    """How uncertain a mean of n runs is; 0 if its noise is not known."""
    return 0.0 if noise is None else noise * _quantile(count - groups) / math.sqrt(count)


def _quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t: with few runs the noise itself is uncertain."""
    from scipy.special import stdtrit  # noqa: PLC0415  # readers of answers need none

    return float(stdtrit(max(freedom, 1), 0.975))
