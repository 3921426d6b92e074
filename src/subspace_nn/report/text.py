"""Names as a reader wants them."""

import itertools
import re
import unicodedata
from collections.abc import Iterable

from subspace_nn.common.text import visible

#: Longest name in a figure, in letters.
SHORT = 30


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


def labels(names: Iterable[object], length: int = SHORT) -> list[str]:
    """Names for one figure or table, cut by `label` no shorter than it takes to tell them apart.

    Args:
        names: as for `label`.
        length: most letters, if that is enough; four times as many at most.

    Returns:
        The names; equal ones stay equal.

    Example:
        >>> labels(["net 1 a", "net 2 a"], length=5), labels(["net 1 a", "dim 1 a"], length=5)
        (['net 1 a', 'net 2 a'], ['ne… a', 'di… a'])
    """
    found = list(map(str, names))
    cut: list[str] = []
    for size in (length, 2 * length, 4 * length):
        cut = [label(name, size) for name in found]
        if len({*cut}) == len({*found}):
            break
    return cut


def metric(name: str, *, percent: bool = False) -> str:
    """The name of a metric in words, with its unit.

    Args:
        name: as a task returns it.
        percent: whether its unit is percent.

    Returns:
        Words for an axis.

    Example:
        >>> metric("test_accuracy", percent=True), metric("rmse")
        ('test accuracy (%)', 'rmse')
    """
    return label(name.replace("_", " ")) + " (%)" * percent


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
