"""What a notebook or a script calls: measurements, sweeps, their records, and pictures of a net."""

import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from subspace_nn.cli import display
from subspace_nn.cli import measure_view as view
from subspace_nn.cli.workers import both
from subspace_nn.common.errors import InputError
from subspace_nn.dimension import BUDGET, Answer, Progress, Question, label, question
from subspace_nn.dimension.measurement import measure as run_measure
from subspace_nn.dimension.plans import folder_of
from subspace_nn.runs import tables
from subspace_nn.runs.functions import name_of
from subspace_nn.runs.grid import expand
from subspace_nn.runs.record import Record
from subspace_nn.runs.run import Run
from subspace_nn.runs.store import Records, Store, stores
from subspace_nn.runs.sweep import Status
from subspace_nn.runs.sweep import sweep as run_sweep
from subspace_nn.runs.task import Result

if TYPE_CHECKING:
    import pandas as pd

    from subspace_nn.subspace.wrapper import Subspace
    from subspace_nn.tasks.own import Batches

_Task = str | Callable[..., Result]
_Path = str | os.PathLike[str]


def measure(
    task: Question | _Task,
    folder: _Path | None = None,
    *,
    arguments: Mapping[str, Any] | None = None,
    budget: int = BUDGET,
    progress: bool = True,
    on_progress: Callable[[Progress], None] = lambda _: None,
    engine: str = "loky",
    jobs: int = -1,
    device: str = "auto",
    threads: int = 1,
    **definition: Any,
) -> Answer:
    """Measure how many free parameters a task needs, with progress below the cell.

    Args:
        task: a name, `package.module:function`, or a function: one that gives a module and its
            data, or a task with `dim` and `seed`. It may be defined in the notebook.
        folder: of the records; `results/measure/TASK` by default.
        arguments: of the task.
        budget: number of new runs at most; 60 by default.
        progress: whether to show it, in a notebook and in a terminal.
        on_progress: called with the state before each batch, after each run, and at the end.
        engine: as for `subspace_nn.runs.sweep.sweep`.
        jobs: number of workers; -1 is one per core, or per card if the runs compute on cards.
        device: of each run.
        threads: CPU threads of each run.
        **definition: further fields of `Question`, such as threshold and precision.

    Returns:
        The answer: `answer.dim`, `answer.low`, `answer.high`, `answer.plot()`.

    Raises:
        InputError: as `subspace_nn.dimension.measure`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     measure("toy", folder, engine="serial", precision=0.1)
        Answer(toy: d_int 10 (10 to 10, 95 %), 37 runs, doubtful)
    """
    if isinstance(task, Question):
        if given := [*(["arguments"] if arguments else []), *definition]:
            raise InputError(
                f"A Question has all of its fields itself; got {', '.join(given)} besides. Give "
                "the task, or put them into the Question."
            )
        asked = task
    else:
        asked = question(task, arguments, **definition)
    place = Path(folder) if folder is not None else folder_of(label(asked).partition(" ")[0])
    with _measuring(asked, show=progress) as show:
        return run_measure(
            asked,
            place,
            budget=budget,
            engine=engine,
            jobs=jobs,
            device=device,
            threads=threads,
            on_progress=both(show, on_progress),
        )


def sweep(
    task: _Task | Iterable[Run],
    folder: _Path | Store,
    axes: Mapping[str, Any] | None = None,
    *,
    progress: bool = True,
    on_status: Callable[[Status], None] = lambda _: None,
    engine: str = "loky",
    jobs: int = -1,
    device: str = "auto",
    threads: int = 1,
    save: bool = False,
    batched: bool = False,
) -> Records:
    """Make the runs of a task that are not done yet, with progress below the cell.

    Args:
        task: as for `measure`; or the runs themselves.
        folder: of the records.
        axes: values by argument; a list or a range is an axis, and the runs are all combinations.
        progress: whether to show it, in a notebook and in a terminal.
        on_status: called with the state at the start and after each run.
        engine: as for `subspace_nn.runs.sweep.sweep`.
        jobs: number of workers; -1 is one per core, or per card if the runs compute on cards.
        device: of each run.
        threads: CPU threads of each run.
        save: keep each run's net in `folder/weights`.
        batched: train all seeds of a configuration as one.

    Returns:
        The records of all runs, in order.

    Raises:
        InputError: if a run is not valid; every problem is named.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = sweep("toy", folder, {"dim": [3, 10], "seed": range(2)}, engine="serial")
        ...     records(folder).groupby("dim").performance.mean().round(3).to_dict()
        {3: 0.0, 10: 1.0}
    """
    if isinstance(task, str) or callable(task):
        name = task if isinstance(task, str) else name_of(task)
        lists = {n: list(v) if isinstance(v, range) else v for n, v in (axes or {}).items()}
        runs = expand(name, [lists])
    else:
        runs = list(task)
        if odd := next((one for one in runs if not isinstance(one, Run)), None):
            raise InputError(
                "Expected a task's name, a function, or a list of Run; got a list with a "
                f"{type(odd).__name__}."
            )
    store = folder if isinstance(folder, Store) else Store(folder)
    with _sweeping(runs, store, show=progress) as show:
        return Records(
            run_sweep(
                runs,
                store,
                engine=engine,
                jobs=jobs,
                device=device,
                threads=threads,
                save=save,
                batched=batched,
                on_status=both(show, on_status),
            )
        )


def records(*folders: _Path) -> "pd.DataFrame":
    """The records of folders, at any depth, as a table.

    Args:
        *folders: of records, or of such folders.

    Returns:
        One row a run, in the order of their arguments: id, status, arguments, the values of the
        result, seconds. Curves are lists in a cell; `curves` has them as rows.

    Raises:
        InputError: if a folder holds no records.
    """
    return _table(
        row | {n: v for n, v in record["result"].items() if n not in row and isinstance(v, list)}
        for record, row in _rows(folders)
    )


def curves(*folders: _Path) -> "pd.DataFrame":
    """The evaluations of runs, as a table.

    Args:
        *folders: of records, or of such folders.

    Returns:
        One row for each evaluation of each run: id, arguments, and what was measured: epoch, step,
        losses, accuracies.

    Raises:
        InputError: if a folder holds no records.
    """
    return _table(
        {"id": record["id"], **record["arguments"], **evaluation}
        for record, _ in _rows(folders)
        for evaluation in record["result"].get("evaluations", [])
        if isinstance(evaluation, dict)
    )


class Pictures(dict[str, Any]):
    """Figures by name, which a notebook shows below its cell."""

    def _repr_html_(self) -> str:
        from subspace_nn.report import svg  # noqa: PLC0415  # imports matplotlib

        return "".join(svg(figure) for figure in self.values())

    def save(self, folder: _Path) -> None:
        """Write each figure as a PNG.

        Args:
            folder: made if it does not exist.
        """
        from subspace_nn.report import png  # noqa: PLC0415

        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, figure in self.items():
            (Path(folder) / f"{name}.png").write_bytes(png(figure))


def show(net: "Subspace", test: "Batches | None" = None) -> Pictures:
    """Pictures of a trained net: what it gets wrong, its filters, the loss around it.

    Args:
        net: the net; a copy of it is moved, and in evaluation mode.
        test: batches of (inputs, targets) of a classifier; by default MNIST's test images, for a
            net that reads digits.

    Returns:
        Figures by name: wrong, confusion, filters, loss, as far as the net and data allow.

    Raises:
        InputError: if no data are given and the net does not read digits.
    """
    import copy  # noqa: PLC0415

    from subspace_nn.report.figures.looks import pictures  # noqa: PLC0415
    from subspace_nn.tasks.data import mnist  # noqa: PLC0415
    from subspace_nn.tasks.own import Problem  # noqa: PLC0415
    from subspace_nn.tasks.subject import Subject, batches  # noqa: PLC0415

    shown = copy.deepcopy(net).eval()
    data = batches(mnist().test) if test is None else test
    if test is None:
        try:
            shown(next(iter(data))[0][:1].to(net.omega.device))
        except Exception as error:  # it is the user's own module, and may fail in any way
            raise InputError(
                f"This net does not read MNIST's digits ({error}). Give its test data, as in "
                "show(net, test_loader)."
            ) from error
    subject = Subject(shown, Problem(shown, [], data), net.omega.device)
    return Pictures(pictures(subject))


def _rows(folders: Iterable[_Path]) -> list[tuple[Record, tables.Row]]:
    found = [record for store in stores(map(Path, folders)) for record in store.read()]
    ordered = tables.once(found)
    return list(zip(ordered, tables.rows(ordered), strict=True))


def _table(rows: Iterable[Mapping[str, Any]]) -> "pd.DataFrame":
    import pandas as pd  # noqa: PLC0415  # takes a while

    return pd.DataFrame(list(rows))


class _Cell:
    """A part of a notebook's output that changes."""

    def __init__(self) -> None:
        from IPython.display import HTML, display  # noqa: PLC0415  # only where it runs already

        self._html: Any = HTML
        self._handle: Any = display(HTML(""), display_id=True)

    def put(self, done: int, total: int, words: str) -> None:
        """Show a bar, and lines of text below it."""
        bar = f"<progress value='{done}' max='{max(total, 1)}'></progress> {done} of {total}"
        self._handle.update(self._html(f"{bar}<pre>{escape(words)}</pre>"))


def _is_notebook() -> bool:
    """Whether a kernel runs this, which shows HTML."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


@contextmanager
def _measuring(asked: Question, *, show: bool) -> Generator[Callable[[Progress], None]]:
    title = f"{label(asked)}: how many free parameters?"
    console = Console()
    if show and _is_notebook():
        cell = _Cell()
        lines = [title]

        def put(now: Progress) -> None:
            if now.status is None:
                lines.append(view.line(now).plain)
            finished = now.status.finished if now.status else 0
            cell.put(len(now.made) + finished, now.budget, "\n".join(lines))

        yield put
    elif show and console.is_terminal:
        with view.progress(console, title) as put:
            yield put
    else:
        yield lambda _: None


@contextmanager
def _sweeping(runs: list[Run], store: Store, *, show: bool) -> Generator[Callable[[Status], None]]:
    console = Console()
    if show and _is_notebook():
        cell, words = _Cell(), display.lines(runs, store)
        ended: list[str] = []

        def put(now: Status) -> None:
            if now.latest is not None:
                ended.append(words(now.latest))
            failed = [f"{now.failed} failed"] if now.failed else []
            cell.put(now.finished, now.total, "\n".join([*ended[-5:], *failed]))

        yield put
    elif show and console.is_terminal:
        with display.sweep(console, runs, store) as put:
            yield put
    else:
        yield lambda _: None
