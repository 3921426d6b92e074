"""The results of runs, as an estimate takes them."""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from subspace_nn.dimension.noise import Floats

Level = TypeVar("Level", float, Floats)

#: Squares of larger results may be infinite.
_EXTREME = 1e100
#: The largest result, whatever its sign.
LARGEST = 1e300


@dataclass(frozen=True)
class Results:
    """The results so far. Higher is better; a metric where lower is better comes negated.

    Attributes:
        D: number of weights, the dimension of the full model.
        full: result of each run of the full model; at least one.
        at: results of the runs at each dimension d, least ≤ d < D, all with seeds of their own.
        factor: the threshold is factor × mean(full) + (1 - factor) × mean(baseline) + constant.
        constant: see factor.
        least: the smallest dimension that there is; every smaller one is taken to fall short.
        most: the largest dimension to try, except for the full model; None if there is no limit.
        baseline: result of each run of the baseline; none, and its mean 0, where there is none.
        probe: what the full model gains over, where that is known; it is in the constant, too.
    """

    D: int
    full: Sequence[float]
    at: Mapping[int, Sequence[float]]
    factor: float = 0.9
    constant: float = 0.0
    least: int = 1
    most: int | None = None
    baseline: Sequence[float] = ()
    probe: float | None = None

    @property
    def largest(self) -> int:
        """The largest dimension to try, except for the full model."""
        return self.D - 1 if self.most is None else min(self.most, self.D - 1)

    @property
    def threshold(self) -> float:
        """The value that the mean has to reach."""
        base = statistics.fmean(self.baseline) if self.baseline else 0.0
        return self.level(statistics.fmean(self.full), base)

    def level(self, full: Level, baseline: Level) -> Level:
        """The value to reach, for given means.

        Args:
            full: mean of the full model's results; or many such means.
            baseline: mean of the baseline's, 0 where there is none; or as many.

        Returns:
            The value, or as many.
        """
        return self.factor * full + (1 - self.factor) * baseline + self.constant

    def unit(self) -> float:
        """A power of two that takes extreme results to numbers whose squares are finite.

        Returns:
            The power; 1 for results of ordinary size, which stay as they are.
        """
        known = [self.constant, self.probe or 0.0]
        values = itertools.chain(self.full, self.baseline, *self.at.values(), known)
        largest = max(abs(value) for value in values)
        return 1.0 if largest < _EXTREME else 2.0 ** math.frexp(largest)[1]

    def times(self, number: float) -> "Results":
        """All results times a number, such as 1 / unit.

        Args:
            number: above 0.

        Returns:
            The results.
        """
        return dataclasses.replace(
            self,
            full=[number * value for value in self.full],
            baseline=[number * value for value in self.baseline],
            at={dim: [number * value for value in values] for dim, values in self.at.items()},
            constant=number * self.constant,
            probe=None if self.probe is None else number * self.probe,
        )
