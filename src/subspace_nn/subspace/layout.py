"""Named tensors ↔ one flat θ."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from subspace_nn.common.errors import InputError
from subspace_nn.subspace.copies import canonical, state
from subspace_nn.subspace.selection import Selection


@dataclass(frozen=True)
class Entry:
    """One tensor of θ.

    Attributes:
        name: its first name in the module.
        slots: all the places that hold it, one name each: tied parameters have several, a
            submodule that is reachable under two names counts once.
        shape: its shape.
        start: where it begins in θ.
    """

    name: str
    slots: tuple[str, ...]
    shape: torch.Size
    start: int

    @property
    def numel(self) -> int:
        """Number of weights."""
        return self.shape.numel()


@dataclass(frozen=True)
class Layout:
    """Which tensors of a module make up θ, and in which order: that of `named_parameters`.

    Attributes:
        entries: the tensors, in order; tied ones once.
        buffers: name and shape of each buffer that the module saves.
        extra: names of the parameters that train with ω, as they are; tied ones once.
        held: names of the trainable parameters that stay as they are; tied ones once.

    Example:
        >>> layout = Layout.of(nn.Linear(3, 2))
        >>> layout.D, [entry.name for entry in layout.entries]
        (8, ['weight', 'bias'])
    """

    entries: tuple[Entry, ...]
    buffers: tuple[tuple[str, torch.Size], ...]
    extra: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    @classmethod
    def of(cls, module: nn.Module, selection: Selection | None = None) -> "Layout":
        """The layout of a module's trainable floating-point parameters.

        Args:
            module: any module; parameters with `requires_grad=False` stay out of θ.
            selection: which of the others are in θ; all of them by default.

        Returns:
            The layout.

        Raises:
            InputError: if a tensor is not initialised yet (lazy), θ is empty or has a parameter
                that is not floating-point, or a pattern of the selection matches nothing.
        """
        if lazy := [name for name, value in state(module).items() if nn.parameter.is_lazy(value)]:
            raise InputError(
                f"Not initialised yet: {', '.join(lazy)}. Call the module on a batch before this."
            )
        parts = (selection or Selection()).sort(module)
        slots: dict[int, list[str]] = {}
        tensors: dict[int, nn.Parameter] = {}
        others: dict[int, str] = {}
        for name, parameter in _slots(module):
            if parts.get(name) == "theta":
                slots.setdefault(id(parameter), []).append(name)
                tensors[id(parameter)] = parameter
            elif name in parts:
                others.setdefault(id(parameter), name)
        _check_parameters({slots[key][0]: tensor for key, tensor in tensors.items()})
        entries: list[Entry] = []
        start = 0
        for key, parameter in tensors.items():
            names = tuple(slots[key])
            entries.append(Entry(names[0], names, parameter.shape, start))
            start += parameter.numel()
        extra, held = (
            tuple(name for name in others.values() if parts[name] == part)
            for part in ("extra", "held")
        )
        return cls(tuple(entries), _saved_buffers(module), extra, held)

    @property
    def D(self) -> int:
        """Number of weights."""
        return sum(entry.numel for entry in self.entries)

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Join tensors into one flat vector.

        Args:
            tensors: one tensor for the name of each entry, of its shape.

        Returns:
            Shape (D,), in the widest of the tensors' dtypes.
        """
        return torch.cat([tensors[entry.name].reshape(-1) for entry in self.entries])

    def split(self, theta: Tensor) -> dict[str, Tensor]:
        """Cut a flat vector into views.

        Args:
            theta: shape (D,).

        Returns:
            A view of theta for the name of each entry, of its shape.
        """
        pieces = theta.split([entry.numel for entry in self.entries])
        return {
            entry.name: piece.view(entry.shape)
            for entry, piece in zip(self.entries, pieces, strict=True)
        }

    def fingerprint(self, name: Callable[[str], str] = canonical) -> str:
        """16 hexadecimal digits that identify the architecture.

        Names, shapes, tying and saved buffers count; what a module computes with them cannot be
        read off it and does not, nor which parts are compiled.

        Args:
            name: what a tensor is called, from its name in the module; `str` for older files.

        Returns:
            The first 64 bits of a SHA-256 of canonical JSON.
        """
        description = [
            [[list(map(name, entry.slots)), list(entry.shape)] for entry in self.entries],
            [[name(buffer), list(shape)] for buffer, shape in self.buffers],
        ]
        text = json.dumps(description, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _slots(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Each place that holds a parameter, once, however many paths lead to it."""
    for path, submodule in module.named_modules():
        for name, parameter in submodule.named_parameters(recurse=False, remove_duplicate=False):
            yield f"{path}.{name}".lstrip("."), parameter


def _saved_buffers(module: nn.Module) -> tuple[tuple[str, torch.Size], ...]:
    saved = state(module).keys()
    named = module.named_buffers()
    return tuple((name, b.shape) for name, b in named if canonical(name) in saved)


def _check_parameters(parameters: Mapping[str, nn.Parameter]) -> None:
    if not parameters:
        raise InputError(
            "The module has no parameter with requires_grad=True for θ: none at all, or none that "
            "include matches and exclude and train do not."
        )
    odd = [
        f"{n} ({p.dtype})"
        for n, p in parameters.items()
        if not p.is_floating_point() or p.itemsize < 2  # no arithmetic in 8 bits
    ]
    if odd:
        raise InputError(
            f"Expected floating-point parameters of 16 bits or more, got {', '.join(odd)}."
        )
