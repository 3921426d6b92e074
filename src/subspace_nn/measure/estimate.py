"""From noisy results at some dimensions to d_int and its interval."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

Floats = NDArray[np.float64]

#: Dimensions within this factor of the crossing are taken to be equally noisy.
_NEIGHBOURHOOD = math.e
#: More would ask the resamples for quantiles that they do not have.
MOST_CONFIDENCE = 0.999
#: Resamples beyond each end of the interval, on average.
_TAIL = 25
#: A dimension with so many runs speaks for its own noise.
_MANY = 5


@dataclass(frozen=True)
class Results:
    """What was seen so far. Higher is better; a metric of which less is better comes negated.

    Attributes:
        D: number of weights, the dimension of the full model.
        full: result of each run of the full model; at least one.
        at: results of the runs at each dimension d, least ≤ d < D, all with seeds of their own.
        factor: the threshold is factor × mean(full) + constant.
        constant: see factor.
        least: the smallest dimension that there is; every smaller one is taken to fall short.
        most: the largest dimension to try, beside the full model; None if there is no limit.
    """

    D: int
    full: Sequence[float]
    at: Mapping[int, Sequence[float]]
    factor: float = 0.9
    constant: float = 0.0
    least: int = 1
    most: int | None = None

    @property
    def largest(self) -> int:
        """The largest dimension to try, beside the full model."""
        return self.D - 1 if self.most is None else min(self.most, self.D - 1)

    @property
    def threshold(self) -> float:
        """What the mean has to reach."""
        return self.factor * statistics.fmean(self.full) + self.constant


@dataclass(frozen=True)
class Point:
    """The runs at one dimension.

    Attributes:
        dim: the dimension d.
        n: number of runs.
        mean: of their results.
        std: standard deviation; None for a single run.
        fitted: value of the monotone fit.
    """

    dim: int
    n: int
    mean: float
    std: float | None
    fitted: float


@dataclass(frozen=True)
class Estimate:
    """d_int as far as it is known.

    Attributes:
        dim: the estimate.
        low: the interval's lower end; low ≤ dim ≤ high.
        high: the interval's upper end.
        below: the largest dimension that was run and falls short, by the fit; least - 1 if none
            does.
        reached: the next dimension that was run, which reaches the threshold; D if none does.
        threshold: what the mean has to reach.
        noise: standard deviation of a result around the crossing; None until a dimension there
            has two runs. The interval is all of (below, reached], or more, from then on.
        full_noise: the same of the full model.
        points: what was run, by dimension.
    """

    dim: int
    low: int
    high: int
    below: int
    reached: int
    threshold: float
    noise: float | None
    full_noise: float | None
    points: tuple[Point, ...]

    @property
    def ratio(self) -> float:
        """How far apart the interval's ends are: high / low."""
        return self.high / self.low


def estimate(
    results: Results, *, confidence: float = 0.95, resamples: int | None = None, seed: int = 0
) -> Estimate:
    """Find the smallest dimension whose mean result reaches the threshold.

    The means of the dimensions are fitted by a function that never falls (isotonic regression,
    weighted by the numbers of runs: Barlow et al., "Statistical inference under order
    restrictions", 1972). Between two dimensions it is a straight line in log d; d_int is where it
    crosses the threshold, rounded up.

    The interval is a bootstrap over the runs. Each resample gives every dimension its mean plus
    the mean of as many residuals: its own if it has at least five runs, else those of all runs
    within a factor e of the crossing. Likewise the full model. It is then fitted and crossed like
    the results themselves.
    Residuals are stretched by √(n/(n - 1)) and, in each resample, by √(ν/χ²_ν), ν their degrees
    of freedom, so that few runs do not make a narrow interval (Student's t has the same cause).
    The quantiles of the crossings are the interval. It also holds all of (below, reached]: within
    that gap nothing was run, and a curve may be a step.

    Args:
        results: what was seen.
        confidence: probability that the interval is to have; 0.95 by default, at most 0.999.
        resamples: number of resamples; by default 1,000, or more if that leaves fewer than 25
            beyond each end.
        seed: of the resampling: the same results give the same estimate.

    Returns:
        The estimate. Without two runs of the full model (unless the threshold is absolute) and
        two at a dimension near the crossing the noise is unknown and the interval is all of
        least … D.

    Example:
        >>> at = {100: [0.7, 0.72], 300: [0.85, 0.84], 400: [0.91, 0.92], 1000: [0.95]}
        >>> found = estimate(Results(D=21840, full=[0.98, 0.99], at=at))
        >>> found.dim, found.below, found.reached
        (356, 300, 400)
    """
    if resamples is None:
        resamples = max(1000, round(2 * _TAIL / (1 - confidence)))
    dims = sorted(results.at)
    groups = [results.at[dim] for dim in dims]
    counts = np.array([len(group) for group in groups], dtype=float)
    means = np.array([statistics.fmean(group) for group in groups])
    level, top = np.array([results.threshold]), np.array([statistics.fmean(results.full)])
    ends = (results.least - 1, results.D)
    index, (crossing,) = cross(means[None], counts, dims, ends=ends, levels=level, tops=top)
    below, reached = [ends[0], *dims][index[0]], [*dims, ends[1]][index[0]]
    near = [dim for dim in dims if dim in {below, reached} or _is_near(dim, crossing)]
    noise = _Noise.of([results.at[dim] for dim in near])
    full_noise = _Noise.of([results.full])
    low, high = results.least, results.D
    if noise.freedom and (full_noise.freedom or not results.factor):
        generator = np.random.default_rng(seed)
        shaken = means + _shakes(groups, noise, generator, resamples)
        tops = top + full_noise.means(len(results.full), generator, resamples)
        levels = results.factor * tops + results.constant
        _, crossings = cross(shaken, counts, dims, ends=ends, levels=levels, tops=tops)
        tail = (1 - confidence) / 2
        first, last = np.quantile(crossings, [tail, 1 - tail])
        low = min(_round_up(first), below + 1)
        high = min(max(_round_up(last), reached), results.D)
    fit = isotonic_regression(means, weights=counts).x if dims else means
    points = (
        Point(dim, len(group), float(mean), _std(group), float(fitted))
        for dim, group, mean, fitted in zip(dims, groups, means, fit, strict=True)
    )
    return Estimate(
        dim=min(max(_round_up(crossing), below + 1), reached),
        low=low,
        high=high,
        below=below,
        reached=reached,
        threshold=results.threshold,
        noise=noise.std,
        full_noise=full_noise.std,
        points=tuple(points),
    )


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
        levels: what each curve is to reach.
        tops: value of each curve at D.

    Returns:
        How many dimensions fall short, and log d of the crossing. A curve that is there at its
        first dimension may have been so from the beginning, and crosses right after the first end.
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
    rises = (short > 0) & (high > levels)
    part = np.divide(levels - low, high - low, where=rises, out=np.ones_like(levels))
    return short, np.where(short > 0, start + part * (end - start), nothing)


def _from_zero(sums: Floats) -> Floats:
    return np.concatenate((np.zeros((len(sums), 1)), sums), axis=1)


@dataclass(frozen=True)
class _Noise:
    """Residuals of runs around the means of their groups.

    Attributes:
        residuals: stretched by √(n/(n - 1)), n the size of the group.
        freedom: degrees of freedom: number of runs less number of groups.
    """

    residuals: Floats
    freedom: int

    @classmethod
    def of(cls, groups: Sequence[Sequence[float]]) -> "_Noise":
        groups = [group for group in groups if len(group) > 1]
        residuals = itertools.chain.from_iterable(
            (np.asarray(g) - statistics.fmean(g)) * math.sqrt(len(g) / (len(g) - 1)) for g in groups
        )
        return cls(np.array(list(residuals)), sum(len(group) - 1 for group in groups))

    @property
    def std(self) -> float | None:
        return float(np.sqrt(np.mean(np.square(self.residuals)))) if self.freedom else None

    def means(self, count: int, generator: np.random.Generator, resamples: int) -> Floats:
        """Means of `count` residuals each; zeros if none is known."""
        if not self.freedom:
            return np.zeros(resamples)
        picks = generator.integers(0, len(self.residuals), (resamples, count))
        stretch = np.sqrt(self.freedom / generator.chisquare(self.freedom, resamples))
        return self.residuals[picks].mean(1) * stretch


def _shakes(
    groups: Sequence[Sequence[float]],
    common: _Noise,
    generator: np.random.Generator,
    resamples: int,
) -> Floats:  # (resamples, len(groups))
    """What noise does to the mean of each group, in each resample."""
    noises = [_Noise.of([group]) if len(group) >= _MANY else common for group in groups]
    columns = [
        noise.means(len(group), generator, resamples)
        for noise, group in zip(noises, groups, strict=True)
    ]
    return np.stack(columns, 1)


def _is_near(dim: int, crossing: float) -> bool:
    return abs(math.log(dim) - crossing) <= math.log(_NEIGHBOURHOOD)


def _std(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _round_up(log_dim: float) -> int:
    """The smallest whole dimension of at least exp(log_dim); rounding errors do not count."""
    return max(1, math.ceil(math.exp(log_dim) * (1 - 1e-9)))
