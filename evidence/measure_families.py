"""Synthetic tasks with known answers, to try the interval of a measurement on.

A family is a kind of curve and a kind of noise. Each of its tasks is drawn at random: the number of
weights D, the answer, the slope of the curve at the threshold, the noise. Families whose interval
is promised have means that never fall; the doubtful ones break that promise or hide it: seeds that
work or fail, curves that fall. There the answer is the last crossing, and a measurement must not
call itself tight.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Random = np.random.Generator
#: The mean at z natural logarithms of d above the crossing: 0.9 there, for a slope there.
Curve = Callable[[float, float], float]
#: One result, of its mean, the noise, z (infinite for the full model) and a generator.
Sample = Callable[[float, float, float, Random], float]

LEVEL = 0.9
_CHANCE = 0.1
# Where a logistic curve from 0.1 to 1 is at 0.9.
_P = (LEVEL - _CHANCE) / (1 - _CHANCE)
_LOGIT = math.log(_P / (1 - _P))
#: Share of the variance that all dimensions have in common, where seeds are shared.
_SHARED = 0.64


@dataclass(frozen=True)
class Task:
    """A task with a known answer, drawn from a family.

    Attributes:
        D: number of weights.
        place: where the curve crosses, between answer - 1 and answer.
        slope: at the crossing, in metric per natural logarithm of d.
        noise: standard deviation of a run at the crossing.
        curve: the mean against z.
        sample: one result.
        full_noise: that of the full model, as a part of the noise at the crossing.
        spread: noise at z, as a part of that at the crossing.
        observed: the mean of `sample`, as a function of the curve's value and the noise.
        relative: whether the threshold is 0.9 × the full model's mean, or 0.9 itself.
        shared: whether the k-th runs of all dimensions share a seed.
        grid: seeds at each dimension of a sweep that was there before.
        ratio: how far apart the interval's ends may be.
    """

    D: int
    place: float
    slope: float
    noise: float
    curve: Curve
    sample: Sample
    full_noise: float = 0.3
    spread: Callable[[float], float] = lambda _: 1.0
    observed: Callable[[float, float], float] = lambda mean, _: mean
    relative: bool = True
    shared: bool = False
    grid: int = 0
    ratio: float = 1.2

    def _z(self, dim: float) -> float:
        return math.log(dim / self.place)

    def _level(self, dim: int) -> float:
        """The curve, scaled above the threshold so that the full model has 1."""
        value = self.curve(self._z(dim), self.slope)
        if value < LEVEL:
            return value
        top = self.curve(self._z(self.D), self.slope)
        return LEVEL + (value - LEVEL) * (1 - LEVEL) / (top - LEVEL)

    def mean(self, dim: int) -> float:
        """The mean result at a dimension; 1 at D."""
        return self.observed(self._level(dim), self.noise * self.spread(self._z(dim)))

    @property
    def threshold(self) -> float:
        """The value that the mean has to reach."""
        return LEVEL * self.full_mean if self.relative else LEVEL

    @property
    def full_mean(self) -> float:
        """The mean result of the full model."""
        return self.observed(1.0, self.noise * self.full_noise)

    @functools.cached_property
    def answer(self) -> int:
        """The smallest dimension from which on every mean reaches the threshold."""
        dims = np.unique(np.round(np.geomspace(1, self.D, 4000)).astype(int))
        short = [int(dim) for dim in dims if not self._reaches(int(dim))]
        low = short[-1] if short else 0
        high = int(dims[np.searchsorted(dims, low, side="right")])
        while high - low > 1:  # the means of a small gap do not fall
            middle = (low + high) // 2
            low, high = (low, middle) if self._reaches(middle) else (middle, high)
        return high

    def _reaches(self, dim: int) -> bool:
        return dim >= self.D or self.mean(dim) >= self.threshold - 1e-12

    def run(self, dim: int, seed: float, dice: Random) -> float:
        """The result of a run at a dimension; `seed` is the effect of its seed, if it is shared."""
        z = self._z(dim)
        value, noise = self._level(dim), self.noise * self.spread(z)
        if self.shared:
            value += math.sqrt(_SHARED) * noise * seed
            noise *= math.sqrt(1 - _SHARED)
        return self.sample(value, noise, z, dice)

    def run_full(self, dice: Random) -> float:
        """The result of a run of the full model."""
        return self.sample(1.0, self.noise * self.full_noise, math.inf, dice)


def logistic(z: float, slope: float) -> float:
    """A logistic curve from chance to 1."""
    return _CHANCE + (1 - _CHANCE) / (
        1 + math.exp(-_LOGIT - slope * z / (1 - _CHANCE) / _P / (1 - _P))
    )


def saturating(z: float, slope: float) -> float:
    """A curve that approaches 1 as a power of d."""
    return max(_CHANCE, 1 - 0.1 * math.exp(min(50.0, -10 * slope * z)))


def broken_line(z: float, slope: float) -> float:
    """A straight line from chance to 1."""
    return min(1.0, max(_CHANCE, LEVEL + slope * z))


def step(z: float, _slope: float) -> float:
    """A step from 0.3 to 1."""
    return 1.0 if z > 0 else 0.3


def staircase(z: float, slope: float) -> float:
    """Steps half a natural logarithm apart, one of them at the crossing."""
    return min(1.0, max(_CHANCE, LEVEL + slope * (0.25 + 0.5 * math.floor(z / 0.5))))


def plateau_below(z: float, slope: float) -> float:
    """A plateau of a factor e² that is a quarter of the slope short, then a jump."""
    return 1.0 if z > 0 else LEVEL - slope / 8 if z > -2 else 0.4


def plateau_above(z: float, slope: float) -> float:
    """A jump to a plateau that is an eighth of the slope above the threshold."""
    return 1.0 if z > 2 else LEVEL + slope / 8 if z > 0 else 0.4


def touching(z: float, slope: float) -> float:
    """From the crossing on the mean is the threshold itself, for a factor of 1.5."""
    return LEVEL if 0 < z < 0.4 else LEVEL + slope * (z - 0.4 * (z > 0)) if z < 1 else 1.0


def tenths(z: float, _slope: float) -> float:
    """Steps of a tenth; one of them, a factor e long, is the threshold itself."""
    return max(1, min(9 + math.floor(z), 10)) / 10


def dip(z: float, _slope: float) -> float:
    """Reaches the threshold a factor of 6 too early, and falls below it again."""
    return 0.5 if z < -1.8 else 0.96 if z < -0.9 else 0.8 if z < 0 else 1.0


def ripple(z: float, slope: float) -> float:
    """Waves of a factor of 4 on a slope."""
    return min(1.0, max(_CHANCE, broken_line(z, slope) + 0.08 * math.sin(-2 * math.pi * z / 1.4)))


def normal(mean: float, noise: float, _z: float, dice: Random) -> float:
    """Normal noise."""
    return mean + noise * dice.standard_normal()


def exponential_down(mean: float, noise: float, _z: float, dice: Random) -> float:
    """Skewed: most runs are a little above the mean, some are far below."""
    return mean + noise * (1 - dice.standard_exponential())


def exponential_up(mean: float, noise: float, _z: float, dice: Random) -> float:
    """Skewed: most runs are a little below the mean, some are far above."""
    return mean + noise * (dice.standard_exponential() - 1)


def heavy(mean: float, noise: float, _z: float, dice: Random) -> float:
    """Student's t with three degrees of freedom."""
    return mean + noise * dice.standard_t(3) / math.sqrt(3)


def episodes(count: int) -> Sample:
    """The share of `count` episodes, or test images, that succeed."""
    return lambda mean, _noise, _z, dice: dice.binomial(count, min(mean, 1.0)) / count


def rounded(unit: float) -> Sample:
    """Normal noise, and a result in whole units."""
    return lambda mean, noise, z, dice: unit * round(normal(mean, noise, z, dice) / unit)


def rounded_mean(unit: float) -> Callable[[float, float], float]:
    """The mean of a normal result in whole units."""

    def mean_of(mean: float, noise: float) -> float:
        center = round(mean / unit)
        reach = math.ceil(8 * noise / unit) + 1
        edges = unit * (np.arange(center - reach, center + reach + 1) + 0.5)
        above = [0.5 * math.erfc((edge - mean) / noise / math.sqrt(2)) for edge in edges]
        return unit * (center - reach) + unit * sum(above)

    return mean_of


def exact(mean: float, _noise: float, _z: float, _dice: Random) -> float:
    """No noise: the same number of ten episodes succeeds in every run."""
    return round(10 * mean) / 10


def power(exponent: float) -> Callable[[float], float]:
    """Noise that grows as a power of d, near the crossing."""
    return lambda z: math.exp(exponent * max(-4, min(z, 4)))


def peak(z: float) -> float:
    """Noise that is ten times larger at the crossing than far from it."""
    return 0.1 + 0.9 * math.exp(-z * z)


def works_or_fails(mean: float, noise: float, _z: float, dice: Random) -> float:
    """1 or 0.1, the more often 1 the higher the mean."""
    works = dice.random() < (mean - _CHANCE) / (1 - _CHANCE)
    return (1.0 if works else _CHANCE) + 0.1 * noise * dice.standard_normal()


def one_fails_in(count: int) -> Sample:
    """One seed in `count` ends 0.3 lower, except in the full model."""

    def sample(mean: float, noise: float, z: float, dice: Random) -> float:
        fails = dice.random() < 1 / count
        failure = 0.0 if math.isinf(z) else 0.3 * (1 / count - fails)
        return normal(mean + failure, noise, z, dice)

    return sample


@dataclass(frozen=True)
class Family:
    """A kind of task.

    Attributes:
        name: for the table.
        curves: the curves to draw from.
        sample: the kind of noise.
        noises: noise at the crossing as a part of the slope, to draw from.
        sizes: D, to draw from.
        promised: whether the interval is promised to hold.
        settings: further fields of `Task`.
    """

    name: str
    curves: tuple[Curve, ...] = (logistic, saturating, broken_line)
    sample: Sample = normal
    noises: tuple[float, ...] = (0.03, 0.1, 0.3)
    sizes: tuple[int, ...] = (3000, 100_000, 3_000_000)
    promised: bool = True
    answers: tuple[float, float] = (0.1, 0.75)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def task(self, dice: Random) -> Task:
        """One of its tasks, drawn at random."""
        D = int(dice.choice(self.sizes))
        place = max(0.5, round(D ** dice.uniform(*self.answers)) - 0.5)
        slope = float(dice.choice((0.05, 0.1, 0.2)))
        noise = slope * float(dice.choice(self.noises))
        curve = self.curves[dice.integers(len(self.curves))]
        relative = dice.random() < 0.7
        task = Task(D, place, slope, noise, curve, self.sample, relative=relative)
        return dataclasses.replace(task, **self.settings)


FAMILIES = [
    Family("logistic", (logistic,)),
    Family("saturating", (saturating,)),
    Family("broken line", (broken_line,)),
    Family("step", (step,)),
    Family("staircase", (staircase,)),
    Family("plateau just below", (plateau_below,)),
    Family("plateau just above", (plateau_above,)),
    Family("plateau just below, noise falls", (plateau_below,), settings={"spread": power(-0.3)}),
    Family("at the threshold itself", (tenths,), exact),
    Family("flat at the threshold", (touching,), promised=False),
    Family("noise falls with d", settings={"spread": power(-0.5)}),
    Family("noise rises with d", settings={"spread": power(0.5)}),
    Family("noise only at the threshold", settings={"spread": peak}),
    Family("skewed down", sample=exponential_down),
    Family("skewed up", sample=exponential_up),
    Family("heavy tails", sample=heavy),
    Family("coarse units", sample=rounded(1 / 64), settings={"observed": rounded_mean(1 / 64)}),
    Family("mean of ten episodes", sample=episodes(10), noises=(1.0,)),
    Family("fifty test images", sample=episodes(50), noises=(1.0,)),
    Family("shared seeds", settings={"shared": True}),
    Family("shared seeds of a sweep", settings={"shared": True, "grid": 3}),
    Family("records of a sweep", settings={"grid": 3}),
    Family("noisy full model", settings={"full_noise": 3.0, "relative": True}),
    Family("few weights", sizes=(2, 3, 5, 8, 12, 20, 40), answers=(0.0, 0.9)),
    Family("ten million weights", sizes=(10_000_000,), answers=(0.0, 0.95)),
    Family("noisy", noises=(0.5, 1.0)),
    Family("wider precision", settings={"ratio": 1.5}),
    Family("works or fails", sample=works_or_fails, promised=False),
    Family("one in 8 fails", sample=one_fails_in(8), noises=(0.03, 0.1), promised=False),
    Family("one in 30 fails", sample=one_fails_in(30), noises=(0.03, 0.1), promised=False),
    Family("dip", (dip,), promised=False),
    Family("ripples", (ripple,), promised=False),
]
