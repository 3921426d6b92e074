"""Settings as the cells of a table."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from subspace_nn.common.numbers import NOTHING, spread
from subspace_nn.report import text
from subspace_nn.report.chart import Point
from subspace_nn.report.frame import Setting, varying
from subspace_nn.report.text import label


def percent(one: Setting | None) -> str:
    """The metric of a setting in percent, "97.55 ± 0.05", or a dash if there is no setting."""
    return NOTHING if one is None else spread(one.mean, one.std)


def four_digits(one: Setting) -> str:
    """The metric of a setting to four digits, its standard deviation to two."""
    return spread(one.mean, one.std, ".4g", ".2g")


def point(one: Setting, value: str, words: str = "") -> Point:
    """A setting as a point against d.

    Args:
        one: the setting.
        value: its metric, as a reader sees it.
        words: what it is, in front of the value.

    Returns:
        The point; pointed at, it says the value, the number of runs, and the command.
    """
    note = f"{words or 'd = ' + dims(one)}: {value} (n = {one.n})"
    command = label(one.command, 100)
    return Point.of(one.dim, one.mean, one.std, f"{note}\n{command}" if command else note)


def dims(one: Setting) -> str:
    """The number of free parameters: "1,000", or "all 21,840"."""
    return f"all {one.D:,}" if one.full else f"{one.dim:,}"


def heading(words: str, column: Iterable[Setting | None]) -> str:
    """A heading with the number of runs of its column: "measured (n = 4–5)"."""
    numbers = sorted({one.n for one in column if one})
    if not numbers:
        return words
    span = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}–{numbers[-1]}"
    return f"{words} (n\u00a0=\u00a0{span})"


def epochs(arguments: Mapping[str, Any]) -> str:
    """The length of a training: "1 epoch", "10 epochs"."""
    number = arguments.get("epochs", "")
    return f"{number} epoch{'' if number == 1 else 's'}"


def argument(name: str, one: Setting) -> str:
    """The value of an argument; a whole number of free parameters has commas."""
    value = one.arguments.get(name)
    return f"{value:,}" if name == "dim" and isinstance(value, int) else label(value, 80)


def labels(found: Sequence[Setting]) -> list[str]:
    """A short name for each setting: the arguments in which they differ."""
    names = varying(found)
    joined = [", ".join(_named(name, one) for name in names) for one in found]
    return text.unique(text.labels(joined))


def _named(name: str, one: Setting) -> str:
    value = argument(name, one)
    return value if name in {"model", "dim", "projection"} else f"{name} {value}"


def milliseconds(one: Setting | None) -> str:
    """The time of a training step without its unit, or a dash if it is not known."""
    return NOTHING if one is None or math.isnan(one.step_ms) else f"{one.step_ms:.1f}"
