"""Numbers and names as a reader wants them."""

import itertools
import math
import re
import unicodedata
from collections.abc import Iterable

from subspace_nn.common.text import visible

NOTHING = "–"

#: Longest name in a figure, in letters.
SHORT = 30


def spread(mean: float, std: float, form: str = ".2f", std_form: str = "") -> str:
    """A mean with its standard deviation.

    Args:
        mean: of the runs.
        std: standard deviation; NaN for a single run.
        form: format of the mean.
        std_form: format of the standard deviation; `form` if not given.

    Returns:
        "mean ± std", the mean alone for a single run, or a dash for NaN.

    Example:
        >>> spread(97.551, 0.049), spread(97.5, math.nan), spread(0.123456, 0.00789, ".4g", ".2g")
        ('97.55 ± 0.05', '97.50', '0.1235 ± 0.0079')
    """
    if math.isnan(mean):
        return NOTHING
    return f"{mean:{form}}" + ("" if math.isnan(std) else f" ± {std:{std_form or form}}")


def short(number: float) -> str:
    """A number to two or three digits, "3.1", "31", "3,142", or a dash for NaN."""
    if math.isnan(number):
        return NOTHING
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"


def count(number: float) -> str:
    """A whole number with commas, or a dash for NaN."""
    return NOTHING if math.isnan(number) else f"{number:,.0f}"


def duration(seconds: float) -> str:
    """A time with its unit.

    Args:
        seconds: the time.

    Returns:
        Seconds, minutes or hours.

    Example:
        >>> duration(42), duration(600), duration(36000)
        ('42 seconds', '10.0 minutes', '10.0 hours')
    """
    if seconds < 60:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 3600 else f"{seconds / 3600:,.1f} hours"


def listed(names: Iterable[str]) -> str:
    """Names in a sentence: "a", "a and b", "a, b and c"."""
    found = list(names)
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def label(name: object, length: int = SHORT) -> str:
    """A name for a figure: one line, nothing invisible, cut in the middle if it is too long.

    Args:
        name: from a record, as long as it likes.
        length: most letters.

    Returns:
        The name.

    Example:
        >>> label("facebook/opt-125m"), label("a" * 20 + "b" * 20, length=9)
        ('facebook/opt-125m', 'aaaa…bbbb')
    """
    line = " ".join(visible(str(name)).split())
    if len(line) <= length:
        return line
    half = (length - 1) // 2
    return f"{line[:half]}…{line[-half:]}"


def slug(name: str) -> str:
    """A name for files and links: lower-case letters, digits, dots and hyphens, at most 60.

    Args:
        name: any text.

    Returns:
        The name, "unnamed" if nothing is left of it.

    Example:
        >>> slug("facebook/OPT-125m"), slug("../..")
        ('facebook-opt-125m', 'unnamed')
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9.]+", "-", plain)[:60].strip("-.") or "unnamed"


def unique(names: Iterable[str]) -> list[str]:
    """The names, with numbers behind those that were there before.

    Args:
        names: any.

    Returns:
        As many, all different.

    Example:
        >>> unique(["a", "b", "a"])
        ['a', 'b', 'a-2']
    """
    taken: set[str] = set()
    found = []
    for name in names:
        free = (name if n == 1 else f"{name}-{n}" for n in itertools.count(1))
        found.append(next(candidate for candidate in free if candidate not in taken))
        taken.add(found[-1])
    return found
