"""The definition of a measurement: task, metric, threshold, precision."""

import collections
import dataclasses
import functools
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
from subspace_nn.dimension.baseline import FULL, IDENTITY, Baseline
from subspace_nn.dimension.estimate import MOST_CONFIDENCE
from subspace_nn.dimension.metrics import check_metrics, measurable
from subspace_nn.dimension.plan import Dim
from subspace_nn.dimension.results import Results
from subspace_nn.runs.record import DONE, Record
from subspace_nn.runs.run import Run, find_task

Better = Literal["higher", "lower"]
Threshold = Literal["relative", "gain", "absolute"]

#: Where runs of a baseline belong.
BASELINE = "baseline"

#: Arguments that a measurement sets itself.
_OWN = ("dim", "seed")

#: Defaults of fields that came later; they are left out of ids, so that earlier ids stay.
_LATER = {"least": 1, "most": None, "probe": None, "baseline": None}

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
            mean divided by the threshold), of its gain over the baseline, or the value itself.
        kind: of the threshold, relative, gain or absolute.
        precision: width asked for: the interval's ends may differ by this part of the lower one,
            or by one.
        confidence: probability that the interval is to have.
        batch: number of runs that are planned together, and may run at once.
        seed: from which the seeds of all runs are made.
        least: the smallest dimension to try; every smaller one is taken to fall short.
        most: the largest dimension to try, except for the full model; None if there is no limit.
        probe: for the kind gain, the baseline's metric, taken as exact; or None.
        baseline: for the kind gain, a task that is run with several seeds, and trains nothing of
            the model, such as a linear probe; a mapping of `task` and `arguments` will do. None
            for the other kinds, or with a probe.
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
    baseline: Baseline | None = None

    def __post_init__(self) -> None:
        """Turn NumPy's numbers, which JSON cannot hold, into Python's, and JSON into a baseline."""
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))
        given: Any = self.baseline
        if isinstance(given, Mapping) and given.keys() == {"task", "arguments"}:
            object.__setattr__(self, "baseline", Baseline(**given))

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
        base = self.baseline
        parts = [
            ("task", self.task, str, "a name"),
            ("metric", self.metric, str, "a name"),
            ("arguments", self.arguments, Mapping, "values by name"),
            ("baseline", base, Baseline | None, "a task with arguments, or None"),
        ]
        if isinstance(base, Baseline):
            parts += [
                ("task of the baseline", base.task, str, "a name"),
                ("arguments of the baseline", base.arguments, Mapping, "values by name"),
            ]
        return [
            f"{name} must be {words}, got {reprlib.repr(value)}."
            for name, value, kind, words in parts
            if not isinstance(value, kind)
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
        found += measurable("threshold", self.threshold)
        if not found and self.kind != "absolute" and not 0 < self.threshold <= 1:
            found.append(
                f"A {self.kind} threshold is a share above 0 and at most 1, got "
                f"{self.threshold:g}. For the metric's own value, use kind absolute."
            )
        if self.probe is not None:
            found += measurable("probe", self.probe)
        given = [n for n in ("baseline", "probe") if getattr(self, n) is not None]
        if len(given) != (self.kind == "gain"):
            found.append(
                "The kind gain, and no other, needs one of baseline (a task that is run, such as a "
                f"linear probe) and probe (its metric); got {' and '.join(given) or 'neither'} "
                f"with kind {self.kind}."
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
            dim: the dimension, "full", or "baseline".
            used: seeds that runs at this dimension have already.

        Returns:
            The run.
        """
        seeds = (_seed(self.seed, dim, count) for count in itertools.count())
        return self.run_of(dim, next(seed for seed in seeds if seed not in used))

    def run_of(self, dim: Dim, seed: int) -> Run:
        """A run at a dimension.

        Args:
            dim: the dimension, "full", or "baseline".
            seed: of the run.

        Returns:
            The run.
        """
        if dim == BASELINE and self.baseline is not None:
            return self.baseline.run(seed)
        identity = self._identity if dim == FULL else {}
        return Run.of(self.task, {**self.arguments, **identity, "dim": dim, "seed": seed})

    def dim_of(self, task: str, arguments: Mapping[str, Any]) -> Dim:
        """Where a run of this measurement belongs.

        Args:
            task: of the run.
            arguments: of the run.

        Returns:
            Its dimension, "full", or "baseline".
        """
        return BASELINE if self._is_base(task, arguments) else arguments["dim"]

    def fitting(self, records: Iterable[Record]) -> tuple[list[Record], dict[str, int]]:
        """Which finished records this measurement could have asked for.

        Args:
            records: as a store reads them; their order does not matter.

        Returns:
            The records that fit, ordered by id: their task and all arguments but dim and seed are
            the question's own, the dimension is one to try, and the result has the metric and D;
            or task and all arguments but the seed are the baseline's, and the result has the
            metric. And the number of other finished records of the task, by why they do not fit.
        """
        part = self._filled
        full = part | self._identity
        found: dict[str, Record] = {}
        left_out: collections.Counter[str] = collections.Counter()
        for record in records:
            if record["status"] != DONE:
                continue
            if self._is_base(record["task"], record["arguments"]):
                reason = self._lack(record, self.metric)
            elif record["task"] == self.task:
                reason = self._why_not(record, full if _is_full(record) else part)
            else:
                continue
            if reason:
                left_out[reason] += 1
            else:
                found[record["id"]] = record
        return [found[name] for name in sorted(found)], dict(sorted(left_out.items()))

    def _why_not(self, record: Record, arguments: Mapping[str, Any]) -> str | None:
        """Why a finished record of the task does not fit; None if it does."""
        rest = _rest(record["arguments"])
        names = sorted({*rest, *arguments})
        if names := [n for n in names if rest.get(n) != arguments.get(n)]:
            return f"other {_listed(names)}"
        if lack := self._lack(record, "D", self.metric):
            return lack
        if _is_full(record):
            return None
        dim = record["arguments"].get("dim")
        largest = min(self.most or math.inf, record["result"]["D"] - 1)
        is_tried = isinstance(dim, int) and is_whole(dim) and self.least <= dim <= largest
        return None if is_tried else "a dim that is not to be tried"

    def _lack(self, record: Record, *names: str) -> str | None:
        """What a record has to have, and does not."""
        if missing := [name for name in names if name not in record["result"]]:
            return f"no {' and no '.join(missing)}"
        return None if is_whole(record["arguments"].get("seed")) else "no seed"

    def _is_base(self, task: str, arguments: Mapping[str, Any]) -> bool:
        """Whether a run is one of the baseline."""
        base = self._base
        return base is not None and base == (task, _seedless(arguments))

    @functools.cached_property
    def _base(self) -> tuple[str, dict[str, Any]] | None:
        """Task and arguments of the baseline's runs, without their seeds."""
        if self.baseline is None:
            return None
        run = self.baseline.run(0)
        return run.task, _seedless(run.arguments)

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

    def results(self, records: Sequence[Record], *, begins: bool = False) -> Results | None:
        """The metrics of some records, turned so that higher is better.

        Args:
            records: of finished runs of this measurement.
            begins: whether more runs of the full model or the baseline follow, before any other.

        Returns:
            The results; None as long as no run of the full model, or of the baseline that is asked
            for, is among them, or their means, which more runs may change, make no threshold.

        Raises:
            InputError: if a record lacks the metric or D, the records disagree about D, or the mean
                of the full model's metric makes no sense of a relative threshold or a gain.
        """
        self.check(records)
        sign = 1 if self.better == "higher" else -1
        own: list[Record] = []
        baseline: list[float] = []
        for record in records:
            if self._is_base(record["task"], record["arguments"]):
                baseline.append(sign * float(record["result"][self.metric]))
            else:
                own.append(record)
        sizes = {record["result"]["D"]: record["arguments"]["dim"] for record in own}
        if len(sizes) > 1:
            listed = " and ".join(f"{D:,} (dim={dim})" for D, dim in sizes.items())
            raise InputError(
                f"The runs of {self.task} have different D: {listed}. A run of another model is "
                "another task: use another folder for its records, or give the task an argument."
            )
        full: list[float] = []
        at: dict[int, list[float]] = {}
        for record in own:
            target = full if _is_full(record) else at.setdefault(record["arguments"]["dim"], [])
            target.append(sign * float(record["result"][self.metric]))
        if not full or (self.baseline is not None and not baseline):
            return None
        (D,) = sizes
        base = sign * statistics.fmean(baseline) if baseline else self.probe
        try:
            factor, constant = self._rule(sign * statistics.fmean(full), base)
        except InputError:
            if begins:
                return None
            raise
        probe = None if self.probe is None else sign * self.probe
        limits = self.least, self.most
        return Results(D, full, at, factor, sign * constant, *limits, baseline, probe)

    def check(self, records: Sequence[Record]) -> None:
        """Check that results have the metric, and D but for those of the baseline.

        Args:
            records: of finished runs of this measurement.

        Raises:
            InputError: if it is missing or not a number; the message names all such records.
        """
        own = {r["id"] for r in records if not self._is_base(r["task"], r["arguments"])}
        check_metrics(records, self.metric, own)

    def _rule(self, full: float, base: float | None) -> tuple[float, float]:
        """The threshold as a factor of the full model's mean, and a constant."""
        if not self.relative:
            return 0.0, self.threshold
        if base is not None:
            if full == base or (full > base) != (self.better == "higher"):
                whose = "probe" if self.baseline is None else "baseline"
                other = "lower" if self.better == "higher" else "higher"
                raise InputError(
                    f"The mean of the full model's {self.metric} is {full:g}, no gain over the "
                    f"{whose}'s {base:g}. If {other} is better, set better to {other}; else use "
                    f"another {whose}, or an absolute threshold."
                )
            known = 0.0 if self.probe is None else self.probe
            return self.threshold, (1 - self.threshold) * known
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
        if self.baseline is not None:
            found += self.baseline.problems()
            found += [] if found else self._overlap()
        return found

    def _overlap(self) -> list[str]:
        """Whether runs of the baseline are those of the measurement itself."""
        task, arguments = self._base or ("", {})
        dim = arguments.get("dim")
        own = self._filled | (self._identity if dim == FULL else {})
        if (task, _rest(arguments)) != (self.task, own):
            return []
        if dim == FULL:
            return ["The baseline is the full model itself, over which nothing is gained."]
        if not isinstance(dim, int) or not self.least <= dim <= (self.most or math.inf):
            return []
        least = f"set least to {dim + 1} or more, or give the baseline other arguments."
        return [f"The baseline, dim={dim}, is one of the runs to try: {least}"]


def _listed(names: Sequence[str], most: int = 3, length: int = 40) -> str:
    """The first names, which may be a stranger's, each cut to a length."""
    cut = [name if len(name) <= length else f"{name[:length]}…" for name in names[:most]]
    return ", ".join(cut) + (", …" if len(names) > most else "")


def _rest(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the question sets."""
    return {name: value for name, value in arguments.items() if name not in _OWN}


def _seedless(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name != "seed"}


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
