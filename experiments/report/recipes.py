"""2017 and now: the same net, the same d, one row."""

from collections.abc import Iterator, Mapping, Sequence

from experiments.report.published import EXPERIMENTS, as_number
from experiments.report.runs import mnist, recipe, richest
from subspace_nn.common import numbers
from subspace_nn.report import cells
from subspace_nn.report.chart import DIMS, Axis, Chart, Point, Series
from subspace_nn.report.document import Picture, Section, Table
from subspace_nn.report.findings import Findings
from subspace_nn.report.frame import Curve, Setting, curves, grouped

#: The experiments of 2017 by net and epochs.
_PUBLISHED = {
    ("conv", 10): "conv-small-2017",
    ("conv", 100): "conv-large-2017",
    ("fc", 10): "fc-2017",
}

_TEXT = (
    "2017: θ = Pω with P = QR([θ_init, randn]), narrow initial weights, Adam at a constant "
    "3e-3. New: θ = θ0 + σ√(D/d) ⊙ Pω with a hashed P, PyTorch's initial weights, one "
    "learning rate for every net and d, a one-cycle schedule."
)

_NOTE = (
    "Test accuracy in %, mean ± standard deviation over n seeds. ~ was read off a plot of "
    "2017. The gain is the new recipe's over that of 2017 at the same number of epochs."
)


def sections(found: Findings) -> Iterator[Section]:
    """The recipe of 2017, the new one and the published values, point by point.

    Args:
        found: sweeps of any tasks.

    Yields:
        One section, if a net that was published in 2017 was trained by the new recipe, or one was
        trained by both.
    """
    pictures: list[Picture] = []
    tables: list[Table] = []
    for same in grouped(curves(mnist(found)), lambda one: one.model).values():
        new = richest([one for one in same if recipe(one.arguments) == "new"])
        lengths = grouped((c for c in same if recipe(c.arguments) == "2017"), _epochs)
        old = [one for length in sorted(lengths) if (one := richest(lengths[length]))]
        known = {epochs: name for (net, epochs), name in _PUBLISHED.items() if net == same[0].model}
        if new is not None and new.subspaces and (old or known):
            pictures.append(_picture(new, old, known))
            tables.append(table(new, old, known))
    if tables:
        yield Section(
            "2017-and-now",
            "2017 and now",
            text=_TEXT,
            pictures=pictures,
            tables=tables,
            notes=(_NOTE,),
        )


def _epochs(one: Curve) -> int:
    return int(one.arguments.get("epochs", 0))


def _picture(new: Curve, old: Sequence[Curve], known: Mapping[int, str]) -> Picture:
    series = [
        Series(f"published, {epochs} epochs", _printed(name, new), "dashed", "soft", marker)
        for (epochs, name), marker in zip(sorted(known.items()), ("o", "s"), strict=False)
    ]
    rivals = [(f"recipe of 2017, {cells.epochs(one.arguments)}", one) for one in old]
    series += [
        Series(name, _points(one, name), "line", *style)
        for (name, one), style in zip(rivals, (("c1", "o"), ("c4", "s")), strict=False)
    ]
    name = f"new recipe, {cells.epochs(new.arguments)}"
    series.append(Series(name, _points(new, name), "line", "c0", "D"))
    return Picture(
        f"2017-and-now-{new.model}",
        f"{new.model}, {new.D:,} weights: test accuracy on MNIST against d.",
        Chart(
            f"{new.model}, {new.D:,} weights: 2017 and now",
            DIMS,
            Axis("test accuracy (%)", "percent"),
            series,
        ),
    )


def _printed(name: str, new: Curve) -> list[Point]:
    return [
        Point.of(new.D if dim == "full" else dim, value, note=f"published, d = {dim}: {printed} %")
        for (_, dim), printed in EXPERIMENTS[name].values.items()
        if (value := as_number(printed)) is not None
    ]


def _points(one: Curve, name: str) -> list[Point]:
    return [cells.point(p, cells.percent(p), f"{name}, d = {cells.dims(p)}") for p in one.points]


def table(new: Curve, old: Sequence[Curve], known: Mapping[int, str]) -> Table:
    """One row for each d.

    Args:
        new: the curve of the new recipe.
        old: those of 2017, by epochs.
        known: names of the published experiments by epochs.

    Returns:
        The table.
    """
    printed = {
        epochs: {
            new.D if dim == "full" else dim: value
            for (_, dim), value in EXPERIMENTS[name].values.items()
        }
        for epochs, name in known.items()
    }
    olds = {_epochs(one): one for one in old}
    dims = sorted({p.dim for one in (*old, new) for p in one.points}.union(*printed.values()))
    columns = {"d": ["full" if dim == new.D else f"{dim:,}" for dim in dims]}
    strong = []
    for epochs in sorted({*printed, *olds, _epochs(new)}):
        span = f"{epochs} epochs"
        if epochs in printed:
            found = [printed[epochs].get(dim, numbers.NOTHING) for dim in dims]
            columns[f"published, {span}"] = found
        rival = olds.get(epochs)
        if rival:
            heading = cells.heading(f"recipe of 2017, {span}", rival.points)
            columns[heading] = [cells.percent(rival.at(dim)) for dim in dims]
        if epochs == _epochs(new):
            strong.append(len(columns))
            heading = cells.heading(f"new recipe, {span}", new.points)
            columns[heading] = [cells.percent(new.at(dim)) for dim in dims]
        if rival and epochs == _epochs(new):
            columns["gain"] = [_gain(new.at(dim), rival.at(dim)) for dim in dims]
    rows = list(zip(*columns.values(), strict=True))
    caption = f"{new.model}, {new.D:,} weights"
    return Table(list(columns), rows, strong=strong, caption=caption)


def _gain(mine: Setting | None, theirs: Setting | None) -> str:
    if mine is None or theirs is None:
        return numbers.NOTHING
    return f"{mine.mean - theirs.mean:+.1f}"
