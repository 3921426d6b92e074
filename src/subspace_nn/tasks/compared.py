"""What optimisers have in common that compare losses and compute no gradient."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from subspace_nn.common.errors import InputError
from subspace_nn.tasks.resumed import Resumed


class Compared(Resumed):
    """An optimiser that evaluates the loss at points that it tries.

    It has one group of parameters, and trains those of them with `requires_grad=True`: the others,
    such as the weights that a `Subspace` holds, stay as they are.
    """

    @property
    def trained(self) -> list[Tensor]:
        """The parameters that it moves."""
        return [p for p in self.param_groups[0]["params"] if p.requires_grad]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take the parameters, once.

        Args:
            param_group: as PyTorch's optimisers take it.

        Raises:
            InputError: if there is a group already, or none of the parameters can be trained.
        """
        name = type(self).__name__
        if self.param_groups:
            raise InputError(
                f"{name} has one learning rate for all parameters: give them as one group."
            )
        super().add_param_group(param_group)
        if not self.trained or not all(p.is_floating_point() for p in self.trained):
            raise InputError(
                f"{name} trains real floating-point parameters with requires_grad=True; expected "
                "at least one, and none of another kind."
            )

    def evaluate(self, closure: Callable[[], Any] | None) -> Tensor:
        """The loss at the present parameters.

        Args:
            closure: computes it.

        Returns:
            The loss, a tensor without dimensions.

        Raises:
            InputError: if there is no closure, or it does not return one number, or computes a
                gradient.
            RuntimeError: if the closure raises another.
        """
        name = type(self).__name__
        if closure is None:
            raise InputError(f"{name} needs step(closure): it compares losses.")
        try:
            value = closure()
        except RuntimeError as error:
            if "does not require grad" not in str(error):
                raise
            raise InputError(
                f"{name} computes no gradient: leave backward() out of the closure."
            ) from error
        where = value.device if isinstance(value, Tensor) else "cpu"  # not the default device
        try:
            return torch.as_tensor(value, device=where).detach().reshape(())
        except (RuntimeError, TypeError, ValueError):
            shape = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
            raise InputError(
                "The closure must return the loss, one number; got "
                f"{'None' if value is None else type(value).__name__}{shape}."
            ) from None
