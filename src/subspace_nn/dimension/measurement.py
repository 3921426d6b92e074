"""The measurement: plan, run, estimate, until the interval is tight or the budget exhausted."""

import collections
import dataclasses
import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from subspace_nn.common.checks import require, whole
from subspace_nn.common.errors import InputError
from subspace_nn.dimension.answer import Answer, Notes, Stop, read
from subspace_nn.dimension.baseline import FULL
from subspace_nn.dimension.catalogue import question as ask
from subspace_nn.dimension.estimate import Estimate, estimate
from subspace_nn.dimension.plan import FULL_RUNS, Dim, first_dims, is_beyond, next_dims
from subspace_nn.dimension.question import BASELINE, Question
from subspace_nn.dimension.results import Results
from subspace_nn.runs import cards, engines
from subspace_nn.runs.record import DONE, Record
from subspace_nn.runs.run import Run
from subspace_nn.runs.session import Session
from subspace_nn.runs.store import Store
from subspace_nn.runs.sweep import Status, complete
from subspace_nn.runs.task import Result

#: Number of new runs at most, by default.
BUDGET = 60


@dataclass(frozen=True)
class Progress:
    """The state of a measurement.

    Attributes:
        question: the question.
        records: of all finished runs that fit, ordered by id.
        made: ids of those that were made for this measurement.
        budget: how many of these there may be.
        results: of the records; None as long as no run of the full model, or of a baseline, is
            among them.
        found: the estimate from it.
        left_out: number of other finished records of the task, by why they do not fit.
        planned: the runs under way.
        status: of the sweep under way.
    """

    question: Question
    records: Sequence[Record]
    made: frozenset[str]
    budget: int
    results: Results | None
    found: Estimate | None
    left_out: Mapping[str, int]
    planned: Sequence[Run] = ()
    status: Status | None = None

    @property
    def reused(self) -> int:
        """Number of records that were not made for this measurement."""
        return len(self.records) - len(self.made)

    @property
    def counts(self) -> collections.Counter[Dim]:
        """Number of records at each dimension, of the full model, and of the baseline."""
        places = (self.question.dim_of(r["task"], r["arguments"]) for r in self.records)
        return collections.Counter(places)

    @property
    def left(self) -> int:
        """Number of runs that may still be made."""
        return self.budget - len(self.made)

    @property
    def falls_short(self) -> bool:
        """Whether the full model, as far as it was run, does not reach an absolute threshold."""
        results = self.results
        if results is None or self.question.relative:
            return False
        return statistics.fmean(results.full) < results.threshold

    @property
    def unreachable(self) -> bool:
        """Whether it falls short in enough runs to rule out bad luck."""
        runs = len(self.results.full) if self.results else 0
        return self.falls_short and not first_dims(runs, mean=True)


def measure(
    question: Question | str | Callable[..., Result],
    folder: str | os.PathLike[str],
    *,
    budget: int = BUDGET,
    engine: str = "loky",
    jobs: int = -1,
    address: str | None = None,
    options: Mapping[str, str | float] | None = None,
    first: Sequence[int] = (),
    device: str = "auto",
    threads: int = 1,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Answer:
    """Measure the intrinsic dimension of a task in as few runs as it takes.

    Every finished record in the folder that fits counts, whoever made it and whenever. The next
    runs depend on the question and on these records alone, never on time or on the engine. The
    batch under way is written down, so that a measurement that was killed finishes it when it is
    started again, and ends with the same answer. With a larger budget it goes on from where it
    stopped; with a smaller one than before it makes no runs.

    Args:
        question: the question; or only a task, which `question` turns into one.
        folder: where the records are; the answer goes to a file in `measurements` in it.
        budget: number of new runs at most; 60 by default.
        engine: "loky", "serial", "dask", "ray" or "slurm", as for `subspace_nn.runs.sweep`; it
            is started once.
        jobs: number of workers; -1 is one per core, or per card, as for `sweep`.
        address: of a running cluster.
        options: resources of a run, in the words of the cluster.
        first: dimensions to try before those that are planned, one run each, after the baseline
            and the full model.
        device: of each run, as for `sweep`.
        threads: CPU threads of each run.
        on_progress: called before each batch, after each run, and at the end.

    Returns:
        The answer.

    Raises:
        InputError: if the question is wrong, a run fails, or a result cannot be used.
    """
    if not isinstance(question, Question):
        question = ask(question)
    check(question, budget)
    surroundings = Session(device, threads)
    tried = (whole("first", dim, question.least, question.most) for dim in first)
    require(surroundings.problems(), *tried)
    store = Store(folder)
    notes = _notes(question, store)
    number = cards.workers(jobs, device, engine, address)
    place = store.folder.absolute() / f".{engine}"
    setting = engines.Setting(number, address, options or {}, place)
    with engines.start(engine, setting) as parallel:
        while runs := _next(now := _look(notes, store, budget), first):
            _check_done(runs, store, question)
            planned = tuple((question.dim_of(r.task, r.arguments), _seed(r)) for r in runs)
            notes = dataclasses.replace(notes, planned=planned, answer=None)
            notes.write(store.folder)
            report = _reporting(now, runs, on_progress)
            done = complete(runs, store, parallel, surroundings, on_status=report)
            _check_finished(done, store, question)
            notes = dataclasses.replace(notes, made=(*notes.made, *_new(notes, runs)), planned=())
    answer = _answer(now)
    dataclasses.replace(notes, answer=answer).write(store.folder)
    on_progress(now)
    return answer


def check(question: Question, budget: object) -> None:
    """Check a question and a budget before anything is run.

    Args:
        question: the question.
        budget: number of new runs at most.

    Raises:
        InputError: with every problem of the question, and that of the budget.
    """
    problems = whole("budget", budget, 1)
    if not problems and question.baseline is not None:
        problems = whole("budget with a baseline", budget, FULL_RUNS + 1)
    require(question.problems(), problems)


def answer_from(
    question: Question, records: Iterable[Record], made: Iterable[str] = (), budget: int = 0
) -> Answer:
    """The answer that records give, without a run.

    Args:
        question: the question.
        records: as a store reads them; those that do not fit are left out.
        made: ids of the runs that were made for the measurement.
        budget: as for `measure`; an answer that more runs would make tighter says "budget".

    Returns:
        The answer.

    Raises:
        InputError: if no run of the full model is among the records, or a result cannot be used.
    """
    return _answer(_progress(Notes(question, tuple(made)), records, budget))


def _notes(question: Question, store: Store) -> Notes:
    """The notes of an earlier start; empty if they are gone or cannot be read."""
    notes = Notes(question)
    try:
        notes = read(store.folder, question)
    except InputError:
        notes.write(store.folder)  # find out before anything is run whether it can be written
    return notes


def _look(notes: Notes, store: Store, budget: int) -> Progress:
    return _progress(notes, store.read(), budget)


def _progress(notes: Notes, records: Iterable[Record], budget: int) -> Progress:
    question = notes.question
    fitting, left_out = question.fitting(records)
    made = frozenset(notes.made) & {record["id"] for record in fitting}
    planned = [question.run_of(dim, seed) for dim, seed in notes.planned]
    now = Progress(question, fitting, made, budget, None, None, left_out, planned)
    results = question.results(fitting, begins=now.left > 0 and bool(_first_dims(now)))
    found = None if results is None else estimate(results, confidence=question.confidence)
    return dataclasses.replace(now, results=results, found=found)


def _next(now: Progress, first: Sequence[int]) -> Sequence[Run]:
    """The batch that was interrupted, or the next one; nothing at the end."""
    if now.planned:
        return now.planned
    if now.left <= 0 or now.unreachable:
        return []
    used: dict[Dim, set[int]] = {}
    for record in now.records:
        dim = now.question.dim_of(record["task"], record["arguments"])
        used.setdefault(dim, set()).add(record["arguments"]["seed"])
    runs = []
    wanted = [dim for dim in dict.fromkeys(first) if dim not in used][: now.question.batch]
    if now.results is not None and (odd := [d for d in wanted if d > now.results.largest]):
        raise InputError(
            f"Dimensions to try are at most {now.results.largest:,} (D is {now.results.D:,}), got "
            f"{', '.join(f'{dim:,}' for dim in odd)}."
        )
    for dim in (_first_dims(now) or wanted or _next_dims(now))[: now.left]:
        run = now.question.run(dim, used.setdefault(dim, set()))
        used[dim].add(_seed(run))
        runs.append(run)
    return runs


def _first_dims(now: Progress) -> list[Dim]:
    counts = now.counts
    return first_dims(
        counts[FULL],
        mean=now.question.relative or now.falls_short,
        baseline=None if now.question.baseline is None else counts[BASELINE],
    )


def _next_dims(now: Progress) -> list[Dim]:
    first = _first_dims(now)
    if first or now.results is None or now.found is None:
        return first
    ratio = 1 + now.question.precision
    return next_dims(now.results, now.found, ratio=ratio, batch=now.question.batch)


def _seed(run: Run) -> int:
    return run.arguments["seed"]


def _new(notes: Notes, runs: Sequence[Run]) -> list[str]:
    return [run.id for run in runs if run.id not in notes.made]


def _reporting(
    now: Progress, runs: Sequence[Run], on_progress: Callable[[Progress], None]
) -> Callable[[Status], None]:
    """Report a batch that begins; returns what reports its runs, and checks their results."""
    now = dataclasses.replace(now, planned=runs)
    on_progress(now)

    def report(status: Status) -> None:
        on_progress(dataclasses.replace(now, status=status))
        if status.latest is not None and status.latest["status"] == DONE:
            now.question.check([status.latest])  # not after four more in vain

    return report


def _check_done(runs: Sequence[Run], store: Store, question: Question) -> None:
    """Check that the finished runs of a batch can be used, before more of it is made."""
    ids = {run.id for run in runs}
    question.check([r for r in store.read() if r["id"] in ids and r["status"] == DONE])


def _check_finished(records: Sequence[Record], store: Store, question: Question) -> None:
    failed: dict[str, list[Record]] = {}
    for record in records:
        if record["status"] != DONE:
            failed.setdefault(_why(record.get("error", "")), []).append(record)
    if failed:
        has_dims = any(r["task"] == question.task for alike in failed.values() for r in alike)
        limits = (
            "; if runs fail only at small or large dimensions, limit those to try (least, most)"
        )
        raise InputError(
            *(_failure(why, alike, store, question) for why, alike in failed.items()),
            "A run failed. Fix the task and rerun the command to continue. If occasional failures "
            "are expected, return the score that a failure should count as"
            f"{limits if has_dims else ''}.",
        )
    _, left_out = question.fitting(records)
    question.check(records)
    if left_out:
        raise InputError(f"A run that was made does not fit: {', '.join(left_out)}.")


def _failure(why: str, records: Sequence[Record], store: Store, question: Question) -> str:
    """One sentence for all runs that failed alike."""
    first = records[0]
    dim = question.dim_of(first["task"], first["arguments"])
    place = "the baseline" if dim == BASELINE else f"dim={dim}"
    run = f"{first['task']}, {place}, seed={first['arguments']['seed']}"
    others = f" (and {len(records) - 1} more)" if len(records) > 1 else ""
    where = store.path(first["id"])
    stop = "" if why.endswith((".", "!", "?")) else "."
    return f"Run {first['id']} of {run}{others}, failed: {why}{stop} The traceback is in {where}."


def _why(error: str) -> str:
    """The error at the end of a traceback, after its last indented line; or the last line."""
    lines = error.strip().splitlines() or ["no message"]
    begin = max((n for n, line in enumerate(lines, 1) if line.startswith(" ")), default=0)
    return " ".join(lines[begin:] or lines[-1:])


def _answer(now: Progress) -> Answer:
    results, found, question = now.results, now.found, now.question
    if results is None or found is None:
        what = BASELINE if now.counts[FULL] else "full model"
        raise InputError(f"No run of the {what} of {question.task} is among the records.")
    sign = 1 if question.better == "higher" else -1
    stopped = _stopped(now, results, found)
    points = [dataclasses.asdict(point) for point in found.points]
    for point in points:
        point |= {"mean": sign * point["mean"], "fitted": sign * point["fitted"]}
    return Answer(
        question=question,
        stopped=stopped,
        D=results.D,
        dim=found.dim if found.points and stopped not in {"unreachable", "beyond"} else None,
        low=found.low,
        high=found.high,
        threshold=sign * found.threshold,
        full=sign * statistics.fmean(results.full),
        full_std=found.full_noise,
        full_n=len(results.full),
        baseline=sign * statistics.fmean(results.baseline) if results.baseline else None,
        baseline_std=found.baseline_noise,
        baseline_n=len(results.baseline),
        points=points,
        runs=sorted((record["id"] for record in now.records), key=lambda i: (i in now.made, i)),
        reused=now.reused,
        seconds=round(sum(record["seconds"] for record in now.records), 3),
        doubts=list(found.doubts),
        left_out=now.left_out,
    )


def _stopped(now: Progress, results: Results, found: Estimate) -> Stop:
    if now.unreachable:
        return "unreachable"
    if _next_dims(now):
        return "budget"
    if is_beyond(results, found):
        return "beyond"
    return "doubtful" if found.doubts else "tight"
