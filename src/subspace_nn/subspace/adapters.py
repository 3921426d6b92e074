"""Many ω on one base: what a net does with its adapters."""

import copy
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from subspace_nn.common.errors import CheckpointError, InputError
from subspace_nn.format import container
from subspace_nn.format.container import Checkpoint, Stated
from subspace_nn.subspace import copies, live
from subspace_nn.subspace.choice import LINK, Adapter, Adapters, Link
from subspace_nn.subspace.saving import (
    PROJECTION,
    check_numbers,
    folded,
    frozen,
    identity,
    problems,
)

if TYPE_CHECKING:
    from subspace_nn.subspace.wrapper import Subspace

#: Names are names of files, too.
NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"


def check_name(name: object) -> str:
    """Check that a name can be one of an adapter.

    Args:
        name: 1 to 128 letters of ASCII, digits and `_.-`, of which the first is no dot or dash.

    Returns:
        The name.

    Raises:
        InputError: if it is something else.
    """
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise InputError(
            "Expected a name of 1 to 128 letters (a-z, A-Z), digits and _ . -, that begins with a "
            f"letter, a digit or _; got {name!r}."
        )
    return name


def make(net: "Subspace", name: str) -> Adapter:
    """A new adapter of a net, which does not have it yet.

    Args:
        net: the net.
        name: of the adapter, checked.

    Returns:
        The adapter: ω where it starts, all else as the base has it.

    Raises:
        InputError: if the net cannot have adapters.
    """
    adapters = net._adapters
    if not adapters.parts:
        _install(net)
    made: dict[int, Tensor] = {}  # tied ones stay tied
    with adapters.pinned(None), torch.inference_mode(mode=False):  # for it may train later
        values = tuple(
            {n: _copied(getattr(part, n), made) for n in part.__dict__[LINK].names}
            for part in adapters.parts
        )
        made[id(net.omega)].data.copy_(net._theta.start())
    return Adapter(name, values)


def read(net: "Subspace", path: str | os.PathLike[str]) -> Checkpoint:
    """Read the file of an adapter, and verify that it is for this net.

    Args:
        net: the net.
        path: a file that `Subspace.save` wrote.

    Returns:
        Its content, without what the base has.

    Raises:
        CheckpointError: if the file is damaged, or anything but its values is another than here.
    """
    fixed = frozen(net)

    def check(spec: Mapping[str, Any], stated: Mapping[str, Stated]) -> None:
        if found := problems(spec, net):
            raise CheckpointError(*found)
        got = {copies.canonical(n): t for n, t in stated.items() if _is_own(n)}
        _check_tensors(net, fixed, spec, got)

    saved = container.read(path, check)
    try:
        check_numbers(saved.tensors, net)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    tensors = {copies.canonical(n): t for n, t in saved.tensors.items()}
    held = {name: tensors.pop(name) for name in fixed if name in tensors}
    if held and container.fingerprint(held) != identity(net, base="base" in saved.spec)["frozen"]:
        raise CheckpointError(f"{path}: other values of frozen parameters than this net's.")
    tensors = {n: t for n, t in tensors.items() if _is_own(n)}
    tensors["omega"] = saved.omega.to(net.omega.dtype)
    return Checkpoint(saved.spec, tensors)


def _is_own(name: str) -> bool:
    """Whether a tensor of a file is an adapter's, and not what defines the base and P."""
    return name != "stages" and not name.startswith(("theta0.", PROJECTION))


def release(adapters: Adapters) -> None:
    """Undo what `make` did to the module; what the active adapter holds becomes the module's own.

    Args:
        adapters: of the net.

    Raises:
        InputError: if the class of a part was changed after that.
    """
    live.check_unchanged(dict.fromkeys(adapters.parts))
    for part in adapters.parts:
        for own in ("_parameters", "_buffers"):
            part.__dict__[own].update(getattr(part, own))
    for part in adapters.parts:
        del part.__dict__[LINK]
        live.restore(part)
    adapters.parts = ()
    adapters.named.clear()
    adapters.activate(None)


def call(net: "Subspace", names: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a net with one adapter, or with another for each row of a batch.

    Args:
        net: the net.
        names: a name, or one for each row; None stands for the base.
        args: of the call.
        kwargs: of the call.

    Returns:
        What the module returns, its rows in their order.

    Raises:
        InputError: if a name is unknown, no argument has as many rows, or the outputs of several
            calls cannot be joined.
    """
    adapters = net._adapters
    if names is None or isinstance(names, str):
        with adapters.pinned(adapters.get(names)):
            return net.module(*args, **kwargs)
    if not isinstance(names, Iterable):
        raise InputError(f"adapters: expected a name, or one for each row; got {names!r}.")
    names = [*names]
    rows = _rows_by_adapter(adapters, names)
    n = len(names)
    leaves, spec = pytree.tree_flatten((args, kwargs))
    if len(rows) > 1 and (unclear := _unclear((args, kwargs), n)):
        raise InputError(
            f"An argument is a {unclear} with {n} entries, one for each row or not: give a tensor, "
            "a tuple if all rows share it, or call the adapters one by one."
        )
    if not any(_has_rows(leaf, n) for leaf in leaves):
        shapes = [tuple(leaf.shape) for leaf in leaves if isinstance(leaf, Tensor)]
        raise InputError(f"Expected an input of {n} rows, one for each adapter, got {shapes}.")
    outputs = []
    for adapter, chosen in rows.items():
        some = [leaf[chosen] if _has_rows(leaf, n) else leaf for leaf in leaves]
        some_args, some_kwargs = pytree.tree_unflatten(some, spec)
        with adapters.pinned(adapter):
            outputs.append(net.module(*some_args, **some_kwargs))
    return _joined(outputs, [*rows.values()])


def _install(net: "Subspace") -> None:
    """Have the module ask which adapter is chosen."""
    _check(net)
    module = net.module
    own = {id(net.omega), *(id(module.get_parameter(name)) for name in net.layout.extra)}
    names: dict[nn.Module, list[str]] = {}
    for part in module.modules():
        here = [n for n, p in part._parameters.items() if id(p) in own]
        kept = part._buffers.keys() - part._non_persistent_buffers_set
        here += [n for n in part._buffers if n in kept and part._buffers[n] is not None]
        if here:
            names[part] = here
    for number, (part, here) in enumerate(names.items()):
        part.__dict__[LINK] = Link(net._adapters, number, frozenset(here))
        live.derive(part)
    net._adapters.parts = tuple(names)


def _check(net: "Subspace") -> None:
    problems = copies.shards(net)
    if live.OMEGA not in net.module._parameters:
        problems.append("ω itself is in a subspace: add adapters to the outer Subspace.")
    state = copies.state(net.module)
    if extra := [name for name in state if name.rpartition(".")[2] == copies.EXTRA]:
        problems.append(f"Extra state cannot be another for each adapter: {', '.join(extra)}.")
    elif changed := folded(net.module, mode=not net.module.training):
        problems.append(
            f"train() and eval() fold ω into {', '.join(changed)}, which all adapters share. "
            "Load each file as a net of its own."
        )
    if problems:
        raise InputError(*problems)


def _copied(tensor: Tensor, made: dict[int, Tensor]) -> Tensor:
    if id(tensor) not in made:
        is_parameter = isinstance(tensor, nn.Parameter)
        made[id(tensor)] = copy.deepcopy(tensor) if is_parameter else tensor.detach().clone()
    return made[id(tensor)]


def _check_tensors(
    net: "Subspace",
    fixed: Mapping[str, Tensor],
    spec: Mapping[str, Any],
    got: Mapping[str, Stated],
) -> None:
    """Check from the header that a file's tensors can take the place of the net's."""
    state = copies.state(net.module)
    expected = {f"module.{n}": t for n, t in state.items() if n != live.OMEGA}
    if "base" in spec:
        expected = {name: t for name, t in expected.items() if name not in fixed}
    if "omega" not in spec:  # not rounded
        expected["omega"] = net.omega
    stated = {n: Stated(t.dtype, tuple(t.shape)) for n, t in expected.items()}
    names = sorted(({*stated, *got} - {"omega"}) | ({"omega"} & {*stated}))
    if problems := [
        f"tensor {name!r}: expected {stated.get(name, 'none')}, got {got.get(name, 'none')}."
        for name in names
        if stated.get(name) != got.get(name)
    ]:
        raise CheckpointError(*problems[:5])


def _rows_by_adapter(
    adapters: Adapters, names: Sequence[str | None]
) -> dict[Adapter | None, Tensor]:
    rows: dict[Adapter | None, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(adapters.get(name), []).append(row)
    if not rows:
        raise InputError("Expected the name of an adapter for each row, got none.")
    return {adapter: torch.tensor(chosen, device="cpu") for adapter, chosen in rows.items()}


def _has_rows(leaf: object, n: int) -> bool:
    return isinstance(leaf, Tensor) and leaf.dim() > 0 and len(leaf) == n


def _unclear(tree: Any, n: int) -> str | None:
    """What may have n rows and cannot be cut: an array, or a list without a tensor of n rows."""

    def is_list(x: object) -> bool:
        own = pytree.tree_leaves(x) if isinstance(x, list) and len(x) == n else []
        return bool(own) and not any(_has_rows(leaf, n) for leaf in own)

    for leaf in pytree.tree_leaves(tree, is_leaf=is_list):
        if is_list(leaf) or (isinstance(leaf, np.ndarray) and leaf.ndim and len(leaf) == n):
            return type(leaf).__name__
    return None


def _joined(outputs: Sequence[Any], rows: Sequence[Tensor]) -> Any:
    """The outputs of several calls as that of one."""
    flat, specs = zip(*map(pytree.tree_flatten, outputs), strict=True)
    if any(spec != specs[0] for spec in specs):
        raise InputError("The outputs of the adapters are not of one form, and cannot be joined.")
    back = torch.cat([*rows]).argsort()
    joined = []
    for leaves in zip(*flat, strict=True):
        if all(_has_rows(leaf, len(own)) for leaf, own in zip(leaves, rows, strict=True)):
            together = torch.cat(leaves)
            joined.append(together[back.to(together.device)])
        elif len(leaves) == 1 or not any(isinstance(t, Tensor) or t != leaves[0] for t in leaves):
            joined.append(leaves[0])
        else:
            got = [tuple(t.shape) if isinstance(t, Tensor) else type(t).__name__ for t in leaves]
            raise InputError(
                f"Expected outputs with a row for each row of the input, got {got}: call the "
                "adapters one by one."
            )
    return pytree.tree_unflatten(joined, specs[0])


__all__ = ["NAME", "call", "check_name", "make", "read", "release"]
