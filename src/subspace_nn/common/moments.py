"""Mean and standard deviation of any floats: those near the largest one do not overflow."""

import math
import statistics
from collections.abc import Iterable

import numpy as np


def mean(values: Iterable[float]) -> float:
    """The mean.

    Args:
        values: at least one, up to the largest float.

    Returns:
        The mean, of an exact sum.

    Example:
        >>> mean([1e308, 1e308])
        1e+308
    """
    scaled, exponent = _scaled(values)
    return math.ldexp(statistics.fmean(scaled), exponent)


def deviation(values: Iterable[float]) -> float:
    """The standard deviation over n - 1; NaN for a single value, or if one is not finite.

    Args:
        values: at least one.

    Returns:
        The deviation.

    Example:
        >>> deviation([90.0, 92.0]), deviation([1e200, 1e200, 1e200])
        (1.4142135623730951, 0.0)
    """
    scaled, exponent = _scaled(values)
    if len(scaled) < 2 or not all(map(math.isfinite, scaled)):
        return math.nan
    return float(np.ldexp(statistics.stdev(scaled), exponent))


def _scaled(values: Iterable[float]) -> tuple[list[float], int]:
    """Values over a power of two, so that their squares are floats; nothing is rounded."""
    found = [float(value) for value in values]
    _, exponent = math.frexp(max(map(abs, found)))
    exponent = exponent if abs(exponent) > 400 else 0
    return [math.ldexp(value, -exponent) for value in found], exponent
