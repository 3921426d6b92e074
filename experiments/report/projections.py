"""Kinds of projections compared: same net, same d, same recipe."""

import statistics
from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.figure import Figure

from experiments.report.runs import recipe
from subspace_nn.report import cells
from subspace_nn.report.document import Picture, Section, Table
from subspace_nn.report.figures import HALF
from subspace_nn.report.frame import Curve, Setting, curves, grouped, key
from subspace_nn.report.theme import GRID, LEGEND, MARKERS, PALETTE, SOFT, canvas, look

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
    new = (one for one in curves(found) if one.subspaces and recipe(one.arguments) == "new")
    families = grouped(new, lambda one: key(one.arguments)).values()
    several = [family for family in families if len(family) > 1]
    if several:
        yield Section(
            "projections-compared",
            "Projections compared",
            text=_TEXT,
            pictures=[_picture(family) for family in several],
            tables=[_table(family) for family in several],
            notes=("Test accuracy in %, mean ± standard deviation over n seeds.",),
        )


def _name(found: Sequence[Curve]) -> str:
    return f"{found[0].model}, {cells.epochs(found[0].arguments)}"


def _picture(found: Sequence[Curve]) -> Picture:
    return Picture(
        f"projections-{found[0].model}-{found[0].arguments.get('epochs', '')}",
        f"{_name(found)}: test error of each kind over the mean error of all kinds at that d; "
        "lower is better. Bars are one standard deviation.",
        partial(relative_errors, found, f"Kinds of projections: {_name(found)}"),
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


@look()
def relative_errors(
    found: Sequence[Curve], title: str = "", size: tuple[float, float] = HALF
) -> Figure:
    """How errors differ at each d: each over the mean error of all curves at that d.

    Args:
        found: curves of one net, one for each kind.
        title: of the figure.
        size: of the figure, in points.

    Returns:
        A figure with the kinds side by side at each d, with one standard deviation.
    """
    names = [one.projection for one in found]
    # The marker's room, and five points for a letter of the longest name.
    figure, axes = canvas(*size, title=title, right=36 + 5 * max(map(len, names)))
    dims = sorted({one.dim for curve in found for one in curve.subspaces})
    means = {
        dim: statistics.fmean(100 - there.mean for one in found if (there := one.at(dim)))
        for dim in dims
    }
    axes.axhline(1, color=SOFT, linewidth=0.8)
    for number, (one, name) in enumerate(zip(found, names, strict=True)):
        shift = 0.7 * ((number + 0.5) / len(found) - 0.5)
        there = one.subspaces
        axes.errorbar(
            [dims.index(p.dim) + shift for p in there],
            [(100 - p.mean) / means[p.dim] for p in there],
            [(p.std if p.n > 1 else 0.0) / means[p.dim] for p in there],
            color=PALETTE[number % len(PALETTE)],
            # Beyond the last colour they start again, with other markers.
            marker=MARKERS[(number + number // len(PALETTE)) % len(MARKERS)],
            markersize=5,
            linestyle="none",
            capsize=2,
            linewidth=1.2,
            label=name,
        )
    for edge in range(1, len(dims)):
        axes.axvline(edge - 0.5, color=GRID, linewidth=0.8)
    axes.set_xlim(-0.5, len(dims) - 0.5)
    axes.set_xticks(range(len(dims)), [f"{dim:,}" for dim in dims])
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("free parameters d")
    axes.set_ylabel("test error / mean of all kinds")
    axes.legend(**LEGEND, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure
