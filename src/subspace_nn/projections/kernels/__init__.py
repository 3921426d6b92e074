"""Kernels of `hashed`: for GPUs in Triton, for CPUs in Numba, where these are installed."""

import functools
import importlib
import importlib.util
import warnings
from typing import Any

import torch

#: The library that a kind of device needs, and its file and class here.
_KERNELS = {"cuda": ("triton", "hashed", "Blocks"), "cpu": ("numba", "loops", "Loops")}


@functools.cache
def usable(device: torch.device) -> bool:
    """Whether kernels run on a device and give the bits that they should; tried once.

    Triton comes with PyTorch's CUDA builds on Linux. It needs a C compiler and a GPU that it knows.
    Numba is the extra "fast"; it compiles once and keeps the result in a folder.

    Args:
        device: any; a CUDA device with its number, as tensors have it.

    Returns:
        False where plain torch must do. A warning says why, unless the library is not installed.
    """
    library, *_ = _KERNELS.get(device.type, ("",))
    if not library or importlib.util.find_spec(library) is None:
        return False
    try:
        made = kernel(device)
        importlib.import_module(f"{__name__}.checks").check(made, device)
    except Exception as error:  # noqa: BLE001  # a compiler, a driver, a cache folder: anything
        reason = (str(error) or repr(error)).splitlines()[0]
        warnings.warn(
            f"{library.title()} does not work on {device}, so that subspace_nn computes in plain "
            f"torch there, which has the same results and takes longer: {reason}",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


def kernel(device: torch.device) -> Any:
    """What places and collects on a device, for `usable` ones.

    Args:
        device: on which.

    Returns:
        `hashed.Blocks` or `loops.Loops`.
    """
    _, file, name = _KERNELS[device.type]
    return getattr(importlib.import_module(f"{__name__}.{file}"), name)
