"""From a checkpoint back to a subspace, verified on the way."""

import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from subspace_nn import models, projections
from subspace_nn.common.errors import CheckpointError, InputError
from subspace_nn.format import container, packing
from subspace_nn.format.container import Checkpoint, Stated
from subspace_nn.projections import Projection
from subspace_nn.projections.base import Needs
from subspace_nn.subspace import live
from subspace_nn.subspace.copies import canonical, copied, state
from subspace_nn.subspace.layout import Layout
from subspace_nn.subspace.saving import (
    BASE,
    DRAWN,
    STORED,
    check_numbers,
    described,
    problems,
)
from subspace_nn.subspace.selection import Selection
from subspace_nn.subspace.wrapper import Subspace

#: A P of more entries than this is not made because of a file, unless the user says so.
MAX_ENTRIES = 2**28

_OWN = "If you made the projection yourself, give it: load(path, module, projection)."


def load(
    path: str | os.PathLike[str],
    module: nn.Module | None = None,
    projection: Projection | None = None,
    *,
    max_entries: int | None = MAX_ENTRIES,
) -> Subspace:
    """Read a checkpoint into a subspace, and verify that it is the one that was saved.

    Args:
        path: a file that `Subspace.save` wrote.
        module: a module of the same architecture. Its weights do not matter, unless the file was
            saved with a `base`, whose weights it must then have. Not needed for the nets of
            `subspace_nn.models`, which the file names.
        projection: the one it was saved with, if that was made by the user rather than by name.
        max_entries: how many entries that are drawn one by one P may have (`gaussian`,
            `orthonormal`, `sparse`), which takes time and memory: 2^28 by default, None for any
            number. For `orthonormal` an entry counts as 10, or more with d: by default P may
            take 1 GB and about half a minute. Entries that the file holds count, too, and
            each stage counts as D.

    Returns:
        The subspace, in evaluation mode.

    Raises:
        CheckpointError: if the file is damaged or of a newer format, if the module is of another
            architecture, if θ0 or P come out different from those of the writer, or if P is
            larger than `max_entries`.
    """
    limit = None if projection is not None else max_entries
    saved = container.read(path, functools.partial(_check_fit, module, limit))
    saved = Checkpoint(saved.spec, {canonical(n): t for n, t in saved.tensors.items()})
    try:
        with torch.inference_mode(mode=False):  # for it may train later
            return _restore(saved, module, projection, max_entries)
    except InputError as error:
        raise CheckpointError(*(f"{path}: {problem}" for problem in error.problems)) from None


def _restore(
    saved: Checkpoint,
    module: nn.Module | None,
    projection: str | Projection | None,
    max_entries: int | None,
) -> Subspace:
    spec = saved.spec
    module, layout = _target(spec, module)
    drawn = spec["theta0_from"] == DRAWN
    if spec["theta0_from"] == STORED:
        module = _with_weights(module, layout, saved.tensors)
    net = Subspace(
        module,
        spec["dim"],
        projection or _projection(saved, layout),
        seed=spec["seed"],
        theta0="seed" if drawn else "module",
        scale=spec.get("scale", "init"),
        **cast("dict[str, Any]", _selection(spec).recipe()),
    )
    if projection is None and spec["projection"] not in projections.LEARNED:
        _check_needs(net.projection, max_entries, 1 + len(spec.get("stages", ())))
    for omega, seed in zip(saved.tensors.get("stages", ()), spec.get("stages", ()), strict=True):
        net.omega.data.copy_(omega)
        net.next_stage(seed)
    net.base = spec.get("base")
    if found := problems(spec, net):
        remedies = [f"Give the model {net.base!r}, load(path, module)."] if net.base else []
        remedies += [_OWN] if spec["P"] != net.projection.fingerprint() else []
        raise CheckpointError(*found[:-1], " ".join((found[-1], *remedies)))
    if projection is not None:
        check_numbers(saved.tensors, net)
    omega = saved.omega.to(net.omega.dtype) if "omega" in spec else saved.omega
    net.load_values({**saved.tensors, "omega": omega})
    return net.eval()


def _projection(saved: Checkpoint, layout: Layout) -> str | Projection:
    """The name of P, or P itself if the file holds it."""
    spec = saved.spec
    kind = projections.LEARNED.get(spec["projection"])
    if kind is None:
        return _expect_versions(spec["projection"])
    prefix = "projection."
    numbers = {n.removeprefix(prefix): t for n, t in saved.tensors.items() if n.startswith(prefix)}
    return kind.restored(spec["D"], _columns(spec, layout), spec["seed"], numbers)


def _columns(spec: Mapping[str, Any], layout: Layout) -> int:
    """Columns of P: d, without the factors of tensors."""
    return spec["dim"] - (len(layout.entries) if spec.get("scale") == "learned" else 0)


def _target(spec: Mapping[str, Any], module: nn.Module | None) -> tuple[nn.Module, Layout]:
    """The module that a file is for, and what is θ in it."""
    if module is None:
        if "base" in spec:
            raise CheckpointError(
                f"θ0 is the weights of {spec['base']!r}: give that model, load(path, module)."
            )
        if "model" not in spec:
            raise CheckpointError("the file names no model: give the module, load(path, module).")
        # Whatever the user's default device is; and the weights that are drawn here do not matter.
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):
            module = models.build(spec["model"])
        module = module.to(packing.FLOATS[spec.get("dtype", "float32")])
    return module, Layout.of(module, _selection(spec))


def _selection(spec: Mapping[str, Any]) -> Selection:
    return Selection.of(**{n: spec[n] for n in ("include", "exclude", "train") if n in spec})


def _check_fit(
    module: nn.Module | None,
    max_entries: int | None,
    spec: Mapping[str, Any],
    stated: Mapping[str, Stated],
) -> None:
    """Check from the header that the file is for the module."""
    try:
        module, layout = _target(spec, module)
    except InputError as error:
        raise CheckpointError(*error.problems) from None
    stated = {canonical(name): tensor for name, tensor in stated.items()}
    if spec["architecture"] not in {layout.fingerprint(), layout.fingerprint(str)}:
        raise CheckpointError(" ".join(_explain(spec, module, layout, stated)))
    _expect("number of weights D", spec["D"], layout.D)
    if spec["theta0_from"] not in {STORED, BASE}:
        _expect("way of drawing θ0", spec["theta0_from"], DRAWN)
    expected = dict(_expected(spec, module, layout))
    expected |= container.defining(spec, _columns(spec, layout))
    if "stages" in expected:  # checked when the header was read, and of two dtypes
        expected["stages"] = stated["stages"]
    entries = sum(math.prod(t.shape) for n, t in stated.items() if n.startswith("projection."))
    if max_entries is not None and entries > max_entries:
        raise CheckpointError(_too_many(spec["projection"], entries, max_entries))
    if problems := [
        f"tensor {name!r}: expected {expected.get(name, 'none')}, got {stated.get(name, 'none')}."
        for name in sorted({*expected, *stated} - {"omega"})
        if expected.get(name) != stated.get(name)
    ]:
        more = [f"… and {len(problems) - 5:,} more tensors."] if len(problems) > 5 else []
        raise CheckpointError(*problems[:5], *more)


def _expected(
    spec: Mapping[str, Any], module: nn.Module, layout: Layout
) -> Iterator[tuple[str, Stated]]:
    """The tensors that a file for the module has in addition to ω."""
    own = {canonical(n): p for n, p in module.named_parameters(remove_duplicate=False)}
    theta = {id(module.get_parameter(entry.name)) for entry in layout.entries}
    extra = {id(module.get_parameter(name)) for name in layout.extra}
    for name, tensor in state(module).items():
        is_frozen = name in own and id(own[name]) not in theta | extra
        left_out = is_frozen and spec["theta0_from"] == BASE
        if not left_out and not (name in own and id(own[name]) in theta):
            yield f"module.{name}", _stated(tensor)
    if spec["theta0_from"] == STORED:
        for entry in layout.entries:
            name = canonical(entry.name)
            yield f"theta0.{name}", _stated(own[name])


def _explain(
    spec: Mapping[str, Any], module: nn.Module, layout: Layout, stated: Mapping[str, Stated]
) -> Iterator[str]:
    """Sentences about a module of another architecture: what the file says of the writer's."""
    yield described(("architecture", spec["architecture"], layout.fingerprint()))
    if any(isinstance(part, live.Live) for part in module.modules()):
        yield "The module is in a subspace already: give it as it was before."
        return
    renamed: dict[str, Callable[[str], str]] = {
        "The module is inside a wrapper such as DataParallel: load(path, wrapper.module).": (
            lambda name: canonical(name).removeprefix("module.")
        ),
        "The file is of a module inside a wrapper: load(path, DataParallel(module)).": (
            lambda name: f"module.{canonical(name)}"
        ),
    }
    for remedy, rename in renamed.items():
        if spec["architecture"] == layout.fingerprint(rename):
            yield remedy
            return
    if spec["D"] != layout.D:
        yield f"Expected {spec['D']:,} weights in θ, got {layout.D:,}."
    own = {canonical(n): p for n, p in module.named_parameters(remove_duplicate=False)}
    theta = {canonical(slot) for entry in layout.entries for slot in entry.slots}
    kept = {n for n in theta if f"module.{n}" in stated}
    moved = {n for n, p in own.items() if not p.requires_grad and f"theta0.{n}" in stated}
    frozen = {n for n, p in own.items() if not p.requires_grad}
    for flipped in (kept | moved, frozen):
        trains = {id(p): p.requires_grad != (n in flipped) for n, p in own.items()}
        if flipped and _fits(spec, module, trains):
            for value in (True, False):
                if names := sorted(n for n in flipped if own[n].requires_grad != value):
                    some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" * (len(names) > 5))
                    yield f"Expected requires_grad={value} of {some}, got {not value}."
            return
    missing = {n.partition(".")[2] for n in stated} - {"", *own, *map(canonical, state(module))}
    yield from (f"The module has no tensor {name!r}." for name in sorted(missing)[:5])


def _fits(spec: Mapping[str, Any], module: nn.Module, trains: Mapping[int, bool]) -> bool:
    """Whether the architecture is the file's if these parameters require gradients."""
    memo: dict[int, Any] = {
        id(p): nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=trains[id(p)])
        for p in module.parameters()
    }
    try:
        layout = Layout.of(copied(module, memo), _selection(spec))
    except InputError:
        return False
    return layout.fingerprint() == spec["architecture"]


def _stated(tensor: Tensor) -> Stated:
    return Stated(tensor.dtype, tuple(tensor.shape))


def _with_weights(module: nn.Module, layout: Layout, tensors: Mapping[str, Tensor]) -> nn.Module:
    """A copy of the module with the θ0 of a file."""
    filled = copied(module)
    parameters = dict(filled.named_parameters())
    for entry in layout.entries:
        parameters[entry.name].data.copy_(tensors[f"theta0.{canonical(entry.name)}"])
    return filled


def _check_needs(projection: Projection, limit: int | None, stages: int) -> None:
    entries = stages * _entries(projection) + (stages - 1) * projection.D
    if limit is not None and entries > limit:
        raise CheckpointError(_too_many(projection.label, entries, limit))


def _too_many(label: str, entries: int, limit: int) -> str:
    return (
        f"its P ({label}) takes as much as {entries:,} entries, more than {limit:,}: "
        "making it may take much time and memory. If you trust where the file is from, raise "
        "max_entries (--trust on the command line)."
    )


def _entries(projection: Projection) -> int:
    """What P takes beyond a few vectors of θ's size: in entries, of 4 bytes and 120 ns each."""
    needs, least = projection.needs(), Needs.linear(projection.D)
    beyond = needs.growing_bytes - least.growing_bytes, needs.seconds - least.seconds
    return max(needs.entries, beyond[0] // 4, int(beyond[1] / 120e-9))


def _expect(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise CheckpointError(described((what, expected, got)))


def _expect_versions(label: str) -> str:
    """The name that a label stands for, if this package has each of its kinds in that version."""
    words = [word.partition("/") for word in label.split(":")]
    name = ":".join(word for word, _, _ in words)
    try:
        projections.parse(name)
    except InputError as error:
        raise CheckpointError(*(f"{problem} {_OWN}" for problem in error.problems)) from None
    own = {kind: str(projections.KINDS[kind].version) for kind in projections.KINDS}
    for word, _, version in words:
        if version or word in own:
            _expect(f"version of projection {word!r}", version, own.get(word, "none"))
    return name
