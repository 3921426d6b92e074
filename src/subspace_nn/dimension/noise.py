"""The noise of runs, and of their means."""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: From this many runs on, a dimension's noise is estimated from its own runs alone.
MANY = 5


@dataclass(frozen=True)
class Noise:
    """Residuals of runs around the means of their groups.

    Attributes:
        residuals: stretched by √(n/(n - 1)), n the size of the group.
        freedom: degrees of freedom: number of runs less number of groups.
    """

    residuals: Floats
    freedom: int

    @classmethod
    def of(cls, groups: Sequence[Sequence[float]]) -> "Noise":
        """The noise that some groups of runs share.

        Args:
            groups: results of the runs of each group; a group of one run says nothing.

        Returns:
            The noise.
        """
        groups = [group for group in groups if len(group) > 1]
        residuals = itertools.chain.from_iterable(
            (np.asarray(g) - statistics.fmean(g)) * math.sqrt(len(g) / (len(g) - 1)) for g in groups
        )
        return cls(np.array(list(residuals)), sum(len(group) - 1 for group in groups))

    @property
    def std(self) -> float | None:
        """Standard deviation of a run; None if no group has two runs."""
        return float(np.sqrt(np.mean(np.square(self.residuals)))) if self.freedom else None

    def means(self, count: int, generator: np.random.Generator, resamples: int) -> Floats:
        """Means of `count` residuals each.

        Args:
            count: number of residuals in a mean.
            generator: of the resampling.
            resamples: number of means.

        Returns:
            Each mean times √(ν/χ²_ν), ν the degrees of freedom, so that few runs do not look more
            certain than they are (Student's t has the same cause); zeros if no noise is known.
        """
        if not self.freedom:
            return np.zeros(resamples)
        picks = generator.integers(0, len(self.residuals), (resamples, count))
        stretch = np.sqrt(self.freedom / generator.chisquare(self.freedom, resamples))
        return self.residuals[picks].mean(1) * stretch


def noises(groups: Sequence[Sequence[float]], common: Noise) -> list[Noise]:
    """The noise of each group: its own if it has many runs, else the common one.

    Args:
        groups: results of the runs of each group.
        common: noise of all runs near the crossing.

    Returns:
        One noise for each group.
    """
    return [Noise.of([group]) if len(group) >= MANY else common for group in groups]


def shakes(
    groups: Sequence[Sequence[float]],
    common: Noise,
    generator: np.random.Generator,
    resamples: int,
) -> Floats:  # (resamples, len(groups))
    """The effect of noise on the mean of each group, in each resample.

    Args:
        groups: results of the runs of each group.
        common: noise of all runs near the crossing.
        generator: of the resampling.
        resamples: number of resamples.

    Returns:
        A column for each group.
    """
    columns = [
        noise.means(len(group), generator, resamples)
        for noise, group in zip(noises(groups, common), groups, strict=True)
    ]
    return np.stack(columns, 1)
