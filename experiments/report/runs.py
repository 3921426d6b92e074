"""The runs on MNIST among some findings: what this project's own sections are made from."""

from functools import lru_cache
from typing import Literal

from subspace_nn.report.findings import Findings
from subspace_nn.report.frame import ACCURACY, Arguments, Curve, Setting, curves, settings

#: The recipe of 2017: narrow initial weights, θ = Pω, a constant learning rate. The new one:
#: PyTorch's initial weights, steps in units of them. Others are neither.
Recipe = Literal["2017", "new", ""]

_DEFAULT = "hashed"


@lru_cache(maxsize=1)
def mnist(found: Findings) -> list[Setting]:
    """The settings on MNIST, without the runs that measurements made for themselves.

    Args:
        found: sweeps of any tasks.

    Returns:
        The settings.
    """
    rows = found.runs
    return settings(rows[(rows.task == "mnist") & ~rows.measured], ACCURACY)


def recipe(arguments: Arguments) -> Recipe:
    """The recipe of some arguments.

    Args:
        arguments: of a run on MNIST.

    Returns:
        "2017", "new", or an empty text.

    Example:
        >>> recipe({"init": "2017", "scale": "none"}), recipe({"init": "default", "scale": "init"})
        ('2017', 'new')
    """
    if arguments.get("init") == "2017":
        return "2017"
    return "new" if arguments.get("scale") == "init" else ""


def richest(found: list[Curve]) -> Curve | None:
    """The curve with the default projection, of those the one with the most runs, then most d.

    Args:
        found: to choose from.

    Returns:
        A curve, or None if there is none.
    """
    return max(
        found,
        key=lambda c: (c.projection == _DEFAULT, sum(p.n for p in c.points), len(c.subspaces)),
        default=None,
    )


def subspaces(found: list[Setting]) -> list[Curve]:
    """The curve of each net: the richest under the new recipe, if it has two d below D.

    Args:
        found: settings on MNIST.

    Returns:
        The curves.
    """
    new = [one for one in curves(found) if recipe(one.arguments) == "new"]
    models = dict.fromkeys(one.model for one in new)
    chosen = [richest([one for one in new if one.model == model]) for model in models]
    return [one for one in chosen if one and len(one.subspaces) > 1]
