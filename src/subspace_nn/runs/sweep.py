"""Many runs: a grammar that names them, and an engine that runs what is missing."""

import collections
import itertools
import json
import re
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import torch

from subspace_nn.common import environment
from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.runs import engines
from subspace_nn.runs.record import DONE, Record
from subspace_nn.runs.run import Run, being_imported
from subspace_nn.runs.store import Store

#: A run whose process was killed so often is taken to be the cause, and recorded as failed.
_DEATHS = 3

#: Characters of what is known of a death that a record keeps: the end of a log.
_REASON = 2000

_RANGE = re.compile(r"range\((\d+), *(\d+)\)")


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
        finished: of those, done before or in this sweep.
        failed: of those, failed in this sweep.
        seconds: since this sweep began.
        latest: the record that has just been written, if one has.
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
    command = environment.command(sys.argv)
    there = Store(store.folder.absolute())  # a worker may be in another folder
    while todo := driver.todo():
        try:
            for record in parallel(joblib.delayed(_work)(run, there, command) for run in todo):
                driver.ended(record)
        except engines.WorkerDiedError as error:
            driver.workers_died(error.deaths)
    by_id = {record["id"]: record for record in store.read()}
    return [by_id[run.id] for run in runs]


class _Driver:
    """What a sweep has seen so far."""

    def __init__(
        self, runs: Sequence[Run], store: Store, on_status: Callable[[Status], None]
    ) -> None:
        self.runs, self.store, self.on_status = runs, store, on_status
        self.finished = store.finished()
        self.failed: set[str] = set()
        self.deaths: collections.Counter[str] = collections.Counter()
        self.start = time.perf_counter()

    def todo(self) -> list[Run]:
        """What is missing, as the folder has it now."""
        self.finished = self.store.finished()
        self._tell(None)
        return [run for run in self.runs if run.id not in self.finished | self.failed]

    def ended(self, record: Record) -> None:
        self.store.keep(record)  # its worker may have another disk
        (self.finished if record["status"] == DONE else self.failed).add(record["id"])
        self._tell(record)

    def workers_died(self, deaths: Sequence[engines.Death]) -> None:
        """Count the runs that were in flight; give up on one that is there every time."""
        why = {death.arguments[0].id: death.why for death in deaths}
        marks = self.store.marks()
        dead = {run_id for run_id, alive in marks.items() if not alive}
        # What only waited for a killed worker is not to blame: it has no mark.
        blamed = (marks.keys() & why or why) if why else dead
        for run in self.runs:
            if run.id not in blamed:
                continue
            self.store.unmark(run.id)
            self.deaths[run.id] += 1
            if self.deaths[run.id] == _DEATHS:
                known = why.get(run.id, "")[-_REASON:]
                self.store.write(run.failed(f"{known}\nIts process was killed {_DEATHS} times."))
                self.failed.add(run.id)

    def _tell(self, latest: Record | None) -> None:
        mine = {run.id for run in self.runs}
        self.on_status(
            Status(
                total=len(mine),
                finished=len(mine & self.finished),
                failed=len(self.failed),
                seconds=time.perf_counter() - self.start,
                latest=latest,
            )
        )


def _work(run: Run, store: Store, command: str) -> Record:
    """Execute one run on one thread and write its record, wherever this is."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with store.running(run.id):
            record = run.execute(command)
            store.write(record)
    finally:
        torch.set_num_threads(threads)
    return record


def _combinations(grid: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    axes = [[(name, value) for value in _axis(values)] for name, values in grid.items()]
    return (dict(choice) for choice in itertools.product(*axes))


def _axis(values: Any) -> Sequence[Any]:
    if isinstance(values, str) and (match := _RANGE.fullmatch(values)):
        return range(int(match[1]), int(match[2]))
    return values if isinstance(values, list) else [values]


def _value(text: str) -> Any:
    """A word of the command line as TOML would have it: numbers, true, false; else text."""
    if _RANGE.fullmatch(text):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return [_value(part) for part in text.split(",")] if "," in text else text
