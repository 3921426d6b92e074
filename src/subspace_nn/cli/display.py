"""Trainings and sweeps in a terminal."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from subspace_nn.common.numbers import counted, spread
from subspace_nn.runs import tables
from subspace_nn.runs.record import FAILED, Record
from subspace_nn.runs.run import Run
from subspace_nn.runs.store import Store
from subspace_nn.runs.sweep import Status
from subspace_nn.tasks.classifier import Evaluation, Progress
from subspace_nn.tasks.recipe import Recipe

#: Columns that would not fit next to the others.
_NOT_SHOWN = frozenset(("started", "error", "test_correct", "checkpoint_bytes"))

#: Columns that need room more than others.
_FIRST = (
    "id", "status", "model", "dim", "test_accuracy", "test_score", "task", "seed", "projection",
)  # fmt: skip

#: Columns from which on a bar has room for the steps, too.
_WIDE = 60


@contextmanager
def progress(console: Console, recipe: Recipe) -> Generator[Callable[[Progress], None]]:
    """Show the progress of a training: a line per epoch, and below it a bar in a terminal.

    Args:
        console: prints it.
        recipe: of the training.

    Yields:
        A function to call with each `Progress`.
    """
    if console.is_terminal:
        with _bar(console, recipe.epochs) as show:
            yield show
    else:
        yield _lines(console, recipe.epochs)


def facts(console: Console, rows: Mapping[str, str], title: str = "") -> None:
    """Print names and values.

    Args:
        console: where to.
        rows: value by name.
        title: above them; none by default.
    """
    width = max(map(len, rows))
    if title:
        console.print(Text(title, style="bold"), soft_wrap=True)
    for name, value in rows.items():
        console.print(Text.assemble((f"{name:{width}}", "dim"), f"  {value}"), soft_wrap=True)


def rows(console: Console, table: Sequence[tables.Row], what: str = "runs") -> None:
    """Print rows in the columns that vary; what all rows have in common is written once below.

    Args:
        console: where to.
        table: rows.
        what: the rows are, in the plural.
    """
    varying = set(tables.varying(table)) if len(table) > 1 else {n for row in table for n in row}
    names = dict.fromkeys(name for row in table for name in row if not name.endswith(tables.STD))
    columns = [name for name in names if name in varying and name not in _NOT_SHOWN]
    shown = _fitting(columns, table, console.width)
    grid = Table(box=None, header_style="bold")
    for name in shown:
        left = name in {"id", "status"}  # an id that is cut could not be copied
        grid.add_column(Text(name), justify="left" if left else "right", no_wrap=left)
    for row in table:
        grid.add_row(*(Text(_cell(row, name)) for name in shown))
    if table:
        console.print(grid)
    same = [f"{name}={table[0][name]}" for name in names if name not in varying]
    shared = f"; the same in all: {', '.join(same)}" if same else ""
    console.print(Text(counted(len(table), what) + shared))
    if hidden := [name for name in columns if name not in shown]:
        console.print(Text(f"no room for {', '.join(hidden)}: --csv FILE has all"))


def _fitting(names: Sequence[str], table: Sequence[tables.Row], width: int) -> list[str]:
    """The columns that a width has room for; what names a run and judges it comes first."""
    sizes = {name: 2 + max(len(name), *(len(_cell(row, name)) for row in table)) for name in names}
    first = [name for name in _FIRST if name in names]
    rest = [name for name in names if name not in {*first, *tables.DESCRIPTIVE}]
    # Results come behind the arguments of a row.
    ranked = [*first, *reversed(rest), *(name for name in names if name in tables.DESCRIPTIVE)]
    kept: set[str] = set()
    for name in dict.fromkeys(ranked):
        if sizes[name] <= width or not kept:
            kept.add(name)
            width -= sizes[name]
    return [name for name in names if name in kept]


def failures(console: Console, records: Sequence[Record]) -> None:
    """Print the last line of the error of each run that failed.

    Args:
        console: where to.
        records: of any runs.
    """
    for record in records:
        if record["status"] == FAILED:
            last = record["error"].strip().splitlines()[-1]
            console.print(Text(f"failed: {record['id']}  {last}"), soft_wrap=True)


def _cell(row: tables.Row, name: str) -> str:
    match row.get(name):
        case None:
            return ""
        case float() as number:
            return spread(number, row.get(name + tables.STD), ".4g", ".2g")
        case value:
            return str(value)


@contextmanager
def sweep(
    console: Console, runs: Sequence[Run], store: Store
) -> Generator[Callable[[Status], None]]:
    """Show a sweep as it goes: what runs, what is done, time left; elsewhere a line a run.

    Args:
        console: where to.
        runs: of the sweep.
        store: where their records go.

    Yields:
        A function to call with each `Status`.
    """
    view = _SweepView(runs, store)
    if console.is_terminal:
        with Live(view, console=console, refresh_per_second=2):
            yield view.update
    else:

        def show(status: Status) -> None:
            view.update(status)
            if status.latest is not None:
                console.print(view.line(status.latest), markup=False, highlight=False)

        yield show


def lines(runs: Sequence[Run], store: Store) -> Callable[[Mapping[str, Any]], str]:
    """What says in a line how a run of a sweep ended.

    Args:
        runs: of the sweep.
        store: where their records go.

    Returns:
        A function of a record.
    """
    return _SweepView(runs, store).line


class _SweepView:
    """A bar, what is running, and the last runs that ended."""

    def __init__(self, runs: Sequence[Run], store: Store) -> None:
        arguments = [dict(run.arguments) for run in runs]
        self.names = tables.varying(arguments) or ["seed"]
        self.labels = {run.id: self._label(run.arguments) for run in runs}
        self.store = store
        self.ended: list[Mapping[str, Any]] = []
        self.status: Status | None = None
        self.bar = Bar(
            TextColumn("{task.completed} of {task.total} done"),
            BarColumn(bar_width=40),
            TextColumn("[red]{task.fields[failed]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self.task = self.bar.add_task("", total=len(runs), failed="")

    def update(self, status: Status) -> None:
        self.status = status
        failed = f"{status.failed} failed" if status.failed else ""
        self.bar.update(self.task, completed=status.finished, failed=failed)
        if status.latest is not None:
            self.ended.append(status.latest)

    def line(self, record: Mapping[str, Any]) -> str:
        outcome = record["status"]
        if "result" in record and "test_accuracy" in record["result"]:
            outcome = f"{record['result']['test_accuracy']:.2f} %"
        return f"{self.labels[record['id']]}  {outcome}  {record['seconds']:.1f} s"

    def __rich__(self) -> RenderableType:
        alive = [i for i, lives in self.store.claims().items() if lives and i in self.labels]
        now = [Text(f"  running  {self.labels[i]}", style="cyan") for i in sorted(alive)]
        before = [Text(f"  ended    {self.line(record)}") for record in self.ended[-5:]]
        return Group(*before, *now, self.bar)

    def _label(self, arguments: Mapping[str, Any]) -> str:
        return " ".join(f"{name}={arguments[name]}" for name in self.names if name in arguments)


@contextmanager
def _bar(console: Console, epochs: int) -> Generator[Callable[[Progress], None]]:
    columns = (
        TextColumn("epoch {task.fields[epoch]}/" + str(epochs)),
        BarColumn(bar_width=None),
        *([TextColumn("{task.fields[steps]}")] if console.width >= _WIDE else []),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("test {task.fields[accuracy]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    line = _lines(console, epochs)
    with Bar(*columns, console=console, expand=True) as bar:
        task = bar.add_task("", total=None, epoch=1, steps="–", loss="–", accuracy="–")

        def show(now: Progress) -> None:
            line(now)
            bar.update(
                task,
                completed=now.step,
                total=now.steps,
                epoch=now.epoch,
                steps=f"{now.step}/{now.steps}",
                loss=f"{now.loss:.4g}",
                accuracy=_accuracy(now.evaluation),
            )

        yield show


def _lines(console: Console, epochs: int) -> Callable[[Progress], None]:
    shown: list[Evaluation] = []

    def show(now: Progress) -> None:
        if now.evaluation is None or now.evaluation in shown:
            return
        shown.append(now.evaluation)
        console.print(
            f"epoch {now.evaluation.epoch}/{epochs}  step {now.evaluation.step}  "
            f"loss {now.loss:.4g}  test {_accuracy(now.evaluation)}  "
            f"{now.evaluation.seconds:.1f} s",
            soft_wrap=True,
        )

    return show


def _accuracy(evaluation: Evaluation | None) -> str:
    return "–" if evaluation is None else f"{evaluation.test_accuracy:.2f} %"
