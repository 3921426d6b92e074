"""`certify`: what the bytes of a checkpoint prove about its error on data nobody has seen."""

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from cyclopts import Parameter
from torch import Tensor

from subspace_nn.certificates.certificate import Batches, Certificate, certify
from subspace_nn.checkpoint.loading import MAX_ENTRIES, load
from subspace_nn.cli import display
from subspace_nn.cli._app import Data, Device, Terminal, Threads, Trust, gather, set_threads
from subspace_nn.cli.checkpoints import DIFFERENT, File
from subspace_nn.common import strict_json
from subspace_nn.common.atomic import try_writing
from subspace_nn.common.checks import one_of, require
from subspace_nn.common.errors import InputError
from subspace_nn.runs.run import resolve
from subspace_nn.runs.task import OWN
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks.certified import batches, on_device, part
from subspace_nn.tasks.data import fashion_mnist, mnist
from subspace_nn.tasks.loop import find_device
from subspace_nn.tasks.subject import subject


@dataclass(frozen=True)
class _Given:
    """What a bound is about."""

    net: Subspace
    train: Batches
    test: Batches
    prepare: Any


def certify_file(
    file: File,
    problem: Annotated[
        str | None,
        Parameter(
            help="Instead of images: package.module:function that gives (module, train, test), as "
            "for evaluate. Each training example must come once."
        ),
    ] = None,
    *,
    data: Data = None,
    images: Annotated[
        Literal["mnist", "fashion-mnist"], Parameter(help="The data set; --data is its folder.")
    ] = "mnist",
    first: Annotated[
        int,
        Parameter(
            help="The number of training images, from the start of the set, from which θ0 and all "
            "else in the file but ω was learnt: the bound is over the others, and θ0 is no part of "
            "the message."
        ),
    ] = 0,
    among: Annotated[
        tuple[str, ...],
        Parameter(
            help="NAME=K: a choice that the file does not hold, such as the architecture, was one "
            "of K. Costs log2 K bits. May be given again.",
        ),
    ] = (),
    delta: Annotated[float, Parameter(help="Probability with which the bound may fail.")] = 0.05,
    explain: Annotated[bool, Parameter(help="Print each term.")] = False,
    json_: Annotated[bool, Parameter(name="--json", help="Print the certificate.")] = False,
    out: Annotated[Path | None, Parameter(help="Write the certificate to this file.")] = None,
    check: Annotated[
        Path | None,
        Parameter(help="Compare with this certificate; exit code 1 if it is not that of the file."),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    trust: Trust = False,
) -> None:
    """Bound the error of a checkpoint on new data, by its training errors and its bits.

    Examples: certify runs/small --explain, or certify small.snn mine:digits --out certificate.json
    """
    entries = None if trust else MAX_ENTRIES
    checked = gather(
        given=lambda: (
            _of_images(file, data, images, first, device, entries=entries)
            if problem is None
            else _of_problem(file, problem, device, trust=trust, alone=data is None and not first)
        ),
        among=lambda: dict(map(_choice, among)),
        held=lambda: None if check is None else _read(check),
        out=lambda: None if out is None else try_writing(out),
        threads=lambda: set_threads(threads),
    )
    given: _Given = checked["given"]
    certificate = certify(
        given.net, given.train, test=given.test, delta=delta, among=checked["among"],
        prior=f"θ0 was trained on the images 0 to {first - 1:,}" if first else None,
        prepare=given.prepare, file=file,
    )  # fmt: skip
    if out is not None:
        certificate.save(out)
    if json_:
        sys.stdout.write(certificate.to_json())
    else:
        _show(certificate, file, explain=explain)
    if check is not None:
        differences = certificate.differences(checked["held"])
        for difference in differences:
            Terminal(stderr=True).print(f"{check}: {difference}", markup=False, soft_wrap=True)
        if differences:
            sys.exit(DIFFERENT)
        if not json_:
            Terminal().print(f"{check}: the certificate holds", markup=False, soft_wrap=True)


def _of_problem(file: Path, problem: str, device: str, *, trust: bool, alone: bool) -> _Given:
    """A module and data of the user's own."""
    if not alone:
        raise InputError("--first and --data are for images: leave them out with a problem.")
    if resolve(problem, {"dim": 1})[0] != OWN:
        raise InputError(
            f"{problem} gives no module and data: expected a function that does, as mine:digits. "
            "For a net on images leave it out, and say which with --images."
        )
    where = find_device(device)
    found = subject(file, problem, trust=trust).to(where)
    prepare = functools.partial(_moved, where=where)
    return _Given(found.net, found.problem.train, found.problem.test, prepare)


def _moved(inputs: Tensor, where: torch.device) -> Tensor:
    return inputs.to(where)


def _of_images(
    file: Path, data: Path | None, images: str, first: int, device: str, *, entries: int | None
) -> _Given:
    where = find_device(device)
    require(one_of("images", images, ("mnist", "fashion-mnist")))
    whole = mnist(data) if images == "mnist" else fashion_mnist(data)
    if not 0 <= first < len(whole.train.labels):
        raise InputError(
            f"--first must be from 0 to {len(whole.train.labels) - 1:,}, got {first:,}."
        )
    net = load(file, max_entries=entries).to(where)
    prepare = functools.partial(on_device, device=where)
    return _Given(net, batches(part(whole.train, first)), batches(whole.test), prepare)


def _choice(word: str) -> tuple[str, int]:
    name, _, count = word.partition("=")
    if not name or not count.isascii() or not count.isdigit():
        raise InputError(f"--among: expected NAME=K, as in architecture=4, got {word!r}.")
    return name, int(count)


def _read(path: Path) -> dict[str, Any]:
    try:
        held = strict_json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is no certificate: {error}.") from None
    if not isinstance(held, dict):
        raise InputError(f"{path} is no certificate: expected a JSON object.")
    return held


def _show(certificate: Certificate, file: Path, *, explain: bool) -> None:
    c = certificate
    trained = f"{100 * c.train_error:.2f} % of {c.n:,}"
    rows = {
        "bound": f"{100 * c.bound:.2f} % of new data are wrong at most, "
        f"with probability {100 * (1 - c.delta):g} %",
        "training error": trained,
    }
    if c.test is not None:
        rows["test error"] = f"{100 * (c.test_error or 0):.2f} % of {c.test['n']:,}"
    rows["message"] = f"{c.bits:,.0f} bits ({c.bits / 8:,.0f} bytes)"
    if explain:
        rows |= {f"  {n}": f"{b:,.6g} bit{'s' * (b != 1)}" for n, b in c.terms.items()}
        rows |= {f"by {name}": f"{100 * bound:.4f} %" for name, bound in c.bounds.items()}
        rows["prior"] = c.prior or "data-free: nothing was learnt before"
        rows["file"] = f"{c.file['bytes']:,} bytes, SHA-256 {c.file['sha256']}"
        rows["data"] = f"SHA-256 {c.data['inputs']} (inputs), {c.data['targets']} (targets)"
    display.facts(Terminal(), rows, title=str(file))
    if c.terms["omega"] > c.n / 2:
        Terminal().print(
            "The message is long for so few examples. Train with --levels, which takes two bits a "
            "parameter, or in fewer parameters.",
            soft_wrap=True,
        )
