"""Learning rates compared: is one right for every kind, d and net?"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from subspace_nn.common import numbers
from subspace_nn.report import cells, text
from subspace_nn.report.chart import Axis, Chart, Point, Rule, Series
from subspace_nn.report.colours import marker, shade
from subspace_nn.report.document import Picture, Section, Table
from subspace_nn.report.frame import ACCURACY, Setting, grouped, key, without

#: The default of the recipe, which is not imported: a report needs no PyTorch.
DEFAULT = 0.4

#: From this d on the default should be within so many points of the best.
FROM_DIM, POINTS = 100, 1.0

_TEXT = (
    "The same net, projection, d, epochs and seeds; only the learning rate differs. Its unit is "
    f"the initial standard deviation of a weight, and the default is {DEFAULT:g} for all."
)

_NOTE = (
    "Test accuracy in %, mean ± standard deviation over n seeds. Behind: the mean of the best "
    "learning rate tried less that of the default, in points ± standard error, over the seeds that "
    "both have; 0 if none is better."
)

_Case = tuple[str, int]
#: Settings by learning rate.
_Rates = Mapping[float, Setting]


def compared(found: Sequence[Setting]) -> list[Setting]:
    """The settings that another one differs from in the learning rate alone.

    Args:
        found: settings on MNIST.

    Returns:
        Those settings.
    """
    families = _families(found)
    return [one for family in families for rates in family.values() for one in rates.values()]


def section(found: Sequence[Setting]) -> Iterator[Section]:
    """Accuracy at each learning rate, and how far the default is behind the best.

    Args:
        found: settings on MNIST.

    Yields:
        One section, if anything was trained with two learning rates.
    """
    families = _families(found)
    if families:
        yield Section(
            "one-learning-rate",
            "One learning rate",
            text=_TEXT,
            pictures=[_picture(family) for family in families if len(family) > 3],
            tables=[_table(family) for family in families],
            notes=[_NOTE, *_verdict(families)],
        )


def _families(found: Sequence[Setting]) -> list[dict[_Case, _Rates]]:
    """By all else, then by kind and d, then by learning rate; two rates at least."""
    families = grouped(found, lambda one: key(without(one.arguments, "dim", "projection", "lr")))
    several: list[dict[_Case, _Rates]] = []
    for family in families.values():
        cases = grouped(family, lambda one: (one.projection, one.dim))
        rates: dict[_Case, _Rates] = {
            case: {one.arguments.get("lr", 0.0): one for one in cases[case]}
            for case in sorted(cases)
            if len(cases[case]) > 1
        }
        several += [rates] if rates else []
    return several


def _behind(rates: _Rates) -> tuple[float, float] | None:
    """Points of the best learning rate over the default, and the standard error.

    Each is compared over the seeds that both have.

    Returns:
        0 with no error if none is better; None if none can be compared.
    """
    accuracies = {
        lr: {s: r[ACCURACY] for s, r in zip(one.seeds, one.results, strict=True)}
        for lr, one in rates.items()
    }
    default = accuracies.pop(DEFAULT, {})
    gains = [
        [one[seed] - default[seed] for seed in sorted(one.keys() & default.keys())]
        for one in accuracies.values()
    ]
    best = max(filter(None, gains), key=statistics.fmean, default=None)
    if best is None:
        return None
    mean, n = statistics.fmean(best), len(best)
    if mean <= 0:
        return 0.0, math.nan
    return mean, statistics.stdev(best) / math.sqrt(n) if n > 1 else math.nan


def _verdict(families: Sequence[Mapping[_Case, _Rates]]) -> list[str]:
    cases = [
        (rates[DEFAULT], *case, points)
        for family in families
        for case, rates in family.items()
        if case[1] >= FROM_DIM and (points := _behind(rates)) is not None
    ]
    if not cases:
        return []
    far = [
        f"{one.model} {kind} at d = {dim:,} "
        f"({numbers.spread(*points)}; {cells.epochs(one.arguments)})"
        for one, kind, dim, points in cases
        if points[0] > POINTS
    ]
    near = f"{len(cases) - len(far)} of {len(cases)}"
    found = f"From d = {FROM_DIM} on, the default is within {POINTS:g} point of the best in {near}"
    return [f"{found}; not for {text.listed(far)}." if far else f"{found}."]


def _rates(family: Mapping[_Case, _Rates]) -> list[float]:
    return sorted({lr for there in family.values() for lr in there})


def _name(family: Mapping[_Case, _Rates]) -> str:
    one = next(iter(next(iter(family.values())).values()))
    return f"{one.model}, {cells.epochs(one.arguments)}"


def _picture(family: Mapping[_Case, _Rates]) -> Picture:
    """A line for each kind and d: the error at each rate over that at the best."""
    dims = sorted({dim for _, dim in family})
    series = [
        Series(
            f"d = {dim:,}",
            _relative(kind, dim, there),
            "line",
            shade(dims.index(dim), len(dims)),
            marker(dims.index(dim)),
        )
        for (kind, dim), there in sorted(family.items(), key=lambda item: item[0][1])
    ]
    name = _name(family)
    return Picture(
        text.slug(f"learning-rates-{name}"),
        f"{name}: test error at each learning rate over that at the best one, a line for each "
        "kind of projection and d. The dashed line is the default.",
        Chart(
            f"One learning rate: {name}",
            Axis("learning rate", "log"),
            Axis("test error / least error", "log"),
            series,
            [Rule("default", DEFAULT, dashed=True)],
        ),
    )


def _relative(kind: str, dim: int, there: _Rates) -> list[Point]:
    least = min(100 - one.mean for one in there.values())
    return [
        Point.of(
            lr,
            (100 - one.mean) / least,
            note=f"{kind}, d = {dim:,}, lr {lr:g}: {cells.percent(one)} % (n = {one.n})",
        )
        for lr, one in sorted(there.items())
    ]


def _table(family: Mapping[_Case, _Rates]) -> Table:
    rates = _rates(family)
    columns = ["projection", "d"]
    columns += [
        cells.heading(f"lr {lr:g}", [there.get(lr) for there in family.values()]) for lr in rates
    ]
    rows = []
    for (kind, _), there in family.items():
        points = _behind(there)
        rows.append([
            kind,
            cells.dims(next(iter(there.values()))),
            *(cells.percent(there.get(lr)) for lr in rates),
            numbers.NOTHING if points is None else numbers.spread(*points),
        ])  # fmt: skip
    return Table([*columns, "behind"], rows, strong=(len(columns),), caption=_name(family))
