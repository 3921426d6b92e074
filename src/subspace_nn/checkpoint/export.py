"""A trained module for those who do not have this package: safetensors and ONNX."""

import contextlib
import importlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Generator
from typing import cast

import safetensors.torch
import torch
from torch import Tensor, nn

from subspace_nn.common.errors import InputError


def state_bytes(module: nn.Module) -> bytes:
    """A module's state as a safetensors file, which PyTorch reads without this package.

        module.load_state_dict(safetensors.torch.load_file("model.safetensors"))

    Args:
        module: any module, such as `Subspace.merge` returns. Tied tensors are repeated under each
            of their names, as `load_state_dict` wants them.

    Returns:
        The whole file.

    Raises:
        InputError: if the module's state holds something else than tensors.

    Example:
        >>> content = state_bytes(nn.Linear(3, 2))
        >>> sorted(safetensors.torch.load(content))
        ['bias', 'weight']
    """
    state = module.state_dict()
    if odd := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise InputError(f"The module's state holds what is no tensor: {', '.join(odd)}.")
    tensors = {n: t.detach().cpu().clone().contiguous() for n, t in state.items()}
    return safetensors.torch.save(tensors, metadata={"format": "pt"})


def onnx_bytes(
    module: nn.Module,
    example: Tensor,  # (n, …), n > 1
) -> bytes:
    """A module as an ONNX model, for any batch size.

    Args:
        module: any module of one input, whose first dimension is the batch, and one output.
        example: an input; its batch size has no effect but must be above 1.

    Returns:
        The whole file; the input's name is `input` and the output's `output`.

    Raises:
        InputError: if the packages of the extra `onnx` are not installed, the module does not
            take the example or returns something else than a tensor, or PyTorch cannot export it.
    """
    _need("onnx", "onnxscript")
    module = module.eval()
    try:
        with torch.no_grad():
            output = module(example)
    except Exception as error:
        shape = tuple(example.shape)
        raise InputError(f"The module takes no input of shape {shape}: {_line(error)}") from error
    if not isinstance(output, Tensor):
        raise InputError(
            f"Expected a module that returns one tensor, got {type(output).__name__}. Wrap it in "
            "one that picks the tensor."
        )
    with _quiet():
        try:
            program = torch.onnx.export(
                module,
                (example,),
                input_names=["input"],
                output_names=["output"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
        except Exception as error:
            reason = _line(error.__cause__ or error)
            raise InputError(f"PyTorch cannot export this module to ONNX: {reason}") from error
    return cast("torch.onnx.ONNXProgram", program).model_proto.SerializeToString()


def onnx_difference(content: bytes, module: nn.Module, x: Tensor) -> float:
    """How far the outputs of an ONNX model are from those of the module it was made of.

    Args:
        content: the file, from `onnx_bytes`.
        module: the module.
        x: an input.

    Returns:
        The largest absolute difference.

    Raises:
        InputError: if onnxruntime is not installed.
    """
    _need("onnxruntime")
    runtime = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"input": x.numpy()})
    with torch.no_grad():
        expected = module.eval()(x)
    return float((torch.from_numpy(got) - expected).abs().max())


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Without the exporter's remarks on its own parts, which are no one's mistake."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _need(*names: str) -> None:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"This needs {', '.join(missing)}: pip install 'subspace-nn[onnx]'.")


__all__ = ["onnx_bytes", "onnx_difference", "state_bytes"]
