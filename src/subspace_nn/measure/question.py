"""What is asked: of which task, by which metric, at which threshold, how precisely."""

import dataclasses
import hashlib
import inspect
import itertools
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from subspace_nn import bits
from subspace_nn.common.checks import number, plain, whole
from subspace_nn.common.errors import InputError, problems_of, unknown_name
from subspace_nn.measure.estimate import MOST_CONFIDENCE, Results
from subspace_nn.measure.plan import Dim
from subspace_nn.runs.run import DONE, Run, find_task

Better = Literal["higher", "lower"]
Threshold = Literal["relative", "absolute"]

#: How a task is told to train all weights, and the map with which it does so.
FULL, IDENTITY = "full", "identity"

#: Arguments that a measurement sets itself.
_OWN = ("dim", "seed")

#: Fields that came later, and what stands for their absence: earlier questions keep their ids.
_LATER = {"least": 1, "most": None}

#: For what is common to all runs.
_ANY = {"dim": FULL, "seed": 0}


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
        least: the smallest dimension to try; every smaller one is taken to fall short.
        most: the largest dimension to try, beside the full model; None if there is no limit.
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
    least: int = 1
    most: int | None = None

    def __post_init__(self) -> None:
        """Turn NumPy's numbers, which JSON cannot hold, into Python's."""
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))

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
            f"{name} must be {words}, got {getattr(self, name)!r}."
            for name, kind, words in (
                ("task", str, "a name"),
                ("metric", str, "a name"),
                ("arguments", Mapping, "values by name"),
            )
            if not isinstance(getattr(self, name), kind)
        ]
        if found:
            return found
        found += [
            unknown_name(name, getattr(self, name), get_args(valid))
            for name, valid in (("better", Better), ("kind", Threshold))
            if getattr(self, name) not in get_args(valid)
        ]
        found += number("threshold", self.threshold)
        if not found and self.kind == "relative" and not 0 < self.threshold <= 1:
            found.append(
                f"A relative threshold is a share above 0 and at most 1, got {self.threshold:g}. "
                "For the figure itself say kind absolute."
            )
        found += number("precision", self.precision, above=0)
        found += number("confidence", self.confidence, above=0, below=1)
        if not found and self.confidence > MOST_CONFIDENCE:
            found.append(
                f"confidence may be at most {MOST_CONFIDENCE}, got {self.confidence}: the interval "
                "is a bootstrap over the runs, and so few runs do not tell more."
            )
        found += whole("batch", self.batch, 1) + whole("seed", self.seed, 0)
        least = whole("least", self.least, 1)
        found += least
        if self.most is not None:
            found += whole("most", self.most, 1 if least else self.least)
        return found + self._task_problems()

    @property
    def id(self) -> str:
        """16 hexadecimal digits made from all of it."""
        content = dataclasses.asdict(self)
        for name, default in _LATER.items():
            if content[name] == default:
                del content[name]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
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
        identity = self._identity if dim == FULL else {}
        return Run.of(self.task, {**self.arguments, **identity, "dim": dim, "seed": seed})

    def fitting(self, records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The records of finished runs that this measurement could have asked for.

        Args:
            records: as a store reads them.

        Returns:
            Those of which the task and all arguments but dim and seed are the question's own, of
            which the dimension is one to try, and the result has the metric and D; one for each
            dim and seed.
        """
        full = _rest(Run.of(self.task, {**self.arguments, **self._identity, **_ANY}).arguments)
        part = _rest(Run.of(self.task, {**self.arguments, **_ANY}).arguments)
        found = {
            (record["arguments"]["dim"], record["arguments"]["seed"]): record
            for record in records
            if record["status"] == DONE
            and record["task"] == self.task
            and not {self.metric, "D"} - record["result"].keys()
            and _rest(record["arguments"]) == (full if _is_full(record) else part)
            and (_is_full(record) or self._tries(record["arguments"]["dim"], record["result"]["D"]))
        }
        return list(found.values())

    @property
    def _identity(self) -> dict[str, str]:
        """The projection of the full model, where the task has that argument."""
        parameters = inspect.signature(find_task(self.task)).parameters
        return {"projection": IDENTITY} if "projection" in parameters else {}

    def _tries(self, dim: int, D: int) -> bool:
        return self.least <= dim < D and (self.most is None or dim <= self.most)

    def results(self, records: Sequence[Mapping[str, Any]]) -> Results | None:
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
        for record, (dim, _, figure) in zip(records, figures, strict=True):
            target = full if _is_full(record) else at.setdefault(dim, [])
            target.append(figure if self.better == "higher" else -figure)
        if not full:
            return None
        (D,) = sizes
        if not self.relative:
            level = self.threshold if self.better == "higher" else -self.threshold
            return Results(D, full, at, 0.0, level, self.least, self.most)
        sign = 1 if self.better == "higher" else -1
        if (least := min(sign * value for value in full)) <= 0:
            raise InputError(
                f"A relative threshold needs a metric above 0; the full model's {self.metric} "
                f"was {least:g}. Give an absolute threshold."
            )
        factor = self.threshold if self.better == "higher" else 1 / self.threshold
        return Results(D, full, at, factor, 0.0, self.least, self.most)

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
        if not set(_OWN) - parameters.keys():
            found += problems_of(lambda: Run.of(self.task, {**self.arguments, **_ANY}))
        return found


def _rest(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the question, as a record has them: a list in place of a tuple."""
    rest = {name: value for name, value in arguments.items() if name not in _OWN}
    return dict(json.loads(json.dumps(rest)))


def _is_full(record: Mapping[str, Any]) -> bool:
    """Whether it is a run of the full model: of all weights, each by itself."""
    dim, D = record["arguments"]["dim"], record["result"].get("D")
    return dim == FULL or (dim == D and record["arguments"].get("projection", IDENTITY) == IDENTITY)


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
    check_figures([record], metric)
    return record["result"]["D"], float(record["result"][metric])


def check_figures(records: Iterable[Mapping[str, Any]], metric: str) -> None:
    """See that results have what counts.

    Args:
        records: of finished runs.
        metric: which figure.

    Raises:
        InputError: if D or the figure is missing or no number; the message names all such records.
    """
    wrong = {record["id"]: _odd(record, metric) for record in records}
    wrong = {name: problems for name, problems in wrong.items() if problems}
    if wrong:
        raise InputError(
            *dict.fromkeys(itertools.chain.from_iterable(wrong.values())),
            f"So it is in {', '.join(wrong)}, whose runs count as done: after a change of the task "
            "take another folder, or remove these records. Another figure of the result is chosen "
            "by its name (metric).",
        )


def _odd(record: Mapping[str, Any], metric: str) -> list[str]:
    result = record["result"]
    there = ", ".join(sorted(result))
    missing = [
        f"The result of {record['task']} has no {name!r}; it has: {there}."
        for name in ("D", metric)
        if name not in result
    ]
    if missing:
        return missing
    return whole("D", result["D"], 2) + number(metric, result[metric])
