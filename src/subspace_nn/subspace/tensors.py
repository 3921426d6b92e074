"""Which tensors a live module has, and what has changed in them since it was wrapped."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from subspace_nn.subspace import copies, live


@dataclass(frozen=True)
class Held:
    """A tensor of a module.

    Attributes:
        shape: its shape; None for extra state that is no tensor.
        is_computed: whether it is in θ.
        owner: its first name, that of all its ties.
    """

    shape: tuple[int, ...] | None
    is_computed: bool
    owner: str


def tensors(module: nn.Module) -> dict[str, Held]:
    """The tensors of a live module: which there are, of what shape, and which are one.

    Args:
        module: a live module.

    Returns:
        All tensors by name, computed ones too.
    """
    first: dict[object, str] = {}
    return {
        name: Held(shape, isinstance(key, tuple), first.setdefault(key, name))
        for name, shape, key in _tensors(module)
    }


def changes(then: Mapping[str, Held], now: Mapping[str, Held]) -> list[str]:
    """What has changed in a module so that a file of it would not fit one made as it was.

    Tensors that are tied now and were not are no such change: each is in the file.

    Args:
        then: from `tensors`.
        now: from `tensors`, later.

    Returns:
        A sentence for each kind of change, with the names.
    """
    kept = then.keys() & now.keys()
    untied = {n for n in kept if now[n].owner != now.get(then[n].owner, now[n]).owner}
    found = {
        "New": [name for name in now if name not in then],
        "Gone": [name for name in then if name not in now],
        "Replaced": [n for n in now if n in kept and then[n].is_computed != now[n].is_computed],
        "Not tied any more": [name for name in now if name in untied],
        "Of another shape": [n for n in now if n in kept and then[n].shape != now[n].shape],
    }
    return [f"{what}: {', '.join(names)}." for what, names in found.items() if names]


def _tensors(module: nn.Module) -> Iterator[tuple[str, tuple[int, ...] | None, object]]:
    """Name, shape and identity of each tensor of a live module; a pair for a computed one."""
    for name, value in copies.state(module).items():
        yield name, tuple(value.shape) if isinstance(value, Tensor) else None, id(value)
    for path, part in module.named_modules(remove_duplicate=False):
        dot = copies.canonical(f"{path}." if path else "")
        for name, (weights, index) in live.slots(part).items():
            shape = tuple(weights.theta.layout.entries[index].shape)
            yield dot + name, shape, (id(weights), index)


__all__ = ["Held", "changes", "tensors"]
