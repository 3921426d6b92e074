"""Numbers as a reader wants them."""

from collections.abc import Iterable, Mapping
from typing import Any

from subspace_nn.report.groups import Group, Summary

NOTHING = "–"


def percent(summary: Summary) -> str:
    """An accuracy with its standard deviation, in percent.

    Args:
        summary: of the runs.

    Returns:
        Mean ± standard deviation; the mean alone for a single run.

    Example:
        >>> percent(Summary(97.551, 0.049, 3)), percent(Summary(97.5, None, 1))
        ('97.55 ± 0.05', '97.50')
    """
    return f"{summary.mean:.2f}" + ("" if summary.std is None else f" ± {summary.std:.2f}")


def accuracy(one: Group | None) -> str:
    """The test accuracy of a group.

    Args:
        one: the group, if there is one.

    Returns:
        Mean ± standard deviation in percent, or a dash.
    """
    return NOTHING if one is None else percent(one.accuracy)


def milliseconds(one: Group | None) -> str:
    """The time of a step of a group.

    Args:
        one: the group, if there is one.

    Returns:
        Milliseconds without a unit, or a dash.
    """
    time = one.step_ms if one else None
    return NOTHING if time is None else f"{time:.1f}"


def figure(summary: Summary) -> str:
    """Any figure with its standard deviation, to four digits.

    Args:
        summary: of the runs.

    Returns:
        Mean ± standard deviation; the mean alone for a single run.

    Example:
        >>> figure(Summary(0.123456, 0.0078912, 3))
        '0.1235 ± 0.0079'
    """
    spread = "" if summary.std is None else f" ± {summary.std:.2g}"
    return f"{summary.mean:.4g}{spread}"


def seconds(time: float) -> str:
    """A time, to two or three digits.

    Args:
        time: in seconds.

    Returns:
        Seconds without a unit.

    Example:
        >>> seconds(3.14159), seconds(31.4159), seconds(3141.59)
        ('3.1', '31', '3,142')
    """
    return f"{time:.1f}" if time < 10 else f"{time:,.0f}"


def duration(time: float) -> str:
    """A long time with its unit.

    Args:
        time: in seconds.

    Returns:
        Seconds, minutes or hours.

    Example:
        >>> duration(42), duration(600), duration(36000)
        ('42 seconds', '10.0 minutes', '10.0 hours')
    """
    if time < 60:
        return f"{time:.0f} seconds"
    return f"{time / 60:.1f} minutes" if time < 3600 else f"{time / 3600:,.1f} hours"


def size(number: int | None) -> str:
    """A number of bytes.

    Args:
        number: of bytes, if it is known.

    Returns:
        The number with commas, or a dash.

    Example:
        >>> size(4360)
        '4,360'
    """
    return NOTHING if number is None else f"{number:,}"


def dims(one: Group) -> str:
    """The number of free parameters of a group.

    Args:
        one: the group.

    Returns:
        "1,000", or "all 21,840".
    """
    return f"all {one.D:,}" if one.is_full else f"{one.dim or 0:,}"


def heading_n(heading: str, groups: Iterable[Group | None]) -> str:
    """A heading with the number of runs, where it is the same in all of the column.

    Args:
        heading: the text.
        groups: of the column.

    Returns:
        "measured (n = 5)", or "measured (n = 4–5)".
    """
    numbers = sorted({g.n for g in groups if g})
    if not numbers:
        return heading
    span = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}–{numbers[-1]}"
    return f"{heading} (n\u00a0=\u00a0{span})"


def epochs(arguments: Mapping[str, Any]) -> str:
    """How long a training is.

    Args:
        arguments: of its run.

    Returns:
        The number of epochs, in words.

    Example:
        >>> epochs({"epochs": 1}), epochs({"epochs": 10})
        ('1 epoch', '10 epochs')
    """
    number = arguments.get("epochs", "")
    return f"{number} epoch{'' if number == 1 else 's'}"


def listed(names: Iterable[str]) -> str:
    """Names in a sentence.

    Args:
        names: any number.

    Returns:
        "a", "a and b", "a, b and c".

    Example:
        >>> listed(["a", "b", "c"])
        'a, b and c'
    """
    found = list(names)
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)
