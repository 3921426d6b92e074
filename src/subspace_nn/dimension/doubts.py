"""Signs in the results that an interval cannot be trusted."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from subspace_nn.dimension.noise import MANY, Floats

#: "falls": the mean falls as d grows, by more than noise. "kinds": results are of two kinds, as
#: where a seed works or fails. "gain": the full model's gain over the baseline may be noise.
Doubt = Literal["falls", "kinds", "gain"]

#: A fall is worth more runs, and after these it is certain, if noise alone makes one as large in at
#: most this share of the resamples.
_UNLIKELY, _RARE = 0.05, 0.01
#: Results are of two kinds if the space between them is this many standard deviations of a kind.
_APART = 12.0
#: And if one or two results in the same direction are this many standard deviations away.
_ONE_OUT, _TWO_OUT = 12.0, 10.0


@dataclass(frozen=True)
class Fall:
    """The largest fall of the mean, in units of its noise.

    Attributes:
        before: index of the dimension with the higher mean.
        after: index of the larger dimension with the lower mean.
        chance: how often noise alone makes one as large.
    """

    before: int
    after: int
    chance: float

    @property
    def is_suspect(self) -> bool:
        """Whether more runs should decide."""
        return self.chance <= _UNLIKELY

    @property
    def is_certain(self) -> bool:
        """Whether noise hardly makes such a fall."""
        return self.chance <= _RARE


def largest_fall(
    means: Floats,  # (K,)
    errors: Floats,  # (K,)
    shaken: Floats,  # (resamples, K)
) -> Fall:
    """Find the pair of dimensions whose means fall most.

    The statistic is the largest of (mean_i - mean_j) / √(error_i² + error_j²) over i < j. It is
    compared with the same statistic of noise around a constant, the monotone curve that makes
    falls most likely.

    Args:
        means: mean result at each dimension, at least two.
        errors: standard error of each.
        shaken: the effect of noise on each, in each resample.

    Returns:
        The fall.

    Example:
        >>> dice = np.random.default_rng(0)
        >>> noise = 0.1 * dice.standard_normal((1000, 3))
        >>> fall = largest_fall(np.array([0.2, 0.9, 0.8]), np.full(3, 0.1), noise)
        >>> fall.before, fall.after, fall.is_suspect
        (1, 2, False)
    """
    first, second = np.triu_indices(len(means), 1)
    sizes = np.hypot(errors[first], errors[second])
    scale = float(np.max(np.abs(means)))
    sizes = np.maximum(sizes, 1e-9 * scale or 1.0)  # equal results do not show that noise is none
    falls = (means[first] - means[second]) / sizes
    by_noise = np.max((shaken[:, first] - shaken[:, second]) / sizes, axis=1)
    worst = int(np.argmax(falls))
    chance = float(np.mean(by_noise >= falls[worst])) if falls[worst] > 0 else 1.0
    return Fall(int(first[worst]), int(second[worst]), chance)


def are_two_kinds(groups: Sequence[Sequence[float]], full: Sequence[float] = ()) -> bool:
    """Whether results of the same model are of two kinds.

    Either the widest space in a group is much wider than the spread on both sides of it, or
    results lie far from the median of their group, in the same direction.

    Args:
        groups: results of the runs at each dimension.
        full: results of the full model, whose noise is its own.

    Returns:
        Whether they are.

    Example:
        >>> are_two_kinds([[0.90, 0.91, 0.92, 0.11], [0.90, 0.89]])
        True
        >>> are_two_kinds([[0.90, 0.91, 0.92, 0.85], [0.90, 0.89]])
        False
    """
    values = np.unique([*itertools.chain.from_iterable(groups), *full])
    repeated = [sorted(group) for group in groups if len(group) > 1]
    if len(values) == 2:  # success or failure, nothing else
        return any(group[0] < group[-1] for group in [*repeated, sorted(full)] if len(group) > 2)
    # Results in whole units may agree by luck.
    unit = float(np.min(np.diff(values), initial=np.inf))
    return any(
        _have_a_space(alike, unit) or _have_outliers(alike, unit)
        for alike in (repeated, [sorted(full)])
        if any(len(group) > 2 for group in alike)
    )


def _have_a_space(groups: Sequence[Sequence[float]], unit: float) -> bool:
    """Whether the widest space in a group is much wider than the spread within its parts."""
    parts = [part for group in groups for part in _split(group)]
    freedom = sum(len(part) - 1 for part in parts)
    within = math.sqrt(sum(np.var(part) * len(part) for part in parts) / freedom)
    space = max(np.max(np.diff(group)) for group in groups)
    # With few degrees of freedom the spread itself may be small by luck.
    return bool(space > _APART * (1 + MANY / freedom) * max(within, unit / 2))


def _have_outliers(groups: Sequence[Sequence[float]], unit: float) -> bool:
    """Whether one or two results are far from the medians of their groups, in one direction."""
    distances = np.concatenate([np.subtract(g, np.median(g)) for g in groups if len(g) > 2])
    robust = 1.4826 * (1 + 2 / len(distances)) * np.median(np.abs(distances))
    far = np.sort(distances) / max(robust, unit)
    one, two = max(-far[0], far[-1]), max(-far[1], far[-2])
    return bool(one > _ONE_OUT or two > _TWO_OUT)


def _split(values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """The parts of an ascending list on both sides of its widest space."""
    place = int(np.argmax(np.diff(values))) + 1
    return values[:place], values[place:]
