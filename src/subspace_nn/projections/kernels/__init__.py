"""Kernels for GPUs in Triton and for CPUs in Numba, where these are installed."""

import functools
import importlib
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

#: The library that a kind of device needs; the file and class here of `hashed`, and of transforms.
_KERNELS = {
    "cuda": ("triton", "hashed", "Blocks", "walsh"),
    "cpu": ("numba", "loops", "Loops", "transforms"),
}

#: From this D on a CPU uses kernels: fewer weights take no longer in plain torch.
LARGE = 1 << 16


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
    return _works(device, lambda: load("checks").check(kernel(device), device))


def _works(device: torch.device, check: Callable[[], None]) -> bool:
    """Whether a check of kernels passes; a warning says why not."""
    try:
        check()
    except Exception as error:  # noqa: BLE001  # a compiler, a driver, a cache folder: anything
        reason = (str(error) or repr(error)).splitlines()[0]
        warnings.warn(
            f"{_KERNELS[device.type][0].title()} does not work on {device}, so that subspace_nn "
            "computes in plain torch there, which has the same results and takes longer: "
            f"{reason}",
            RuntimeWarning,
            stacklevel=3,
        )
        return False
    return True


def take(*operands: Tensor) -> bool:
    """Whether kernels may compute with these: on their device, and no tensor stands for others.

    Args:
        operands: on one device.

    Returns:
        False where plain torch must do.
    """
    return (
        not torch.compiler.is_compiling()
        and usable(operands[0].device)
        and all(map(_has_memory, operands))
    )


def _has_memory(operand: Tensor) -> bool:
    plain, functorch = type(operand) in {Tensor, torch.nn.Parameter}, torch._C._functorch
    wrapped = functorch.is_functorch_wrapped_tensor(operand)
    return plain and not (wrapped or functorch.is_legacy_batchedtensor(operand))


def load(file: str) -> Any:
    """A file of this package; only where its library is, which `take` says.

    Args:
        file: its name.

    Returns:
        The module.
    """
    return importlib.import_module(f"{__name__}.{file}")


def kernel(device: torch.device) -> Any:
    """What places and collects `hashed` on a device, for `usable` ones.

    Args:
        device: on which.

    Returns:
        `hashed.Blocks` or `loops.Loops`.
    """
    _, file, name, _ = _KERNELS[device.type]
    return getattr(load(file), name)


@functools.cache
def for_transforms(device: torch.device) -> Any | None:
    """What transforms on a device, for `usable` ones; tried once.

    Args:
        device: on which.

    Returns:
        The module `walsh` or `transforms`; None where plain torch must do, after a warning.
    """
    *_, file = _KERNELS[device.type]
    works = _works(device, lambda: load("checks").check_transform(load(file), device))
    return load(file) if works else None
