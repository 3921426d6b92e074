"""Calling a module with other weights than its own, keeping them for a backward pass; copies."""

import copy
import dataclasses
import operator
import types
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from subspace_nn.common.errors import InputError


def call(
    module: nn.Module,
    method: str,
    weights: Mapping[str, Tensor],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """Run a method of a module with these tensors in the place of its parameters.

    Args:
        module: any module; it is as before when this returns.
        method: name of the method, of a submodule's too, as in "encoder.forward".
        weights: a tensor for each slot to replace, tied ones under every name.
        args: passed on.
        kwargs: passed on.

    Returns:
        What the method returns.

    Example:
        >>> call(nn.Linear(2, 1), "forward", {"bias": torch.tensor([3.0])}, (torch.zeros(2),), {})
        tensor([3.], grad_fn=<...>)
    """
    inside = {f"module.{slot}": tensor for slot, tensor in weights.items()}
    # Slots are complete and unique, so torch need not (and, for a submodule under two
    # names, must not) look for ties itself: it would restore the weights wrongly.
    return torch.func.functional_call(
        _Method(module, method), inside, args, dict(kwargs), tie_weights=False
    )


def check(module: nn.Module) -> None:
    """Refuse a module that cannot be called with other weights.

    Args:
        module: any module.

    Raises:
        InputError: if it is, or has in it, TorchScript, which keeps its weights to itself.
    """
    scripted = [p for p, part in module.named_modules() if isinstance(part, torch.jit.ScriptModule)]
    if scripted:
        where = scripted[0] or "the whole"
        raise InputError(
            f"TorchScript cannot be called with other weights than its own: {where}. Expected the "
            "Python module that it was made of."
        )


def copied(module: nn.Module) -> nn.Module:
    """A deep copy, also of a module that keeps tensors which a call has computed.

    Pruning and the older weight normalisation keep a weight that they have made of others, some
    models their attention maps. PyTorch refuses to copy such a tensor, for it has a history; here
    the copy has its values alone.

    Args:
        module: any module.

    Returns:
        The copy.

    Example:
        >>> module = nn.Linear(2, 1)
        >>> module.last = module(torch.ones(1, 2))
        >>> bool(copied(module).last == module.last)
        True
    """
    with _WithoutHistory():
        return copy.deepcopy(module)


class Placement:
    """Puts the weights of a forward pass back into the module while its backward pass runs.

    Activation checkpointing runs parts of the module once more in the backward pass, when the
    call that they were part of is long over. They must meet the same weights again: with the
    module's own the gradients would be wrong.

    Args:
        module: whose parameters are replaced.

    Attributes:
        own: the module's own parameters by slot, while others are in their place; else empty.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.own: dict[str, nn.Parameter] = {}

    def in_backward_of(self, output: Any, weights: Mapping[str, Tensor]) -> None:
        """Have the weights in place from when a gradient reaches the output to the pass's end.

        Args:
            output: what the module returned. Tensors are found in lists, tuples, sets, dictionaries
                and attributes, nested; not behind a property, nor inside of a function.
            weights: a tensor for each slot.
        """
        if torch.compiler.is_compiling():  # compiled code repeats nothing outside of itself
            return

        def put(gradient: Tensor) -> None:  # noqa: ARG001  # the hook's signature
            self._put(weights)

        for tensor in _tensors_in(output):
            if tensor.grad_fn is not None:
                tensor.register_hook(put)

    def restore(self) -> None:
        """Give the module its own parameters back; done by itself unless a pass has failed."""
        _fill(self.module, self.own)
        self.own = {}

    def _put(self, weights: Mapping[str, Tensor]) -> None:
        displaced = _fill(self.module, weights)
        self.own = self.own or cast("dict[str, nn.Parameter]", displaced)
        # Runs at the end of the outermost pass. (FSDP and DDP end theirs by it, too.)
        torch.autograd.Variable._execution_engine.queue_callback(self.restore)


class _Method(nn.Module):
    """Makes a method what a functional call calls."""

    def __init__(self, module: nn.Module, method: str) -> None:
        super().__init__()
        self.module = module
        self.method = method

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return operator.attrgetter(self.method)(self.module)(*args, **kwargs)


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


def _fill(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
    """Put tensors into slots; returns what was there."""
    before: dict[str, Tensor | None] = {}
    for slot, tensor in tensors.items():
        path, _, name = slot.rpartition(".")
        parameters = cast("dict[str, Tensor | None]", module.get_submodule(path)._parameters)
        before[slot], parameters[name] = parameters[name], tensor
    return before


def _tensors_in(output: Any) -> Iterator[Tensor]:
    """All tensors that an output leads to, by elements and attributes."""
    parts, seen = [output], dict[int, Any]()  # the parts themselves, so that no id is given twice
    while parts:
        part = parts.pop()
        if id(part) in seen:
            continue
        seen[id(part)] = part
        match part:
            case Tensor():
                yield part
            case Mapping():
                parts += part.values()
            case list() | tuple() | set():
                parts += part
            case type() | types.ModuleType() | nn.Module():
                pass  # these lead to anything
            case _:
                parts += getattr(part, "__dict__", {}).values()
                if dataclasses.is_dataclass(part):  # with slots it has no dictionary
                    parts += (getattr(part, field.name) for field in dataclasses.fields(part))


__all__ = ["Placement", "call", "check", "copied"]
