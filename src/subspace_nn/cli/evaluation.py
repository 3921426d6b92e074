"""`evaluate` and `show`: trained nets, from nothing but their files."""

import contextlib
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from subspace_nn.checkpoint.hub import CHECKPOINT
from subspace_nn.cli import display
from subspace_nn.cli._app import (
    Data,
    Device,
    Terminal,
    Threads,
    Trust,
    gather,
    set_threads,
    show_next,
)
from subspace_nn.cli.checkpoints import needs_module, read
from subspace_nn.cli.workers import Log, logging
from subspace_nn.common.atomic import write_atomically
from subspace_nn.common.errors import InputError
from subspace_nn.runs import tables
from subspace_nn.runs.grid import parse_assignments
from subspace_nn.runs.record import Record
from subspace_nn.runs.session import WEIGHTS, weights_of
from subspace_nn.runs.store import Store
from subspace_nn.tasks import own
from subspace_nn.tasks.loop import find_device
from subspace_nn.tasks.subject import Subject, subject

Place = Annotated[
    Path,
    Parameter(
        name="FILE",
        help="A checkpoint, its folder, or the folder of a sweep that kept weights (--save).",
    ),
]
Words = Annotated[
    str,
    Parameter(
        help="The task of the test data: a name such as fashion-fc, or your own "
        "package.module:function; MNIST by default. Of a sweep, also name=value or --name value: "
        "only the runs that fit."
    ),
]


def evaluate(
    file: Place,
    *words: Words,
    data: Data = None,
    device: Device = "auto",
    threads: Threads = None,
    log: Log = None,
    trust: Trust = False,
) -> None:
    """Test a checkpoint, from nothing but the file; or each that a sweep kept.

    Examples: evaluate runs/conv-1000-0, or evaluate acme.safetensors mine:digits, or evaluate
    results/mine --dim 10,30
    """
    chosen = _chosen(file, words)
    checked = _checked(chosen, device, threads, data=data, trust=trust)
    console = Terminal()
    rows: list[tables.Row] = []
    for path, arguments, one in _subjects(chosen, checked, data=data, trust=trust):
        outputs, targets = one.outputs()
        found = own.judged(one.problem, outputs, targets)
        if len(chosen[1]) == 1:
            console.print(_sentence(found, outputs, targets), markup=False, soft_wrap=True)
        rows.append({"run": path.stem, **arguments, **found})
    with logging(log, file if file.is_dir() else file.parent) as logger:
        for row in rows:
            if logger:
                logger.result(f"evaluate-{row['run']}", {"run": row["run"]}, row)
    if len(rows) > 1:
        display.rows(console, rows, "nets")
    show_next(console, shlex.join(["show", str(file), *words]))


def show(
    file: Place,
    *words: Words,
    out: Annotated[
        Path | None, Parameter(help="Folder of the pictures; that of the checkpoint by default.")
    ] = None,
    data: Data = None,
    device: Device = "auto",
    threads: Threads = None,
    trust: Trust = False,
) -> None:
    """Draw what a net gets wrong, its confusions, its filters before and after, and the loss.

    Examples: show runs/conv-1000-0, or show acme.safetensors mine:digits, or show results/mine
    --dim 10
    """
    from subspace_nn.report import png  # noqa: PLC0415  # the help needs no matplotlib
    from subspace_nn.report.figures.looks import pictures  # noqa: PLC0415

    chosen = _chosen(file, words)
    checked = _checked(chosen, device, threads, data=data, trust=trust)
    console = Terminal()
    for path, arguments, one in _subjects(chosen, checked, data=data, trust=trust):
        folder = out or path.parent
        folder.mkdir(parents=True, exist_ok=True)
        stem = "" if path.name == CHECKPOINT else f"{path.stem}-"
        if arguments:
            console.print(" ".join(f"{n}={v}" for n, v in arguments.items()), markup=False)
        for name, figure in pictures(one).items():
            target = folder / f"{stem}{name}.png"
            write_atomically(target, png(figure))
            console.print(str(target), markup=False, soft_wrap=True)


_Chosen = tuple[str | None, list[tuple[Path, tables.Row]]]


def _checked(
    chosen: _Chosen, device: str, threads: int | None, *, data: Path | None, trust: bool
) -> dict[str, Any]:
    """The first net with its data, and the device; mistakes in both are reported together."""
    task, files = chosen
    return gather(
        first=lambda: _subject(files[0][0], task, data=data, trust=trust),
        device=lambda: find_device(device),
        threads=lambda: set_threads(threads),
    )


def _subjects(
    chosen: _Chosen, checked: dict[str, Any], *, data: Path | None, trust: bool
) -> Iterator[tuple[Path, tables.Row, Subject]]:
    task, files = chosen
    for number, (path, arguments) in enumerate(files):
        one = _subject(path, task, data=data, trust=trust) if number else checked["first"]
        yield path, arguments, one.to(checked["device"])


def _subject(path: Path, task: str | None, *, data: Path | None, trust: bool) -> Subject:
    saved = None
    with contextlib.suppress(InputError):  # which loading raises, too, with what else is wrong
        saved = read(path, trust=trust)
    if task is None and saved is not None and needs_module(saved):
        raise InputError(
            f"{path} names no packaged net: give the function that makes its module and data, as "
            "in mine:function behind the file. Without data: load(path, module) in Python."
        )
    return subject(path, task, data=data, trust=trust)


def _sentence(found: dict[str, float], outputs: Any, targets: Any) -> str:
    loss = f"(loss {found['test_loss']:.4f})"
    if "test_accuracy" in found:
        right, n = int((outputs.argmax(1) == targets).sum()), len(targets)
        words = "test images" if outputs.shape[1:] == (10,) and n == 10_000 else "test examples"
        return f"{right:,} of {n:,} {words} right: {found['test_accuracy']:.2f} % {loss}"
    return f"test score {found['test_score']:.6g} {loss}" if "test_score" in found else loss


def _chosen(file: Path, words: Sequence[str]) -> _Chosen:
    """The task that the words name, and the files with what tells them apart."""
    file = file.expanduser()
    tasks = [word for word in words if "=" not in word]
    if len(tasks) > 1:
        raise InputError(f"Expected one task, got {', '.join(tasks)}.")
    filters = parse_assignments([word for word in words if "=" in word])
    task = tasks[0] if tasks else None
    path = file / CHECKPOINT if (file / CHECKPOINT).is_file() else file
    if not path.is_dir():
        if filters:
            raise InputError(f"{', '.join(filters)}: {file} is one net; leave these words out.")
        return task, [(path, {})]
    kept = list(_kept(Store(path)))
    rows = tables.select(tables.rows(kept), filters) if kept else []
    inside = sorted(found.parent.name for found in path.glob(f"*/{CHECKPOINT}"))
    if not rows and not kept and inside:
        raise InputError(f"{file} holds several nets, name one of them: {', '.join(inside)}.")
    if not rows:
        raise InputError(
            f"{file}: no weights of such runs in {WEIGHTS}/. Make the runs with --save, as in "
            f"subspace-nn train --dim 10,30 --out {file}."
        )
    by_id = {record["id"]: record["arguments"] for record in kept}
    varying = tables.varying([dict(by_id[row["id"]]) for row in rows])
    return task, [
        (weights_of(path, row["id"]), {n: by_id[row["id"]].get(n) for n in varying}) for row in rows
    ]


def _kept(store: Store) -> Iterator[Record]:
    for record in store.read():
        if weights_of(store.folder, record["id"]).is_file():
            yield record
