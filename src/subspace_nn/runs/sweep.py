"""Many runs: a grammar that names them, and an engine that runs what is missing."""

import collections
import itertools
import json
import math
import re
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import joblib

from subspace_nn.common import environment
from subspace_nn.common.atomic import try_writing
from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.runs import engines
from subspace_nn.runs.record import DONE, FAILED, Record
from subspace_nn.runs.run import Run, being_imported
from subspace_nn.runs.store import Store

#: Deaths of a run's process after which it is taken to be the cause, and recorded as failed.
_DEATHS = 3

#: Deaths in a row that no run can be blamed for, after which a sweep stops.
_LOST = 3

#: Runs of one sweep at most: a range is refused before it fills the memory.
MAX_RUNS = 1_000_000

#: Seconds between two looks at runs that another sweep is at.
_POLL = 0.5

#: Characters of what is known of a death that a record keeps: the end of a log.
_REASON = 2000

_RANGE = re.compile(r"range\((\d{1,19}), *(\d{1,19})\)")


def parse(
    text: str, overrides: Mapping[str, Any] | None = None, *, task: str | None = None
) -> list[Run]:
    """The runs that a sweep file names.

    A sweep file is TOML: `task` (default "mnist"), a table `defaults`, and any number of tables
    `[[grid]]`. Each grid is the defaults with its own values on top; a list, or the text
    "range(a, b)", is an axis, and the grid's runs are all combinations.

    Args:
        text: the file's content.
        overrides: values that replace those of the defaults and of every grid.
        task: replaces the file's.

    Returns:
        The runs in order, each once.

    Raises:
        InputError: if it is not TOML, or any run is not valid; every problem once.

    Example:
        >>> runs = parse('''
        ... [defaults]
        ... model = "fc"
        ... [[grid]]
        ... dim = [10, 30]
        ... seed = "range(0, 3)"
        ... ''')
        >>> len(runs)
        6
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not TOML: {error}.") from None
    valid = ("task", "defaults", "grid")
    if unknown := [unknown_name("key", key, valid) for key in content if key not in valid]:
        raise InputError(*unknown)
    defaults, grids = content.get("defaults", {}), content.get("grid", [{}])
    if not isinstance(defaults, dict) or not isinstance(grids, list):
        raise InputError("expected a table [defaults] and tables [[grid]].")
    combined = [{**defaults, **grid, **(overrides or {})} for grid in grids]
    return expand(task or content.get("task", "mnist"), combined)


def parse_assignments(words: Sequence[str]) -> dict[str, Any]:
    """The same grammar on the command line: `dim=10,30 seed=range(0,5)`.

    Args:
        words: each `name=value`, the value as in TOML; a comma makes a list, and what is nothing
            else is a text.

    Returns:
        Values by name.

    Raises:
        InputError: if a word has no `=`.

    Example:
        >>> parse_assignments(["model=conv", "dim=10,30", "seed=range(0,2)"])
        {'model': 'conv', 'dim': [10, 30], 'seed': 'range(0,2)'}
    """
    if wrong := [word for word in words if "=" not in word]:
        raise InputError(*(f"expected name=value, got {word!r}." for word in wrong))
    pairs = (word.partition("=") for word in words)
    return {name: _value(value) for name, _, value in pairs}


def as_word(value: Any) -> str:
    """A value as `parse_assignments` reads it; a text without quotes where that is understood.

    Args:
        value: one of JSON.

    Returns:
        What stands behind the `=`.

    Example:
        >>> as_word("conv"), as_word("2017"), as_word(True), as_word([1, 2])
        ('conv', '"2017"', 'true', '[1, 2]')
    """
    plain = isinstance(value, str) and parse_assignments([f"x={value}"])["x"] == value
    return value if plain else json.dumps(value, ensure_ascii=False)


def expand(task: str, grids: Iterable[Mapping[str, Any]]) -> list[Run]:
    """All runs of some grids.

    Args:
        task: a built-in name, or `package.module:function`.
        grids: values by name; lists and ranges are axes.

    Returns:
        The runs in order, each once.

    Raises:
        InputError: if any is not valid; every problem once.
    """
    grids = list(grids)
    if (size := sum(map(_size, grids))) > MAX_RUNS:
        raise InputError(
            f"These axes name {size:,} runs, of which a sweep takes at most {MAX_RUNS:,}. Name "
            "fewer values, or several sweeps."
        )
    runs: dict[str, Run] = {}
    problems: dict[str, None] = {}
    for arguments in itertools.chain.from_iterable(_combinations(grid) for grid in grids):
        try:
            run = Run.of(task, arguments)
        except InputError as error:
            problems |= dict.fromkeys(error.problems)
        else:
            runs[run.id] = run
    if problems:
        raise InputError(*problems)
    return list(runs.values())


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
    on_status: Callable[[Status], None] = lambda _: None,
) -> list[Record]:
    """Run what is missing; the records are on disk as soon as they are there.

    Workers write their own records, so that killing anything, at any time, loses at most the runs
    in flight. When a worker was killed, the sweep lists again what is missing and goes on.

    Args:
        runs: what is to be there in the end.
        store: where the records are.
        engine: "serial" (in this process), "loky" (processes on this machine), "dask", "ray" or
            "slurm".
        jobs: number of workers; -1 is one a core. A cluster that is already running has its own.
        address: of a running dask scheduler or ray cluster; a local one is started if not given.
        options: what one run needs, in the words of the cluster: resources of dask's workers,
            options of a ray task, options of sbatch.
        on_status: told at the start and after each run.

    Returns:
        The records of all runs, in order.

    Raises:
        InputError: if the engine is unknown, or records cannot be written.
    """
    folder = store.folder.absolute() / f".{engine}"
    setting = engines.Setting(jobs, address, options or {}, folder)
    with engines.start(engine, setting) as parallel:
        return complete(runs, store, parallel, on_status=on_status)


def complete(
    runs: Sequence[Run],
    store: Store,
    parallel: engines.Parallel,
    *,
    on_status: Callable[[Status], None] = lambda _: None,
) -> list[Record]:
    """What `sweep` does, on an engine that was started before and goes on afterwards.

    Args:
        runs: what is to be there in the end.
        store: where the records are.
        parallel: the engine, from `engines.start`.
        on_status: told at the start and after each run.

    Returns:
        The records of all runs, in order.

    Raises:
        InputError: if records cannot be written; or if this is called by a file that is being
            imported for its task: each worker imports it, and would begin the whole again.
    """
    if task := being_imported():
        raise InputError(
            f"The file of {task} starts runs when it is imported, as each worker does for the "
            "task's sake. Put that call under if __name__ == '__main__'."
        )
    driver = _Driver(runs, store, on_status)
    if driver.missing:
        try_writing(store.path("record"))
    there = Store(store.folder.absolute())  # a worker may be in another folder
    while todo := driver.todo():
        try:
            for record in parallel(
                joblib.delayed(_work)(run, there, *driver.known(run)) for run in todo
            ):
                driver.ended(record)
        except engines.WorkerDiedError as error:
            driver.workers_died(error)
    return [driver.records[run.id] for run in runs]


class _Driver:
    """What a sweep has seen so far. Nothing here takes longer the more runs have ended."""

    def __init__(
        self, runs: Sequence[Run], store: Store, on_status: Callable[[Status], None]
    ) -> None:
        self.store, self.on_status = store, on_status
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
            else:
                self._count(record)
        self._tell(None)

    def todo(self) -> list[Run]:
        """What is missing and nobody is at; waits as long as other sweeps are at all of it."""
        while self.missing:
            self._take_over()
            claims = self.store.claims()
            free = [run for name, run in self.missing.items() if not claims.get(name, False)]
            # The last attempt of what may kill its worker is made alone: no other run is blamed.
            alone = [run for run in free if self.deaths[run.id] == _DEATHS - 1]
            if free:
                return alone[:1] or free
            time.sleep(_POLL if self.missing else 0)
        return []

    def known(self, run: Run) -> tuple[str, Record | None]:
        """What the worker of a run has to know."""
        return self.command, self.failed_before.get(run.id)

    def ended(self, record: Record | None) -> None:
        """A worker has ended a run, or left it to another sweep."""
        if record is None:
            return
        self.lost = 0
        self.store.keep(record)  # its worker may have another disk
        self._count(record)
        self._tell(record)

    def workers_died(self, error: engines.WorkerDiedError) -> None:
        """Count the runs that were in flight; give up on one that is there every time."""
        why = {death.arguments[0].id: death.why for death in error.deaths}
        claims = self.store.claims()
        dead = {run_id for run_id, alive in claims.items() if not alive}
        # What only waited for a killed worker is not to blame: it has no claim.
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
                f"Workers died {_LOST} times before they began a run. {error.why} What they wrote "
                "on their way is above. The runs that are done are kept: the same command goes "
                "on. Try --engine serial to see the cause, or fewer --jobs if memory is short."
            )

    def _give_up(self, run: Run, why: str) -> None:
        record = run.failed(f"{why}\nIts process was killed {_DEATHS} times.", self.command)
        self.store.write(record)
        self._count(record)
        self._tell(record)

    def _take_over(self) -> None:
        """Count what another sweep in the same folder has ended."""
        for run_id in self.missing.keys() & self.store.written():
            record = self.store.get(run_id)
            if record is not None and _is_news(record, self.failed_before.get(run_id)):
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


def _work(run: Run, store: Store, command: str, failed_before: Record | None) -> Record | None:
    """Execute one run on one thread and write its record; None if another process is at it."""
    import torch  # noqa: PLC0415  # readers of records need none

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with store.claim(run.id) as mine:
            if not mine:
                return None
            record = store.get(run.id)
            if record is None or not _is_news(record, failed_before):
                record = run.execute(command)
                store.write(record)
    finally:
        torch.set_num_threads(threads)
    return record


def _combinations(grid: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    axes = [[(name, value) for value in _axis(values)] for name, values in grid.items()]
    return (dict(choice) for choice in itertools.product(*axes))


def _size(grid: Mapping[str, Any]) -> int:
    """Number of combinations, without making one."""
    lengths = (
        int(found[2]) - int(found[1]) if (found := _range(values)) else len(_axis(values))
        for values in grid.values()
    )
    return math.prod(max(length, 0) for length in lengths)


def _range(values: Any) -> re.Match[str] | None:
    return _RANGE.fullmatch(values) if isinstance(values, str) else None


def _axis(values: Any) -> Sequence[Any]:
    if found := _range(values):
        return range(int(found[1]), int(found[2]))
    return values if isinstance(values, list) else [values]


def _value(text: str) -> Any:
    """A word of the command line as TOML would have it: numbers, true, false; else text."""
    if _RANGE.fullmatch(text):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return [_value(part) for part in text.split(",")] if "," in text else text
