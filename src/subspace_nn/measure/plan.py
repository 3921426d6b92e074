"""What to run next: first to bracket the crossing, then to refine it."""

import math
from typing import Literal

from scipy.special import stdtrit

from subspace_nn.measure.estimate import Estimate, Results

Dim = int | Literal["full"]

#: Runs of the full model to begin with, where its mean decides anything.
FULL_RUNS = 5
#: The interval holds the gap between two dimensions that were run. The gap may take up so much
#: of the width asked for (in log d); noise gets the rest.
_SHARE_OF_GAP = 0.7
#: At each end of the gap, so that its noise is known.
_LEAST_RUNS = 2


def first_dims(full: int, *, mean: bool) -> list[Dim]:
    """What to run before anything else: the full model, so often that its noise is known.

    Args:
        full: number of its runs that are there.
        mean: whether its mean decides anything, because the threshold is relative to it or it
            seems to fall short; else one run tells D.

    Returns:
        "full", as often as it is still to be run.
    """
    return ["full"] * ((FULL_RUNS if mean else 1) - full)


def next_dims(results: Results, found: Estimate, *, ratio: float, batch: int) -> list[Dim]:
    """The next runs, or none if the interval is as tight as asked.

    While the gap between the two dimensions around the crossing is wide, it is cut into equal
    parts of log d. Then its ends are run again and again, the one with fewer runs first, and the
    full model where that is the larger part of the uncertainty. Runs at dimensions far from the
    crossing would tell next to nothing about it. If more runs move the crossing into another
    gap, that one is treated in the same way, so that an early mistake is made good.

    Args:
        results: what was seen.
        found: the estimate from it.
        ratio: how far apart the interval's ends may be, high / low; neighbouring whole numbers
            always may.
        batch: number of runs to give at most.

    Returns:
        Dimensions, as often as they are to be run.

    Example:
        >>> from subspace_nn.measure.estimate import estimate
        >>> seen = Results(D=10_000, full=[0.98, 0.98, 0.97], at={})
        >>> next_dims(seen, estimate(seen), ratio=1.2, batch=3)
        [10, 100, 1000]
        >>> seen = Results(D=10_000, full=[0.98, 0.98, 0.97], at={10: [0.2], 100: [0.95]})
        >>> next_dims(seen, estimate(seen), ratio=1.2, batch=3)
        [18, 32, 56]
    """
    below, reached = found.below, found.reached
    width = _SHARE_OF_GAP * math.log(ratio)
    if below < results.largest < reached - 1:  # not tried yet, and no smaller one is enough
        return [*_cut(below, results.largest, width, batch - 1), results.largest]
    wide = reached > below + 1 and math.log(reached / (below + 1)) > width + 1e-9
    if wide and below < results.largest:
        return list(_cut(below, reached, width, batch))
    runs = {d: len(results.at[d]) for d in (below, reached) if d in results.at}
    known = found.noise is not None and _enough(runs)
    if known and (_tight(found, ratio) or is_beyond(results, found)):
        return []
    return _repeat(runs, results, found, batch)


def is_beyond(results: Results, found: Estimate) -> bool:
    """Whether the crossing lies beyond the largest dimension to try.

    Args:
        results: what was seen.
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


def _tight(found: Estimate, ratio: float) -> bool:
    # From 3 to 4 is more than a fifth; but d is a whole number, and such an interval says enough.
    return found.ratio <= ratio + 1e-9 or found.high - found.low <= 1


def _enough(runs: dict[int, int]) -> bool:
    return all(count >= _LEAST_RUNS for count in runs.values())


def _repeat(runs: dict[int, int], results: Results, found: Estimate, batch: int) -> list[Dim]:
    runs, full = dict(runs), len(results.full)
    chosen: list[Dim] = []
    for _ in range(batch):
        if not runs or _full_matters(runs, full, results.factor, found):
            chosen.append("full")
            full += 1
        else:
            fewest = min(runs, key=lambda dim: runs[dim])
            chosen.append(fewest)
            runs[fewest] += 1
    return chosen


def _full_matters(runs: dict[int, int], full: int, factor: float, found: Estimate) -> bool:
    """Whether the full model's mean is less certain than the mean around the crossing."""
    if found.noise is None or found.full_noise is None:
        return False
    count = sum(runs.values())
    here = found.noise * _quantile(count - len(runs)) / math.sqrt(count)
    there = factor * found.full_noise * _quantile(full - 1) / math.sqrt(full)
    return there > here


def _quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t: with few runs the noise itself is uncertain."""
    return float(stdtrit(max(freedom, 1), 0.975))
