"""The central question: how far do n free parameters go, as a small net or in a larger one?"""

from collections.abc import Iterator, Sequence

from experiments.report.runs import mnist, recipe, subspaces
from subspace_nn.report import cells
from subspace_nn.report.chart import DIMS, Axis, Chart, Series
from subspace_nn.report.colours import colour, marker
from subspace_nn.report.document import Picture, Section, Table
from subspace_nn.report.findings import Findings
from subspace_nn.report.frame import Curve, Setting, curves

_TITLE = "Accuracy on MNIST against the number of parameters that are trained"

_TEXT = (
    "A line is one net, trained in subspaces of d free parameters; a star is another net with "
    "all its weights free. Where a line is above a star, the subspace is more accurate than the "
    "net of the star with the same number of free parameters."
)


def sections(found: Findings) -> Iterator[Section]:
    """Accuracy against the number of free parameters, all nets in one plot.

    Args:
        found: sweeps of any tasks.

    Yields:
        One section, if any net was trained in two d.
    """
    settings = mnist(found)
    drawn = subspaces(settings)
    if not drawn:
        return
    others = nets(settings, drawn)
    same = _same_number(drawn, others)
    yield Section(
        "free-parameters",
        "Accuracy against free parameters",
        text=_TEXT,
        pictures=(
            Picture(
                "free-parameters",
                "Test accuracy on MNIST against the number of free parameters. The axis of "
                "accuracy is logarithmic in the error. Bars are one standard deviation over the "
                "seeds.",
                chart(drawn, others),
            ),
        ),
        tables=(same,) if same else (),
    )


def nets(found: Sequence[Setting], drawn: Sequence[Curve]) -> list[Setting]:
    """The nets with all weights free that have no curve, each under one recipe.

    Args:
        found: settings on MNIST.
        drawn: the nets that have one.

    Returns:
        Settings by D: those of the new recipe where there is a choice.
    """
    names = {one.model for one in drawn}
    candidates = [one for one in curves(found) if one.full and one.model not in names]
    chosen = {c.model: c for c in sorted(candidates, key=lambda c: recipe(c.arguments) == "new")}
    return sorted((one.full for one in chosen.values() if one.full), key=lambda one: one.D)


def _same_number(drawn: Sequence[Curve], others: Sequence[Setting]) -> Table | None:
    """The nets against subspaces with exactly as many free parameters."""
    rows = [net for net in others if any(one.at(net.D) for one in drawn)]
    columns = [one for one in drawn if any(one.at(net.D) for net in rows)]
    if not rows:
        return None
    return Table(
        ["net", "free parameters", "all its weights", *(f"in {one.model}" for one in columns)],
        [
            [
                net.model,
                f"{net.D:,}",
                cells.percent(net),
                *(cells.percent(one.at(net.D)) for one in columns),
            ]
            for net in rows
        ],
        caption="The same number of free parameters as a net of their own and as a subspace of a "
        "larger one: test accuracy in %.",
    )


def chart(found: Sequence[Curve], nets: Sequence[Setting]) -> Chart:
    """Accuracy against free parameters: subspaces of large nets, and nets with all weights free.

    Args:
        found: each becomes a line, and a hollow mark where all weights are free.
        nets: each becomes a star with its name.

    Returns:
        The chart.
    """
    series = [one for number, curve in enumerate(found) for one in _lines(number, curve)]
    stars = [
        cells.point(net, cells.percent(net), f"{net.model}, all {net.D:,} weights")._replace(
            label=net.model
        )
        for net in nets
    ]
    series += [Series("another net, all its weights", stars, "dots", "ink", "*")] if stars else []
    return Chart(_TITLE, DIMS, Axis("test accuracy (%)", "percent"), series, wide=True,
                 message=_message(found))  # fmt: skip


def _message(found: Sequence[Curve]) -> str:
    """What the smallest net's curve says at 1,000 parameters, if it goes there."""
    at = [(curve, one) for curve in found if (one := curve.at(1000))]
    if not at:
        return ""
    curve, one = min(at, key=lambda pair: pair[0].D)
    words = f"{one.dim:,} numbers instead of {curve.D:,} weights: {one.mean:.1f} % on MNIST"
    return f"{words}, in {cells.epochs(one.arguments)}"


def _lines(number: int, one: Curve) -> Iterator[Series]:
    """The curve of one net, with its hollow end."""
    shown, mark = colour(number), marker(number)
    name = f"subspaces of {one.model}, {one.D:,} weights"
    points = [
        cells.point(p, cells.percent(p), f"{one.model}, d = {p.dim:,}") for p in one.subspaces
    ]
    if one.full:
        words = f"{one.model}, all {one.D:,} weights"
        end = cells.point(one.full, cells.percent(one.full), words)
        yield Series(name, [points[-1]._replace(note=""), end], "dotted", shown)
        yield Series(name, [end], "hollow", shown, mark)
    yield Series(name, points, "line", shown, mark)
