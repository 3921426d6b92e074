"""From noisy results at some dimensions to d_int and its interval."""

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from subspace_nn.dimension.crossing import cross
from subspace_nn.dimension.doubts import Doubt, are_two_kinds, largest_fall
from subspace_nn.dimension.noise import MANY, Floats, Noise, noises, shakes
from subspace_nn.dimension.results import Results

#: Dimensions within this factor of the crossing are taken to be equally noisy.
_NEIGHBOURHOOD = math.e
#: More would ask the resamples for quantiles that they do not have.
MOST_CONFIDENCE = 0.999
#: Resamples beyond each end of the interval, on average.
_TAIL = 25
#: Runs at both dimensions that decide whether the mean falls between them.
_SURE = 10
#: Results closer to the threshold than this part of it reach it: sums of fractions are rounded.
_ROUNDING = 1e-12


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
    """An estimate of d_int.

    Attributes:
        dim: the estimate.
        low: the interval's lower end; low ≤ dim ≤ high.
        high: the interval's upper end.
        below: the largest dimension that was run and falls short, by the fit; least - 1 if none
            does.
        reached: the next dimension that was run, which reaches the threshold; D if none does.
        threshold: the value that the mean has to reach.
        noise: standard deviation of a result around the crossing; None until a dimension there
            has two runs. The interval is all of (below, reached], or more, from then on.
        full_noise: the same of the full model.
        baseline_noise: the same of the baseline.
        points: the runs, by dimension.
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
    baseline_noise: float | None = None

    @property
    def ratio(self) -> float:
        """How far apart the interval's ends are: high / low."""
        return self.high / self.low

    def times(self, unit: float) -> "Estimate":
        """The estimate of results that are a number of times as large.

        Args:
            unit: the number, above 0.

        Returns:
            The estimate.
        """
        return dataclasses.replace(
            self,
            threshold=unit * self.threshold,
            noise=_times(self.noise, unit),
            full_noise=_times(self.full_noise, unit),
            baseline_noise=_times(self.baseline_noise, unit),
            points=tuple(
                dataclasses.replace(
                    point,
                    mean=unit * point.mean,
                    std=_times(point.std, unit),
                    fitted=unit * point.fitted,
                )
                for point in self.points
            ),
        )


def _times(value: float | None, unit: float) -> float | None:
    return None if value is None else unit * value


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
    within a factor e of the crossing. Likewise the full model, and a baseline. It is then fitted
    and crossed like the results themselves.
    Residuals are stretched by √(n/(n - 1)) and, in each resample, by √(ν/χ²_ν), ν their degrees
    of freedom, so that few runs do not make a narrow interval (Student's t has the same cause).
    A resample crosses in a gap between two dimensions that were run, and a curve may be a step
    anywhere in it: the lower quantile is that of the gaps' lower ends, the upper one that of their
    upper ends. The interval also holds all of (below, reached].

    If the means fall as d grows, by more than noise, the curve may cross the threshold several
    times. Then the rule is the last crossing: d_int is the smallest dimension from which on every
    mean reaches the threshold. The estimate says so in `doubts`.

    Args:
        results: of the runs; their order does not matter.
        confidence: probability that the interval is to have; 0.95 by default, at most 0.999.
        resamples: number of resamples; by default 1,000, or more if that leaves fewer than 25
            beyond each end.
        seed: of the resampling: the same results give the same estimate.

    Returns:
        The estimate. Without two runs of the full model (unless the threshold is absolute), two of
        a baseline, and two at a dimension near the crossing the noise is unknown and the interval
        is all of least … D.

    Example:
        >>> at = {100: [0.7, 0.72], 300: [0.85, 0.84], 400: [0.91, 0.92], 1000: [0.95]}
        >>> found = estimate(Results(D=21840, full=[0.98, 0.99], at=at))
        >>> found.dim, found.below, found.reached
        (356, 300, 400)
    """
    if resamples is None:
        resamples = max(1000, round(2 * _TAIL / (1 - confidence)))
    unit = results.unit()
    found = _estimate(results.times(1 / unit), confidence, resamples, seed)
    return found if unit == 1 else found.times(unit)


def _estimate(results: Results, confidence: float, resamples: int, seed: int) -> Estimate:
    """The same for results whose squares are finite."""
    curve = _Curve.of(results)
    index, crossing = curve.crossing()
    noise = Noise.of(curve.near(index, crossing))
    full_noise, base_noise = Noise.of([curve.full]), Noise.of([curve.baseline])
    known = bool(
        noise.freedom
        and (full_noise.freedom or not results.factor)
        and (base_noise.freedom or not curve.baseline)
    )
    doubts: list[Doubt] = []
    suspects: tuple[int, ...] = ()
    low, high, noise_ratio = results.least, results.D, math.inf
    if known:
        generator = np.random.default_rng(seed)
        shaken = shakes(curve.groups, noise, generator, resamples)
        tops = curve.top + full_noise.means(len(curve.full), generator, resamples)
        bases = np.zeros(resamples)
        if curve.baseline:
            bases += curve.base + base_noise.means(len(curve.baseline), generator, resamples)
        suspects, falls = curve.falls(noise, shaken)
        if falls:
            doubts.append("falls")
            curve = dataclasses.replace(curve, falls_at_times=True)
            index, crossing = curve.crossing()
        if are_two_kinds(curve.groups, curve.full):
            doubts.append("kinds")
        firsts, lasts, noise_ratio = curve.quantiles(shaken, tops, bases, (1 - confidence) / 2)
        low, high = min(firsts, curve.edges[index]) + 1, max(lasts, curve.edges[index + 1])
        suspects = suspects or curve.strays(low, high)
    start = curve.base if base_noise.freedom else results.probe
    if start is not None and full_noise.freedom:
        generator = np.random.default_rng(seed)
        gains = full_noise.means(len(curve.full), generator, resamples)
        gains -= base_noise.means(len(curve.baseline), generator, resamples)
        if np.mean(gains <= start - curve.top) > (1 - confidence) / 2:
            doubts.append("gain")
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
        baseline_noise=base_noise.std,
    )


@dataclass(frozen=True)
class _Curve:
    """The results in one canonical order, and their crossing of the threshold.

    Attributes:
        results: of the runs.
        dims: dimensions that were run, ascending.
        groups: results at each, ascending.
        full: results of the full model, ascending.
        baseline: results of the baseline, ascending.
        means: of the groups.
        counts: number of runs in each group.
        falls_at_times: whether it falls: then the last crossing counts.
    """

    results: Results
    dims: list[int]
    groups: list[list[float]]
    full: list[float]
    baseline: list[float]
    means: Floats  # (K,)
    counts: Floats  # (K,)
    falls_at_times: bool = False

    @classmethod
    def of(cls, results: Results) -> "_Curve":
        dims = sorted(results.at)
        groups = [sorted(results.at[dim]) for dim in dims]
        means = np.array([statistics.fmean(group) for group in groups])
        counts = np.array([len(group) for group in groups], dtype=float)
        full, baseline = sorted(results.full), sorted(results.baseline)
        return cls(results, dims, groups, full, baseline, means, counts)

    @property
    def edges(self) -> list[int]:
        """The dimensions, with one below all of them, and D."""
        return [self.results.least - 1, *self.dims, self.results.D]

    @property
    def top(self) -> float:
        return statistics.fmean(self.full)

    @property
    def base(self) -> float:
        return statistics.fmean(self.baseline) if self.baseline else 0.0

    def crossing(self) -> tuple[int, float]:
        """How many dimensions fall short, and log d of the crossing."""
        tops, bases = np.array([self.top]), np.array([self.base])
        (index,), (crossing,) = self._cross(self.means[None], tops, bases)
        return int(index), float(crossing)

    def _cross(
        self, means: Floats, tops: Floats, bases: Floats
    ) -> tuple[NDArray[np.int64], Floats]:
        if self.falls_at_times:
            means = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
        levels = self.results.level(tops, bases)
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
        few = [i for i in (fall.before, fall.after) if len(self.groups[i]) < _SURE]
        if few and fall.is_suspect:
            return tuple(self.dims[i] for i in few), False
        return (), fall.is_certain

    def strays(self, low: int, high: int) -> tuple[int, ...]:
        """Dimensions with few runs that lie on the other side of the threshold than they should."""
        short = self.means < self.results.threshold
        return tuple(
            dim
            for dim, group, falls_short in zip(self.dims, self.groups, short, strict=True)
            if len(group) < MANY and (dim > high if falls_short else dim < low - 1)
        )

    def quantiles(
        self, shaken: Floats, tops: Floats, bases: Floats, tail: float
    ) -> tuple[int, int, float]:
        """Of the ends of the gaps in which resamples cross; and how far apart the crossings are."""
        shorts, crossings = self._cross(self.means + shaken, tops, bases)
        edges = np.array(self.edges)
        first = np.quantile(edges[shorts], tail, method="inverted_cdf")
        last = np.quantile(edges[shorts + 1], 1 - tail, method="inverted_cdf")
        width = np.subtract(*np.quantile(crossings, [1 - tail, tail]))
        return int(first), int(last), float(np.exp(width))

    def points(self) -> tuple[Point, ...]:
        from scipy.optimize import isotonic_regression  # noqa: PLC0415  # readers of answers need none

        fit = isotonic_regression(self.means, weights=self.counts).x if self.dims else self.means
        return tuple(
            Point(dim, len(group), float(mean), _std(group), float(fitted))
            for dim, group, mean, fitted in zip(
                self.dims, self.groups, self.means, fit, strict=True
            )
        )


def _is_near(dim: int, crossing: float) -> bool:
    return abs(math.log(dim) - crossing) <= math.log(_NEIGHBOURHOOD)


def _std(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _round_up(log_dim: float) -> int:
    """The smallest whole dimension of at least exp(log_dim); rounding errors do not count."""
    return max(1, math.ceil(math.exp(log_dim) * (1 - 1e-9)))
