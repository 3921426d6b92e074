"""From a checkpoint back to a subspace, verified on the way."""

import copy
import os
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from subspace_nn import fileformat, models, projections, theta0
from subspace_nn.errors import CheckpointError, InputError, unknown_name
from subspace_nn.fileformat import Checkpoint
from subspace_nn.layout import Layout
from subspace_nn.projections import Projection
from subspace_nn.subspace import DRAWN, STORED, Subspace

_OWN = "If you made the projection yourself, give it: load(path, module, projection)."


def load(
    path: str | os.PathLike[str],
    module: nn.Module | None = None,
    projection: Projection | None = None,
) -> Subspace:
    """Read a checkpoint into a subspace, and verify that it is the one that was saved.

    Args:
        path: a file that `Subspace.save` wrote.
        module: a module of the same architecture; its weights do not matter. Not needed for the
            nets of `subspace_nn.models`, which the file names.
        projection: the one it was saved with, if that was made by the user rather than by name.

    Returns:
        The subspace, in evaluation mode if the module is.

    Raises:
        CheckpointError: if the file is damaged or of a newer format, if the module is of another
            architecture, or if θ0 or P come out different from those of the writer.
    """
    saved = fileformat.read(path)
    try:
        return _restore(saved, module, projection)
    except InputError as error:
        raise CheckpointError(*(f"{path}: {problem}" for problem in error.problems)) from None


def _restore(
    saved: Checkpoint, module: nn.Module | None, projection: str | Projection | None
) -> Subspace:
    spec = saved.spec
    if module is None:
        if "model" not in spec:
            raise CheckpointError("the file names no model: give the module, load(path, module).")
        module = models.build(spec["model"])
    layout = Layout.of(module)
    _expect("architecture", spec["architecture"], layout.fingerprint())
    _expect("number of weights D", spec["D"], layout.D)
    _expect_names(saved, layout)
    if projection is None:
        projection = _expect_version("projection", spec["projection"], projections.KINDS)
    if spec["theta0_from"] == STORED:
        module = _with_weights(module, layout, saved.tensors)
    else:
        _expect("way of drawing θ0", spec["theta0_from"], DRAWN)
    net = Subspace(
        module,
        spec["dim"],
        projection,
        seed=spec["seed"],
        theta0="module" if spec["theta0_from"] == STORED else "seed",
        scale=spec.get("scale", "init"),
    )
    _expect("θ0", spec["theta0"], theta0.fingerprint(layout, net.theta0()))
    _expect(
        "P",
        spec["P"],
        net.projection.fingerprint(),
        _OWN,
    )
    _expect_sketch(spec, net.projection)
    state = {n: t for n, t in saved.tensors.items() if not n.startswith("theta0.")}
    net.omega.data = net.omega.data.to(state["omega"].dtype)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(str(error)) from None
    return net


def _with_weights(module: nn.Module, layout: Layout, tensors: Mapping[str, Tensor]) -> nn.Module:
    """A copy of the module with the θ0 of a file."""
    filled = copy.deepcopy(module)
    parameters = dict(filled.named_parameters())
    for entry in layout.entries:
        stored = tensors.get(f"theta0.{entry.name}")
        if stored is None or stored.shape != entry.shape:
            raise CheckpointError(
                f"expected θ0 of {entry.name!r} with shape {tuple(entry.shape)}, "
                f"got {'none' if stored is None else tuple(stored.shape)}."
            )
        parameters[entry.name].data = stored
    return filled


def _expect_names(saved: Checkpoint, layout: Layout) -> None:
    stored = {name for name in saved.tensors if name.startswith("theta0.")}
    wanted = saved.spec["theta0_from"] == STORED
    expected = {f"theta0.{entry.name}" for entry in layout.entries} if wanted else set()
    if surplus := stored - expected:
        raise CheckpointError(f"unexpected tensors: {', '.join(sorted(surplus))}.")


def _expect(what: str, expected: object, got: object, remedy: str = "") -> None:
    if expected != got:
        sentence = f"another {what} than the one it was saved with: expected {expected}, got {got}."
        raise CheckpointError(f"{sentence} {remedy}".rstrip())


def _expect_version(what: str, text: str, kinds: Mapping[str, type[Projection]]) -> str:
    kind, _, version = text.partition("/")
    if kind not in kinds:
        raise CheckpointError(f"{unknown_name(what, kind, kinds)} {_OWN}")
    _expect(f"version of {what} {kind!r}", version, str(kinds[kind].version))
    return kind


def _expect_sketch(spec: Mapping[str, Any], projection: Projection) -> None:
    if projection.portable:
        return
    saved, got = spec.get("sketch"), projection.sketch()
    close = (
        isinstance(saved, list)
        and len(saved) == len(got)
        and all(isinstance(a, float) and abs(a - b) < 1e-4 for a, b in zip(saved, got, strict=True))
    )
    if not close:
        raise CheckpointError(f"another P than the one saved: expected sketch {saved}, got {got}.")
