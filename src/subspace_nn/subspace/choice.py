"""Which adapter's values a module has: one for all threads, or another for a block of code."""

import contextlib
import difflib
import threading
from collections.abc import Generator, Iterator, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from subspace_nn.common.errors import InputError
from subspace_nn.subspace import copies

#: What the blocks around the code that runs have chosen, the innermost last; None is the base.
_CHOSEN: ContextVar[tuple["_Block", ...]] = ContextVar("subspace_nn_adapter", default=())

#: What the compiler says where it must not stop.
_REASON = (
    "A block of net.adapter(name) runs, and a compiler cannot see which adapter it has chosen. "
    "Choose one for all code with net.set_adapter(name), compile without fullgraph=True, or "
    "compile net.merge()."
)

#: For the counts of blocks.
_LOCK = threading.Lock()

#: Where a module keeps its link.
LINK = "_subspace_choice"


@dataclass(eq=False)
class Adapter:
    """The tensors of one adapter.

    Attributes:
        name: of the adapter.
        values: for each part of the module that has such tensors, these by their names there.
    """

    name: str
    values: tuple[dict[str, Tensor], ...]


@dataclass(eq=False, frozen=True)
class _Block:
    """A block of code that has chosen an adapter of a net."""

    adapters: "Adapters"
    adapter: Adapter | None


@dataclass(eq=False, frozen=True)
class Link:
    """What a part of a module knows of its adapters.

    Attributes:
        adapters: those of the net.
        number: of the part.
        names: of the tensors that every adapter has its own of.
    """

    adapters: "Adapters"
    number: int
    names: frozenset[str]


class Adapters:
    """The adapters of one net.

    Attributes:
        parts: the modules that hold a tensor which each adapter has its own of.
        named: the adapters by name, in the order in which they were added.
        active: the one that holds where no block has chosen another; None for the base.
        blocks: how many blocks run now, in all threads. A compiler cannot see which of them is
            around the code that it compiles, but it can see that there is none.
    """

    # Of the class, for parts of a module may ask while a copy is being made.
    parts: tuple[nn.Module, ...] = ()
    active: Adapter | None = None
    blocks = 0
    _lent = False

    def __init__(self) -> None:
        self.named: dict[str, Adapter] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles are made of: no block has chosen for them."""
        return {name: value for name, value in self.__dict__.items() if name != "blocks"}

    def get(self, name: str | None) -> Adapter | None:
        """Look an adapter up.

        Args:
            name: of the adapter; None for the base.

        Returns:
            The adapter; None for the base.

        Raises:
            InputError: if there is none of this name.
        """
        if name is None:
            return None
        if not isinstance(name, str):
            raise InputError(
                f"Expected the name of an adapter, or None for the base; got {name!r}."
            )
        if name in self.named:
            return self.named[name]
        close = difflib.get_close_matches(name, self.named, 3) or [*self.named][:5]
        have = f"there are {len(self.named):,}, such as {', '.join(close)}" if close else "none yet"
        raise InputError(f"Expected the name of an adapter, got {name!r}; {have}.")

    def activate(self, adapter: Adapter | None) -> None:
        """Choose the adapter of all code that is in no block.

        Args:
            adapter: the adapter; None for the base.
        """
        self.active, self._lent = adapter, False

    def chosen(self) -> Adapter | None:
        """The adapter that holds for the code that asks.

        Returns:
            The adapter; None for the base.

        Raises:
            InputError: if a backward pass runs part of a forward pass again, and which adapter
                that was with is not known.
        """
        if not torch.compiler.is_compiling():
            return self._chosen()
        return _chosen_uncompiled(self) if self.is_hidden() else self.active

    def is_hidden(self) -> bool:
        """Whether a compiler cannot see which adapter is chosen, and must break its graph."""
        if self.blocks:
            torch._dynamo.graph_break(msg=_REASON)
        return self.blocks > 0

    def _chosen(self) -> Adapter | None:
        for block in reversed(_CHOSEN.get()):
            if block.adapters is self:
                return block.adapter
        if self._lent and torch._C._current_graph_task_id() != -1:
            raise InputError(
                "A backward pass runs part of the forward pass again, and not in the block that "
                "chose the adapter. To train with activation checkpointing, choose it with "
                "set_adapter(name), and keep to it until backward() is done."
            )
        return self.active

    def is_pinned(self) -> bool:
        """Whether the code that asks is in a block."""
        return any(block.adapters is self for block in _CHOSEN.get())

    @contextlib.contextmanager
    def pinned(self, adapter: Adapter | None) -> Generator[None]:
        """Choose an adapter for a block of code, in this thread or task only.

        Args:
            adapter: the adapter; None for the base.

        Yields:
            Nothing.

        Raises:
            InputError: if blocks end in another order than the reverse of their beginning.
        """
        own = _Block(self, adapter)
        self._count(1)
        _CHOSEN.set((*_CHOSEN.get(), own))
        try:
            yield
        finally:
            self._count(-1)
            found = _CHOSEN.get()
            _CHOSEN.set(tuple(block for block in found if block is not own))
        if found[-1:] != (own,):
            raise InputError(
                "A block of net.adapter(name) has ended before one that began in it: a generator "
                "yielded inside of its block, and its caller ran with that adapter. Yield outside "
                "of the block, or call net(x, adapters=name)."
            )

    def _count(self, more: int) -> None:
        with _LOCK:
            self.blocks += more

    def lend(self) -> None:
        """Remember that a graph was made with another adapter than the active one."""
        self._lent |= torch.is_grad_enabled() and self.chosen() is not self.active


_chosen_uncompiled = torch._disable_dynamo(Adapters._chosen)


class Chosen(nn.Module):
    """Mixed into the class of a module some of whose tensors are an adapter's."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As the module's own, to its end with the adapter it began with."""
        adapters: Adapters = self.__dict__[LINK].adapters
        if torch.compiler.is_compiling():
            return super().__call__(*args, **kwargs)
        _check_exchanged(self)
        adapters.lend()
        if adapters.is_pinned():
            return super().__call__(*args, **kwargs)
        with adapters.pinned(adapters.chosen()):
            return super().__call__(*args, **kwargs)

    def is_in_block(self) -> bool:
        """As `Adapters.is_hidden`, but for an exporter, which looks at nothing but tensors."""
        return not torch.compiler.is_exporting() and self.__dict__[LINK].adapters.is_hidden()

    def __getattr__(self, name: str) -> Any:
        """As the module's own, and the adapter's tensors."""
        link: Link | None = self.__dict__.get(LINK)
        if link is not None and name in link.names:
            adapter = link.adapters.chosen()
            if adapter is not None:
                return adapter.values[link.number][name]
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        """As the module's own, but for what FSDP2 puts in the place of a parameter."""
        if isinstance(value, nn.Parameter) and copies.is_sharded(value):
            raise InputError(
                "fully_shard would shard one adapter only. Load the adapter's file as a net of its "
                "own, sn.load(path, module), and shard that; or use DistributedDataParallel."
            )
        super().__setattr__(name, value)

    def _apply(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        result = super()._apply(fn, *args, **kwargs)  # the chosen one's
        link: Link = self.__dict__[LINK]
        for adapter in (None, *link.adapters.named.values()):
            if adapter is not link.adapters.chosen():
                with link.adapters.pinned(adapter):
                    _apply_to(self, link.names, fn)
        return result


def _check_exchanged(part: Chosen) -> None:
    """Refuse to train another adapter than the one whose gradients processes exchange."""
    wrapper = DistributedDataParallel._active_ddp_module
    if wrapper is None or not torch.is_grad_enabled():
        return
    exchanged = set(map(id, wrapper._module_parameters))
    own = (p for p in part._parameters.values() if p is not None and p.requires_grad)
    if any(id(parameter) not in exchanged for parameter in own):
        raise InputError(
            "DistributedDataParallel was made while another adapter was chosen, and exchanges the "
            "gradients of that one only. Call net.set_adapter(name) first, then "
            "DistributedDataParallel(net), again for each adapter."
        )


def _apply_to(part: Chosen, names: frozenset[str], fn: Any) -> None:
    """Do to an adapter's tensors what a module does to its own in `to`, `half`, `cuda` …."""
    holder = nn.Module()
    holder._parameters.update((n, t) for n, t in part._parameters.items() if n in names)
    holder._buffers.update((n, t) for n, t in part._buffers.items() if n in names)
    holder._apply(fn)
    part._parameters.update(holder._parameters)
    part._buffers.update(holder._buffers)


class _View(MutableMapping[str, Any]):
    """A module's own parameters or buffers, with an adapter's in the place of some."""

    def __init__(self, own: dict[str, Any], chosen: dict[str, Tensor]) -> None:
        self._own, self._chosen = own, chosen

    def __getitem__(self, name: str) -> Any:
        own = self._own[name]
        return self._chosen.get(name, own)

    def __setitem__(self, name: str, value: Any) -> None:
        (self._chosen if name in self._chosen else self._own)[name] = value

    def __delitem__(self, name: str) -> None:
        raise InputError(f"{name} cannot be deleted while an adapter is chosen.")

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


def _held(kind: str) -> property:
    def read(self: nn.Module) -> Any:
        own = self.__dict__[kind]
        link: Link | None = self.__dict__.get(LINK)
        adapter = link.adapters.chosen() if link is not None else None
        return own if adapter is None or link is None else _View(own, adapter.values[link.number])

    return property(read, lambda self, value: self.__dict__.__setitem__(kind, value))


# Whoever lists, moves, saves or swaps parameters and buffers asks for these.
for _kind in ("_parameters", "_buffers"):
    setattr(Chosen, _kind, _held(_kind))


__all__ = ["LINK", "Adapter", "Adapters", "Chosen", "Link"]
