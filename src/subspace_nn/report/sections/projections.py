"""Kinds of projections beside each other: same net, same d, same recipe."""

from collections.abc import Sequence

from subspace_nn.report import figures, text
from subspace_nn.report.document import Picture, Section, Table
from subspace_nn.report.groups import Group
from subspace_nn.report.series import Series, series

_TEXT = (
    "The same net, d, recipe and seeds; only the kind of P differs. Milliseconds are those of "
    "a whole training step, evaluations included."
)


def section(groups: Sequence[Group]) -> Section | None:
    """Accuracy and time of each kind at each d.

    Args:
        groups: of the task "mnist".

    Returns:
        The section, if two kinds were trained in the same way.
    """
    families: dict[str, list[Series]] = {}
    for one in series(groups):
        if one.subspaces and one.recipe == "new":
            families.setdefault(repr(sorted(one.arguments.items())), []).append(one)
    families = {key: found for key, found in families.items() if len(found) > 1}
    if not families:
        return None
    return Section(
        "which-projection",
        "Projections beside each other",
        text=_TEXT,
        pictures=[_picture(found) for found in families.values()],
        tables=[_table(found) for found in families.values()],
        notes=("Test accuracy in %, mean ± standard deviation over n seeds.",),
        groups=[g for found in families.values() for one in found for g in one.groups],
    )


def _name(found: Sequence[Series]) -> str:
    return f"{found[0].model}, {text.epochs(found[0].arguments)}"


def _picture(found: Sequence[Series]) -> Picture:
    return Picture(
        f"projections-{found[0].model}-{found[0].arguments.get('epochs', '')}",
        f"{_name(found)}: test error of each kind over the mean error of all kinds at that d; "
        "lower is better. Bars are one standard deviation.",
        lambda: figures.relative_errors(found, [one.projection for one in found]),
    )


def _table(found: Sequence[Series]) -> Table:
    dims = sorted({g.dim or 0 for one in found for g in one.subspaces})
    columns = ["projection"]
    for dim in dims:
        heading = text.heading_n(f"d = {dim:,}", [one.at(dim) for one in found])
        columns += [heading, "ms a step"]
    rows = []
    for one in found:
        row = [one.projection]
        for there in map(one.at, dims):
            row += [text.accuracy(there), text.milliseconds(there)]
        rows.append(row)
    return Table(columns, rows, caption=_name(found))
