"""From noisy results at some dimensions to d_int and its interval."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from subspace_nn.measure.doubts import Doubt, are_two_kinds, largest_fall
from subspace_nn.measure.noise import MANY, Floats, Noise, noises, shakes

#: Dimensions within this factor of the crossing are taken to be equally noisy.
_NEIGHBOURHOOD = math.e
#: More would ask the resamples for quantiles that they do not have.
MOST_CONFIDENCE = 0.999
#: Resamples beyond each end of the interval, on average.
_TAIL = 25
#: Results closer to the threshold than this part of it reach it: sums of fractions are rounded.
_ROUNDING = 1e-12


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
        noise_ratio: high / low if the curve were a straight line between dimensions that were run:
            the part of the width that more dimensions would not reduce.
        doubts: why the interval cannot be trusted, however narrow it is.
        suspects: dimensions to run again before their results can be believed.
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
    noise_ratio: float = math.inf
    doubts: tuple[Doubt, ...] = ()
    suspects: tuple[int, ...] = ()

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
    A resample crosses in a gap between two dimensions that were run, and a curve may be a step
    anywhere in it: the lower quantile is that of the gaps' lower ends, the upper one that of their
    upper ends. The interval also holds all of (below, reached].

    If the means fall as d grows, by more than noise, the curve may cross the threshold several
    times. Then the rule is the last crossing: d_int is the smallest dimension from which on every
    mean reaches the threshold. The estimate says so in `doubts`.

    Args:
        results: what was seen; the order of runs does not matter.
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
    curve = _Curve.of(results)
    index, crossing = curve.crossing()
    noise = Noise.of(curve.near(index, crossing))
    full_noise = Noise.of([curve.full])
    known = bool(noise.freedom and (full_noise.freedom or not results.factor))
    doubts: list[Doubt] = []
    suspects: tuple[int, ...] = ()
    low, high, noise_ratio = results.least, results.D, math.inf
    if known:
        generator = np.random.default_rng(seed)
        shaken = shakes(curve.groups, noise, generator, resamples)
        tops = curve.top + full_noise.means(len(curve.full), generator, resamples)
        suspects, falls = curve.falls(noise, shaken)
        if falls:
            doubts.append("falls")
            curve = dataclasses.replace(curve, falls_at_times=True)
            index, crossing = curve.crossing()
        if are_two_kinds([*curve.groups, curve.full]):
            doubts.append("kinds")
        firsts, lasts, noise_ratio = curve.quantiles(shaken, tops, (1 - confidence) / 2)
        low, high = min(firsts, curve.edges[index]) + 1, max(lasts, curve.edges[index + 1])
        suspects = suspects or curve.strays(low, high)
    below, reached = curve.edges[index], curve.edges[index + 1]
    return Estimate(
        dim=min(max(_round_up(crossing), below + 1), reached),
        low=low,
        high=high,
        below=below,
        reached=reached,
        threshold=results.threshold,
        noise=noise.std,
        full_noise=full_noise.std,
        points=curve.points(),
        noise_ratio=noise_ratio,
        doubts=tuple(doubts),
        suspects=suspects,
    )


@dataclass(frozen=True)
class _Curve:
    """The results in one canonical order, and what crosses the threshold.

    Attributes:
        results: what was seen.
        dims: dimensions that were run, ascending.
        groups: results at each, ascending.
        full: results of the full model, ascending.
        means: of the groups.
        counts: number of runs in each group.
        falls_at_times: whether it falls: then the last crossing counts.
    """

    results: Results
    dims: list[int]
    groups: list[list[float]]
    full: list[float]
    means: Floats  # (K,)
    counts: Floats  # (K,)
    falls_at_times: bool = False

    @classmethod
    def of(cls, results: Results) -> "_Curve":
        dims = sorted(results.at)
        groups = [sorted(results.at[dim]) for dim in dims]
        means = np.array([statistics.fmean(group) for group in groups])
        counts = np.array([len(group) for group in groups], dtype=float)
        return cls(results, dims, groups, sorted(results.full), means, counts)

    @property
    def edges(self) -> list[int]:
        """The dimensions, with one below all of them, and D."""
        return [self.results.least - 1, *self.dims, self.results.D]

    @property
    def top(self) -> float:
        return statistics.fmean(self.full)

    def crossing(self) -> tuple[int, float]:
        """How many dimensions fall short, and log d of the crossing."""
        (index,), (crossing,) = self._cross(self.means[None], np.array([self.top]))
        return int(index), float(crossing)

    def _cross(self, means: Floats, tops: Floats) -> tuple[NDArray[np.int64], Floats]:
        if self.falls_at_times:
            means = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
        levels = self.results.factor * tops + self.results.constant
        levels = levels - _ROUNDING * np.abs(levels)
        ends = (self.results.least - 1, self.results.D)
        return cross(means, self.counts, self.dims, ends=ends, levels=levels, tops=tops)

    def near(self, index: int, crossing: float) -> list[list[float]]:
        """Groups next to the crossing, and all within a factor of it."""
        around = {self.edges[index], self.edges[index + 1]}
        pairs = zip(self.dims, self.groups, strict=True)
        return [group for dim, group in pairs if dim in around or _is_near(dim, crossing)]

    def falls(self, noise: Noise, shaken: Floats) -> tuple[tuple[int, ...], bool]:
        """Dimensions to run again because of a fall between them; and whether it is certain."""
        if len(self.dims) < 2:
            return (), False
        deviations = [own.std or 0.0 for own in noises(self.groups, noise)]
        fall = largest_fall(self.means, np.array(deviations) / np.sqrt(self.counts), shaken)
        few = [i for i in (fall.before, fall.after) if len(self.groups[i]) < MANY]
        if few and fall.is_suspect:
            return tuple(self.dims[i] for i in few), False
        return (), not few and fall.is_certain

    def strays(self, low: int, high: int) -> tuple[int, ...]:
        """Dimensions with few runs that lie on the other side of the threshold than they should."""
        short = self.means < self.results.threshold
        return tuple(
            dim
            for dim, group, falls_short in zip(self.dims, self.groups, short, strict=True)
            if len(group) < MANY and (dim > high if falls_short else dim < low - 1)
        )

    def quantiles(self, shaken: Floats, tops: Floats, tail: float) -> tuple[int, int, float]:
        """Of the ends of the gaps in which resamples cross; and how far apart the crossings are."""
        shorts, crossings = self._cross(self.means + shaken, tops)
        edges = np.array(self.edges)
        first = np.quantile(edges[shorts], tail, method="inverted_cdf")
        last = np.quantile(edges[shorts + 1], 1 - tail, method="inverted_cdf")
        width = np.subtract(*np.quantile(crossings, [1 - tail, tail]))
        return int(first), int(last), float(np.exp(width))

    def points(self) -> tuple[Point, ...]:
        fit = isotonic_regression(self.means, weights=self.counts).x if self.dims else self.means
        return tuple(
            Point(dim, len(group), float(mean), _std(group), float(fitted))
            for dim, group, mean, fitted in zip(
                self.dims, self.groups, self.means, fit, strict=True
            )
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


def _is_near(dim: int, crossing: float) -> bool:
    return abs(math.log(dim) - crossing) <= math.log(_NEIGHBOURHOOD)


def _std(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _round_up(log_dim: float) -> int:
    """The smallest whole dimension of at least exp(log_dim); rounding errors do not count."""
    return max(1, math.ceil(math.exp(log_dim) * (1 - 1e-9)))
