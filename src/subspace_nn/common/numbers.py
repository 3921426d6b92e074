"""Numbers for people: in a terminal, in a table, in a sentence."""

import math

#: Stands where there is no number.
NOTHING = "–"


def brief(number: float | None, digits: int = 2) -> str:
    """A number to a few significant digits; a whole one, with commas, where it is large.

    Args:
        number: any; None or NaN if there is none.
        digits: significant ones, 2 by default.

    Returns:
        The number, or a dash.

    Example:
        >>> brief(3.14159), brief(99.7), brief(3141.59), brief(None)
        ('3.1', '100', '3,142', '–')
    """
    if number is None or math.isnan(number):
        return NOTHING
    return f"{number:,.0f}" if abs(number) >= 10**digits - 0.5 else f"{number:.{digits}g}"


def short(number: float) -> str:
    """A number to two or three digits.

    Args:
        number: at least 0, or NaN.

    Returns:
        The number, or a dash.

    Example:
        >>> short(3.14159), short(31.4159), short(3141.59)
        ('3.1', '31', '3,142')
    """
    if math.isnan(number):
        return NOTHING
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"


def count(number: float) -> str:
    """A whole number with commas.

    Args:
        number: any, or NaN.

    Returns:
        The number, or a dash.
    """
    return NOTHING if math.isnan(number) else f"{number:,.0f}"


def counted(number: int, what: str) -> str:
    """How many there are of something.

    Args:
        number: at least 0.
        what: its name in the plural, which ends in "s".

    Returns:
        Number and name.

    Example:
        >>> counted(1, "runs"), counted(1200, "runs")
        ('1 run', '1,200 runs')
    """
    return f"{number:,} {what if number != 1 else what.removesuffix('s')}"


def spread(mean: float, std: float | None, form: str = ".2f", std_form: str = "") -> str:
    """A mean with its standard deviation.

    Args:
        mean: of some numbers, or NaN.
        std: their standard deviation; None or NaN for a single one.
        form: format of the mean.
        std_form: format of the standard deviation; `form` if not given.

    Returns:
        "mean ± std", the mean alone for a single number, or a dash.

    Example:
        >>> spread(97.551, 0.049), spread(97.5, None), spread(0.123456, 0.00789, ".4g", ".2g")
        ('97.55 ± 0.05', '97.50', '0.1235 ± 0.0079')
    """
    if math.isnan(mean):
        return NOTHING
    known = std is not None and not math.isnan(std)
    return f"{mean:{form}} ± {std:{std_form or form}}" if known else f"{mean:{form}}"


def duration(seconds: float) -> str:
    """A time with its unit.

    Args:
        seconds: how long.

    Returns:
        Seconds, minutes or hours.

    Example:
        >>> duration(1.2), duration(42), duration(600), duration(36000)
        ('1 second', '42 seconds', '10.0 minutes', '10.0 hours')
    """
    if seconds < 60:
        return counted(round(seconds), "seconds")
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:,.1f} hours"


__all__ = ["NOTHING", "brief", "count", "counted", "duration", "short", "spread"]
