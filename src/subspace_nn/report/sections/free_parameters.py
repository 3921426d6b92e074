"""The central question: what can so many free parameters do, as a small net or in a big one?"""

from collections.abc import Sequence

from subspace_nn.report import figures, text
from subspace_nn.report.document import Picture, Section, Table
from subspace_nn.report.groups import Group
from subspace_nn.report.series import Series, richest, series

_TEXT = (
    "A line is one net, trained in subspaces of d free parameters; a star is another net with "
    "all its weights free. A line above a star gets more out of the same number of free "
    "parameters than the star's own net does."
)


def subspaces(groups: Sequence[Group]) -> list[Series]:
    """The curve of each net: its series under the new recipe with the most d.

    Args:
        groups: of the task "mnist".

    Returns:
        Series with at least two d below D.
    """
    found = [one for one in series(groups) if one.recipe == "new"]
    models = dict.fromkeys(one.model for one in found)
    curves = [richest(one for one in found if one.model == model) for model in models]
    return [one for one in curves if one and len(one.subspaces) > 1]


def nets(groups: Sequence[Group], curves: Sequence[Series]) -> list[Group]:
    """The nets with all weights free that have no curve, each under one recipe.

    Args:
        groups: of the task "mnist".
        curves: the nets that have one.

    Returns:
        Groups by D: those of the new recipe where there is a choice.
    """
    drawn = {one.model for one in curves}
    candidates = [one for one in series(groups) if one.full and one.model not in drawn]
    chosen = {one.model: one for one in sorted(candidates, key=lambda s: s.recipe == "new")}
    return sorted((one.full for one in chosen.values() if one.full), key=lambda g: g.D)


def section(groups: Sequence[Group]) -> Section | None:
    """Accuracy against the number of free parameters, all nets in one plot.

    Args:
        groups: of the task "mnist".

    Returns:
        The section, if any net was trained in two d.
    """
    curves = subspaces(groups)
    if not curves:
        return None
    others = nets(groups, curves)
    same = _same_number(curves, others)
    return Section(
        "free-parameters",
        "Accuracy against free parameters",
        text=_TEXT,
        pictures=(
            Picture(
                "free-parameters",
                "Test accuracy against the number of free parameters. The axis of accuracy is "
                "logarithmic in the error. Bars are one standard deviation over the seeds.",
                lambda: figures.free_parameters(curves, others),
                lambda: figures.free_parameters(curves, others, figures.NARROW, below=True),
            ),
        ),
        tables=(same,) if same else (),
        groups=[*(g for one in curves for g in one.groups), *others],
    )


def _same_number(curves: Sequence[Series], others: Sequence[Group]) -> Table | None:
    """The nets beside subspaces with exactly as many free parameters."""
    rows = [net for net in others if any(one.at(net.D) for one in curves)]
    columns = [one for one in curves if any(one.at(net.D) for net in rows)]
    if not rows:
        return None
    return Table(
        ["net", "free parameters", "all its weights", *(f"in {one.model}" for one in columns)],
        [
            [
                net.model,
                f"{net.D:,}",
                text.percent(net.accuracy),
                *(text.accuracy(one.at(net.D)) for one in columns),
            ]
            for net in rows
        ],
        caption="As many free parameters, as a net of their own and as a subspace of a bigger one: "
        "test accuracy in %.",
    )
