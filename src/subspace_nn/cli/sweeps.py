"""`sweep`, `runs`: many trainings and their records."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from subspace_nn.cli import display
from subspace_nn.cli._app import BAD_INPUT, Terminal, gather, show_problems
from subspace_nn.cli.workers import Workers
from subspace_nn.common.atomic import write_atomically
from subspace_nn.common.errors import InputError
from subspace_nn.runs import tables
from subspace_nn.runs.run import Run
from subspace_nn.runs.store import Store, stores
from subspace_nn.runs.sweep import expand, parse, parse_assignments
from subspace_nn.runs.sweep import sweep as run_all

_Word = Annotated[
    str,
    Parameter(help="A sweep file, or name=value words; a comma or range(a,b) makes an axis."),
]
_LOCAL = Workers()


def sweep(
    *words: _Word,
    task: Annotated[
        str | None, Parameter(help="mnist, or your own package.module:function.")
    ] = None,
    out: Annotated[
        Path | None, Parameter(help="Folder of the records; results/FILE if not given.")
    ] = None,
    workers: Workers = _LOCAL,
) -> None:
    """Run what is missing of many trainings; what is finished is kept.

    Examples: sweep experiments/fc-2017.toml, or sweep model=conv dim=10,30,100 seed=range(0,5)
    """
    checked = gather(
        runs=lambda: _runs(words, task),
        workers=workers.arguments,
    )
    runs, name = checked["runs"]
    store = Store(out or Path("results") / name)
    console = Terminal()
    with display.sweep(console, runs, store) as show:
        records = run_all(runs, store, on_status=show, **checked["workers"])
    failed = [record for record in records if record["status"] != "done"]
    done = len(records) - len(failed)
    console.print(
        f"{done} of {len(records)} runs done, in {store.folder}", markup=False, soft_wrap=True
    )
    for record in failed:
        last = record["error"].strip().splitlines()[-1]
        console.print(f"failed: {record['id']}  {last}", markup=False, soft_wrap=True)
    if failed:
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
    pack: Annotated[
        bool,
        Parameter(help="Write each folder's records into one file beside it, FOLDER.jsonl."),
    ] = False,
) -> None:
    """List the runs of a sweep, export them, or pack them.

    Examples: runs results/mine dim=10,30, or runs results --pack
    """
    console = Terminal()
    found = stores([folder])
    read = [store.read() for store in found]
    records = [record for records in read for record in records]
    table = tables.select(tables.rows(records), parse_assignments(filters))
    for path, encode in ((csv, tables.to_csv), (parquet, tables.to_parquet)):
        if path is not None:
            write_atomically(path, encode(table))
    for store in found if pack else ():
        path, number = store.pack()
        console.print(f"{path}: {number} runs", markup=False, soft_wrap=True)
    if not pack:
        display.rows(console, table)
    show_problems([problem for records in read for problem in records.problems])


def _runs(words: tuple[str, ...], task: str | None) -> tuple[list[Run], str]:
    """The runs that the words name, and the name of the folder for their records."""
    files = [Path(word) for word in words if "=" not in word]
    overrides: dict[str, Any] = parse_assignments([word for word in words if "=" in word])
    if len(files) > 1:
        raise InputError(f"Expected one sweep file, got {', '.join(map(str, files))}.")
    if not files:
        return expand(task or "mnist", [overrides]), "sweep"
    try:
        text = files[0].read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The sweep file {files[0]} cannot be read: {error}.") from None
    try:
        return parse(text, overrides, task=task), files[0].stem
    except InputError as error:
        raise InputError(*(f"{files[0]}: {problem}" for problem in error.problems)) from None
