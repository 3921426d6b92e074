"""Records as one table, a row for each run, and what grouping makes of it."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd

from subspace_nn.common.checks import is_number
from subspace_nn.common.moments import deviation, mean
from subspace_nn.runs import tables
from subspace_nn.runs.record import DONE, Record

ACCURACY = "test_accuracy"

#: Names under which tasks return their metric, in order of preference.
_PREFERRED = (ACCURACY, "accuracy", "test_loss", "loss", "error", "train_loss")
#: Numbers of a result that describe a run and do not judge it.
_NO_METRICS = tables.DESCRIPTIVE | {"evaluations"}

Arguments = Mapping[str, Any]
#: One row a run, and a truth value for each.
Runs, Choice = pd.DataFrame, pd.Series
_T = TypeVar("_T")
_K = TypeVar("_K")


class Setting(NamedTuple):
    """The finished runs that differ in their seed alone.

    Attributes:
        task: of the runs.
        arguments: of the runs, without the seed.
        model: name of the net; empty if the task has none.
        projection: kind of P; empty if the task has none.
        dim: number of free parameters d; 0 if the task has no such argument.
        D: number of weights; 0 if the task does not report it.
        full: whether all weights are free.
        n: number of runs.
        seconds: median wall time of a run.
        step_ms: median time of a training step with its share of the evaluations; NaN if unknown.
        checkpoint_bytes: size of the file that a run leaves; NaN if unknown.
        command: that the first of them came from; empty if unknown.
        mean: of the metric over the runs; NaN if a run lacks it.
        std: its standard deviation; NaN for a single run.
        results: of the runs, by seed.
        seeds: of the runs.
        ids: of the runs.
    """

    task: str
    arguments: Arguments
    model: str
    projection: str
    dim: int
    D: int
    full: bool
    n: int
    seconds: float
    step_ms: float
    checkpoint_bytes: float
    command: str
    mean: float
    std: float
    results: Sequence[Mapping[str, Any]]
    seeds: Sequence[Any]
    ids: Sequence[str]


def runs(found: Iterable[tuple[str, Record]]) -> Runs:
    """Records as a table.

    Args:
        found: records, each with the name of its sweep.

    Returns:
        One row a record: its sweep, id, task, seed, whether it is done, result, error,
        environment and command; the fields of `Setting` that it decides; and `setting`, a key
        that is the same for the same arguments but the seed.
    """
    table = pd.DataFrame(
        [_row(*one) for one in found], columns=list(_row("", _EMPTY)), dtype="object"
    )
    return table.astype(_TYPES)


def settings(table: Runs, metric: str) -> list[Setting]:
    """Summarise the runs of each setting.

    Args:
        table: of `runs`; failed runs are left out, and a run in two sweeps counts once.
        metric: name of a number in the results.

    Returns:
        The settings, ordered by task, D, model and d.
    """
    done = table[table.done].drop_duplicates("id").sort_values("order", kind="stable")
    if done.empty:
        return []
    done = done.assign(value=[number(result.get(metric)) for result in done.result])
    groups = done.groupby(["task", "setting"])
    summary = pd.concat(
        [
            groups[_SAME].first(),
            groups[["seconds", "step_ms"]].median(),
            groups.value.agg(n="size", mean=mean, std=deviation),
            groups[["result", "seed", "id"]].agg(list),
        ],
        axis=1,
    )
    ordered = summary.reset_index().sort_values(["task", "D", "model", "dim", "setting"])
    rows = ordered.rename(columns=_PLURAL)[list(Setting._fields)]
    return [Setting(*row) for row in rows.itertuples(index=False, name=None)]


_SAME = ["arguments", "model", "projection", "dim", "D", "full", "checkpoint_bytes", "command"]
_PLURAL = {"result": "results", "seed": "seeds", "id": "ids"}


@dataclass(frozen=True)
class Curve:
    """Settings that differ in d alone.

    Attributes:
        projection: kind of P; empty if no setting has d below D.
        points: ordered by d; in the last all weights may be free.
    """

    projection: str
    points: Sequence[Setting]

    @property
    def model(self) -> str:
        """Name of the net."""
        return self.points[0].model

    @property
    def D(self) -> int:
        """Number of weights."""
        return self.points[0].D

    @property
    def arguments(self) -> Arguments:
        """What the settings have in common."""
        return without(self.points[0].arguments, "dim", "projection")

    @property
    def subspaces(self) -> list[Setting]:
        """The settings with d below D."""
        return [one for one in self.points if not one.full]

    @property
    def full(self) -> Setting | None:
        """The setting in which all weights are free, if it was run."""
        return next((one for one in self.points if one.full), None)

    def at(self, dim: int) -> Setting | None:
        """The setting with `dim` free parameters, if it was run."""
        return next((one for one in self.points if one.dim == dim), None)


def curves(found: Iterable[Setting]) -> list[Curve]:
    """Put settings that differ in d alone together; a full model belongs to each kind's curve.

    Args:
        found: settings; those without d are left out.

    Returns:
        The curves, ordered by D and model.
    """
    families = grouped(
        (one for one in found if one.dim),
        lambda one: (one.task, key(without(one.arguments, "dim", "projection"))),
    )
    result: list[Curve] = []
    for name in sorted(families, key=lambda n: (families[n][0].D, families[n][0].model, n)):
        family = sorted(families[name], key=lambda one: one.dim)
        full = [one for one in family if one.full]
        kinds = grouped((one for one in family if not one.full), lambda one: one.projection)
        result += [Curve(kind, [*kinds[kind], *full]) for kind in sorted(kinds)]
        result += [] if kinds else [Curve("", full)]
    return result


def metrics(results: Sequence[Mapping[str, Any]], first: Sequence[str] = ()) -> list[str]:
    """The numbers that all results have, the one that judges a run first.

    Args:
        results: of runs of one task.
        first: metrics that are known to judge it.

    Returns:
        Names; none if the results have no number in common.
    """
    names = [
        name
        for name in (results[0] if results else ())
        if name not in _NO_METRICS and all(is_number(one.get(name)) for one in results)
    ]
    tests = [name for name in names if name.startswith("test")]
    preferred = [name for name in (*first, *_PREFERRED, *tests) if name in names]
    return list(dict.fromkeys([*preferred, *names]))


def course(one: Setting, metric: str) -> np.ndarray:
    """A metric from evaluation to evaluation.

    Args:
        one: a setting.
        metric: a field of the evaluations.

    Returns:
        One row a run, shape (n, evaluations); runs are cut to the shortest, to 0 evaluations if
        one lacks the metric.
    """
    return _even(
        [e[metric] for e in _evaluations(r) if is_number(e.get(metric))] for r in one.results
    )


def losses(one: Setting) -> tuple[np.ndarray, np.ndarray]:
    """The training loss by epoch: from `loss_curve` of the results, else from the evaluations.

    Args:
        one: a setting.

    Returns:
        Epochs, shape (points,), and the losses, shape (n, points).
    """
    table = _even(_numbers(result.get("loss_curve")) for result in one.results)
    points, epochs = table.shape[1], len(_evaluations(one.results[0]))
    if not points or not epochs:
        table = course(one, "train_loss")
        return np.arange(1.0, table.shape[1] + 1), table
    # Each point is the mean over its span: it stands in the span's middle.
    return (np.arange(points) + 0.5) * epochs / points, table


def varying(found: Sequence[Setting]) -> list[str]:
    """The arguments in which settings differ, `model`, `projection` and `dim` first.

    Args:
        found: settings.

    Returns:
        Names; `projection` is not among them if it says no more than that all weights are free.
    """
    names = tables.varying([one.arguments for one in found])
    if len({one.arguments.get("projection") for one in found if not one.full}) <= 1:
        names = [name for name in names if name != "projection"]
    first = [name for name in ("model", "projection", "dim") if name in names]
    return first + [name for name in names if name not in first]


def without(arguments: Arguments, *names: str) -> dict[str, Any]:
    """The arguments but those named."""
    return {name: value for name, value in arguments.items() if name not in names}


def key(arguments: Arguments) -> str:
    """A text that is the same for the same arguments."""
    return json.dumps(arguments, sort_keys=True)


def grouped(items: Iterable[_T], by: Callable[[_T], _K]) -> dict[_K, list[_T]]:
    """Items by a key, in their order."""
    found: dict[_K, list[_T]] = {}
    for item in items:
        found.setdefault(by(item), []).append(item)
    return found


def number(value: object) -> float:
    """A number as a float; NaN for anything else."""
    return float(value) if isinstance(value, int | float) and is_number(value) else math.nan


#: Of the columns that hold numbers.
_TYPES = {
    "done": bool, "full": bool, "dim": "int64", "D": "int64", "seconds": float, "step_ms": float,
    "checkpoint_bytes": float,
}  # fmt: skip

_EMPTY: Record = {
    "id": "", "task": "", "arguments": {}, "status": DONE, "result": {}, "seconds": 0.0,
    "started": "", "environment": {},
}  # fmt: skip


def _row(sweep: str, record: Record) -> dict[str, Any]:
    arguments, result = record["arguments"], record["result"]
    others = without(arguments, "seed")
    D = result.get("D", 0)
    dim = next(filter(_is_count, (result.get("dim"), arguments.get("dim"))), 0)
    return {
        "sweep": sweep,
        "id": record["id"],
        "task": record["task"],
        "done": record["status"] == DONE,
        "arguments": others,
        "setting": key(others),
        "seed": arguments.get("seed"),
        "order": str(arguments.get("seed", "")).zfill(20),
        "model": str(arguments.get("model", "")),
        "projection": str(arguments.get("projection", "")),
        "dim": dim,
        "D": D,
        "full": D > 0 and dim == D,
        "seconds": float(record["seconds"]),
        "step_ms": _step_ms(record),
        "checkpoint_bytes": number(result.get("checkpoint_bytes")),
        "result": result,
        "error": record.get("error", ""),
        "environment": record["environment"],
        "command": record.get("command", ""),
    }


def _step_ms(record: Record) -> float:
    """Time of a step: up to the last evaluation, if the record says when that was."""
    steps = number(record["result"].get("steps"))
    last = (_evaluations(record["result"]) or [{}])[-1].get("seconds")
    time = last if is_number(last) else record["seconds"]
    return 1e3 * number(time) / steps if steps > 0 else math.nan


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63


def _evaluations(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Those of this package's tasks; others may mean something else by the name."""
    found = result.get("evaluations")
    fits = isinstance(found, list) and all(isinstance(one, Mapping) for one in found)
    return found if fits else []


def _numbers(found: object) -> Sequence[float]:
    return found if isinstance(found, list) and all(map(is_number, found)) else []


def _even(rows: Iterable[Sequence[float]]) -> np.ndarray:
    """Rows cut to the shortest."""
    found = list(rows)
    return np.array([row[: min(map(len, found))] for row in found], dtype=float)
