"""Arithmetic of checkpoints: means, interpolation, task vectors."""

import os
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from subspace_nn import projections
from subspace_nn.common.checks import number
from subspace_nn.common.errors import CheckpointError, InputError
from subspace_nn.format import container
from subspace_nn.format.container import Checkpoint
from subspace_nn.subspace.saving import differences
from subspace_nn.subspace.selection import GROUPS, Selection

#: What norms keep of the data.
_AVERAGES = ("running_mean", "running_var", "num_batches_tracked")

Path = str | os.PathLike[str]


def combine(files: Mapping[Path, float], out: Path, *, dtype: str | None = None) -> None:
    """Write the checkpoint of a weighted sum of others, which share θ0 and P.

        θ = θ0 + σ √(D/d) ⊙ P (w₁ ω₁ + w₂ ω₂ + …)

    This is the sum of the task vectors θᵢ - θ0 with these weights (Ilharco et al., "Editing models
    with task arithmetic", 2023): {a: 0.5, b: 0.5} is the mean of two nets, {a: 1 - t, b: t} a point
    between them, {a: 1, b: 1} adds what both have learned, {a: -1} negates it. No net is built.

    Extra parameters and the averages of norms are combined with the same weights, whole numbers
    rounded. They have no θ0 to count from: where they are not equal, the weights must have the sum
    1. The means that norms keep of the data are those of the files, and not of the new net.

    Args:
        files: the weight of each file.
        out: the file to write, atomically; it may be one of these.
        dtype: what ω is rounded to, as for `Subspace.save`.

    Raises:
        InputError: if there is no file, a weight is not a finite number, or the weights do not have
            the sum 1 where they must: also for "orthonormal", whose ω has no zero at θ0.
        CheckpointError: if a file is damaged, or does not share what decides the meaning of ω.

    Example:
        >>> import tempfile
        >>> from torch import nn
        >>> from subspace_nn import Subspace, load
        >>> net = Subspace(nn.Linear(6, 5), dim=3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, value in (("a", 1.0), ("b", 2.0)):
        ...         _ = net.omega.data.fill_(value)
        ...         net.save(f"{folder}/{name}")
        ...     combine({f"{folder}/a": 0.5, f"{folder}/b": 0.5}, f"{folder}/mean")
        ...     load(f"{folder}/mean", nn.Linear(6, 5)).omega.tolist()
        [1.5, 1.5, 1.5]
    """
    if not isinstance(files, Mapping):
        raise InputError(f"Expected the weight of each file, {{path: weight}}, got {files!r}.")
    problems = [p for path, weight in files.items() for p in number(f"weight of {path}", weight)]
    if not files:
        problems.append("Expected at least one file.")
    if problems:
        raise InputError(*problems)
    saved = [container.read(path) for path in files]
    for path, other in zip([*files][1:], saved[1:], strict=True):
        if problems := list(_apart(other, saved[0])):
            first = next(iter(files))
            raise CheckpointError(*(f"{path} and {first}: {problem}" for problem in problems))
    combined = weighted_sum(saved, [*files.values()])
    container.write(combined.rounded(dtype) if dtype else combined, out)


def weighted_sum(saved: Sequence[Checkpoint], weights: Sequence[float]) -> Checkpoint:
    """Combine the content of files that share θ0 and P.

    Args:
        saved: the contents.
        weights: one for each.

    Returns:
        The sum, with ω as it was before it was rounded.

    Raises:
        InputError: as `combine`.
    """
    if saved[0].spec.get("scale") == "learned":
        raise InputError("scale is learned: θ is not linear in the free parameters.")
    spec = {field: value for field, value in saved[0].spec.items() if field != "omega"}
    unequal = [
        name
        for name, tensor in saved[0].tensors.items()
        if name != "omega" and not all(torch.equal(tensor, one.tensors[name]) for one in saved)
    ]
    anchored = _is_anchored(spec["projection"])
    if (unequal or anchored) and abs(sum(weights) - 1) > 1e-6:
        why = f"{', '.join(unequal)} differ" if unequal else f"{spec['projection']} has no zero"
        raise InputError(f"The weights must have the sum 1, for {why}; got {sum(weights):g}.")
    tensors = dict(saved[0].tensors)
    tensors["omega"] = _sum([one.omega for one in saved], weights)
    for name in unequal:
        tensors[name] = _sum([one.tensors[name] for one in saved], weights)
        if name.endswith("running_var") and bool((tensors[name] < 0).any()):
            raise InputError(f"{name} would be negative, which no variance is: use weights ≥ 0.")
    return Checkpoint(spec, tensors)


def _sum(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    dtype = tensors[0].dtype
    total = torch.stack([w * t.double() for w, t in zip(weights, tensors, strict=True)]).sum(0)
    return (total if dtype.is_floating_point else total.round()).to(dtype)


def _is_anchored(label: str) -> bool:
    """Whether ω is not zero at θ0, by what a file calls P; of a user's own P we cannot know."""
    name = ":".join(word.partition("/")[0] for word in label.split(":"))
    try:
        kind, words = projections.parse(name)
    except InputError:
        return False
    return kind.takes_anchor and "anchor" not in words


def _apart(one: Checkpoint, first: Checkpoint) -> Iterator[str]:
    """Why two files cannot be combined, field by field."""
    for what, got, expected in differences(one.spec, first.spec):
        yield from _field(what, got, expected)
    if ("base" in one.spec) != ("base" in first.spec):
        yield "one has θ0 in it, the other names a base: save both with base=…, or both without."
    stated = [{n: (t.dtype, tuple(t.shape)) for n, t in c.tensors.items()} for c in (one, first)]
    for name in sorted({*stated[0], *stated[1]} - {"omega"}):
        got, expected = (side.get(name) for side in stated)
        if got != expected:
            yield from _field(f"tensor {name!r}", got, expected)
        elif not torch.equal(one.tensors[name], first.tensors[name]) and not _is_own(name, one):
            yield f"tensor {name!r} differs, and is neither trained with ω nor a norm's average."
            if groups := [p for p in one.spec.get("train", ()) if p in GROUPS]:
                yield (
                    f"Which tensors {', '.join(groups)} are is not in a file: to combine nets, "
                    "give train names in place of groups."
                )


def _field(what: str, got: object, expected: object) -> Iterator[str]:
    if got != expected:
        yield f"{what} is {got} and {expected}."


def _is_own(name: str, one: Checkpoint) -> bool:
    """Whether a tensor is of a net rather than of the base."""
    name = name.removeprefix("module.")
    return name.rpartition(".")[2] in _AVERAGES or Selection(
        train=tuple(one.spec.get("train", ()))
    ).trains(name)


__all__ = ["combine", "weighted_sum"]
