"""Copies of modules, and their state by name."""

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from subspace_nn.common.errors import InputError

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

#: Name of an empty parameter that stands for θ0 in a live module, which many a module asks its
#: first parameter for its dtype and device. It is no part of any state.
LIKE = "subspace_theta0"

#: What the extra state of a module is called.
EXTRA = "_extra_state"


def copied(module: nn.Module, memo: dict[int, Any] | None = None) -> nn.Module:
    """A deep copy, also of a module that keeps tensors which a call has computed.

    Pruning and the older weight normalisation keep a weight that they have made of others, some
    models their attention maps. PyTorch refuses to copy such a tensor, for it has a history; here
    the copy has its values alone.

    Args:
        module: any module.
        memo: what is to be in the place of some of its parts, by their `id`, as for `deepcopy`.

    Returns:
        The copy.

    Raises:
        InputError: if some part of it cannot be copied, such as a lock, or what FSDP has sharded.

    Example:
        >>> module = nn.Linear(2, 1)
        >>> module.last = module(torch.ones(1, 2))
        >>> bool(copied(module).last == module.last)
        True
    """
    try:
        with _WithoutHistory():
            return copy.deepcopy(module, memo)
    except Exception as error:
        raise InputError(
            f"The module cannot be copied ({type(error).__name__}: {error}). "
            "Subspace(…, copy=False) takes it without a copy."
        ) from error


def canonical(name: str) -> str:
    """A name as it is in the module that was not compiled.

    Args:
        name: of a parameter, a buffer or a module.

    Returns:
        The name without the parts that `torch.compile` puts into it.

    Example:
        >>> canonical("_orig_mod.layers.0._orig_mod.weight")
        'layers.0.weight'
    """
    return name.replace("_orig_mod.", "")


def whole(tensor: Tensor) -> Tensor:
    """A tensor that may be spread over processes, as one; every process must ask for it.

    Args:
        tensor: of any kind.

    Returns:
        The tensor itself, or all of a DTensor.
    """
    return tensor.full_tensor() if is_sharded(tensor) else tensor


def is_sharded(tensor: Tensor) -> TypeGuard["DTensor"]:
    """Whether a tensor is spread over processes, as FSDP2's are.

    Args:
        tensor: of any kind.

    Returns:
        True for a DTensor.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return False
    from torch.distributed.tensor import DTensor  # noqa: PLC0415  # slow to import

    return isinstance(tensor, DTensor)


def shards(module: nn.Module) -> list[str]:
    """Why a module cannot be taken as a whole: because FSDP2 has sharded it, or parts of it.

    Args:
        module: any module; a call may have made its parameters whole for a while.

    Returns:
        A sentence with the remedy; none if `fully_shard` was not called.
    """
    if not any("_is_fsdp_managed_module" in vars(part) for part in module.modules()):
        return []
    return ["It was sharded by fully_shard: save(path), and take sn.load(path, module) for this."]


def dense(tensor: Tensor) -> Tensor:
    """A tensor as ordinary numbers.

    Args:
        tensor: of any kind.

    Returns:
        The tensor itself, or what a quantised one stands for.
    """
    return tensor.dequantize() if is_quantised(tensor) else tensor


def is_quantised(tensor: Tensor) -> bool:
    """Whether a tensor holds other numbers than it stands for, as those of torchao do.

    Args:
        tensor: of any kind.

    Returns:
        True for a tensor of another class that is not spread over processes.
    """
    if type(tensor) in {Tensor, nn.Parameter} or not is_traceable_wrapper_subclass(tensor):
        return False
    return not is_sharded(tensor)


def state(module: nn.Module) -> dict[str, Any]:
    """Everything that a module's function depends on but its code: what a file must hold.

    Parameters, the buffers that it saves, and its extra state, under the names of the places that
    hold them, without the "_orig_mod." of compiled parts. Hooks of `state_dict`, which may rename
    and drop what they like, have no say.

    Args:
        module: any module.

    Returns:
        The tensors, not copied, and extra state of any type; shared ones under every name.
    """
    return dict(_state(module))


def set_state(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Put values where `state` has found them.

    Args:
        module: the module.
        values: some of its state, by name.
    """
    named = module.named_modules(remove_duplicate=False)
    parts = {canonical(path): part for path, part in named}
    own = state(module)
    with torch.no_grad():
        for name, value in values.items():
            path, _, last = name.rpartition(".")
            if last == EXTRA:
                parts[path].set_extra_state(value)
            else:
                own[name].copy_(value)


def _state(module: nn.Module) -> Iterator[tuple[str, Any]]:
    for path, part in module.named_modules(remove_duplicate=False):
        dot = canonical(f"{path}." if path else "")
        for name, parameter in part._parameters.items():
            if parameter is not None and name != LIKE:
                yield dot + name, parameter
        for name, buffer in part._buffers.items():
            if buffer is not None and name not in part._non_persistent_buffers_set:
                yield dot + name, buffer
        if type(part).get_extra_state is not nn.Module.get_extra_state:
            yield dot + EXTRA, part.get_extra_state()


class _WithoutHistory(TorchFunctionMode):
    """Copies a tensor that was computed as if it had been given."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0].detach().clone()
        return func(*args, **(kwargs or {}))


__all__ = [
    "EXTRA",
    "LIKE",
    "canonical",
    "copied",
    "dense",
    "is_quantised",
    "is_sharded",
    "set_state",
    "shards",
    "state",
    "whole",
]
