"""The definition of a measurement: task, metric, threshold, precision."""

import collections
import dataclasses
import hashlib
import itertools
import json
import math
import re
import reprlib
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from subspace_nn.common import strict_json
from subspace_nn.common.checks import is_whole, number, plain, whole
from subspace_nn.common.errors import InputError, problems_of, unknown_name
from subspace_nn.dimension.estimate import MOST_CONFIDENCE
from subspace_nn.dimension.plan import Dim
from subspace_nn.dimension.results import LARGEST, Results
from subspace_nn.runs.record import DONE, Record
from subspace_nn.runs.run import Run, find_task

Better = Literal["higher", "lower"]
Threshold = Literal["relative", "gain", "absolute"]

#: The dim of a run that trains all weights, and its projection.
FULL, IDENTITY = "full", "identity"

#: Arguments that a measurement sets itself.
_OWN = ("dim", "seed")

#: Defaults of fields that came later; they are left out of ids, so that earlier ids stay.
_LATER = {"least": 1, "most": None, "probe": None}

#: Placeholders, for the arguments that all runs share.
_ANY = {"dim": FULL, "seed": 0}


@dataclass(frozen=True)
class Question:
    """The definition of one measurement; `docs/measure.md` defines each part.

    Attributes:
        task: a task of `subspace_nn.runs`: a built-in name, or `package.module:function`. It takes
            `dim` (a whole number, or "full") and `seed`, and its result has the metric and `D`.
        arguments: the task's other arguments.
        metric: which value of the result counts.
        better: whether higher or lower is better.
        threshold: the value to reach: a share of the full model's mean (if lower is better, that
            mean divided by the threshold), of the gain from the probe to it, or the value itself.
        kind: of the threshold, relative, gain or absolute.
        precision: width asked for: the interval's ends may differ by this part of the lower one,
            or by one.
        confidence: probability that the interval is to have.
        batch: number of runs that are planned together, and may run at once.
        seed: from which the seeds of all runs are made.
        least: the smallest dimension to try; every smaller one is taken to fall short.
        most: the largest dimension to try, except for the full model; None if there is no limit.
        probe: for the kind gain, the metric of what trains nothing of the model, such as a
            linear probe; None for the other kinds.
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
    probe: float | None = None

    def __post_init__(self) -> None:
        """Turn NumPy's numbers, which JSON cannot hold, into Python's."""
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))

    def problems(self) -> list[str]:
        """Check the values, and that the task takes them.

        Returns:
            One sentence for each value that is wrong.

        Example:
            >>> for problem in Question("mnist", threshold=90, batch=0).problems():
            ...     print(problem)
            A relative threshold is a share above 0 and at most 1, got 90. For the metric's own \
value, use kind absolute.
            batch must be a whole number of at least 1, got 0.
        """
        found = self._type_problems()
        return found or self.value_problems() + self._task_problems()

    def _type_problems(self) -> list[str]:
        return [
            f"{name} must be {words}, got {reprlib.repr(getattr(self, name))}."
            for name, kind, words in (
                ("task", str, "a name"),
                ("metric", str, "a name"),
                ("arguments", Mapping, "values by name"),
            )
            if not isinstance(getattr(self, name), kind)
        ]

    def value_problems(self) -> list[str]:
        """Check the values without importing the task.

        Returns:
            One sentence for each value that is wrong.
        """
        if found := self._type_problems():
            return found
        found = [
            unknown_name(name, getattr(self, name), get_args(valid))
            for name, valid in (("better", Better), ("kind", Threshold))
            if getattr(self, name) not in get_args(valid)
        ]
        found += _measurable("threshold", self.threshold)
        if not found and self.kind != "absolute" and not 0 < self.threshold <= 1:
            found.append(
                f"A {self.kind} threshold is a share above 0 and at most 1, got "
                f"{self.threshold:g}. For the metric's own value, use kind absolute."
            )
        if self.probe is not None:
            found += _measurable("probe", self.probe)
        if (self.kind == "gain") != (self.probe is not None):
            found.append(
                "The kind gain needs a probe, and only that kind: the metric of what trains "
                f"nothing of the model, such as a linear probe; got {self.probe}."
            )
        found += number("precision", self.precision, above=0)
        unsure = number("confidence", self.confidence, above=0, below=1)
        if not unsure and self.confidence > MOST_CONFIDENCE:
            limit = f"confidence may be at most {MOST_CONFIDENCE}, got {self.confidence}"
            unsure = [f"{limit}: the interval is a bootstrap over few runs, and cannot be surer."]
        found += unsure + whole("batch", self.batch, 1) + whole("seed", self.seed, 0)
        least = whole("least", self.least, 1)
        found += least
        if self.most is not None:
            found += whole("most", self.most, 1 if least else self.least)
        return found

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
        return self.kind != "absolute"

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
        return self.run_of(dim, next(seed for seed in seeds if seed not in used))

    def run_of(self, dim: Dim, seed: int) -> Run:
        """A run at a dimension.

        Args:
            dim: the dimension, or "full".
            seed: of the run.

        Returns:
            The run.
        """
        identity = self._identity if dim == FULL else {}
        return Run.of(self.task, {**self.arguments, **identity, "dim": dim, "seed": seed})

    def fitting(self, records: Iterable[Record]) -> tuple[list[Record], dict[str, int]]:
        """Which finished records this measurement could have asked for.

        Args:
            records: as a store reads them; their order does not matter.

        Returns:
            The records that fit, ordered by id: their task and all arguments but dim and seed are
            the question's own, the dimension is one to try, and the result has the metric and D.
            And the number of other finished records of the task, by why they do not fit.
        """
        part = self._filled
        full = part | self._identity
        found: dict[str, Record] = {}
        left_out: collections.Counter[str] = collections.Counter()
        for record in records:
            if record["status"] != DONE or record["task"] != self.task:
                continue
            if reason := self._why_not(record, full if _is_full(record) else part):
                left_out[reason] += 1
            else:
                found[record["id"]] = record
        return [found[name] for name in sorted(found)], dict(sorted(left_out.items()))

    def _why_not(self, record: Record, arguments: Mapping[str, Any]) -> str | None:
        """Why a finished record of the task does not fit; None if it does."""
        result, rest = record["result"], _rest(record["arguments"])
        names = sorted({*rest, *arguments})
        if names := [n for n in names if rest.get(n) != arguments.get(n)]:
            return f"other {_listed(names)}"
        if missing := [name for name in ("D", self.metric) if name not in result]:
            return f"no {' and no '.join(missing)}"
        if not is_whole(record["arguments"].get("seed")):
            return "no seed"
        if _is_full(record):
            return None
        dim, largest = record["arguments"].get("dim"), min(self.most or math.inf, result["D"] - 1)
        is_tried = isinstance(dim, int) and is_whole(dim) and self.least <= dim <= largest
        return None if is_tried else "a dim that is not to be tried"

    @property
    def _filled(self) -> dict[str, Any]:
        """The arguments of all runs, as their records have them; data need not be there."""
        task = find_task(self.task)
        every = _rest(strict_json.round_trip({**task.defaults, **self.arguments}))
        later = {name: task.defaults[name] for name in task.later if name in task.defaults}
        return {n: value for n, value in every.items() if n not in later or value != later[n]}

    @property
    def _identity(self) -> dict[str, str]:
        """The projection of the full model, where the task has that argument."""
        takes = "projection" in find_task(self.task).parameters
        return {"projection": IDENTITY} if takes else {}

    def results(self, records: Sequence[Record]) -> Results | None:
        """The metrics of some records, turned so that higher is better.

        Args:
            records: of finished runs of this measurement.

        Returns:
            The results; None as long as no run of the full model is among them.

        Raises:
            InputError: if a record lacks the metric or D, the records disagree about D, or the mean
                of the full model's metric makes no sense of a relative threshold or a gain.
        """
        check_metrics(records, self.metric)
        sizes = {record["result"]["D"]: record["arguments"]["dim"] for record in records}
        if len(sizes) > 1:
            listed = " and ".join(f"{D:,} (dim={dim})" for D, dim in sizes.items())
            raise InputError(
                f"The runs of {self.task} have different D: {listed}. A run of another model is "
                "another task: use another folder for its records, or give the task an argument."
            )
        sign = 1 if self.better == "higher" else -1
        full: list[float] = []
        at: dict[int, list[float]] = {}
        for record in records:
            target = full if _is_full(record) else at.setdefault(record["arguments"]["dim"], [])
            target.append(sign * float(record["result"][self.metric]))
        if not full:
            return None
        (D,) = sizes
        factor, constant = self._rule(sign * statistics.fmean(full))
        return Results(D, full, at, factor, sign * constant, self.least, self.most)

    def _rule(self, full: float) -> tuple[float, float]:
        """The threshold as a factor of the full model's mean, and a constant."""
        if not self.relative:
            return 0.0, self.threshold
        if self.probe is not None:
            if full == self.probe or (full > self.probe) != (self.better == "higher"):
                raise InputError(
                    f"The mean of the full model's {self.metric} is {full:g}, no gain over the "
                    f"probe's {self.probe:g}. Use an absolute threshold."
                )
            return self.threshold, (1 - self.threshold) * self.probe
        if full <= 0:
            raise InputError(
                f"A relative threshold needs a mean above 0; the mean of the full model's "
                f"{self.metric} is {full:g}. Use an absolute threshold."
            )
        return (self.threshold if self.better == "higher" else 1 / self.threshold), 0.0

    def _task_problems(self) -> list[str]:
        try:
            parameters = find_task(self.task).parameters
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


def _listed(names: Sequence[str], most: int = 3, length: int = 40) -> str:
    """The first names, which may be a stranger's, each cut to a length."""
    cut = [name if len(name) <= length else f"{name[:length]}…" for name in names[:most]]
    return ", ".join(cut) + (", …" if len(names) > most else "")


def _rest(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the question sets."""
    return {name: value for name, value in arguments.items() if name not in _OWN}


def _is_full(record: Record) -> bool:
    """Whether it is a run of the full model: all weights are free, each by itself."""
    # A task without an argument `projection` may map D numbers to D weights: dim = D is no proof.
    arguments = record["arguments"]
    dim, D = arguments.get("dim"), record["result"].get("D")
    return dim == FULL or (dim == D and arguments.get("projection") == IDENTITY)


def _seed(seed: int, dim: Dim, count: int) -> int:
    """31 bits, which every library accepts as a seed."""
    from subspace_nn import bits  # noqa: PLC0415  # imports PyTorch, which readers do not need

    return int(bits.words(seed, f"measure/{dim}", count, 1)[0]) & 0x7FFFFFFF


def check_metrics(records: Iterable[Record], metric: str) -> None:
    """Check that results have D and the metric.

    Args:
        records: of finished runs.
        metric: name of the metric.

    Raises:
        InputError: if D or the metric is missing or not a number; the message names all such
            records.
    """
    wrong = {record["id"]: _metric_problems(record, metric) for record in records}
    wrong = {name: problems for name, problems in wrong.items() if problems}
    if wrong:
        raise InputError(
            *dict.fromkeys(itertools.chain.from_iterable(wrong.values())),
            f"Affected records: {', '.join(wrong)}. They count as done; after changing the task, "
            "use a new folder, or remove these records. To use another value of the result, set "
            "metric to its name.",
        )


def _measurable(name: str, value: object) -> list[str]:
    """Check a number that is not so large that sums of it are infinite."""
    return number(name, value) or number(name, value, least=-LARGEST, most=LARGEST)


def _metric_problems(record: Record, metric: str) -> list[str]:
    result = record["result"]
    there = ", ".join(sorted(result))
    missing = [
        f"The result of {record['task']} has no {name!r}; it has: {there}."
        for name in ("D", metric)
        if name not in result
    ]
    return missing or whole("D", result["D"], 2) + _measurable(metric, result[metric])
