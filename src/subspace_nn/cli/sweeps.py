"""`sweep` and `runs`: many trainings and their records."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from subspace_nn.cli import display
from subspace_nn.cli._app import (
    BAD_INPUT,
    Terminal,
    app,
    gather,
    interruptible,
    show_next,
    show_problems,
)
from subspace_nn.cli.workers import Log, RecipeName, Workers, both, logging, with_recipe
from subspace_nn.common.atomic import try_writing, write_atomically
from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.common.numbers import counted
from subspace_nn.runs import tables
from subspace_nn.runs.grid import opening, packaged, read
from subspace_nn.runs.record import DONE, Record
from subspace_nn.runs.run import Run
from subspace_nn.runs.session import weights_of
from subspace_nn.runs.store import Store, stores
from subspace_nn.runs.sweep import expand, parse, parse_assignments
from subspace_nn.runs.sweep import sweep as run_all
from subspace_nn.runs.task import NAMED, OWN

_Word = Annotated[
    str,
    Parameter(
        help="A sweep file (your own, or the name of a packaged one), or a task (a name, or your "
        "own package.module:function); then name=value or --name value for its arguments: a comma "
        "or range(a,b) makes an axis."
    ),
]
_LOCAL = Workers()


def sweep(
    *words: _Word,
    task: Annotated[
        str | None,
        Parameter(help=f"Your own package.module:function, or one of {', '.join(NAMED)}."),
    ] = None,
    recipe: RecipeName = None,
    out: Annotated[
        Path | None, Parameter(help="Folder of the records; results/FILE if not given.")
    ] = None,
    save: Annotated[
        bool, Parameter(help="Keep the weights of each run, in FOLDER/weights.")
    ] = False,
    batched: Annotated[
        bool,
        Parameter(help="Train all seeds of a configuration as one: for small nets on a GPU."),
    ] = False,
    workers: Workers = _LOCAL,
) -> None:
    """Make many runs; those that are finished are kept.

    Examples: sweep conv-small-2017, or sweep mnist-fc --dim 10,30,100 --seed "range(0,5)"
    """
    if not words and task is None:
        app.help_print(["sweep"])
        return
    checked = gather(
        runs=lambda: _runs(words, task, recipe),
        workers=workers.arguments,
    )
    runs, name, comment = checked["runs"]
    store = Store(out or Path("results") / name)
    console = Terminal()
    if comment:
        console.print(comment, markup=False)
    with logging(workers.log, store.folder) as logger, display.sweep(console, runs, store) as show:
        watch = both(interruptible(show), logger)
        records = run_all(
            runs, store, save=save, batched=batched, on_status=watch, **checked["workers"]
        )
    if means := tables.means(records):
        display.rows(console, means, "configurations")
    display.failures(console, records)
    done = sum(record["status"] == DONE for record in records)
    folder = shlex.quote(str(store.folder))
    kept = any(weights_of(store.folder, record["id"]).exists() for record in records)
    own = {f" {shlex.quote(str(run.arguments['problem']))}" for run in runs if run.task == OWN}
    last = f"evaluate {folder}{''.join(own)}" if kept else f"runs {folder}"
    ended = f"{done} of {len(records)} runs done, in {store.folder}"
    console.print(ended, markup=False, soft_wrap=True)
    if done:
        show_next(console, f"report {folder}", last)
    show_problems(store.read().problems)
    if done < len(records):
        sys.exit(BAD_INPUT)


def list_runs(
    folder: Annotated[
        Path, Parameter(help="Folder of records, a folder of such folders, or a packed file.")
    ],
    *filters: Annotated[str, Parameter(help="Only runs with name=value; a comma is 'or'.")],
    csv: Annotated[Path | None, Parameter(help="Write the rows to this CSV file.")] = None,
    parquet: Annotated[
        Path | None, Parameter(help="Write the rows to this Parquet file (extra 'parquet').")
    ] = None,
    mean: Annotated[
        bool, Parameter(help="One row for all seeds: mean and standard deviation.")
    ] = False,
    log: Log = None,
    pack: Annotated[
        bool,
        Parameter(help="Write the records of each folder into one file, FOLDER.jsonl."),
    ] = False,
) -> None:
    """List the runs of a sweep, export them, or pack them.

    Examples: runs results/mine dim=10,30, or runs results --pack
    """
    console = Terminal()
    found = stores([folder])
    read = [store.read() for store in found]
    records = _select([record for records in read for record in records], filters)
    table = tables.means(records) if mean else tables.rows(records)
    for path, encode in ((csv, tables.to_csv), (parquet, tables.to_parquet)):
        if path is not None:
            try_writing(path)
            write_atomically(path, encode(table))
    with logging(log, folder) as logger:
        for record in records:
            if logger:
                logger.record(record)
    for store in found if pack else ():
        path, number = store.pack()
        console.print(f"{path}: {counted(number, 'runs')}", markup=False, soft_wrap=True)
    if not pack:
        display.rows(console, table, "configurations" if mean else "runs")
        display.failures(console, records)
    show_problems([problem for records in read for problem in records.problems])


def _select(records: list[Record], filters: tuple[str, ...]) -> list[Record]:
    chosen = {row["id"] for row in tables.select(tables.rows(records), parse_assignments(filters))}
    return [record for record in records if record["id"] in chosen]


def _tasks_and_files(words: tuple[str, ...]) -> tuple[list[str], list[Path]]:
    """The words that are no assignments: a task by its name, and the path of a sweep file."""
    others = [word for word in words if "=" not in word]
    tasks = [w for w in others if w in NAMED or (":" in w and not Path(w).exists())]
    return tasks, [Path(word).expanduser() for word in others if word not in tasks]


def _runs(
    words: tuple[str, ...], task: str | None, recipe: str | None
) -> tuple[list[Run], str, str]:
    """The runs that the words name, the name of their folder, and what their file says of them."""
    tasks, paths = _tasks_and_files(words)
    tasks += [task] if task else []
    overrides: dict[str, Any] = parse_assignments([word for word in words if "=" in word])
    if len(tasks) > 1 or len(paths) > 1:
        many = ", ".join([*tasks, *map(str, paths)])
        raise InputError(f"Expected one task or one sweep file, got {many}.")
    task = tasks[0] if tasks else None
    overrides = with_recipe(recipe, task, overrides)
    if not paths:
        return expand(task or "mnist", [overrides]), "sweep", ""
    (path,) = paths
    if path.suffix == ".py":
        module = ".".join(path.with_suffix("").parts)
        raise InputError(f"A task is a function of a file: write {module}:FUNCTION.")
    if not (path.exists() or path.suffix or path.name in packaged()):
        raise InputError(unknown_name("task or sweep file", str(path), [*NAMED, *packaged()]))
    text = read(path)
    try:
        return parse(text, overrides, task=task), path.stem, opening(text)
    except InputError as error:
        raise InputError(*(f"{path}: {problem}" for problem in error.problems)) from None
