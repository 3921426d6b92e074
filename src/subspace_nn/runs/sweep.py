"""A sweep: make the missing ones of many runs, and survive interruptions."""

import collections
import dataclasses
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import joblib

from subspace_nn.common import environment
from subspace_nn.common.atomic import try_writing
from subspace_nn.common.checks import require
from subspace_nn.common.errors import InputError
from subspace_nn.runs import cards, engines, session
from subspace_nn.runs.functions import carried_by
from subspace_nn.runs.grid import as_word, expand, parse, parse_assignments
from subspace_nn.runs.record import DONE, FAILED, Record, run_id
from subspace_nn.runs.run import Run, being_imported, execute_together, together_problems
from subspace_nn.runs.session import Session
from subspace_nn.runs.store import Store

__all__ = ["Status", "as_word", "complete", "expand", "parse", "parse_assignments", "sweep"]

#: Deaths of a run's process after which it is taken to be the cause, and recorded as failed.
_DEATHS = 3

#: Deaths in a row that no run can be blamed for, after which a sweep stops.
_LOST = 3

#: Seconds between two looks at runs that another sweep is at.
_POLL = 0.5

#: Characters of the reason of a death that a record keeps: the end of a log.
_REASON = 2000


@dataclass(frozen=True)
class Status:
    """Where a sweep is.

    Attributes:
        total: number of runs.
        finished: how many of them are done.
        failed: how many of them failed in this sweep.
        seconds: since this sweep began.
        latest: the record that was written last, if this is about one.
    """

    total: int
    finished: int
    failed: int
    seconds: float
    latest: Record | None = None


def sweep(
    runs: Sequence[Run],
    store: Store,
    *,
    engine: str = "loky",
    jobs: int = -1,
    address: str | None = None,
    options: Mapping[str, str | float] | None = None,
    device: str = "auto",
    threads: int = 1,
    save: bool = False,
    batched: bool = False,
    on_status: Callable[[Status], None] = lambda _: None,
) -> list[Record]:
    """Make the runs that are not done yet.

    Each worker writes its own record when a run ends, so an interruption loses at most the runs in
    flight. If a worker dies, the sweep lists the missing runs and continues.

    Args:
        runs: all runs of the sweep.
        store: holds the records.
        engine: "serial" (in this process), "loky" (processes on this machine), "dask", "ray" or
            "slurm".
        jobs: number of workers; -1 is one per core, or per card if the runs compute on cards. A
            running cluster has its own.
        address: of a running dask scheduler or ray cluster; a local one is started if not given.
        options: requirements of one run: resources of dask's workers, options of a ray task,
            options of sbatch.
        device: of each run, if it is not an argument of the task: "auto" (CUDA if available),
            "cpu", "cuda", …; of several cards, "auto" and "cuda" take the one with
            the fewest runs.
        threads: CPU threads of each run.
        save: keep each run's net as `weights/ID.safetensors` in the folder; a finished run without
            one is run again.
        batched: train all seeds of a configuration as one: the same results up to rounding. If a
            worker is killed, the runs that it was at are made one by one.
        on_status: called at the start and after each run.

    Returns:
        The records of all runs, in order.

    Raises:
        InputError: if the engine is unknown, runs cannot be batched, records cannot be written, or
            workers keep dying before they begin a run.
    """
    surroundings = Session(device, threads, save)
    require(surroundings.problems(), _batch_problems(runs, save=save) if batched else [])
    folder = store.folder.absolute() / f".{engine}"
    number = cards.workers(jobs, device, engine, address)
    setting = engines.Setting(number, address, options or {}, folder)
    with engines.start(engine, setting) as parallel:
        return complete(runs, store, parallel, surroundings, batched=batched, on_status=on_status)


def complete(
    runs: Sequence[Run],
    store: Store,
    parallel: engines.Parallel,
    surroundings: Session = Session(),  # noqa: B008  # frozen
    *,
    batched: bool = False,
    on_status: Callable[[Status], None] = lambda _: None,
) -> list[Record]:
    """Do what `sweep` does, on an engine that is running already and stays so.

    Args:
        runs: all runs of the sweep.
        store: holds the records.
        parallel: the engine, from `engines.start`.
        surroundings: device and threads of each run, and whether to keep its weights.
        batched: as for `sweep`.
        on_status: called at the start and after each run.

    Returns:
        The records of all runs, in order.

    Raises:
        InputError: as for `sweep`; or if a module calls this while it is imported for its task.
            Each worker imports it, too, and would start the sweep again.
    """
    if task := being_imported():
        raise InputError(
            f"The file of {task} starts runs when it is imported, and each worker imports it. Put "
            "that call under if __name__ == '__main__'."
        )
    driver = _Driver(runs, store, surroundings, on_status)
    if driver.missing:
        try_writing(store.path("record"))
    there = Store(store.folder.absolute())  # a worker may be in another folder
    while todo := driver.todo():
        try:
            groups = driver.together(todo) if batched else [[run] for run in todo]
            for records in parallel(
                joblib.delayed(_work)(group, there, *driver.known(group)) for group in groups
            ):
                for record in records:
                    driver.ended(record)
        except engines.WorkerDiedError as error:
            driver.workers_died(error)
    return [driver.records[run.id] for run in runs]


class _Driver:
    """The state of a sweep. A status takes the same time however many runs have ended."""

    def __init__(
        self,
        runs: Sequence[Run],
        store: Store,
        surroundings: Session,
        on_status: Callable[[Status], None],
    ) -> None:
        self.store, self.surroundings, self.on_status = store, surroundings, on_status
        self.missing = {run.id: run for run in runs}
        self.total = len(self.missing)
        self.command = environment.command(sys.argv)
        self.records: dict[str, Record] = {}
        self.failed_before: dict[str, Record] = {}
        self.failed = 0
        self.deaths: collections.Counter[str] = collections.Counter()
        self.lost = 0
        self.start = time.perf_counter()
        for record in store.read():
            if record["status"] == FAILED:
                self.failed_before[record["id"]] = record
            elif _is_whole(record["id"], store, surroundings):
                self._count(record)
        if not self.missing:
            self._tell(None)

    def todo(self) -> list[Run]:
        """List the missing runs that are free; wait while other sweeps are at all of them."""
        while self.missing:
            self._take_over()
            self._tell(None)
            claims = self.store.claims()
            free = [run for name, run in self.missing.items() if not claims.get(name, False)]
            # The last attempt of what may kill its worker is made alone: no other run is blamed.
            alone = [run for run in free if self.deaths[run.id] == _DEATHS - 1]
            if free:
                return alone[:1] or free
            time.sleep(_POLL if self.missing else 0)
        return []

    def together(self, todo: Sequence[Run]) -> list[list[Run]]:
        """Runs that differ in their seed alone; each alone after a death."""
        groups: dict[str, list[Run]] = {}
        for run in todo:
            same = run_id(run.task, {**run.arguments, "seed": None})
            groups.setdefault(run.id if self.deaths[run.id] else same, []).append(run)
        return [*groups.values()]

    def known(self, runs: Sequence[Run]) -> tuple[Session, str, dict[str, Record]]:
        """Arguments of `_work` beyond the runs and the store."""
        own = dataclasses.replace(self.surroundings, functions=carried_by(runs))
        names = self.failed_before.keys() & {run.id for run in runs}
        return own, self.command, {name: self.failed_before[name] for name in names}

    def ended(self, record: Record) -> None:
        """A worker has ended a run."""
        self.lost = 0
        self.store.keep(record)  # its worker may have another disk
        self._count(record)
        self._tell(record)

    def workers_died(self, error: engines.WorkerDiedError) -> None:
        """Count the deaths of the runs in flight; give up on a run after three."""
        why = {run.id: death.why for death in error.deaths for run in death.arguments[0]}
        claims = self.store.claims()
        dead = {run_id for run_id, alive in claims.items() if not alive}
        # A run that only waited for a killed worker has no claim, and is not to blame.
        blamed = (claims.keys() & why or why) if why else dead
        in_flight = [run for run_id, run in self.missing.items() if run_id in blamed]
        for run in in_flight:
            self.store.unclaim(run.id)
            self.deaths[run.id] += 1
            if self.deaths[run.id] == _DEATHS:
                self._give_up(run, why.get(run.id, error.why)[-_REASON:])
        self.lost = 0 if in_flight else self.lost + 1
        if self.lost == _LOST:
            raise InputError(
                f"Workers died {_LOST} times before they began a run. {error.why} Their "
                "own messages are above. Finished runs are kept, and the same command continues. "
                "Try --engine serial to see the cause, or fewer --jobs if memory is short."
            )

    def _give_up(self, run: Run, why: str) -> None:
        record = run.failed(f"{why}\nIts process was killed {_DEATHS} times.", self.command)
        self.store.write(record)
        self._count(record)
        self._tell(record)

    def _take_over(self) -> None:
        """Count what another sweep in the same folder has ended."""
        for name in self.missing.keys() & self.store.written():
            record = self.store.get(name)
            is_news = record is not None and _is_news(record, self.failed_before.get(name))
            if record is not None and is_news and _is_whole(name, self.store, self.surroundings):
                self._count(record)
                self._tell(record)

    def _count(self, record: Record) -> None:
        if self.missing.pop(record["id"], None) is not None:
            self.records[record["id"]] = record
            self.failed += record["status"] == FAILED

    def _tell(self, latest: Record | None) -> None:
        self.on_status(
            Status(
                total=self.total,
                finished=len(self.records) - self.failed,
                failed=self.failed,
                seconds=time.perf_counter() - self.start,
                latest=latest,
            )
        )


def _is_news(record: Record, failed_before: Record | None) -> bool:
    """Whether a record spares this sweep the run: it is done, or failed after the sweep began."""
    return record["status"] == DONE or record != failed_before


def _is_whole(run_id: str, store: Store, surroundings: Session) -> bool:
    """Whether the weights of a run are there, if they are wanted."""
    return not surroundings.save or session.weights_of(store.folder, run_id).is_file()


def _batch_problems(runs: Sequence[Run], *, save: bool) -> list[str]:
    kept = ["A batched training keeps no weights: leave out --save or --batched."] if save else []
    return [*kept, *dict.fromkeys(problem for run in runs for problem in together_problems(run))]


def _work(
    runs: Sequence[Run],
    store: Store,
    surroundings: Session,
    command: str,
    failed_before: Mapping[str, Record],
) -> list[Record]:
    """Execute one run, or several as one, and write their records; not those of others at work."""
    with ExitStack() as stack:
        mine = [run for run in runs if stack.enter_context(store.claim(run.id))]
        stack.enter_context(session.running(surroundings, store.folder, runs[0].id))
        made: dict[str, Record] = {}
        for run in mine:
            record = store.get(run.id)
            if record is not None and _is_news(record, failed_before.get(run.id)):
                made |= {run.id: record} if _is_whole(run.id, store, surroundings) else {}
        if todo := [run for run in mine if run.id not in made]:
            for record in execute_together(todo, command):
                store.write(record)
                made[record["id"]] = record
        return [*made.values()]
