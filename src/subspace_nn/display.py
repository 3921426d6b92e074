"""What a training looks like in a terminal."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Table

from subspace_nn.tasks.train import Evaluation, Progress, Recipe


@contextmanager
def progress(console: Console, recipe: Recipe) -> Iterator[Callable[[Progress], None]]:
    """Show a training as it goes: a bar in a terminal, one plain line an epoch elsewhere.

    Args:
        console: where to.
        recipe: what is being done.

    Yields:
        What to call with each `Progress`.
    """
    if console.is_terminal:
        with _bar(console, recipe.epochs) as show:
            yield show
    else:
        yield _lines(console, recipe.epochs)


def table(console: Console, rows: Mapping[str, str], title: str = "") -> None:
    """Print names and values.

    Args:
        console: where to.
        rows: value by name.
        title: above them; none by default.
    """
    grid = Table(title=title or None, title_justify="left", show_header=False, box=None)
    grid.add_column(style="dim")
    grid.add_column()
    for name, value in rows.items():
        grid.add_row(name, value)
    console.print(grid)


@contextmanager
def _bar(console: Console, epochs: int) -> Iterator[Callable[[Progress], None]]:
    columns = (
        TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TextColumn("test {task.fields[accuracy]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, expand=True) as bar:
        task = bar.add_task("", total=None, epoch=0, epochs=epochs, loss=float("nan"), accuracy="–")

        def show(now: Progress) -> None:
            bar.update(
                task,
                completed=now.step,
                total=now.steps,
                epoch=now.epoch,
                loss=now.loss,
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
            f"loss {now.loss:.4f}  test {_accuracy(now.evaluation)}  "
            f"{now.evaluation.seconds:.1f} s"
        )

    return show


def _accuracy(evaluation: Evaluation | None) -> str:
    return "–" if evaluation is None else f"{evaluation.test_accuracy:.2f} %"
