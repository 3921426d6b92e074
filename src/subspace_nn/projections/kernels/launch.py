"""Start programs in Triton."""

from typing import Any

import torch
from torch import Tensor


def launch(program: Any, count: int, *operands: Any, **options: Any) -> None:
    """Start a number of programs, on the device of the first tensor.

    Triton starts programs on the current device, which need not be that of the tensors.

    Args:
        program: in Triton's language, whose signature has no options.
        count: how often.
        operands: of each start; the first is a tensor.
        options: constants, and Triton's options.
    """
    first: Tensor = operands[0]
    with torch.cuda.device(first.device if first.is_cuda else -1):
        program[count,](*operands, **options)
