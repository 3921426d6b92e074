"""Records that differ in their seed alone, together: mean, standard deviation, number."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from subspace_nn import tables
from subspace_nn.runs import DONE


@dataclass(frozen=True)
class Group:
    """Runs of one configuration with different seeds.

    Attributes:
        arguments: of the runs, without the seed.
        records: of the runs, ordered by seed.
    """

    arguments: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]

    @property
    def accuracies(self) -> list[float]:
        """Test accuracy of each run at the end of its training, in percent."""
        return [r["result"]["test_accuracy"] for r in self.records]

    @property
    def n(self) -> int:
        """Number of runs."""
        return len(self.records)

    @property
    def mean(self) -> float:
        """Mean test accuracy, in percent."""
        return statistics.mean(self.accuracies)

    @property
    def std(self) -> float | None:
        """Standard deviation over the seeds, in points; None for a single run."""
        return statistics.stdev(self.accuracies) if self.n > 1 else None

    @property
    def D(self) -> int:
        """Number of weights."""
        return self.records[0]["result"]["D"]

    @property
    def dim(self) -> int:
        """Number of free parameters d; D for "full"."""
        return self.records[0]["result"]["dim"]

    @property
    def seconds(self) -> float:
        """Median wall time of a run."""
        return statistics.median(r["seconds"] for r in self.records)

    def over_epochs(self, figure: str) -> tuple[list[int], list[float], list[float]]:
        """The course of a figure: epochs, means over the runs, standard deviations.

        Args:
            figure: a field of the evaluations, such as "test_accuracy".

        Returns:
            Three lists of one length; deviations are 0 for a single run.
        """
        courses = [[e[figure] for e in r["result"]["evaluations"]] for r in self.records]
        columns = list(zip(*courses, strict=True))
        return (
            list(range(1, len(columns) + 1)),
            [statistics.mean(column) for column in columns],
            [statistics.stdev(column) if self.n > 1 else 0.0 for column in columns],
        )


def group(records: Iterable[Mapping[str, Any]]) -> list[Group]:
    """Group the finished records of a sweep.

    Args:
        records: as a store reads them; those that are not done are left out.

    Returns:
        Groups ordered by model and number of free parameters.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        if record["status"] == DONE:
            rest = {n: v for n, v in record["arguments"].items() if n != "seed"}
            found.setdefault(repr(sorted(rest.items())), []).append(record)
    groups = [
        Group(
            {n: v for n, v in same[0]["arguments"].items() if n != "seed"},
            sorted(same, key=lambda r: r["arguments"].get("seed", 0)),
        )
        for same in found.values()
    ]
    return sorted(groups, key=lambda g: (str(g.arguments.get("model")), g.dim))


def labels(groups: Sequence[Group], without: Iterable[str] = ()) -> list[str]:
    """A short name for each group: the arguments in which they differ.

    Args:
        groups: to be told apart.
        without: arguments to leave out.

    Returns:
        One text for each group.
    """
    names = [n for n in tables.varying([dict(g.arguments) for g in groups]) if n not in without]
    return [", ".join(str(g.arguments.get(name)) for name in names) for g in groups]
