"""The command `subspace-nn`: verbs as typed functions, nothing else."""

import json
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import cyclopts
import torch
from cyclopts import App, Parameter
from rich.console import Console
from rich.markup import escape

from subspace_nn import display, fileformat, report
from subspace_nn.checkpoint import load
from subspace_nn.errors import InputError
from subspace_nn.files import write_atomically
from subspace_nn.subspace import Subspace
from subspace_nn.tasks.data import mnist
from subspace_nn.tasks.run import RunConfig, record, whole_number
from subspace_nn.tasks.train import (
    DivergedError,
    History,
    InterruptedTraining,
    count_correct,
    find_device,
    fit,
)

CHECKPOINT, HISTORY, CURVE = "omega.safetensors", "history.json", "curve.png"

#: Exit codes: a mistake in what was given; Ctrl-C.
BAD_INPUT, INTERRUPTED = 2, 130


def _convert(type_: Any, tokens: Sequence[cyclopts.Token]) -> Any:
    """Convert as usual, but hand on what is no number as it is: all mistakes are told at once."""
    try:
        return cyclopts.convert(type_, tokens)
    except cyclopts.CoercionError:
        if type_ in {int, float}:
            return tokens[0].value
        raise


app = App(
    name="subspace-nn",
    help="Train PyTorch models in a low-dimensional subspace of their parameters.",
    version=version("subspace-nn"),
    default_parameter=Parameter(negative="", converter=_convert),
    help_format="plaintext",
)

_Device = Annotated[str, Parameter(help="auto (CUDA where there is one), cpu, cuda, cuda:1, mps.")]
_Data = Annotated[
    Path | None,
    Parameter(help="Folder with MNIST's four IDX files; the packaged ones if not given."),
]
_Threads = Annotated[
    int | None, Parameter(help="CPU threads; PyTorch's choice, a thread a core, if not given.")
]


@app.command
def train(
    *,
    config: Annotated[RunConfig, Parameter(name="*")] = RunConfig(),  # noqa: B008  # frozen
    data: _Data = None,
    out: Annotated[
        Path | None, Parameter(help="Folder for the results; runs/MODEL-DIM-SEED if not given.")
    ] = None,
    force: Annotated[
        bool, Parameter(help="Overwrite the results of an earlier run in that folder.")
    ] = False,
    device: _Device = "auto",
    threads: _Threads = None,
) -> None:
    """Train a net on MNIST in a subspace; leave a checkpoint, a history and a plot."""
    folder = out or Path("runs") / f"{config.model}-{config.dim}-{config.seed}"
    checked = _all(
        digits=lambda: mnist(data),
        net=config.build,
        device=lambda: find_device(device),
        threads=lambda: _set_threads(threads),
        out=lambda: _claim(folder, force=force),
    )
    net: Subspace = checked["net"]
    recipe = config.recipe()
    console = Console()
    console.print(f"{config.model}: {net.dim:,} free parameters for {net.D:,} weights")
    stop: DivergedError | InterruptedTraining | None = None
    try:
        with display.progress(console, recipe) as show:
            history = fit(
                net,
                checked["digits"],
                recipe,
                seed=config.seed,
                device=device,
                on_progress=show,
            )
    except (DivergedError, InterruptedTraining) as caught:
        stop, history = caught, caught.history
    _write(folder, config, net, history)
    display.table(console, _summary(net, history, folder))
    if isinstance(stop, InterruptedTraining):
        console.print(f"Stopped: {history.stopped}. The best weights so far are kept.")
        sys.exit(INTERRUPTED)
    if stop:
        raise stop


@app.command
def evaluate(
    file: Annotated[Path, Parameter(help="The checkpoint, omega.safetensors.")],
    *,
    data: _Data = None,
    device: _Device = "auto",
    threads: _Threads = None,
) -> None:
    """Count the test images that a checkpoint classifies right, from nothing but the file."""
    checked = _all(
        net=lambda: load(file),
        digits=lambda: mnist(data),
        device=lambda: find_device(device),
        threads=lambda: _set_threads(threads),
    )
    net, test = checked["net"].to(checked["device"]), checked["digits"].test.to(checked["device"])
    correct, loss = count_correct(net, test)
    n = len(test.labels)
    Console().print(
        f"{correct:,} of {n:,} test images right: {100 * correct / n:.2f} % (loss {loss:.4f})"
    )


@app.command
def info(file: Annotated[Path, Parameter(help="The checkpoint, omega.safetensors.")]) -> None:
    """Tell what is in a checkpoint."""
    saved = fileformat.read(file)
    spec, omega = saved.spec, saved.tensors["omega"]
    rows = {
        "model": spec.get("model", "a module of the user's own"),
        "D (weights)": f"{spec['D']:,}",
        "d (free parameters)": f"{spec['dim']:,}",
        "D/d": f"{spec['D'] / spec['dim']:.1f}",
        "projection": f"{spec['projection']}, seed {spec['seed']}, fingerprint {spec['P']}",
        "θ0": f"{spec['theta0_from']}, fingerprint {spec['theta0']}",
        "architecture": f"fingerprint {spec['architecture']}",
        "ω": f"{omega.dtype}, root mean square {omega.double().square().mean().sqrt():.4g}",
    }
    others = [name for name in saved.tensors if name != "omega"]
    rows["other tensors"] = ", ".join(others) or "none"
    rows["size"] = f"{file.stat().st_size:,} bytes"
    display.table(Console(), rows, title=str(file))


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[
        Path | None,
        Parameter(
            name="--config",
            help="TOML file with any of the options, as in `dim = 300`; flags go before it.",
        ),
    ] = None,
) -> None:
    if config is not None:
        app.config = cyclopts.config.Toml(config, must_exist=True, use_commands_as_keys=False)
    app(tokens, exit_on_error=False, print_error=False)


def main() -> None:
    """Run the command; a mistake of the user's ends in one message and exit code 2."""
    try:
        app.meta(exit_on_error=False, print_error=False)
    except (cyclopts.CycloptsError, InputError, tomllib.TOMLDecodeError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'A file'}: {error.strerror or error}.")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _fail(message: str) -> NoReturn:
    console = Console(stderr=True, soft_wrap=True)
    for line in message.splitlines():
        console.print(f"[bold red]error:[/] {escape(line)}", highlight=False)
    sys.exit(BAD_INPUT)


def _all(**attempts: Callable[[], Any]) -> dict[str, Any]:
    """What each attempt returns; if any fails, one error with the problems of all."""
    results: dict[str, Any] = {}
    problems: list[str] = []
    for name, attempt in attempts.items():
        try:
            results[name] = attempt()
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    return results


def _set_threads(threads: int | None) -> None:
    if threads is None:
        return
    if problems := whole_number("threads", threads, 1, 1024):
        raise InputError(*problems)
    torch.set_num_threads(threads)


def _claim(folder: Path, *, force: bool) -> None:
    """Make the folder and see that it can be written: before the training rather than after."""
    held = [name for name in (CHECKPOINT, HISTORY, CURVE) if (folder / name).exists()]
    if held and not force:
        raise InputError(
            f"{folder} holds the results of an earlier run ({', '.join(held)}). "
            "Name another folder with --out, or overwrite them with --force."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"The output folder {folder} cannot be written: {error.strerror}. "
            "Name another with --out."
        ) from None


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
