"""`train` and `evaluate`: one net and its file."""

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from subspace_nn import report
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
)
from subspace_nn.cli.checkpoints import accuracy_change
from subspace_nn.common.atomic import try_writing, write_atomically
from subspace_nn.common.claims import claim
from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.format.packing import ROUNDED
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks.classifier import (
    DivergedError,
    History,
    InterruptedTraining,
    count_correct,
    fit,
)
from subspace_nn.tasks.config import RunConfig, record
from subspace_nn.tasks.data import Split, mnist
from subspace_nn.tasks.loop import find_device

CHECKPOINT, HISTORY, CURVE = "omega.safetensors", "history.json", "curve.png"

#: Held in the folder by the process that trains.
CLAIM = ".training"


def train(
    *,
    config: Annotated[RunConfig, Parameter(name="*")] = RunConfig(),  # noqa: B008  # frozen
    data: Data = None,
    out: Annotated[
        Path | None, Parameter(help="Folder for the results; runs/MODEL-DIM-SEED if not given.")
    ] = None,
    force: Annotated[
        bool, Parameter(help="Overwrite the results of an earlier run in that folder.")
    ] = False,
    device: Device = "auto",
    threads: Threads = None,
    dtype: Annotated[
        str | None,
        Parameter(
            help="Round ω in the checkpoint to float16, bfloat16, int8 or int4, and tell what that "
            "costs."
        ),
    ] = None,
) -> None:
    """Train a net on MNIST in a subspace; leave a checkpoint, a history and a plot."""
    folder = out or Path("runs") / f"{config.model}-{config.dim}-{config.seed}"
    checked = gather(
        digits=lambda: mnist(data),
        net=config.build,
        device=lambda: find_device(device),
        threads=lambda: set_threads(threads),
        out=lambda: _check_writable(folder, force=force),
        dtype=lambda: _check_dtype(dtype),
    )
    with _alone_in(folder, force=force):
        _train(config, checked, folder, device=device, dtype=dtype)


def _train(
    config: RunConfig, checked: dict[str, Any], folder: Path, *, device: str, dtype: str | None
) -> None:
    net: Subspace = checked["net"]
    console = Terminal()
    console.print(f"{config.model}: {net.dim:,} free parameters for {net.D:,} weights")
    stop: DivergedError | InterruptedTraining | None = None
    try:
        with display.progress(console, config) as show:
            history = fit(
                net,
                checked["digits"],
                config,
                seed=config.seed,
                device=device,
                on_progress=show,
            )
    except (DivergedError, InterruptedTraining) as caught:
        stop, history = caught, caught.history
    _write(folder, config, net, history)
    rows = _summary(net, history, folder)
    if dtype is not None:
        rows |= _round(folder / CHECKPOINT, dtype, net, checked["digits"].test)
    display.facts(console, rows)
    if isinstance(stop, InterruptedTraining):
        console.print(f"Stopped: {history.stopped}. The best weights so far are kept.")
        sys.exit(INTERRUPTED)
    if stop:
        raise stop


def _check_dtype(dtype: str | None) -> None:
    if dtype is not None and dtype not in ROUNDED:
        raise InputError(unknown_name("dtype", dtype, ROUNDED))


def _round(path: Path, dtype: str, net: Subspace, test: Split) -> dict[str, str]:
    """Write the checkpoint again with ω rounded, and tell what it costs."""
    net.save(path, dtype=dtype)
    device = net.omega.device
    rounded = load(path, max_entries=None).to(device)
    before, after = (count_correct(n, test.to(device))[0] for n in (net, rounded))
    return {
        f"as {dtype}": accuracy_change(before, after, len(test.labels)),
        "checkpoint": f"{path}, {path.stat().st_size:,} bytes",
    }


@contextmanager
def _alone_in(folder: Path, *, force: bool) -> Generator[None]:
    """Keep other trainings out of a folder for as long as this one takes."""
    with claim(folder / CLAIM) as mine:
        if not mine:
            raise InputError(
                f"Another training is at work in {folder}. Name another folder with --out, or wait "
                "for its end."
            )
        _check_free(folder, force=force)  # it may have ended since the first look
        yield


def _check_free(folder: Path, *, force: bool) -> None:
    held = [name for name in (CHECKPOINT, HISTORY, CURVE) if (folder / name).exists()]
    if held and not force:
        raise InputError(
            f"{folder} holds the results of an earlier run ({', '.join(held)}). "
            "Name another folder with --out, or overwrite them with --force."
        )


def _check_writable(folder: Path, *, force: bool) -> None:
    """See that everything can be written before the training rather than after it."""
    _check_free(folder, force=force)
    for name in (CHECKPOINT, HISTORY, CURVE):
        try_writing(folder / name)


def _write(folder: Path, config: RunConfig, net: Subspace, history: History) -> None:
    net.save(folder / CHECKPOINT)
    text = json.dumps(record(config, net, history), indent=1, allow_nan=False)
    write_atomically(folder / HISTORY, text.encode())
    title = f"{config.model}, {net.dim:,} free parameters for {net.D:,} weights"
    write_atomically(folder / CURVE, report.png(report.curve(history, title)))


def _summary(net: Subspace, history: History, folder: Path) -> dict[str, str]:
    last = history.evaluations[-1]
    return {
        "D (weights)": f"{net.D:,}",
        "d (free parameters)": f"{net.dim:,}",
        "D/d": f"{net.D / net.dim:.1f}",
        "test accuracy": f"{last.test_accuracy:.2f} % ({last.test_correct:,} images right)",
        "time": f"{last.seconds:.1f} s",
        "checkpoint": f"{folder / CHECKPOINT}, {(folder / CHECKPOINT).stat().st_size:,} bytes",
        "also": f"{folder / HISTORY}, {folder / CURVE}",
    }
