"""How long computed weights live: a call, a layer's run, or until ω changes."""

import threading
from collections.abc import Callable, Generator, Hashable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch._C import _autograd
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.parallel import DistributedDataParallel

from subspace_nn.common.errors import InputError
from subspace_nn.subspace import copies, processes
from subspace_nn.subspace.choice import Chosen
from subspace_nn.subspace.theta import Theta

Memory = Literal["auto", "whole", "layer"]

#: Up to this many weights "auto" makes all of them at once: 256 MiB of float32.
WHOLE = 2**26

#: Steps of autograd between a weight and what a layer keeps of it: views, and autocast's copies.
_VIEWS = ("T", "Transpose", "Permute", "View", "Unsqueeze", "Squeeze", "Alias", "Expand")
_CAST = "ToCopyBackward0"

_VERSION = attrgetter("_version")


class _Thread(threading.local):
    """What one thread is in the middle of."""

    def __init__(self) -> None:
        self.scopes: dict[Weights, _Scope] = {}
        self.watched: list[tuple[Weights, int, Tensor]] | None = None


_THREAD = _Thread()


class Weights:
    """Computes the weights of one subspace when a module reads them.

    Args:
        theta: the map from ω to the weights.
        owner: the module that holds ω.
        name: the name of ω there.
        memory: as for `Subspace`.
        written: numbers of the entries that their modules write to, as embeddings with `max_norm`
            do: these get a copy of their own each time.

    Attributes:
        keep: for how many ω the weights are kept for inference.
        is_shared: whether other processes were found to train in the same subspace.
        copies: whether copies of weights, made in some way, are what `memory="layer"` makes again.
    """

    def __init__(
        self,
        theta: Theta,
        owner: nn.Module,
        name: str,
        memory: Memory,
        written: frozenset[int] = frozenset(),
    ) -> None:
        self.theta, self.owner, self.name = theta, owner, name
        self.layered = memory == "layer" or (memory == "auto" and theta.layout.D > WHOLE)
        self._written = written
        self.keep = 1
        self.copies: dict[Hashable, bool] = {}
        self.is_shared = False
        self.forget()

    @property
    def omega(self) -> Tensor:
        """The ω that holds now: a functional call's, too."""
        own = self.owner._parameters.get(self.name)
        return getattr(self.owner, self.name) if own is None else own  # in a subspace itself

    def forget(self) -> None:
        """Drop what was kept for inference and for noticing writes."""
        self._kept: tuple[_Kept, ...] = ()
        self._loose: tuple[int, Tensor, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles are made of.

        Returns:
            The attributes, without what can be computed again.
        """
        return {**self.__dict__, "_kept": (), "_loose": None, "is_shared": False}

    def read(self, index: int) -> Tensor:
        """The weight that a module asks for.

        Args:
            index: number of the entry.

        Returns:
            The tensor, with its gradient's way to ω where one is asked for.

        Raises:
            InputError: if a weight that was read before has been written to.
        """
        if torch.compiler.is_compiling():
            if isinstance(self.owner, Chosen) and self.owner.is_in_block():
                return _read_uncompiled(self, index)
            return self.theta.tensors(self.omega, index)[0]
        return self._read(index)

    def _read(self, index: int) -> Tensor:
        scope = _THREAD.scopes.get(self)
        tensor = self._read_alone(index) if scope is None else scope.read(index)
        if _THREAD.watched is not None:
            _THREAD.watched.append((self, index, tensor))
        return tensor

    def _read_alone(self, index: int) -> Tensor:
        """The weight that something asks for while the module does not run."""
        if self.is_constant():
            kept = self.constant()[index]
            with torch.inference_mode(mode=False):  # a copy: a write through `.data` is not seen
                own = kept.detach().clone().requires_grad_(kept.requires_grad)
            self._loose = index, own, own._version
            return own
        if copies.is_sharded(self.omega):  # one process may ask alone, as to print the module
            return self.theta.tensors(self.omega.to("meta"), index)[0]
        self.check_unwritten()
        tensor = _shielded(self.theta, self.omega, index)[0]
        if not (self.layered or _transforming()):
            self._loose = index, tensor, _version(tensor)
        return tensor

    def is_constant(self) -> bool:
        """Whether weights may be kept until ω changes: for inference, without a gradient."""
        flows = torch.is_grad_enabled() and self.omega.requires_grad
        return not (flows or self.layered or self.owner.training or _transforming())

    def constant(self) -> list[Tensor]:
        """All weights, made once for each of the last `keep` ω.

        Returns:
            One tensor for each entry.
        """
        omega, known = self.omega, self._kept
        for kept in known:
            if kept.holds(omega):
                break
        else:
            self._kept = known[: self.keep - 1]  # before there is another
            kept = _Kept(omega, self.theta)
        if kept.is_changed():
            self.forget()
            if (index := kept.written()) is not None:
                raise self.written(index)
            return self.constant()
        if self._kept[:1] != (kept,):
            others = tuple(other for other in self._kept if other is not kept)
            self._kept = (kept, *others)[: self.keep]
        if self._written:
            kept_or_own = enumerate(kept.tensors)
            return [t.detach().clone() if i in self._written else t for i, t in kept_or_own]
        return kept.tensors

    def check_unwritten(self) -> None:
        """Refuse to go on if the weight read last was written to, for the write is lost.

        Raises:
            InputError: if it was.
        """
        loose, self._loose = self._loose, None
        if loose is not None and _version(loose[1]) != loose[2]:
            raise self.written(loose[0])

    def written(self, index: int) -> InputError:
        """What to raise where a weight was written to.

        Args:
            index: number of the entry.

        Returns:
            The error.
        """
        return InputError(
            f"{self.theta.layout.entries[index].name} was written to, but it is computed from ω "
            "and keeps no value of its own. Change ω, take merge(), or leave the parameter out of "
            "θ: Subspace(…, exclude=…)."
        )


class _Kept:
    """The weights of one ω, for inference, and how often all that they depend on was written to."""

    def __init__(self, omega: Tensor, theta: Theta) -> None:
        origins = [tensor for tensor in theta.origin.values() if not tensor.is_inference()]
        self._writes = sum(map(_VERSION, origins))
        with torch.inference_mode(mode=False):  # of a copy: another thread may change ω meanwhile
            self._omega = omega.detach().clone().requires_grad_(omega.requires_grad)
        self.tensors = _leaves(theta, self._omega)
        self._made = [tensor._version for tensor in self.tensors]
        self._writes += sum(self._made)
        self._watched = [*self.tensors, *origins]
        self._source, self._kind = omega, _kind(omega)
        self._memory, self._address = None, 0
        if type(omega) in {Tensor, nn.Parameter} and omega.is_cpu and omega.is_contiguous():
            self._memory, self._address = _bytes(omega), omega.data_ptr()
            self._bytes = _bytes(self._omega).tobytes()

    def holds(self, omega: Tensor) -> bool:
        # By value: `omega.data` changes without a change of its version.
        if self._kind != _kind(omega):
            return False
        if self._memory is not None and omega is self._source and omega.data_ptr() == self._address:
            return self._memory.tobytes() == self._bytes  # a fifth of the time
        return torch.equal(self._omega, omega)

    def is_changed(self) -> bool:
        return sum(map(_VERSION, self._watched)) != self._writes

    def written(self) -> int | None:
        """Which of the weights was written to, if one was."""
        pairs = enumerate(zip(self.tensors, self._made, strict=True))
        return next((i for i, (tensor, version) in pairs if tensor._version != version), None)


class _Scope:
    """The weights of one call of a module: made when they are first read."""

    omega: Tensor | None = None
    state: tuple[Any, ...] = ()
    constant: list[Tensor] | None = None

    def __init__(self, weights: Weights, module: nn.Module) -> None:
        self.weights = weights
        self.made: dict[int, Tensor] = {}
        self.whole = weights.owner is module and not weights.layered
        if self.whole and weights.is_constant():
            self.constant = weights.constant()
        if weights._loose is not None:
            weights.check_unwritten()

    def read(self, index: int) -> Tensor:
        if self.constant is not None and not torch.is_grad_enabled():
            return self.constant[index]
        omega = self.weights.omega
        level = torch._C._functorch.maybe_current_level() if _transforming() else None
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        state = _version(omega), level, modes
        if self.omega is not omega or self.state != state:
            self.omega, self.state = omega, state
            self.made = {}
        if index not in self.made:
            self.made |= self._make(omega, index)
        return self.made[index]

    def _make(self, omega: Tensor, index: int) -> dict[int, Tensor]:
        if self.weights.is_constant():
            return dict(enumerate(self.weights.constant()))
        theta = self.weights.theta
        if self.whole:
            self.weights.forget()
            return dict(enumerate(_shielded(theta, omega)))
        return {index: _shielded(theta, omega, index)[0]}


#: The compiler cannot see which adapter a block has chosen.
_read_uncompiled = torch._disable_dynamo(Weights._read)


def opens(cores: tuple[Weights, ...]) -> bool:
    """Whether the call of a module holds weights of its own, or uses those of the call around it.

    Args:
        cores: the subspaces that the module has weights of.

    Returns:
        True if `calling` has something to do.
    """
    scopes = _THREAD.scopes
    for core in cores:  # noqa: SIM110  # each layer asks, and a generator takes as long as all else
        if core.layered or core not in scopes:
            return True
    return False


def call(
    module: nn.Module,
    cores: tuple[Weights, ...],
    own: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Any:
    """Call a module, and hold the weights that it reads until it has run.

    Args:
        module: the module.
        cores: the subspaces that it has weights of.
        own: its call.
        args: of the call.
        kwargs: of the call.

    Returns:
        What it returns.
    """
    around = _THREAD.scopes
    scopes = around.copy()
    streamed: list[_Scope] = []
    wrapper = DistributedDataParallel._active_ddp_module
    for core in cores:
        if wrapper is not None and core.owner is module and not core.is_shared:
            core.is_shared = torch.is_grad_enabled() and processes.check(
                wrapper, module, core.theta
            )
        if core.layered or core not in around:
            scopes[core] = scope = _Scope(core, module)
            if core.layered and torch.is_grad_enabled() and not _transforming():
                streamed.append(scope)
    _THREAD.scopes = scopes
    try:
        if not streamed:
            return own(*args, **kwargs)
        with saved_tensors_hooks(*_stream(streamed)):
            return own(*args, **kwargs)
    finally:
        _THREAD.scopes = around
        for scope in streamed:
            scope.made = {}  # autograd keeps the hooks, which know the scope


@contextmanager
def watching(what: str) -> Generator[None]:
    """Refuse what writes to computed weights: the writes would be lost.

    Args:
        what: what runs, for the message.

    Yields:
        Nothing.

    Raises:
        InputError: if a weight that was read is not what it was.
    """
    if _THREAD.watched is not None:
        yield
        return
    watched: list[tuple[Weights, int, Tensor]] = []
    _THREAD.watched = watched
    try:
        yield
    finally:
        _THREAD.watched = None
    for weights, index, tensor in watched:
        with torch.no_grad():
            expected = weights.theta.tensors(weights.omega, index)[0]
        if tensor.shape != expected.shape or not torch.equal(tensor, expected):
            weights.forget()
            raise InputError(f"{what}: {weights.written(index)}")


@dataclass(frozen=True)
class _Recipe:
    """How to recompute a saved tensor: a view of a weight, or of its copy in another dtype."""

    weights: Weights
    index: int
    omega: Tensor
    version: int
    dtype: torch.dtype
    size: torch.Size
    stride: tuple[int, ...]
    offset: int

    @classmethod
    def of(cls, tensor: Tensor, weights: Weights, index: int, omega: Tensor) -> "_Recipe":
        place = tensor.size(), tensor.stride(), int(tensor.storage_offset())
        return cls(weights, index, omega, _version(omega), tensor.dtype, *place)

    def make(self) -> Tensor:
        if _version(self.omega) != self.version:
            raise RuntimeError(
                "ω was changed between the forward and the backward pass: with memory='layer' the "
                "weights of the forward pass cannot be recomputed. Call backward() before step()."
            )
        with torch.no_grad():
            weight = self.weights.theta.tensors(self.omega, self.index)[0].to(self.dtype)
        return weight.as_strided(self.size, self.stride, self.offset)


def _stream(scopes: list[_Scope]) -> tuple[Any, Any]:
    """Hooks that keep a recipe in the place of a weight; all else goes where it would have gone."""
    outer = _top_hooks()

    def pack(tensor: Tensor) -> Any:
        for scope in scopes:
            for index, weight in scope.made.items():
                if _is_made_of(tensor, weight, scope.weights.copies):
                    return _Recipe.of(tensor, scope.weights, index, cast("Tensor", scope.omega))
        return outer[0](tensor) if outer else tensor

    def unpack(packed: Any) -> Tensor:
        if isinstance(packed, _Recipe):
            return packed.make()
        return outer[1](packed) if outer else packed

    return pack, unpack


def _is_made_of(tensor: Tensor, weight: Tensor, known: dict[Hashable, bool]) -> bool:
    """Whether a tensor is a view of a weight, or of its copy in another dtype."""
    if tensor.untyped_storage().data_ptr() == weight.untyped_storage().data_ptr():
        return tensor.numel() > 0
    if tensor.untyped_storage().nbytes() != weight.numel() * tensor.itemsize:
        return False
    node, steps = tensor.grad_fn, list[str]()
    while node is not None and node is not weight.grad_fn:
        steps.append(node.name())
        if steps[-1] != _CAST and not steps[-1].startswith(_VIEWS):
            return False
        node = node.next_functions[0][0] if node.next_functions else None
    if node is None or _CAST not in steps:
        return False
    place = tensor.size(), tensor.stride(), int(tensor.storage_offset())
    key = weight.size(), tensor.dtype, *place, *steps
    # While a CUDA graph is captured nothing can be compared.
    if key in known or (tensor.is_cuda and torch.cuda.is_current_stream_capturing()):
        return known.get(key, False)
    with torch.no_grad():  # a copy may have another order, or have been of a third dtype between
        is_same = torch.equal(weight.to(tensor.dtype).as_strided(*place), tensor)
        if weight.any():  # zeros do not tell
            known[key] = is_same
    return is_same


def _shielded(theta: Theta, omega: Tensor, index: int | None = None) -> list[Tensor]:
    """θ, hidden from whoever counts or moves saved tensors, as activation checkpointing does."""
    if _transforming():
        return theta.tensors(omega, index)
    if not torch.is_grad_enabled():
        return _leaves(theta, omega, index)
    if _top_hooks() is None:
        return theta.tensors(omega, index)
    with saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
        return theta.tensors(omega, index)


def _leaves(theta: Theta, omega: Tensor, index: int | None = None) -> list[Tensor]:
    """θ without a way to ω, as leaves with parameters' flags, by which PyTorch picks algorithms."""
    with torch.inference_mode(mode=False), torch.no_grad():
        tensors = theta.tensors(omega, index)
    return [tensor.data.requires_grad_(omega.requires_grad) for tensor in tensors]


def _bytes(tensor: Tensor) -> Any:
    return tensor.detach().view(torch.uint8).numpy()


def _kind(omega: Tensor) -> tuple[Any, ...]:
    return omega.dtype, omega.device, omega.requires_grad


def _top_hooks() -> tuple[Any, Any] | None:
    """The hooks on saved tensors that are in force."""
    return _autograd._top_saved_tensors_default_hooks(False)  # noqa: FBT003


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _transforming() -> bool:
    return torch._C._are_functorch_transforms_active()


__all__ = ["WHOLE", "Memory", "Weights", "call", "opens", "watching"]
