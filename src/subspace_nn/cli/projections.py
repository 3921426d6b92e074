"""`projections`: the cost of each kind at given sizes."""

import contextlib
import dataclasses
import json
import math
import sys
from typing import Annotated

import torch
from cyclopts import Parameter
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from subspace_nn import models
from subspace_nn.cli._app import Terminal, Threads, gather, set_threads
from subspace_nn.common import environment
from subspace_nn.common.checks import number, require, whole
from subspace_nn.common.errors import InputError
from subspace_nn.common.numbers import brief, counted
from subspace_nn.projections import KINDS, check_sizes, costs, parse
from subspace_nn.projections.costs import Cost, Costs
from subspace_nn.subspace.layout import Layout

#: Terminals of this width show two more columns.
WIDE = 100

_Name = Annotated[str, Parameter(help="Kinds, such as hashed or layerwise:hadamard. Default: all.")]


def projections(
    *names: _Name,
    D: Annotated[int | None, Parameter(name="--D", help="Number of weights.")] = None,
    dim: Annotated[int, Parameter(help="Number of free parameters d.")] = 1000,
    model: Annotated[
        str | None,
        Parameter(help="Net of the package, in place of --D. Default: conv."),
    ] = None,
    seed: Annotated[int, Parameter(help="Seed of the projections.")] = 0,
    memory: Annotated[float, Parameter(help="Memory limit for all kinds together, in GB.")] = 4.0,
    seconds: Annotated[
        float, Parameter(help="Approximate time limit for each kind, in seconds.")
    ] = 30.0,
    threads: Threads = None,
    json_: Annotated[
        bool, Parameter(name="--json", help="Print one JSON object instead of a table.")
    ] = False,
) -> None:
    """Measure each projection at given sizes: isometry, coverage, bytes, milliseconds, fingerprint.

    Kinds that would exceed --memory or --seconds are skipped, with the reason. Examples:
    projections --model fc --dim 750, or projections hashed hadamard --D 10000000 --dim 1000
    """
    checked = gather(
        tensors=lambda: _tensors(D, model),
        names=lambda: [parse(name) for name in names],
        seed=lambda: require(whole("seed", seed, 0, 2**64 - 1)),
        limits=lambda: require(
            number("memory", memory, above=0), number("seconds", seconds, above=0)
        ),
        threads=lambda: set_threads(threads),
    )
    tensors = checked["tensors"]
    # Layers are made of tensors, which --D does not name.
    known = tensors if D is None else None
    size = sum(tensors.values())
    check_sizes(size, dim)
    chosen = names or [kind for kind in KINDS if known or not KINDS[kind].takes_tensors]
    console = Terminal()
    waiting = console.status("Measuring …") if console.is_terminal else contextlib.nullcontext()
    with waiting:
        found = costs.measure(
            chosen, size, dim, seed=seed, tensors=known, memory=1e9 * memory, seconds=seconds
        )
    if json_:
        content = dataclasses.asdict(found) | {"environment": environment.describe()}
        sys.stdout.write(json.dumps(content, indent=1) + "\n")
    else:
        _show(console, found, "" if D else f"{model or 'conv'}: ")


def _tensors(D: int | None, model: str | None) -> dict[str, int]:
    """The tensors of θ and their sizes."""
    if D is not None and model is not None:
        raise InputError("Give either --D or --model, not both.")
    if D is not None:
        require(whole("D", D, 1))
        return {"theta": D}
    return {e.name: e.numel for e in Layout.of(models.build(model or "conv")).entries}


def _show(console: Terminal, found: Costs, title: str) -> None:
    wide = console.width >= WIDE
    threads = counted(torch.get_num_threads(), "threads")
    console.print(
        f"{title}D = {found.D:,}, d = {found.dim:,}, float32, {threads}",
        style="bold",
        highlight=False,
    )
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1))
    table.add_column("")
    for heading in ("‖PᵀP-I‖", *(["bound"] if wide else []), "moved", "stored"):
        table.add_column(heading, justify="right")
    for heading in (*(["set-up"] if wide else []), "forward", "adjoint"):
        table.add_column(f"{heading}\nms", justify="right")
    table.add_column("fingerprint")
    for cost in found.kinds:
        cells = _cells(cost, wide=wide)
        table.add_row(*(Text(cell, style="dim" if cost.reason else "") for cell in cells))
    blanks = [""] * (5 if wide else 3)
    table.add_row("copy of θ", *blanks, brief(found.copy_ms), style="dim")
    console.print(table, highlight=False)
    for cost in found.kinds:
        note = cost.reason
        if note is None and cost.isometry_error is None:
            note = "No estimate of ‖PᵀP-I‖ in this time; raise --seconds."
        if note:
            console.print(Text.assemble((f"{cost.name}: ", "bold"), note))


def _cells(cost: Cost, *, wide: bool) -> list[str]:
    if cost.reason is not None:
        return [cost.name, *["–"] * (8 if wide else 6)]
    return [
        cost.name,
        brief(cost.isometry_error),
        *([brief(cost.distortion)] if wide else []),
        _percent(cost.coverage),
        "–" if cost.stored_bytes is None else decimal(cost.stored_bytes),
        *([brief(cost.setup_ms)] if wide else []),
        brief(cost.forward_ms),
        brief(cost.adjoint_ms),
        cost.fingerprint or "–",
    ]


def _percent(share: float | None) -> str:
    """Per cent, rounded down: 100 % means all."""
    return "–" if share is None else f"{math.floor(1000 * share) / 10:g} %"
