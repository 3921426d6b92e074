"""The recipe of 2017 beside the new one: the same net, the same d, one row."""

from collections.abc import Sequence

from subspace_nn.report import figures, text
from subspace_nn.report.document import Picture, Section, Table
from subspace_nn.report.groups import Group, Summary
from subspace_nn.report.published import EXPERIMENTS, as_number
from subspace_nn.report.scales import Line
from subspace_nn.report.series import Series, richest, series
from subspace_nn.report.theme import PALETTE, SOFT

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
    "2017. The gain is that of the new recipe over the old at the same number of epochs."
)


def section(groups: Sequence[Group]) -> Section | None:
    """Old recipe, new recipe and what was published, point by point.

    Args:
        groups: of the task "mnist".

    Returns:
        The section, if a net that was published in 2017 was trained by the new recipe, or one was
        trained by both.
    """
    everything = series(groups)
    pictures: list[Picture] = []
    tables: list[Table] = []
    used: list[Group] = []
    for model in dict.fromkeys(one.model for one in everything):
        new = richest(s for s in everything if s.model == model and s.recipe == "new")
        lengths: dict[int, list[Series]] = {_epochs(s): [] for s in everything}
        for s in everything:
            if s.model == model and s.recipe == "2017":
                lengths[_epochs(s)].append(s)
        old = [one for same in lengths.values() if (one := richest(same))]
        known = {epochs: name for (net, epochs), name in _PUBLISHED.items() if net == model}
        if new is None or not new.subspaces or not (old or known):
            continue
        pictures.append(_picture(new, old, known))
        tables.append(_table(new, old, known))
        used += [g for one in (*old, new) for g in one.groups]
    if not tables:
        return None
    return Section(
        "recipes",
        "The recipe of 2017 and the new one",
        text=_TEXT,
        pictures=pictures,
        tables=tables,
        notes=(_NOTE,),
        groups=used,
    )


def _epochs(one: Series) -> int:
    return int(one.arguments.get("epochs", 0))


def _picture(new: Series, old: Sequence[Series], known: dict[int, str]) -> Picture:
    lines = [
        Line(
            f"published, {epochs} epochs",
            [
                (new.D if dim == "full" else dim, Summary(value, None, 1))
                for (_, dim), printed in EXPERIMENTS[name].figures.items()
                if (value := as_number(printed)) is not None
            ],
            "published",
            SOFT,
            "o" if number == 0 else "s",
        )
        for number, (epochs, name) in enumerate(sorted(known.items()))
    ]
    lines += [
        Line(
            f"recipe of 2017, {text.epochs(one.arguments)}",
            _points(one),
            "measured",
            PALETTE[1] if number == 0 else PALETTE[4],
            "o" if number == 0 else "s",
        )
        for number, one in enumerate(sorted(old, key=_epochs))
    ]
    lines.append(
        Line(f"new recipe, {text.epochs(new.arguments)}", _points(new), "measured", PALETTE[0], "D")
    )
    return Picture(
        f"recipes-{new.model}",
        f"{new.model}, {new.D:,} weights: test accuracy against d.",
        lambda: figures.against_dim(lines),
    )


def _points(one: Series) -> list[tuple[int, Summary]]:
    return [(g.dim or 0, g.accuracy) for g in one.groups]


def _table(new: Series, old: Sequence[Series], known: dict[int, str]) -> Table:
    printed = {
        epochs: {
            new.D if dim == "full" else dim: value
            for (_, dim), value in EXPERIMENTS[name].figures.items()
        }
        for epochs, name in known.items()
    }
    olds = {_epochs(one): one for one in old}
    lengths = sorted({*printed, *olds, _epochs(new)})
    everyone = [*old, new]
    dims = sorted({g.dim or 0 for s in everyone for g in s.groups}.union(*printed.values()))
    columns = {"d": ["full" if dim == new.D else f"{dim:,}" for dim in dims]}
    strong = []
    for epochs in lengths:
        span = f"{epochs} epochs"
        if epochs in printed:
            found = [printed[epochs].get(dim, text.NOTHING) for dim in dims]
            columns[f"published, {span}"] = found
        rival = olds.get(epochs)
        if rival:
            heading = text.heading_n(f"recipe of 2017, {span}", rival.groups)
            columns[heading] = [text.accuracy(rival.at(dim)) for dim in dims]
        if epochs == _epochs(new):
            strong.append(len(columns))
            heading = text.heading_n(f"new recipe, {span}", new.groups)
            columns[heading] = [text.accuracy(new.at(dim)) for dim in dims]
        if rival and epochs == _epochs(new):
            columns["gain"] = [_gain(new.at(dim), rival.at(dim)) for dim in dims]
    return Table(
        list(columns),
        list(zip(*columns.values(), strict=True)),
        strong=strong,
        caption=f"{new.model}, {new.D:,} weights",
    )


def _gain(mine: Group | None, theirs: Group | None) -> str:
    if mine is None or theirs is None:
        return text.NOTHING
    return f"{mine.accuracy.mean - theirs.accuracy.mean:+.1f}"
