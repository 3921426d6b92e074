"""What is asked: of which task, by which metric, at which threshold, how precisely."""

import dataclasses
import hashlib
import inspect
import itertools
import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from subspace_nn import bits
from subspace_nn.errors import InputError, unknown_name
from subspace_nn.measure.estimate import Results
from subspace_nn.measure.plan import Dim
from subspace_nn.runs import DONE, Run, find_task

Better = Literal["higher", "lower"]
Threshold = Literal["relative", "absolute"]

#: How a task is told to train all weights, and the map with which it does so.
FULL, IDENTITY = "full", "identity"

#: Arguments that a measurement sets itself.
_OWN = ("dim", "seed")


@dataclass(frozen=True)
class Question:
    """The definition of one measurement; `docs/measure.md` says what each part means.

    Attributes:
        task: a task of `subspace_nn.runs`: a built-in name, or `package.module:function`. It takes
            `dim` (a whole number, or "full") and `seed`, and its result has the metric and `D`.
        arguments: the task's other arguments.
        metric: which figure of the result counts.
        better: whether a higher or a lower figure is better.
        threshold: the figure to reach: a share of the full model's mean (for a metric of which
            lower is better, the mean over the threshold), or the figure itself.
        kind: of the threshold, relative or absolute.
        precision: width asked for: the interval's ends may differ by this part of the lower one,
            or by one.
        confidence: probability that the interval is to have.
        batch: number of runs that are planned together, and may run at once.
        seed: from which the seeds of all runs are made.
    """

    task: str
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metric: str = "test_accuracy"
    better: Better = "higher"
    threshold: float = 0.9
    kind: Threshold = "relative"
    precision: float = 0.2
    confidence: float = 0.95
    batch: int = 4
    seed: int = 0

    def problems(self) -> list[str]:
        """What is wrong with the values, all of it.

        Returns:
            One sentence for each, none if all is well.

        Example:
            >>> for problem in Question("mnist", threshold=90, batch=0).problems():
            ...     print(problem)
            A relative threshold is a share above 0 and at most 1, got 90. For the figure itself \
say kind absolute.
            batch must be a whole number of at least 1, got 0.
        """
        found = [
            unknown_name(name, getattr(self, name), get_args(valid))
            for name, valid in (("better", Better), ("kind", Threshold))
            if getattr(self, name) not in get_args(valid)
        ]
        found += _number("threshold", self.threshold, -math.inf, math.inf)
        if not found and self.kind == "relative" and not 0 < self.threshold <= 1:
            found.append(
                f"A relative threshold is a share above 0 and at most 1, got {self.threshold:g}. "
                "For the figure itself say kind absolute."
            )
        found += _number("precision", self.precision, 0, math.inf)
        found += _number("confidence", self.confidence, 0, 1)
        found += _whole("batch", self.batch, 1) + _whole("seed", self.seed, 0)
        return found + self._task_problems()

    @property
    def id(self) -> str:
        """16 hexadecimal digits made from all of it."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """A name for files: the metric, the threshold, and the beginning of the id."""
        metric = re.sub(r"[^\w.-]", "-", self.metric)
        return f"{metric}-{self.threshold:g}-{self.id[:8]}"

    @property
    def relative(self) -> bool:
        """Whether the threshold depends on the full model."""
        return self.kind == "relative"

    def run(self, dim: Dim, used: Collection[int] = ()) -> Run:
        """The next run at a dimension, with a seed of its own.

        The seed is made from the question's, the dimension and a count, so that two measurements
        of a task ask for the same runs where they can.

        Args:
            dim: the dimension, or "full".
            used: seeds that runs at this dimension have already.

        Returns:
            The run.
        """
        seeds = (_seed(self.seed, dim, count) for count in itertools.count())
        seed = next(seed for seed in seeds if seed not in used)
        arguments = {**self.arguments, "dim": dim, "seed": seed}
        if dim == FULL and "projection" in inspect.signature(find_task(self.task)).parameters:
            arguments["projection"] = IDENTITY
        return Run.of(self.task, arguments)

    def fitting(self, records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The records of finished runs that this measurement could have asked for.

        Args:
            records: as a store reads them.

        Returns:
            Those of which the task and all arguments but dim and seed are the question's own, and
            of which the result has the metric and D; one for each dim and seed.
        """
        templates = {dim: _rest(self.run(dim).arguments) for dim in (FULL, 1)}
        found = {
            (record["arguments"]["dim"], record["arguments"]["seed"]): record
            for record in records
            if record["status"] == DONE
            and record["task"] == self.task
            and not {self.metric, "D"} - record["result"].keys()
            and _rest(record["arguments"])
            == templates[FULL if record["arguments"]["dim"] == FULL else 1]
        }
        return list(found.values())

    def results(self, records: Iterable[Mapping[str, Any]]) -> Results | None:
        """The figures of some records, turned so that higher is better.

        Args:
            records: of finished runs of this measurement.

        Returns:
            The results; None as long as there is no run of the full model.

        Raises:
            InputError: if a record has not the metric or D, they do not agree about D, or a
                relative threshold makes no sense for the full model's figure.
        """
        full: list[float] = []
        at: dict[int, list[float]] = {}
        figures = [
            (record["arguments"]["dim"], *figures_of(record, self.metric)) for record in records
        ]
        sizes = {D: dim for dim, D, _ in figures}
        if len(sizes) > 1:
            told = " and ".join(f"{D:,} (dim={dim})" for D, dim in sizes.items())
            raise InputError(
                f"The runs of {self.task} have different D: {told}. A run of another model is "
                "another task: take another folder for its records, or give the task an argument."
            )
        for dim, D, figure in figures:
            target = full if dim in {FULL, D} else at.setdefault(dim, [])
            target.append(figure if self.better == "higher" else -figure)
        if not full:
            return None
        (D,) = sizes
        if not self.relative:
            level = self.threshold if self.better == "higher" else -self.threshold
            return Results(D, full, at, factor=0.0, constant=level)
        sign = 1 if self.better == "higher" else -1
        if (least := min(sign * value for value in full)) <= 0:
            raise InputError(
                f"A relative threshold needs a metric above 0; the full model's {self.metric} "
                f"was {least:g}. Give an absolute threshold."
            )
        factor = self.threshold if self.better == "higher" else 1 / self.threshold
        return Results(D, full, at, factor=factor)

    def _task_problems(self) -> list[str]:
        try:
            parameters = inspect.signature(find_task(self.task)).parameters
        except InputError as error:
            return list(error.problems)
        found = [
            f"The task {self.task} has no argument {name!r}, which a measurement sets."
            for name in _OWN
            if name not in parameters
        ]
        found += [
            f"{name} is set by the measurement itself: leave it out."
            for name in _OWN
            if name in self.arguments
        ]
        if not found:
            try:
                Run.of(self.task, {**self.arguments, "dim": FULL, "seed": 0})
            except InputError as error:
                found += error.problems
        return found


def _rest(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in _OWN}


def _seed(seed: int, dim: Dim, count: int) -> int:
    """31 bits: what every library takes for a seed."""
    return int(bits.words(seed, f"measure/{dim}", count, 1)[0]) & 0x7FFFFFFF


def figures_of(record: Mapping[str, Any], metric: str) -> tuple[int, float]:
    """What counts of a result.

    Args:
        record: of a finished run.
        metric: which figure.

    Returns:
        D, and the figure.

    Raises:
        InputError: if either is missing or no number; the message names the record.
    """
    result = record["result"]
    there = ", ".join(sorted(result))
    problems = [
        f"The result of {record['task']} has no {name!r}; it has: {there}."
        for name in ("D", metric)
        if name not in result
    ]
    if not problems:
        problems += _whole("D", result["D"], 2)
        problems += _number(metric, result[metric], -math.inf, math.inf)
    if problems:
        raise InputError(
            *problems,
            f"That is record {record['id']}. Its run counts as done: after a change of the task "
            "take another folder, or remove the record.",
        )
    return result["D"], float(result[metric])


def _number(name: str, value: object, low: float, high: float) -> list[str]:
    if isinstance(value, int | float) and not isinstance(value, bool) and low < value < high:
        return []
    limits = f" above {low:g}" if math.isfinite(low) else ""
    limits += f" and below {high:g}" if math.isfinite(high) else ""
    return [f"{name} must be a number{limits}, got {value!r}."]


def _whole(name: str, value: object, low: int) -> list[str]:
    if isinstance(value, int) and not isinstance(value, bool) and value >= low:
        return []
    return [f"{name} must be a whole number of at least {low}, got {value!r}."]
