"""Calling a module with other weights than its own, and keeping them there for a backward pass."""

import dataclasses
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn


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
            output: what the module returned: tensors in lists, tuples, dictionaries and
                dataclasses, nested; others are not found.
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


def _fill(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
    """Put tensors into slots; returns what was there."""
    before: dict[str, Tensor | None] = {}
    for slot, tensor in tensors.items():
        path, _, name = slot.rpartition(".")
        parameters = cast("dict[str, Tensor | None]", module.get_submodule(path)._parameters)
        before[slot], parameters[name] = parameters[name], tensor
    return before


def _tensors_in(output: Any) -> Iterator[Tensor]:
    parts: Iterable[Any] = ()
    match output:
        case Tensor():
            yield output
        case Mapping():
            parts = output.values()
        case list() | tuple():
            parts = output
        case _ if dataclasses.is_dataclass(output):
            parts = (getattr(output, field.name) for field in dataclasses.fields(output))
    for part in parts:
        yield from _tensors_in(part)


__all__ = ["Placement", "call"]
