"""The verbs of a checkpoint: inspect, verify, diff, convert, combine, merge and export."""

import contextlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import cyclopts
import torch
from cyclopts import Parameter
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn

from subspace_nn.checkpoint.arithmetic import combine as write_sum
from subspace_nn.checkpoint.export import (
    Inputs,
    onnx_bytes,
    onnx_difference,
    state_bytes,
)
from subspace_nn.checkpoint.hub import checkpoint_of
from subspace_nn.checkpoint.loading import MAX_ENTRIES, load
from subspace_nn.cli import display
from subspace_nn.cli._app import (
    Data,
    Terminal,
    Trust,
    expanded,
    gather,
)
from subspace_nn.common.atomic import write_atomically
from subspace_nn.common.checks import one_of, require
from subspace_nn.common.errors import InputError
from subspace_nn.common.modules import import_named
from subspace_nn.format import container
from subspace_nn.format.compact import SUFFIX
from subspace_nn.format.container import Checkpoint
from subspace_nn.models import MODELS
from subspace_nn.runs.task import importable
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks.classifier import count_correct
from subspace_nn.tasks.data import mnist
from subspace_nn.tasks.own import Problem
from subspace_nn.tasks.subject import options_of

#: Exit code of `diff` where two files differ.
DIFFERENT = 1

#: Shape of an input of the packaged nets, without the batch.
_DIGIT = (1, 28, 28)


def _file(type_: Any, tokens: Sequence[cyclopts.Token]) -> Path:  # noqa: ARG001
    return checkpoint_of(expanded(tokens[0].value))


File = Annotated[
    Path,
    Parameter(help="The checkpoint, omega.safetensors, or its folder.", converter=_file),
]
Module = Annotated[
    str | None,
    Parameter(
        help="package.module:function that makes the module, in the current folder or installed; "
        "for a file that names no net of the package."
    ),
]
Force = Annotated[bool, Parameter(help="Overwrite the file.")]


def inspect(
    file: File,
    *,
    json_: Annotated[bool, Parameter(name="--json", help="One JSON object instead.")] = False,
    trust: Trust = False,
) -> None:
    """Show the content of a checkpoint, without building its net."""
    saved = read(file, trust=trust)
    size = file.stat().st_size
    if json_:
        tensors = {
            name: {"dtype": _dtype(tensor), "shape": list(tensor.shape)}
            for name, tensor in saved.tensors.items()
        }
        content = {"file": str(file), "bytes": size, "spec": saved.spec, "tensors": tensors}
        sys.stdout.write(json.dumps(content, indent=1) + "\n")
        return
    display.facts(Terminal(), _facts(saved) | {"size": f"{size:,} bytes"}, title=str(file))


def verify(file: File, *, module: Module = None, trust: Trust = False) -> None:
    """Check that a checkpoint is intact, and that θ0 and P come out as they were saved."""
    saved = read(file, trust=trust)
    rows = {"content": "whole, as its digest says"}
    if _is_loadable(saved, module):
        _load(file, module, trust=trust)
        spec = saved.spec
        rows |= {
            "architecture": f"as saved, {spec['architecture']}",
            "θ0": f"as saved, {spec['theta0']}",
            "P": f"as saved, {spec['P']}",
        }
    else:
        rows["architecture, θ0, P"] = (
            "not checked: the file names no net of the package; give --module"
        )
    display.facts(Terminal(), rows, title=str(file))


def diff(
    a: Annotated[Path, Parameter(help="A checkpoint, or its folder.", converter=_file)],
    b: Annotated[Path, Parameter(help="Another.", converter=_file)],
    *,
    module: Module = None,
    trust: Trust = False,
) -> None:
    """Compare two checkpoints; exit code 1 if they differ, 0 if they are the same net."""
    one, two = gather(a=lambda: read(a, trust=trust), b=lambda: read(b, trust=trust)).values()
    rows = [*_differing_fields(one, two), *_differing_tensors(one, two)]
    if not rows:
        Terminal().print("The same.")
        return
    if _is_loadable(one, module) and _is_loadable(two, module):
        nets = gather(
            a=lambda: _load(a, module, trust=trust), b=lambda: _load(b, module, trust=trust)
        )
        rows += _differing_weights(nets["a"], nets["b"])
    table = Table("", "A", "B", "apart", box=None, header_style="bold", padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*map(Text, row))
    console = Terminal()
    display.facts(console, {"A": str(a), "B": str(b)})
    console.print(table)
    sys.exit(DIFFERENT)


def convert(
    file: File,
    *,
    dtype: Annotated[str, Parameter(help="Of ω: float32, float16, bfloat16, int8, int4 or coded.")],
    out: Annotated[
        Path, Parameter(help="The new checkpoint; compact if it ends in .snn, for coded.")
    ],
    data: Data = None,
    trust: Trust = False,
    force: Force = False,
) -> None:
    """Round ω to another dtype, and report its bytes and its accuracy on MNIST."""
    checked = gather(
        saved=lambda: read(file, trust=trust), out=lambda: _check_out(out, force=force)
    )
    saved: Checkpoint = checked["saved"]
    rounded = saved.rounded(dtype)
    compact = out.suffix == SUFFIX
    sizes = file.stat().st_size, len(container.encode(rounded, is_compact=compact))
    rows = {
        "size": f"{sizes[0]:,} bytes → {sizes[1]:,} bytes",
        "ω": f"relative error {_relative(saved.omega.double(), rounded.omega.double()):.2g}",
    }
    nets = (_load(file, None, trust=trust),) if _is_loadable(saved, None) else ()
    container.write(rounded, out)
    if nets:
        test = mnist(data).test
        before, after = (
            count_correct(net, test)[0] for net in (*nets, _load(out, None, trust=trust))
        )
        rows["test accuracy"] = accuracy_change(before, after, len(test.labels))
    display.facts(Terminal(), rows, title=str(out))


def combine(
    *files: Annotated[Path, Parameter(help="Checkpoints that share θ0 and P.", converter=_file)],
    weights: Annotated[
        str | None,
        Parameter(help="One number for each, as in --weights=0.7,0.3 or --weights=1,-1."),
    ] = None,
    out: Annotated[Path, Parameter(help="The new checkpoint.")],
    force: Force = False,
) -> None:
    """Write the weighted sum of checkpoints: their mean, unless weights are given."""
    checked = gather(
        weights=lambda: _weights(weights, len(files)), out=lambda: _check_out(out, force=force)
    )
    write_sum(dict(zip(files, checked["weights"], strict=True)), out)
    terms = " + ".join(f"{w:g} · {f}" for f, w in zip(files, checked["weights"], strict=True))
    Terminal().print(f"{out} = {terms}, {out.stat().st_size:,} bytes", **_PLAIN)


def merge(
    file: File,
    *,
    out: Annotated[Path, Parameter(help="The weights.")] = Path("model.safetensors"),
    module: Module = None,
    trust: Trust = False,
    force: Force = False,
) -> None:
    """Write all weights as safetensors, for PyTorch without this package."""
    net = _net_for(file, out, module, trust=trust, force=force)
    content = state_bytes(net.merge())
    write_atomically(out, content)
    console = Terminal()
    console.print(f"{out}, {net.D:,} weights, {len(content):,} bytes", **_PLAIN)
    console.print(f'module.load_state_dict(safetensors.torch.load_file("{out}"))', **_PLAIN)


def export(
    file: File,
    *,
    out: Annotated[Path, Parameter(help="The ONNX file.")] = Path("model.onnx"),
    omega: Annotated[
        str, Parameter(help="merged, or input: then one model computes with all adapters.")
    ] = "merged",
    module: Module = None,
    shape: Annotated[
        str | None,
        Parameter(help="Of one input, without the batch; 1,28,28 for the package's nets."),
    ] = None,
    example: Annotated[
        str | None,
        Parameter(
            help="package.module:function that makes inputs of 2 or more rows: a tensor, several, "
            "or a dict of them by argument; in place of --shape."
        ),
    ] = None,
    trust: Trust = False,
    force: Force = False,
) -> None:
    """Write an ONNX model, and compare its outputs with PyTorch's (needs the extra `onnx`)."""
    checked = gather(
        omega=lambda: require(one_of("--omega", omega, ("merged", "input"))),
        inputs=lambda: _inputs(module, shape, example),
        net=lambda: _net_for(file, out, module, trust=trust, force=force),
    )
    net: Subspace = checked["net"]
    inputs = checked["inputs"]
    if example is None:
        inputs = inputs.to(next(iter(net.theta0().values())).dtype)
    exported = net if omega == "input" else net.merge()
    content = onnx_bytes(exported, inputs)
    difference = onnx_difference(content, exported, inputs)
    write_atomically(out, content)
    Terminal().print(
        f"{out}, {len(content):,} bytes; outputs as PyTorch's to {difference:.1g}", **_PLAIN
    )


_PLAIN = {"markup": False, "highlight": False, "soft_wrap": True}


def accuracy_change(before: int, after: int, n: int) -> str:
    """The cost of rounding in accuracy.

    Args:
        before: images classified right with ω as it was.
        after: with ω rounded.
        n: images.

    Returns:
        Both accuracies and the difference in points.

    Example:
        >>> accuracy_change(9760, 9759, 10_000)
        '97.60 % → 97.59 % (-0.01 points)'
    """
    first, second = 100 * before / n, 100 * after / n
    return f"{first:.2f} % → {second:.2f} % ({second - first:+.2f} points)"


def _facts(saved: Checkpoint) -> dict[str, str]:
    spec, omega = saved.spec, saved.omega
    stored = spec.get("omega", _dtype(omega))
    mean = omega.double().square().mean().sqrt()
    rows = {
        "model": spec.get("model", "a module of the user's own"),
        "D (weights)": f"{spec['D']:,}",
        "d (free parameters)": f"{spec['dim']:,}",
        "D/d": f"{spec['D'] / spec['dim']:,.1f}",
        "projection": f"{spec['projection']}, seed {spec['seed']}, fingerprint {spec['P']}",
        "θ0": f"{_origin(spec)}, fingerprint {spec['theta0']}",
        "architecture": f"fingerprint {spec['architecture']}",
        "ω": f"{stored}, {saved.tensors['omega'].nbytes:,} bytes, root mean square {mean:.4g}",
    }
    if "stages" in spec:
        earlier = ", ".join(map(str, spec["stages"][:8])) + ", …" * (len(spec["stages"]) > 8)
        rows["stages"] = f"{1 + len(spec['stages']):,}, of d numbers each; later seeds {earlier}"
    if "scale" in spec:
        rows["scale"] = spec["scale"]
    rows |= {
        name: ", ".join(spec[name]) for name in ("include", "exclude", "train") if name in spec
    }
    names = [f"{n} {_dtype(t)} {tuple(t.shape)}" for n, t in saved.tensors.items() if n != "omega"]
    shown = names[:4] + ([f"and {len(names) - 4:,} more"] if len(names) > 4 else [])
    size = sum(t.nbytes for name, t in saved.tensors.items() if name != "omega")
    others = f"{len(names):,}, {size:,} bytes: {', '.join(shown)}" if shown else "none"
    stored = omega.numel() + sum(t.numel() for n, t in saved.tensors.items() if n != "omega")
    return rows | {"other tensors": others, "stored numbers": f"{stored:,}"}


def _origin(spec: Mapping[str, Any]) -> str:
    if "base" in spec:
        return f"the weights of {spec['base']}, which the file does not hold"
    return "in the file" if spec["theta0_from"] == "file" else f"drawn, {spec['theta0_from']}"


#: A name, what it is in either file, and how far these are from one another.
_Row = tuple[str, ...]


def _differing_fields(one: Checkpoint, two: Checkpoint) -> Iterator[_Row]:
    for name in sorted({*one.spec, *two.spec}):
        if one.spec.get(name) != two.spec.get(name):
            yield name, *(str(side.spec.get(name, "–")) for side in (one, two)), ""


def _differing_tensors(one: Checkpoint, two: Checkpoint) -> Iterator[_Row]:
    for name in sorted({*one.tensors, *two.tensors}):
        a, b = (side.tensors.get(name) for side in (one, two))
        if name == "omega":
            name, a, b = "ω", one.omega, two.omega  # noqa: PLW2901
        if a is None or b is None or (a.dtype, a.shape) != (b.dtype, b.shape):
            yield name, *("–" if t is None else f"{_dtype(t)} {tuple(t.shape)}" for t in (a, b)), ""
        elif not _equal(a, b):
            yield _compare(name, a, b)


def _differing_weights(one: Subspace, two: Subspace) -> Iterator[_Row]:
    if one.D == two.D:
        with torch.no_grad():
            yield _compare("θ", one.theta(), two.theta())


def _compare(name: str, a: Tensor, b: Tensor) -> _Row:
    x, y = (t.to(torch.complex128 if t.is_complex() else torch.float64) for t in (a, b))
    apart = f"{(x - y).norm():.4g} ({100 * _relative(x, y):.3g} %)"
    return name, f"norm {x.norm():.4g}", f"norm {y.norm():.4g}", apart


def _relative(x: Tensor, y: Tensor) -> float:
    """‖y - x‖ / ‖x‖, 0 for two that are both zero."""
    return float((y - x).norm() / x.norm().clamp(min=1e-300))


def _equal(a: Tensor, b: Tensor) -> bool:
    """To the bit, NaN included."""
    return torch.equal(*(t.contiguous().reshape(-1).view(torch.uint8) for t in (a, b)))


def needs_module(saved: Checkpoint) -> bool:
    """Whether a file names no net, or θ0 is the weights of a model that it only names."""
    return "model" not in saved.spec or "base" in saved.spec


def _is_loadable(saved: Checkpoint, module: str | None) -> bool:
    return module is not None or (saved.spec.get("model") in MODELS and "base" not in saved.spec)


def _net_for(file: Path, out: Path, module: str | None, *, trust: bool, force: bool) -> Subspace:
    checked = gather(
        out=lambda: _check_out(out, force=force), net=lambda: _load(file, module, trust=trust)
    )
    return checked["net"]


def read(file: Path, *, trust: bool) -> Checkpoint:
    """A checkpoint, of a limited size unless its author is trusted."""
    return container.read(file, None if trust else container.check_size)


def _load(file: Path, module: str | None, *, trust: bool) -> Subspace:
    if module is None and needs_module(read(file, trust=trust)):
        raise InputError(
            f"{file} names no packaged net: give the function that makes its module, "
            "--module package.module:function."
        )
    made = None if module is None else _make(module, file)
    return load(file, made, max_entries=None if trust else MAX_ENTRIES)


def _make(name: str, file: Path) -> nn.Module:
    """The module that a function of the user's makes, with or without data."""
    made = _called("--module", name, options_of(file, importable(name)))
    match made:
        case Problem(module=module) | (nn.Module() as module, _, _):
            made = module
        case _:
            pass
    if not isinstance(made, nn.Module):
        raise InputError(f"--module: {name} must return a torch.nn.Module, got {type(made)}.")
    return made.merge() if isinstance(made, Subspace) else made


def _called(option: str, name: str, options: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """What a function of the user's returns; it gets the seed only if it has one."""
    path, _, function = importable(name).partition(":")
    try:
        found = getattr(import_named(path), function)
        unknown = {"seed"} - signature(found).parameters.keys()
        return found(**{n: value for n, value in options.items() if n not in unknown})
    except Exception as error:  # it is the user's own, and may fail in any way
        what = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{option}: expected package.module:function, got {name!r}, which fails: {what}."
        ) from error


def _inputs(module: str | None, shape: str | None, example: str | None) -> Inputs:
    """What the exported module is called with."""
    if example is None:
        sizes = _DIGIT if module is None and shape is None else _sizes(shape or "")
        return torch.rand(2, *sizes, generator=torch.Generator().manual_seed(0), device="cpu")
    if shape is not None:
        raise InputError("--shape and --example both say what the inputs are: give one of them.")
    made = _called("--example", example)
    several = made.values() if isinstance(made, dict) else made
    tensors = several if isinstance(made, (list, tuple, dict)) else [made]
    rows = {len(x) if isinstance(x, Tensor) and x.dim() else 0 for x in tensors}
    if len(rows) != 1 or max(rows) < 2:
        raise InputError(
            f"--example: {example} must return a tensor, several, or a dict of them, all with the "
            f"same number of rows, 2 or more; got {type(made).__name__} with {sorted(rows)} rows."
        )
    return made


def _sizes(shape: str) -> list[int]:
    if not re.fullmatch(r"[1-9][0-9]{0,6}(,[1-9][0-9]{0,6})*", shape):
        raise InputError(
            "--shape: expected the shape of one input without the batch, as in 1,28,28; "
            f"got {shape!r}."
        )
    return [int(number) for number in shape.split(",")]


def _weights(text: str | None, count: int) -> list[float]:
    if text is None:
        return [1 / max(count, 1)] * count
    weights: list[float] = []
    with contextlib.suppress(ValueError):
        weights = [float(word) for word in text.split(",")]
    if len(weights) != count:
        raise InputError(
            f"--weights: expected {count} numbers, one for each file, as in "
            f"--weights={','.join(['0.5'] * max(count, 1))}; got {text!r}."
        )
    return weights


def _check_out(out: Path, *, force: bool) -> None:
    if not out.parent.is_dir():
        raise InputError(f"The folder {out.parent} does not exist.")
    if out.exists() and not force:
        raise InputError(f"{out} exists. Name another with --out, or overwrite it with --force.")


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
