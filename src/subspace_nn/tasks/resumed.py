"""Optimisers that go on where a saved state ends."""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from subspace_nn.common.errors import InputError


class Resumed(torch.optim.Optimizer):
    """An optimiser with numbers of its own, which its `state_dict` holds, too.

    Attributes:
        kept: names of their attributes.
    """

    kept: ClassVar[tuple[str, ...]] = ()

    def state_dict(self) -> dict[str, Any]:
        """The state of PyTorch's optimiser, and what is kept.

        Returns:
            A dictionary that `torch.save` writes.
        """
        own = {name: copy.deepcopy(getattr(self, name)) for name in self.kept}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where a training ended.

        Args:
            state_dict: of such an optimiser.

        Raises:
            InputError: if it is that of another.
        """
        if missing := [name for name in self.kept if name not in state_dict]:
            raise InputError(
                f"Expected the state of a {type(self).__name__}, got one without "
                f"{', '.join(missing)}."
            )
        super().load_state_dict(dict(state_dict))
        for name in self.kept:
            own, value = getattr(self, name), state_dict[name]
            if isinstance(own, torch.nn.Parameter):
                own.data.copy_(value)
            else:
                setattr(self, name, copy.deepcopy(value))
