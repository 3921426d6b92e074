"""The measurement: plan, run, estimate, until the answer is tight or the budget is spent."""

import dataclasses
import json
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from subspace_nn.common.atomic import write_atomically
from subspace_nn.common.checks import require, whole
from subspace_nn.common.errors import InputError
from subspace_nn.measure.catalogue import question as ask
from subspace_nn.measure.estimate import Estimate, Results, estimate
from subspace_nn.measure.plan import Dim, first_dims, is_beyond, next_dims
from subspace_nn.measure.question import Question, check_figures
from subspace_nn.runs import engines
from subspace_nn.runs.run import DONE, Run
from subspace_nn.runs.store import Store
from subspace_nn.runs.sweep import Status, complete
from subspace_nn.runs.task import Result

#: Why a measurement ended: it is as tight as asked; it had as many runs as were granted; the full
#: model itself does not reach an absolute threshold; the largest dimension to try falls short.
Stop = Literal["tight", "budget", "unreachable", "beyond"]

#: New runs at most, if nobody says otherwise.
BUDGET = 60

#: Folder, beside the records, of what was asked and answered.
FOLDER = "measurements"

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a measurement found.

    Attributes:
        question: what was asked.
        stopped: why it ended: "tight", "budget", "unreachable" or "beyond".
        D: number of weights.
        dim: d_int; None if unreachable, beyond the largest dimension to try, or if the budget was
            spent on the full model.
        low: lower end of the interval.
        high: upper end.
        threshold: the figure that the mean has to reach.
        full: mean of the full model's figure.
        full_std: its standard deviation; None for a single run.
        full_n: number of its runs.
        points: the curve: `dim`, `n`, `mean`, `std` and the monotone fit `fitted`, by dimension.
        runs: ids of all records that the answer rests on.
        reused: how many of them were there before the measurement began.
        seconds: wall time of all these runs together.
    """

    question: Question
    stopped: Stop
    D: int
    dim: int | None
    low: int
    high: int
    threshold: float
    full: float
    full_std: float | None
    full_n: int
    points: Sequence[Mapping[str, Any]]
    runs: Sequence[str]
    reused: int
    seconds: float

    @property
    def made(self) -> int:
        """How many of the runs were made for it: what the budget counts."""
        return len(self.runs) - self.reused

    @property
    def bloat(self) -> float | None:
        """How many times more weights the model has than it needs: D / d_int."""
        return None if self.dim is None else self.D / self.dim


@dataclass(frozen=True)
class Progress:
    """Where a measurement is.

    Attributes:
        question: what is asked.
        records: of all runs so far, in the order in which they count.
        reused: how many of them were there before it began.
        budget: runs granted beyond those.
        results: what the records say; None as long as there is no run of the full model.
        found: the estimate from it.
        planned: the runs under way.
        status: of the sweep under way.
    """

    question: Question
    records: Sequence[Record]
    reused: int
    budget: int
    results: Results | None
    found: Estimate | None
    planned: Sequence[Run] = ()
    status: Status | None = None

    @property
    def left(self) -> int:
        """Runs that may still be made."""
        return self.budget - (len(self.records) - self.reused)

    @property
    def falls_short(self) -> bool:
        """Whether the full model, as far as it was run, does not reach an absolute threshold."""
        results = self.results
        if results is None or self.question.relative:
            return False
        return statistics.fmean(results.full) < results.threshold

    @property
    def unreachable(self) -> bool:
        """Whether it does so with so many runs that it was no bad luck."""
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
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Answer:
    """Measure the intrinsic dimension of a task by as few runs as it takes.

    Which runs come next depends on the question and on earlier results alone, never on time or on
    the engine. A measurement that was killed therefore asks for the same runs when it is started
    again, finds those that are done, and ends with the same answer. Records that fit and were
    in the folder before it first began are used, too; which ones is written down at the
    beginning. With a larger budget it goes on from where it stopped; with a smaller one than before
    the answer stays.

    Args:
        question: what is asked; or a task alone, which `question` turns into one.
        folder: where the records are; the answer goes to a file in `measurements` in it.
        budget: number of new runs at most; 60 by default.
        engine: "loky", "serial", "dask", "ray" or "slurm", as for `subspace_nn.runs.sweep`; it
            is started once.
        jobs: number of workers; -1 is one a core.
        address: of a running cluster.
        options: what one run needs, in the words of the cluster.
        on_progress: told before each batch, after each run, and at the end.

    Returns:
        The answer.

    Raises:
        InputError: if the question is wrong, a run fails, or a result cannot be used.
    """
    if not isinstance(question, Question):
        question = ask(question)
    check(question, budget)
    store = Store(folder)
    path = store.folder / FOLDER / f"{question.name}.json"
    records = _reused(question, store, path)
    reused = len(records)
    budget = max([budget, *(a.made for a in answers(folder) if a.question.id == question.id)])
    now = _look(question, records, reused, budget)
    setting = engines.Setting(jobs, address, options or {}, store.folder.absolute() / f".{engine}")
    with engines.start(engine, setting) as parallel:
        while runs := _next(now):
            _look_at_done(runs, store, question.metric)
            done = complete(runs, store, parallel, on_status=_telling(now, runs, on_progress))
            records = [*records, *_finished(done, store)]
            now = _look(question, records, reused, budget)
    answer = _answer(now)
    _write(path, question, records[:reused], answer)
    on_progress(now)
    return answer


def check(question: Question, budget: object) -> None:
    """Refuse what cannot be measured, before anything is run.

    Args:
        question: what is asked.
        budget: new runs at most.

    Raises:
        InputError: with every problem of the question, and that of the budget.
    """
    require(question.problems(), whole("budget", budget, 1))


def _telling(
    now: Progress, runs: Sequence[Run], on_progress: Callable[[Progress], None]
) -> Callable[[Status], None]:
    """Tell of a batch that begins; returns what tells of its runs, and looks at their results."""
    now = dataclasses.replace(now, planned=runs)
    on_progress(now)

    def tell(status: Status) -> None:
        on_progress(dataclasses.replace(now, status=status))
        if status.latest is not None and status.latest["status"] == DONE:
            check_figures([status.latest], now.question.metric)  # not after four more in vain

    return tell


def _look_at_done(runs: Sequence[Run], store: Store, metric: str) -> None:
    """See that what is there can be used, before more of it is made."""
    ids = {run.id for run in runs}
    done = [r for r in store.read() if r["id"] in ids and r["status"] == DONE]
    check_figures(done, metric)


def answers(folder: str | os.PathLike[str]) -> list[Answer]:
    """The answers that measurements left in a folder; those that are not finished have none.

    Args:
        folder: of the records.

    Returns:
        The answers, ordered by the names of their files.

    Raises:
        InputError: if a file there is not that of a measurement.
    """
    paths = sorted((Path(folder) / FOLDER).glob("*.json"))
    read = [_read(path) for path in paths]
    return [answer for _, answer in read if answer is not None]


def _read(path: Path) -> tuple[list[str], Answer | None]:
    """What the file of a measurement says: the records it began with, and its answer."""
    try:
        content = json.loads(path.read_bytes())
        question, answer = Question(**content["question"]), content["answer"]
        return list(content["reused"]), answer and Answer(question=question, **answer)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not the file of a measurement ({type(error).__name__}: {error}). Remove "
            "it; if it was one, the same command then begins anew, with all records that are there."
        ) from None


def _reused(question: Question, store: Store, path: Path) -> list[Record]:
    """The records that were there when this measurement first began."""
    records = store.read()
    if path.exists():
        ids, _ = _read(path)
        by_id = {record["id"]: record for record in records}
        if lost := [i for i in ids if i not in by_id]:
            raise InputError(
                f"{path} rests on records that are gone: {', '.join(lost)}. "
                "Put them back, or remove that file to begin anew."
            )
        return [by_id[i] for i in ids]
    fitting = question.fitting(records)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, question, fitting, None)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}.") from None
    return fitting


def _write(path: Path, question: Question, reused: Sequence[Record], answer: Answer | None) -> None:
    content = {
        "question": dataclasses.asdict(question),
        "reused": [record["id"] for record in reused],
        "answer": None
        if answer is None
        else {n: v for n, v in dataclasses.asdict(answer).items() if n != "question"},
    }
    write_atomically(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def _look(question: Question, records: Sequence[Record], reused: int, budget: int) -> Progress:
    results = question.results(records)
    found = None if results is None else estimate(results, confidence=question.confidence)
    return Progress(question, records, reused, budget, results, found)


def _next(now: Progress) -> list[Run]:
    """The runs that come next; none at the end."""
    if now.left <= 0 or now.unreachable:
        return []
    dims = _next_dims(now)[: now.left]
    used = {}
    for record in now.records:
        used.setdefault(record["arguments"]["dim"], set()).add(record["arguments"]["seed"])
    runs = []
    for dim in dims:
        run = now.question.run(dim, used.setdefault(dim, set()))
        used[dim].add(run.arguments["seed"])
        runs.append(run)
    return runs


def _next_dims(now: Progress) -> list[Dim]:
    full = len(now.results.full) if now.results else 0
    first = first_dims(full, mean=now.question.relative or now.falls_short)
    if first or now.results is None or now.found is None:
        return first
    ratio = 1 + now.question.precision
    return next_dims(now.results, now.found, ratio=ratio, batch=now.question.batch)


def _finished(records: Sequence[Record], store: Store) -> Sequence[Record]:
    failed: dict[str, list[Record]] = {}
    for record in records:
        if record["status"] != DONE:
            failed.setdefault(_why(record["error"]), []).append(record)
    if failed:
        raise InputError(
            *(_failure(why, alike, store) for why, alike in failed.items()),
            "A failed run is no result. Mend the task, and the same command goes on from here. If "
            "runs fail by bad luck, let the task give the figure that a failure counts as; if they "
            "fail at small or large dimensions alone, say which to try (least, most).",
        )
    return records


def _failure(why: str, records: Sequence[Record], store: Store) -> str:
    """One sentence for all runs that failed alike."""
    first = records[0]
    run = f"{first['task']}, dim={first['arguments']['dim']}, seed={first['arguments']['seed']}"
    others = f" (and {len(records) - 1} more)" if len(records) > 1 else ""
    where = store.folder / f"{first['id']}.json"
    return f"Run {first['id']} of {run}{others}, failed: {why} The record {where} has it all."


def _why(error: str) -> str:
    """The error at the end of a traceback, behind its last indented line; or all there is."""
    lines = error.strip().splitlines()
    begin = max((n for n, line in enumerate(lines, 1) if line.startswith(" ")), default=0)
    return " ".join(lines[begin:] or lines[-1:])


def _answer(now: Progress) -> Answer:
    results, found, question = now.results, now.found, now.question
    if results is None or found is None:  # a budget of at least 1 goes to the full model first
        raise InputError("Nothing was run.")
    sign = 1 if question.better == "higher" else -1
    stopped: Stop = "tight"
    if now.unreachable:
        stopped = "unreachable"
    elif _next_dims(now):
        stopped = "budget"
    elif is_beyond(results, found):
        stopped = "beyond"
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
        points=points,
        runs=[record["id"] for record in now.records],
        reused=now.reused,
        seconds=round(sum(record["seconds"] for record in now.records), 3),
    )
