"""Kinds of projections compared: same net, same d, same recipe."""

import statistics
from collections.abc import Iterator, Sequence

from experiments.report.runs import recipe
from subspace_nn.report import cells
from subspace_nn.report.chart import Axis, Chart, Point, Rule, Series
from subspace_nn.report.colours import marker, shade
from subspace_nn.report.document import Picture, Section, Table
from subspace_nn.report.frame import Curve, Setting, curves, grouped, key

_TEXT = (
    "The same net, d, recipe and seeds; only the kind of P differs. Milliseconds are those of "
    "a whole training step, evaluations included."
)


def section(found: Sequence[Setting]) -> Iterator[Section]:
    """Accuracy and time of each kind at each d.

    Args:
        found: settings on MNIST.

    Yields:
        One section, if two kinds were trained in the same way.
    """
    several = _families(found)
    if several:
        yield Section(
            "projections-compared",
            "Projections compared",
            text=_TEXT,
            pictures=[_picture(family) for family in several],
            tables=[_table(family) for family in several],
            notes=("Test accuracy in %, mean ± standard deviation over n seeds.",),
        )


def compared(found: Sequence[Setting]) -> list[Setting]:
    """The settings that another one differs from in the kind of projection alone.

    Args:
        found: settings on MNIST.

    Returns:
        Those settings, with the full models.
    """
    return [one for family in _families(found) for curve in family for one in curve.points]


def _families(found: Sequence[Setting]) -> list[list[Curve]]:
    """Curves by all else than the kind; two kinds at least."""
    new = (one for one in curves(found) if one.subspaces and recipe(one.arguments) == "new")
    families = grouped(new, lambda one: key(one.arguments)).values()
    return [family for family in families if len(family) > 1]


def _name(found: Sequence[Curve]) -> str:
    return f"{found[0].model}, {cells.epochs(found[0].arguments)}"


def _picture(found: Sequence[Curve]) -> Picture:
    return Picture(
        f"projections-{found[0].model}-{found[0].arguments.get('epochs', '')}",
        f"{_name(found)}: test error of each kind over the mean error of all kinds at that d; "
        "further left is better. Bars are one standard deviation.",
        chart(found, f"Kinds of projections: {_name(found)}"),
    )


def _table(found: Sequence[Curve]) -> Table:
    dims = sorted({one.dim for curve in found for one in curve.subspaces})
    columns = ["projection"]
    for dim in dims:
        heading = cells.heading(f"d = {dim:,}", [one.at(dim) for one in found])
        columns += [heading, "ms a step"]
    rows = []
    for one in found:
        row = [one.projection]
        for there in map(one.at, dims):
            row += [cells.percent(there), cells.milliseconds(there)]
        rows.append(row)
    return Table(columns, rows, caption=_name(found))


def chart(found: Sequence[Curve], title: str = "") -> Chart:
    """How errors differ: each over the mean error of all kinds at that d, a row for each kind.

    Args:
        found: curves of one net, one for each kind.
        title: of the figure.

    Returns:
        The chart; the best kind is at the top.
    """
    dims = sorted({one.dim for curve in found for one in curve.subspaces})
    means = {
        dim: statistics.fmean(100 - there.mean for one in found if (there := one.at(dim)))
        for dim in dims
    }
    ratios = {
        one.projection: statistics.fmean((100 - p.mean) / means[p.dim] for p in one.subspaces)
        for one in found
    }
    ordered = sorted(found, key=lambda one: ratios[one.projection])
    series = [
        Series(
            f"d = {dim:,}",
            [
                _ratio(there, row, means[dim])
                for row, one in enumerate(ordered)
                if (there := one.at(dim))
            ],
            "dots",
            shade(number, len(dims)),
            marker(number),
        )
        for number, dim in enumerate(dims)
    ]
    return Chart(
        title, Axis("test error / mean error of all kinds"), Axis(""), series,
        [Rule("", 1.0)], [one.projection for one in ordered],
    )  # fmt: skip


def _ratio(one: Setting, row: int, mean: float) -> Point:
    note = f"{one.projection}, d = {one.dim:,}: {cells.percent(one)} % (n = {one.n})"
    ratio, spread = (100 - one.mean) / mean, (one.std if one.n > 1 else 0.0) / mean
    return Point(ratio, row, ratio - spread, ratio + spread, note)
