"""A trained module for those who do not have this package: safetensors and ONNX."""

import contextlib
import importlib
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Generator, Mapping, Sequence
from typing import cast

import safetensors.torch
import torch
from torch import Tensor, nn

from subspace_nn.common.errors import InputError
from subspace_nn.subspace import copies, live, saving
from subspace_nn.subspace.wrapper import Subspace


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


#: What a module is called with: one tensor, several, or several by the name of the argument.
Inputs = Tensor | Sequence[Tensor] | Mapping[str, Tensor]


def onnx_bytes(module: nn.Module, example: Inputs) -> bytes:
    """A module as an ONNX model, for any batch size.

    A `Subspace` keeps ω, and all else that an adapter has, as inputs of the model, under the names
    that the tensors have in a checkpoint: `omega`, and `module.…` for what trains with it and for
    buffers. So one model, loaded once, computes with every adapter of its base. Its metadata
    `subspace` is JSON of the fields of a checkpoint that must be an adapter's own.

    Args:
        module: any module, or a `Subspace`. It returns a tensor, several, or a mapping of them.
        example: inputs, as in a call: the first dimension of each is the batch, of 2 or more rows.
            Any other size is the same for all inputs of the model.

    Returns:
        The whole file. An input is called `input`, several `input_0`, … or as the arguments; the
        outputs likewise, or `output_x` where there is an input `x`.

    Raises:
        InputError: if the packages of the extra `onnx` are not installed, the example or what the
            module returns is something else than tensors, the module does not take it, or PyTorch
            cannot export it.

    Example:
        >>> import onnxruntime
        >>> net = Subspace(nn.Linear(20, 10), dim=15)
        >>> session = onnxruntime.InferenceSession(onnx_bytes(net, torch.rand(2, 20)))
        >>> [value.name for value in session.get_inputs()]
        ['omega', 'input']
    """
    _need("onnx", "onnxscript")
    args, kwargs = _split(example)
    with _evaluating(module):
        return _onnx_bytes(module, args, kwargs)


def _onnx_bytes(module: nn.Module, args: list[Tensor], kwargs: dict[str, Tensor]) -> bytes:
    call, own = _Call(module), {n: t.detach().clone() for n, t in adapter_tensors(module).items()}
    inputs = [*own, *_named("input", kwargs or args)]
    try:
        with torch.no_grad():
            outputs = call.outputs(own, kwargs, args)
    except InputError:
        raise
    except Exception as error:
        shapes = ", ".join(str(tuple(x.shape)) for x in (*args, *kwargs.values()))
        raise InputError(
            f"The module takes no input of shape {shapes}: {_line(error)} For inputs of another "
            "type, or several, give an example of them (--example of the command)."
        ) from error
    batch = {0: torch.export.Dim("batch")}
    with _quiet():
        try:
            program = torch.onnx.export(
                call,
                (own, kwargs, args),  # PyTorch takes a mapping at the end for keywords
                input_names=inputs,
                output_names=[f"output_{n}" if n in inputs else n for n in outputs],
                dynamic_shapes=(
                    dict.fromkeys(own), dict.fromkeys(kwargs, batch), [batch] * len(args),
                ),
                dynamo=True,
                verbose=False,
            )  # fmt: skip
        except Exception as error:
            reason = _line(error.__cause__ or error)
            raise InputError(f"PyTorch cannot export this module to ONNX: {reason}") from error
    model = cast("torch.onnx.ONNXProgram", program).model_proto
    for part in (*model.graph.node, *model.graph.value_info, *model.functions):
        part.ClearField("metadata_props")  # the exporter's notes, with names of files
    if isinstance(module, Subspace):
        model.metadata_props.add(key="subspace", value=json.dumps(saving.identity(module)))
    return model.SerializeToString()


def onnx_difference(content: bytes, module: nn.Module, example: Inputs) -> float:
    """How far the outputs of an ONNX model are from those of the module it was made of.

    The inputs get one row more, for another size of the batch than the model was made with.

    Args:
        content: the file, from `onnx_bytes`.
        module: the module.
        example: inputs, as for `onnx_bytes`.

    Returns:
        The largest absolute difference.

    Raises:
        InputError: if onnxruntime is not installed, or cannot run the model.
    """
    _need("onnxruntime")
    runtime = importlib.import_module("onnxruntime")
    try:
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own, without a common base
        raise InputError(
            f"onnxruntime cannot run this model: {_line(error)} On a CPU it has few operations in "
            "bfloat16: export the net in float32."
        ) from error
    args, kwargs = _split(example)
    args = [torch.cat((x, x[:1])) for x in args]
    kwargs = {name: torch.cat((x, x[:1])) for name, x in kwargs.items()}
    own, call = adapter_tensors(module), _Call(module)
    feeds = own | _named("input", kwargs or args)
    used = {value.name for value in session.get_inputs()}
    outputs = session.run(None, {n: t.detach().numpy() for n, t in feeds.items() if n in used})
    with _evaluating(module), torch.no_grad():
        expected = call(own, kwargs, args)
    pairs = zip(map(torch.from_numpy, outputs), expected, strict=True)
    return max(float((got.double() - want.double()).abs().max()) for got, want in pairs)


def adapter_tensors(module: nn.Module) -> dict[str, Tensor]:
    """What an adapter holds, by the names that the tensors have in a checkpoint.

    Args:
        module: any module.

    Returns:
        Of a `Subspace` ω, what trains with it, and buffers that are saved, but for the counters
        of batches; of another module nothing. Tied tensors have one name.
    """
    if not isinstance(module, Subspace):
        return {}
    held = copies.state(module.module)
    omega = {"omega": held.pop(live.OMEGA)}
    fixed = {id(tensor) for tensor in saving.frozen(module).values()}
    once = {id(tensor): name for name, tensor in reversed(held.items())}
    return omega | {
        f"module.{name}": tensor
        for name, tensor in held.items()
        if id(tensor) not in fixed and once[id(tensor)] == name
        and not name.endswith("num_batches_tracked")  # which counts in training alone
    }  # fmt: skip


class _Call(nn.Module):
    """A call of a module with the tensors of an adapter."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.module if isinstance(module, Subspace) else module
        named = (*self.module.named_parameters(), *self.module.named_buffers())
        self.names = {f"module.{copies.canonical(name)}": name for name, _ in named}
        self.names["omega"] = live.OMEGA

    def outputs(
        self, own: dict[str, Tensor], kwargs: dict[str, Tensor], args: list[Tensor]
    ) -> dict[str, Tensor]:
        """The outputs by name."""
        values = {self.names[name]: tensor for name, tensor in own.items()}
        found = torch.func.functional_call(self.module, values, tuple(args), kwargs)
        several = isinstance(found, (tuple, list, dict))
        named = _named("output", found) if several or isinstance(found, Tensor) else {}
        if not named or not all(isinstance(value, Tensor) for value in named.values()):
            raise InputError(
                "Expected a module that returns a tensor, several, or a mapping of them, got "
                f"{type(found).__name__}. Wrap it in one that picks the tensors."
            )
        return named

    def forward(
        self, own: dict[str, Tensor], kwargs: dict[str, Tensor], args: list[Tensor]
    ) -> list[Tensor]:
        return [*self.outputs(own, kwargs, args).values()]


def _split(example: Inputs) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Positional arguments, and keywords."""
    args, kwargs = list[Tensor](), dict[str, Tensor]()
    if isinstance(example, Mapping):
        kwargs = dict(example)
    else:
        args = [example] if isinstance(example, Tensor) else [*example]
    if odd := {type(x).__name__ for x in (*args, *kwargs.values()) if not isinstance(x, Tensor)}:
        raise InputError(f"Expected an example of tensors, got {', '.join(sorted(odd))}.")
    return args, kwargs


def _named(what: str, values: Inputs) -> dict[str, Tensor]:
    """Tensors by their own names, or by numbers; one alone needs none."""
    if isinstance(values, Mapping):
        return dict(values)
    if isinstance(values, Tensor):
        return {what: values}
    numbered = {f"{what}_{number}": value for number, value in enumerate(values)}
    return {what: values[0]} if len(values) == 1 else numbered


def _line(error: BaseException) -> str:
    """The first line of what an error says, as a sentence."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if line.endswith(".") else f"{line}."


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Generator[None]:
    """In evaluation mode, and then in the modes of before."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():  # the whole before its parts
            if part.training != mode:
                part.train(mode)


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


__all__ = ["Inputs", "adapter_tensors", "onnx_bytes", "onnx_difference", "state_bytes"]
