"""Subspace files in the checkpoints of `transformers.Trainer`."""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from subspace_nn.subspace.wrapper import Subspace

#: Name of the file in the folder of a checkpoint.
FILE = "subspace.safetensors"


class SaveSubspace(TrainerCallback):
    """Writes `subspace.safetensors` into each checkpoint of a `Trainer`, for `sn.load` to read.

    The `Trainer`'s own `model.safetensors` holds ω and the extra parameters, without the recipe:
    it resumes a training, and `from_pretrained` cannot make a model of it.

    Args:
        net: the subspace whose `net.module` the `Trainer` trains.
        base: as for `Subspace.save`; None by default.
        dtype: as for `Subspace.save`; None by default.

    Example:
        >>> import torch, subspace_nn
        >>> callback = SaveSubspace(subspace_nn.Subspace(torch.nn.Linear(3, 2), dim=4))
    """

    def __init__(self, net: Subspace, *, base: str | None = None, dtype: str | None = None) -> None:
        self._net, self._base, self._dtype = net, base, dtype

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Write the file of one checkpoint, from one process.

        Args:
            args: names the folder.
            state: counts the steps.
            control: not used.
            **kwargs: not used.
        """
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero:
            self._net.save(folder / FILE, base=self._base, dtype=self._dtype)
        else:  # has its part of a sharded net, which the first process asks for
            self._net.to_checkpoint(self._base)


__all__ = ["FILE", "SaveSubspace"]
