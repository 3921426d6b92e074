"""Records that differ in their seed alone, together: mean, standard deviation, number."""

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from subspace_nn.runs import tables
from subspace_nn.runs.run import DONE

Record = Mapping[str, Any]

ACCURACY = "test_accuracy"

#: What a task of the user's own may call its figure of merit, in order of preference.
_PREFERRED = (ACCURACY, "accuracy", "test_loss", "loss", "error", "train_loss")
#: Numbers of a result that describe a run and do not judge it.
_NO_MEASURES = frozenset({"D", "dim", "steps", "epochs", "test_correct", "seconds"})


@dataclass(frozen=True)
class Summary:
    """A figure of several runs.

    Attributes:
        mean: over the runs.
        std: standard deviation over the runs; None for a single one.
        n: number of runs.
    """

    mean: float
    std: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        """Summarise values.

        Args:
            values: one a run, at least one.

        Returns:
            The summary.

        Example:
            >>> Summary.of([90.0, 92.0])
            Summary(mean=91.0, std=1.4142135623730951, n=2)
        """
        n, mean = len(values), statistics.fmean(values)
        if n == 1:
            return cls(mean, None, n)
        # statistics.stdev is exact, and thirty times slower.
        return cls(mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1)), n)

    @property
    def spread(self) -> float:
        """The standard deviation; 0 for a single run."""
        return self.std or 0.0


@dataclass(frozen=True)
class Group:
    """Finished runs of one configuration with different seeds.

    Attributes:
        task: of the runs.
        arguments: of the runs, without the seed.
        records: of the runs, ordered by seed.
    """

    task: str
    arguments: Mapping[str, Any]
    records: Sequence[Record]

    @property
    def n(self) -> int:
        """Number of runs."""
        return len(self.records)

    @property
    def model(self) -> str:
        """Name of the net, if the task has one."""
        return str(self.arguments.get("model", ""))

    @property
    def D(self) -> int:
        """Number of weights; 0 where the task does not tell."""
        return int(self.records[0]["result"].get("D", 0))

    @property
    def dim(self) -> int | None:
        """Number of free parameters d, D for "full"; None where the task has no such thing."""
        found = self.records[0]["result"].get("dim", self.arguments.get("dim"))
        return found if isinstance(found, int) and not isinstance(found, bool) else None

    @property
    def is_full(self) -> bool:
        """Whether all weights are free."""
        return self.D > 0 and self.dim == self.D

    @property
    def accuracy(self) -> Summary:
        """Test accuracy at the end of training, in percent."""
        return self.summary(ACCURACY)

    @property
    def seconds(self) -> float:
        """Median wall time of a run."""
        return statistics.median(r["seconds"] for r in self.records)

    @property
    def step_ms(self) -> float | None:
        """Median over the runs of the time of a step, evaluations included, in milliseconds."""
        steps = [r["result"].get("steps") for r in self.records]
        if not all(_is_number(n) and n for n in steps):
            return None
        last = [
            course[-1]["seconds"]
            for course in map(_evaluations, self.records)
            if course and _is_number(course[-1].get("seconds"))
        ]
        times = last if len(last) == self.n else [r["seconds"] for r in self.records]
        return statistics.median(1e3 * t / s for t, s in zip(times, steps, strict=True))

    def summary(self, measure: str) -> Summary:
        """A figure of the results over the runs.

        Args:
            measure: its name; every result must have it.

        Returns:
            Mean and standard deviation.
        """
        return Summary.of([float(r["result"][measure]) for r in self.records])

    def over_epochs(self, measure: str) -> tuple[list[float], list[Summary]]:
        """The course of a figure from evaluation to evaluation.

        Args:
            measure: a field of the evaluations, such as "test_accuracy".

        Returns:
            Epochs, and a summary of each; empty if any run lacks the figure. Runs of different
            lengths are cut to the shortest.
        """
        courses = [
            [e[measure] for e in _evaluations(r) if _is_number(e.get(measure))]
            for r in self.records
        ]
        points = [Summary.of(column) for column in zip(*courses, strict=False)]
        return [float(n) for n in range(1, len(points) + 1)], points

    def loss_curve(self) -> tuple[list[float], list[Summary]]:
        """The training loss by epochs: from the runs' `loss_curve`, else from their evaluations.

        Returns:
            Epochs (fractions of them), and a summary of each.
        """
        courses = [_numbers(r["result"].get("loss_curve")) for r in self.records]
        points = [Summary.of(column) for column in zip(*courses, strict=False)]
        epochs = len(_evaluations(self.records[0]))
        if not points or not epochs:
            return self.over_epochs("train_loss")
        # Each point is the mean over its span: it stands in the span's middle.
        return [(i + 0.5) * epochs / len(points) for i in range(len(points))], points


def group(records: Iterable[Record]) -> list[Group]:
    """Group finished records.

    Args:
        records: as a store reads them; those that are not done are left out, and one of several
            with the same id is kept.

    Returns:
        Groups ordered by D, model and number of free parameters.
    """
    unique = {record["id"]: record for record in records if record["status"] == DONE}
    found: dict[str, list[Record]] = {}
    for record in unique.values():
        found.setdefault(repr((record["task"], sorted(_rest(record).items()))), []).append(record)
    groups = [
        Group(
            same[0]["task"],
            _rest(same[0]),
            sorted(same, key=lambda r: str(r["arguments"].get("seed", "")).zfill(20)),
        )
        for same in found.values()
    ]
    return sorted(groups, key=lambda g: (g.task, g.D, g.model, g.dim or 0, repr(g.arguments)))


def varying(groups: Sequence[Group]) -> list[str]:
    """The arguments in which groups differ.

    `projection` is left out where it says no more than that all weights are free.

    Args:
        groups: any.

    Returns:
        Names, `model` and `dim` first.
    """
    names = tables.varying([dict(g.arguments) for g in groups])
    kinds = {g.arguments.get("projection") for g in groups if not g.is_full}
    if len(kinds) <= 1:
        names = [name for name in names if name != "projection"]
    first = [name for name in ("model", "projection", "dim") if name in names]
    return first + [name for name in names if name not in first]


def labels(groups: Sequence[Group]) -> list[str]:
    """A short name for each group: the arguments in which they differ.

    Args:
        groups: to be told apart.

    Returns:
        One text for each group.
    """
    names = varying(groups)
    return [", ".join(_label(name, g) for name in names) for g in groups]


def value_text(name: str, one: Group) -> str:
    """An argument as a table shows it.

    Args:
        name: of the argument.
        one: a group.

    Returns:
        Its value; a whole number of free parameters has commas.
    """
    value = one.arguments.get(name)
    return f"{value:,}" if name == "dim" and isinstance(value, int) else str(value)


def measures(groups: Sequence[Group]) -> list[str]:
    """The numbers that every result has, the one that judges a run first.

    Args:
        groups: of one task.

    Returns:
        Names; none if the results have no number in common.
    """
    records = list(itertools.chain.from_iterable(g.records for g in groups))
    names = [
        name
        for name in (records[0]["result"] if records else {})
        if name not in _NO_MEASURES and all(_is_number(r["result"].get(name)) for r in records)
    ]
    first = [name for name in _PREFERRED if name in names]
    return first + [name for name in names if name not in first]


def _label(name: str, one: Group) -> str:
    text = value_text(name, one)
    return text if name in {"model", "dim", "projection"} else f"{name} {text}"


def _rest(record: Record) -> dict[str, Any]:
    return {name: value for name, value in record["arguments"].items() if name != "seed"}


def _evaluations(record: Record) -> Sequence[Mapping[str, Any]]:
    """Those of this package's own tasks; other tasks may mean something else by the name."""
    found = record["result"].get("evaluations")
    fits = isinstance(found, list) and all(isinstance(one, Mapping) for one in found)
    return found if fits else []


def _numbers(found: object) -> Sequence[float]:
    fits = isinstance(found, list) and all(map(_is_number, found))
    return found if fits else []


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
