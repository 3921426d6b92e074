"""Learning rates beside each other: is one right for every kind, d and net?"""

import math
import statistics
from collections.abc import Mapping, Sequence

from subspace_nn.report import text
from subspace_nn.report.document import Section, Table
from subspace_nn.report.groups import ACCURACY, Group, Summary
from subspace_nn.tasks.config import RunConfig

#: From this d on the default is to be within so many points of the best.
FROM_DIM, POINTS = 100, 1.0

_TEXT = (
    "The same net, projection, d, epochs and seeds; only the learning rate differs. Its unit is "
    f"the initial standard deviation of a weight, and the default is {RunConfig.lr:g} for all."
)

_NOTE = (
    "Test accuracy in %, mean ± standard deviation over n seeds. Behind: the mean of the best "
    "learning rate tried less that of the default, in points ± standard error, over the seeds that "
    "both have; 0 if none is better."
)

_Case = tuple[str, int]


def compared(groups: Sequence[Group]) -> list[Group]:
    """The groups that another one differs from in the learning rate alone.

    Args:
        groups: of the task "mnist".

    Returns:
        Those groups, in their order.
    """
    return [
        g
        for family in _families(groups).values()
        for rates in family.values()
        for g in rates.values()
    ]


def section(groups: Sequence[Group]) -> Section | None:
    """Accuracy at each learning rate, and how far the default is behind the best.

    Args:
        groups: of the task "mnist".

    Returns:
        The section, if anything was trained with two learning rates.
    """
    families = _families(groups)
    if not families:
        return None
    return Section(
        "one-learning-rate",
        "One learning rate",
        text=_TEXT,
        tables=[_table(family) for family in families.values()],
        notes=[_NOTE, *_verdict(families)],
        groups=compared(groups),
    )


def _families(groups: Sequence[Group]) -> dict[str, dict[_Case, dict[float, Group]]]:
    """By all else, then by kind and d, then by learning rate; two rates at least."""
    found: dict[str, dict[_Case, dict[float, Group]]] = {}
    for g in groups:
        rest = {n: v for n, v in g.arguments.items() if n not in {"dim", "projection", "lr"}}
        case = str(g.arguments.get("projection", "")), g.dim or 0
        found.setdefault(repr(sorted(rest.items())), {}).setdefault(case, {})[
            g.arguments.get("lr", 0.0)
        ] = g
    several = {
        key: {case: family[case] for case in sorted(family) if len(family[case]) > 1}
        for key, family in found.items()
    }
    return {key: family for key, family in several.items() if family}


def _behind(rates: Mapping[float, Group]) -> Summary | None:
    """Points of the best learning rate over the default, with the standard error.

    Each is compared over the seeds that both have.

    Returns:
        0 alone if none is better; None if none can be compared.
    """
    accuracies = {
        lr: {r["arguments"].get("seed"): r["result"][ACCURACY] for r in g.records}
        for lr, g in rates.items()
    }
    default = accuracies.pop(RunConfig.lr, {})
    gains = [
        [one[seed] - default[seed] for seed in sorted(one.keys() & default.keys())]
        for one in accuracies.values()
    ]
    best = max(filter(None, gains), key=statistics.fmean, default=None)
    if best is None:
        return None
    mean, n = statistics.fmean(best), len(best)
    if mean <= 0:
        return Summary(0.0, None, n)
    return Summary(mean, statistics.stdev(best) / math.sqrt(n) if n > 1 else None, n)


def _verdict(families: Mapping[str, Mapping[_Case, Mapping[float, Group]]]) -> list[str]:
    cases = [
        (rates[RunConfig.lr], *case, points)
        for family in families.values()
        for case, rates in family.items()
        if case[1] >= FROM_DIM and (points := _behind(rates)) is not None
    ]
    if not cases:
        return []
    far = [
        f"{g.model} {kind} at d = {dim:,} ({text.percent(points)}; {text.epochs(g.arguments)})"
        for g, kind, dim, points in cases
        if points.mean > POINTS
    ]
    near = f"{len(cases) - len(far)} of {len(cases)}"
    found = f"From d = {FROM_DIM} on, the default is within {POINTS:g} point of the best in {near}"
    return [f"{found}; not for {text.listed(far)}." if far else f"{found}."]


def _table(family: Mapping[_Case, Mapping[float, Group]]) -> Table:
    rates = sorted({lr for there in family.values() for lr in there})
    columns = ["projection", "d"]
    columns += [
        text.heading_n(f"lr {lr:g}", [there.get(lr) for there in family.values()]) for lr in rates
    ]
    rows = []
    for (kind, _), there in family.items():
        points = _behind(there)
        rows.append([
            kind,
            text.dims(next(iter(there.values()))),
            *(text.accuracy(there.get(lr)) for lr in rates),
            text.NOTHING if points is None else text.percent(points),
        ])  # fmt: skip
    one = next(iter(next(iter(family.values())).values()))
    return Table(
        [*columns, "behind"],
        rows,
        strong=(len(columns),),
        caption=f"{one.model}, {text.epochs(one.arguments)}",
    )
