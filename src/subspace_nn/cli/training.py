"""`train`: one net, and what it leaves."""

import contextlib
import dataclasses
import json
import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from subspace_nn import report
from subspace_nn.checkpoint.hub import CHECKPOINT
from subspace_nn.checkpoint.loading import load
from subspace_nn.cli import display
from subspace_nn.cli._app import (
    INTERRUPTED,
    Data,
    Device,
    Terminal,
    Threads,
    gather,
    set_threads,
    show_next,
)
from subspace_nn.cli.checkpoints import accuracy_change
from subspace_nn.cli.workers import Log, RecipeName, both, logging
from subspace_nn.common import environment
from subspace_nn.common.atomic import try_writing, write_atomically
from subspace_nn.common.checks import one_of, require
from subspace_nn.common.claims import claim
from subspace_nn.common.errors import InputError
from subspace_nn.format.packing import CODED, ROUNDED
from subspace_nn.runs.run import Run
from subspace_nn.runs.store import HISTORY, Store
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks.classifier import (
    DivergedError,
    History,
    InterruptedTraining,
    Progress,
    count_correct,
    fit,
)
from subspace_nn.tasks.config import ALL_WEIGHTS, NetConfig, RunConfig, record
from subspace_nn.tasks.data import Dataset, Split, mnist
from subspace_nn.tasks.images import result
from subspace_nn.tasks.loop import find_device
from subspace_nn.tasks.recipe import Recipe

CURVE = "curve.png"

#: Bytes of the history and the plot, about.
_MORE = 2**20

_NET, _RECIPE = Group("Net", sort_key=1), Group("Recipe", sort_key=2)
_OUTPUT, _MACHINE = Group("Output", sort_key=3), Group("Data and machine", sort_key=4)


def train(
    *,
    net: Annotated[NetConfig, Parameter(name="*", group=_NET)] = NetConfig(),  # noqa: B008
    settings: Annotated[Recipe, Parameter(name="*", group=_RECIPE)] = Recipe(),  # noqa: B008
    recipe: Annotated[RecipeName, Parameter(group=_RECIPE)] = None,
    out: Annotated[
        Path | None,
        Parameter(help="Folder for the results; runs/MODEL-DIM-SEED by default.", group=_OUTPUT),
    ] = None,
    force: Annotated[
        bool,
        Parameter(help="Overwrite the results of an earlier run in that folder.", group=_OUTPUT),
    ] = False,
    dtype: Annotated[
        str | None,
        Parameter(
            help="Round ω in the checkpoint to float16, bfloat16, int8, int4 or coded, and report "
            "the cost in accuracy; with levels coded, which then costs nothing.",
            group=_OUTPUT,
        ),
    ] = None,
    data: Annotated[Data, Parameter(group=_MACHINE)] = None,
    log: Annotated[Log, Parameter(group=_OUTPUT)] = None,
    device: Annotated[Device, Parameter(group=_MACHINE)] = "auto",
    threads: Annotated[Threads, Parameter(group=_MACHINE)] = None,
) -> None:
    """Train a net in a subspace; write a checkpoint, a record, a history and a plot.

    A named task sets the options: train mnist-lenet, or train mnist-fc-2018 --epochs 20. Several
    values, as in train --dim 10,30,100, and other tasks, as in train fashion-fc or train
    mine:function, are a sweep, with its options, that keeps weights.
    """
    config = RunConfig(**vars(net), **vars(settings))
    dtype = dtype or (CODED if config.levels else None)
    folder = out or Path("runs") / f"{config.model}-{config.dim}-{config.seed}"
    checked = gather(
        digits=lambda: _digits(data),
        net=lambda: _build(config),
        device=lambda: find_device(device),
        threads=lambda: set_threads(threads),
        out=lambda: _check_folder(folder, force=force),
        dtype=lambda: require(one_of("dtype", dtype, ROUNDED) if dtype is not None else ()),
    )
    size = _MORE + checked["net"].omega.nbytes
    run = Run.of("mnist", dataclasses.asdict(config)) if data is None else None
    words = f", recipe of {recipe}" if recipe else ""
    with (
        _claimed(folder, size=size, force=force),
        logging(log, folder, folder.name, dataclasses.asdict(config)) as logger,
    ):
        Terminal().print(
            f"{config.model}: {checked['net'].dim:,} free parameters for {checked['net'].D:,} "
            f"weights{words}"
        )
        _train(
            config, checked["net"], checked["digits"], folder, run,
            logger=logger, device=device, dtype=dtype,
        )  # fmt: skip


def _digits(folder: Path | None) -> Dataset:
    if folder is not None and "fashion" in folder.name and not folder.exists():
        raise InputError(
            "--data is a folder with MNIST's files. Fashion-MNIST is a task: subspace-nn sweep "
            "fashion-fc dim=100."
        )
    return mnist(folder)


def _build(config: RunConfig) -> Subspace:
    require(config.problems())
    return config.build()


def _train(
    config: RunConfig,
    net: Subspace,
    digits: Dataset,
    folder: Path,
    run: Run | None,
    *,
    logger: Callable[[Progress], None] | None,
    device: str,
    dtype: str | None,
) -> None:
    """Train and write; the record is that of a run on MNIST as it is, made to its end."""
    console, started = Terminal(), datetime.now(UTC)
    stop: DivergedError | InterruptedTraining | None = None
    try:
        with display.progress(console, config) as show:
            watch = both(show, logger)
            history = fit(net, digits, config, seed=config.seed, device=device, on_progress=watch)
    except (DivergedError, InterruptedTraining) as caught:
        stop, history = caught, caught.history
    _forget(folder)
    _write(folder, config, net, history, _levels(config, net, digits, packaged=run is not None))
    if run is not None and stop is None:
        seconds, where = history.evaluations[-1].seconds, str(net.omega.device)
        command = environment.command(sys.argv)
        Store(folder).write(run.done(result(net, history), started, seconds, where, command))
    rows = _summary(net, history, folder)
    if dtype is not None:
        rows |= _round(folder / CHECKPOINT, dtype, net, digits.test)
    display.facts(console, rows)
    if isinstance(stop, InterruptedTraining):
        console.print(f"Stopped: {history.stopped}. The best weights so far are kept.")
        sys.exit(INTERRUPTED)
    if stop:
        raise stop
    there = shlex.quote(str(folder))
    show_next(console, f"show {there}", f"report {there}")


def _check_folder(folder: Path, *, force: bool) -> None:
    """Refuse a folder that holds results, or that cannot take them: before the training."""
    _check_held(folder, force=force)
    for name in (CHECKPOINT, HISTORY, CURVE):
        try_writing(folder / name)


def _check_held(folder: Path, *, force: bool) -> None:
    held = [name for name in (CHECKPOINT, HISTORY, CURVE) if (folder / name).exists()]
    if held and not force:
        raise InputError(
            f"{folder} holds the results of an earlier run ({', '.join(held)}). "
            "Name another folder with --out, or overwrite them with --force."
        )


@contextmanager
def _claimed(folder: Path, *, size: int, force: bool) -> Generator[None]:
    """Hold the folder against another training, which would overwrite the results."""
    with claim(folder / ".training") as free:
        if not free:
            raise InputError(
                f"Another process is training into {folder} right now. Name another folder with "
                "--out, or wait until it ends."
            )
        _check_held(folder, force=force)  # the other one may have just ended
        try_writing(folder / CHECKPOINT, size)
        yield


def _forget(folder: Path) -> None:
    """Remove the record of the training whose results are overwritten."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, InputError):
        earlier = json.loads((folder / HISTORY).read_text(encoding="utf-8"))["config"]
        Store(folder).path(Run.of("mnist", earlier).id).unlink()


def _round(path: Path, dtype: str, net: Subspace, test: Split) -> dict[str, str]:
    """Write the checkpoint again with ω rounded; returns the cost."""
    net.save(path, dtype=dtype)
    device = net.omega.device
    rounded = load(path, max_entries=None).to(device)
    before, after = (count_correct(n, test.to(device))[0] for n in (net, rounded))
    return {
        f"as {dtype}": accuracy_change(before, after, len(test.labels)),
        "checkpoint": f"{path}, {path.stat().st_size:,} bytes",
    }


def _levels(
    config: RunConfig, net: Subspace, digits: Dataset, *, packaged: bool
) -> dict[str, float]:
    """Accuracies to compare with: that of no training, and that of training all weights."""
    labels = digits.test.labels
    found = {"always the commonest class": 100 * int(labels.bincount().max()) / len(labels)}
    if packaged and config.model in ALL_WEIGHTS and net.dim < net.D:
        found[f"all {net.D:,} weights, {Recipe.epochs} epochs"] = ALL_WEIGHTS[config.model]
    return found


def _write(
    folder: Path, config: RunConfig, net: Subspace, history: History, levels: dict[str, float]
) -> None:
    net.save(folder / CHECKPOINT)
    text = json.dumps(record(config, net, history), indent=1, allow_nan=False)
    write_atomically(folder / HISTORY, text.encode())
    title = f"{config.model}, {net.dim:,} free parameters for {net.D:,} weights"
    write_atomically(folder / CURVE, report.png(report.curve(history, title, levels)))


def _summary(net: Subspace, history: History, folder: Path) -> dict[str, str]:
    last, stored = history.evaluations[-1], sum(net.stored.values())
    more = {"stored numbers": f"{stored:,}"} if stored != net.dim else {}
    return {
        "D (weights)": f"{net.D:,}",
        "d (free parameters)": f"{net.dim:,}",
        "D/d": f"{net.D / net.dim:,.1f}",
        **more,
        "test accuracy": f"{last.test_accuracy:.2f} % ({last.test_correct:,} images right)",
        "time": f"{last.seconds:.1f} s",
        "checkpoint": f"{folder / CHECKPOINT}, {(folder / CHECKPOINT).stat().st_size:,} bytes",
        "also": f"{folder / HISTORY}, {folder / CURVE}",
    }
