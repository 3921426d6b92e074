"""Kernels for GPUs, in Triton: used where it is installed and gives the bits of plain torch."""

import functools
import importlib
import importlib.util
import warnings

import torch


@functools.cache
def usable(device: torch.device) -> bool:
    """Whether kernels run on a device and give the bits that they should; tried once.

    Triton comes with PyTorch's CUDA builds on Linux. It needs a C compiler and a GPU that it knows.

    Args:
        device: any; a CUDA device with its number, as tensors have it.

    Returns:
        False where plain torch must do. A warning says why, unless Triton is not installed.
    """
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return False
    try:
        importlib.import_module(f"{__name__}.hashed").check(device)
    except Exception as error:  # noqa: BLE001  # a compiler, a driver, a cache folder: anything
        reason = (str(error) or repr(error)).splitlines()[0]
        warnings.warn(
            f"Triton does not work on {device}, so that subspace_nn computes in plain torch there, "
            f"which has the same results and takes longer: {reason}",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True
