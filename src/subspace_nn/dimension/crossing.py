"""Where monotone fits cross their levels."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from subspace_nn.dimension.noise import Floats


def cross(
    means: Floats,  # (n, K)
    counts: Floats,  # (K,)
    dims: Sequence[int],  # (K,)
    *,
    ends: tuple[int, int],
    levels: Floats,  # (n,)
    tops: Floats,  # (n,)
) -> tuple[NDArray[np.int64], Floats]:
    """Where monotone fits cross their levels, for many curves on the same dimensions at once.

    The fit falls short of a level at the first k dimensions, k where the sum of count × (mean -
    level) over the first k is least; its values on both sides of the crossing are the largest
    mean of dimensions that end with the k-th, and the smallest of those that begin after it
    (Groeneboom and Jongbloed, "Nonparametric estimation under shape constraints", 2014).

    Args:
        means: mean result at each dimension, for each curve.
        counts: number of runs at each dimension.
        dims: the dimensions, ascending.
        ends: a dimension below all others, at which every curve falls short; and D, where the
            curves end.
        levels: the value that each curve has to reach.
        tops: value of each curve at D.

    Returns:
        How many dimensions fall short, and log d of the crossing. A curve that reaches the level at
        its first dimension may do so from the beginning, and crosses right after the first end.
    """
    sums = _from_zero(np.cumsum(counts * means, axis=1))
    numbers = np.concatenate(([0.0], np.cumsum(counts)))
    lacks = _from_zero(np.cumsum(counts * (means - levels[:, None]), axis=1))
    short = np.argmin(lacks, axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 at the crossing itself
        between = (np.take_along_axis(sums, short[:, None], 1) - sums) / (
            numbers[short][:, None] - numbers
        )
    index = np.arange(len(numbers))
    low = np.max(np.where(index < short[:, None], between, -np.inf), axis=1)
    high = np.min(np.where(index > short[:, None], between, np.inf), axis=1)
    high = np.where(short < len(dims), high, tops)
    nothing = math.log(ends[0] + 0.5)
    logs = np.concatenate(([nothing], np.log(dims), [math.log(ends[1])]))
    start, end = logs[short], logs[short + 1]
    rises = (short > 0) & (high > levels) & (high > low)
    part = np.divide(levels - low, high - low, where=rises, out=np.ones_like(levels))
    return short, np.where(short > 0, start + part * (end - start), nothing)


def _from_zero(sums: Floats) -> Floats:
    return np.concatenate((np.zeros((len(sums), 1)), sums), axis=1)
