"""Modules whose weights are computed when they are read."""

import copyreg
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch._C._dynamo import eval_frame

from subspace_nn.common.errors import InputError
from subspace_nn.subspace import copies, memory
from subspace_nn.subspace.choice import Chosen
from subspace_nn.subspace.copies import LIKE
from subspace_nn.subspace.layout import Layout
from subspace_nn.subspace.memory import Weights

#: Name of ω among the parameters of the live module, and of the recipe in its `state_dict`.
OMEGA, RECIPE = "subspace_omega", "subspace_recipe"

#: Where a module keeps its link, and a class what it was made of.
_LINK, _MADE = "_subspace_link", "_subspace_made"


@dataclass
class Link:
    """What a module knows of the subspaces that its weights are in.

    Attributes:
        slots: for each of its computed weights the subspace and the number of the entry.
        cores: these subspaces.
        recipe: 8 bytes that identify the recipe, where the module holds ω.
    """

    slots: dict[str, tuple[Weights, int]] = field(default_factory=dict)
    cores: tuple[Weights, ...] = ()
    recipe: Tensor | None = None


@dataclass(frozen=True)
class Place:
    """A module as it was before its weights were computed.

    Attributes:
        module: the module.
        kind: its class.
        names: of its parameters, in order.
    """

    module: nn.Module
    kind: type[nn.Module]
    names: tuple[str, ...]


class _Like(nn.Parameter):
    """Stands for θ0 and never trains, whoever sets all parameters free."""

    requires_grad: Any = property(lambda _: False, lambda _, __: None)

    def __new__(cls, data: Tensor, requires_grad: bool = False) -> Self:  # noqa: ARG004, FBT001, FBT002
        return super().__new__(cls, data, requires_grad=False)

    def requires_grad_(self, mode: bool = True) -> Self:  # noqa: ARG002, FBT001, FBT002
        return self

    def __reduce_ex__(self, proto: Any) -> Any:
        return _Like, (self.data,)


class Live(nn.Module):
    """Mixed into the class of a module some of whose weights are computed."""

    def __init_subclass__(cls, **_: Any) -> None:
        """A class that registers or checks those derived from it does not meet these."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """What a module makes by its class, as a slice of a Sequential, has no computed weights."""
        if _LINK in self.__dict__:
            super().__init__(*args, **kwargs)
        else:
            self.__class__ = _own_class(type(self))
            self.__init__(*args, **kwargs)

    @property
    def subspace_recipe(self) -> Tensor | None:
        """What `state_dict` holds under this name, where some ask the module for it."""
        return self.__dict__[_LINK].recipe

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As the module's own; what it reads lives until it has run."""
        cores = self.__dict__[_LINK].cores
        if torch.compiler.is_compiling() or not memory.opens(cores) or _is_under_compiler():
            return super().__call__(*args, **kwargs)
        return memory.call(self, cores, super().__call__, args, kwargs)

    def train(self, mode: bool = True) -> Any:  # noqa: FBT001, FBT002  # nn.Module's
        """As the module's own, if it does not write to weights that are computed."""
        with memory.watching(f"train({mode})"):
            return super().train(mode)

    def apply(self, fn: Callable[[nn.Module], None]) -> Any:
        """As the module's own, if it does not write to weights that are computed."""
        with memory.watching("apply"):
            return super().apply(fn)

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """As the module's own, but for the weights that are computed."""
        if name in self.__dict__[_LINK].slots:
            _refuse(self, name)
        super().register_parameter(name, param)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Copy and pickle by the class that the user knows, for this one has no place."""
        function, args, *rest = super().__reduce_ex__(protocol)
        new = copyreg.__newobj__  # pyrefly: ignore[missing-attribute]  # undocumented, and stable
        if function is new and args[0] is type(self):
            return _new, (_describe(type(self)), *args[1:]), *rest
        return function, args, *rest

    def _apply(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        result = super()._apply(fn, *args, **kwargs)
        for weights, index in self.__dict__[_LINK].slots.values():
            weights.theta.move(index, fn)
            weights.forget()
        for weights in self.__dict__[_LINK].cores:
            if weights.owner is self:  # the last to move
                weights.theta.settle()
        return result

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        link, errors = self.__dict__[_LINK], args[-1]
        for name in [n for n in link.slots if prefix + n in state_dict]:
            del state_dict[prefix + name]
            errors.append(
                f"{prefix}{name} is computed from ω: load it into the module before wrapping it."
            )
        if link.recipe is not None:
            found = state_dict.pop(prefix + RECIPE, None)
            if found is not None and not torch.equal(found.cpu().float().round(), link.recipe):
                errors.append(
                    f"{prefix}{OMEGA} is of another subspace: of another seed, projection, scale, "
                    "stage, selection or architecture. Make the Subspace with the arguments of "
                    "that one."
                )
                state_dict[prefix + OMEGA] = self._parameters[OMEGA]  # stays as it is
            if prefix + OMEGA not in state_dict:
                errors += misnamed(state_dict, prefix)
        if LIKE in self._parameters:
            state_dict[prefix + LIKE] = self._parameters[LIKE]
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _save_to_state_dict(self, destination: Any, prefix: Any, keep_vars: Any) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in (LIKE, *self.__dict__[_LINK].slots):  # which some modules write themselves
            destination.pop(prefix + name, None)
        if (recipe := self.__dict__[_LINK].recipe) is not None:
            # A copy, for some write what they load into the tensors of a state, and then load that.
            destination[prefix + RECIPE] = recipe.clone()


def install(
    module: nn.Module, layout: Layout, weights: Weights, omega: nn.Parameter, recipe: Tensor
) -> list[Place]:
    """Turn the weights of a module into computed ones.

    Args:
        module: changed in place; it becomes the owner of ω.
        layout: which of its parameters are weights.
        weights: what computes them.
        omega: the parameter ω.
        recipe: 8 bytes that identify the recipe.

    Returns:
        What `release` needs.
    """
    slots: dict[nn.Module, dict[str, int]] = {module: {}}
    for index, entry in enumerate(layout.entries):
        for slot in entry.slots:
            path, _, name = slot.rpartition(".")
            slots.setdefault(module.get_submodule(path), {})[name] = index
    places = []
    for part, names in slots.items():
        places.append(Place(part, type(part), tuple(part._parameters)))
        old: Link = part.__dict__.get(_LINK, Link())
        new = {name: (weights, index) for name, index in names.items()}
        for name in names:
            del part._parameters[name]
        part.__dict__[_LINK] = Link(old.slots | new, (*old.cores, weights), old.recipe)
        part.__class__ = _live(type(part), tuple(names))
        like = weights.theta.origin[layout.entries[min(names.values(), default=0)].name]
        _put_first(part, _Like(torch.empty(0, dtype=like.dtype, device=like.device)))
    module.__dict__[_LINK].recipe = recipe
    module._parameters[OMEGA] = omega
    return places


def name(module: nn.Module, recipe: Tensor) -> None:
    """Change what identifies the recipe.

    Args:
        module: the owner of ω.
        recipe: 8 bytes.
    """
    module.__dict__[_LINK].recipe = recipe


def _put_first(part: nn.Module, parameter: nn.Parameter) -> None:
    others = dict(part._parameters)
    part._parameters.clear()
    part._parameters.update({LIKE: parameter} | others)


def release(
    weights: Weights, places: Sequence[Place], parameters: Mapping[int, nn.Parameter]
) -> None:
    """Undo `install`.

    Args:
        weights: what computed the weights.
        places: what `install` returned.
        parameters: what is to hold each entry's values.

    Raises:
        InputError: if the class of a module was changed after that.
    """
    check_unchanged({place.module: place.kind for place in places})
    weights.owner._parameters.pop(OMEGA)
    for place in places:
        part, link = place.module, place.module.__dict__[_LINK]
        own = {n: parameters[i] for n, (core, i) in link.slots.items() if core is weights}
        rest = dict(part._parameters)
        if LIKE not in place.names:
            del rest[LIKE]
        part._parameters.clear()
        for name in dict.fromkeys([*place.names, *rest]):
            part._parameters[name] = own[name] if name in own else rest[name]
        part.__class__ = place.kind
        kept = {n: slot for n, slot in link.slots.items() if n not in own}
        cores = tuple(core for core in link.cores if core is not weights)
        recipe = None if part is weights.owner else link.recipe
        part.__dict__[_LINK] = Link(kept, cores, recipe)
        if not cores:
            del part.__dict__[_LINK]
        if isinstance(part, nn.RNNBase):
            part._init_flat_weights()


def derive(part: nn.Module) -> None:
    """Give a module a class with which some of its tensors are an adapter's.

    Args:
        part: the module.
    """
    part.__dict__.setdefault(_LINK, Link())
    part.__class__ = _live(type(part), None)


def restore(part: nn.Module) -> None:
    """Undo `derive`.

    Args:
        part: the module.
    """
    part.__class__ = type(part).__dict__[_MADE][0]
    if not part.__dict__[_LINK].cores:
        del part.__dict__[_LINK]
    if isinstance(part, nn.RNNBase):
        part._init_flat_weights()


def check_unchanged(parts: Mapping[nn.Module, type[nn.Module] | None]) -> None:
    """Refuse to go on if somebody else has given a module another class.

    Args:
        parts: modules, and what the class of each was made of; None if it was made by `derive`.

    Raises:
        InputError: if one is of another class.
    """
    changed = set()
    for part, kind in parts.items():
        base, computed = type(part).__dict__.get(_MADE, (part, ()))
        if base is not kind if kind else computed is not None:
            changed.add(type(part).__name__)
    if changed:
        names = ", ".join(sorted(changed))
        raise InputError(f"The class of a module was changed after it was wrapped: {names}.")


def check(module: nn.Module, layout: Layout) -> None:
    """Refuse a module whose weights cannot be computed when they are read.

    Args:
        module: any module.
        layout: which of its parameters would be.

    Raises:
        InputError: if it is, or has in it, TorchScript, compiled code or a part of a module in a
            subspace, or one of its weights is sharded or has sparse gradients.
    """
    problems = []
    parts = dict(module.named_modules())
    inside = set(map(id, parts.values()))
    if scripted := [p for p, part in parts.items() if isinstance(part, torch.jit.ScriptModule)]:
        raise InputError(
            "TorchScript cannot be called with other weights than its own: "
            f"{scripted[0] or 'the whole'}. Expected the Python module that it was made of."
        )
    for path, part in parts.items():
        where = path or "the whole"
        if _LINK in part.__dict__ and (
            OMEGA in module._parameters
            or not all(id(core.owner) in inside for core in part.__dict__[_LINK].cores)
        ):
            problems.append(
                f"Already in a subspace: {where}. Wrap the Subspace itself, or what its merge() or "
                "release() gives."
            )
        if isinstance(part, Chosen):
            problems.append(f"Has adapters: {where}. Wrap what its merge() gives.")
    for entry in layout.entries:
        if copies.is_sharded(module.get_parameter(entry.name)):
            problems.append(
                f"{entry.name} is sharded, but θ0 must be whole in each process. Make the Subspace "
                "first, then call fully_shard(net)."
            )
        owner = module.get_submodule(entry.name.rpartition(".")[0])
        if isinstance(owner, nn.Embedding | nn.EmbeddingBag) and owner.sparse:
            problems.append(
                f"{entry.name}: embeddings with sparse=True have sparse gradients, which P cannot "
                "take. Use sparse=False, or leave it out of θ: exclude=…"
            )
    if problems:
        raise InputError(*problems)


def written_to(module: nn.Module, layout: Layout) -> frozenset[int]:
    """The weights that their own modules write to: embeddings with `max_norm`.

    Args:
        module: the module.
        layout: which of its parameters are weights.

    Returns:
        Numbers of entries.
    """
    owners = {
        index: module.get_submodule(slot.rpartition(".")[0])
        for index, entry in enumerate(layout.entries)
        for slot in entry.slots
    }
    return frozenset(
        index
        for index, owner in owners.items()
        if isinstance(owner, nn.Embedding | nn.EmbeddingBag) and owner.max_norm is not None
    )


def misnamed(state: Mapping[str, Any], prefix: str) -> list[str]:
    """What is wrong with a state that has ω under another prefix, as DataParallel gives it.

    Args:
        state: that does not have ω under the prefix.
        prefix: of the names that are expected.

    Returns:
        A sentence with the remedy; none if it has no ω.
    """
    found = [name.removesuffix(OMEGA) for name in state if f".{name}".endswith(f".{OMEGA}")]
    if len(found) != 1:
        return []
    rename = f"name.replace({found[0]!r}, {prefix!r}, 1)"
    problem = (
        f"The names begin with {found[0]!r} where {prefix!r} is expected: this is the state of the "
        "net in a wrapper (DataParallel, torch.compile), or of a part. Load it into the same, or "
        f"rename it: {{{rename}: tensor for name, tensor in state.items()}}."
    )
    return [problem]


def slots(part: nn.Module) -> Mapping[str, tuple[Weights, int]]:
    """The computed weights of a module itself, without those of its parts.

    Args:
        part: any module.

    Returns:
        For each by name the subspace and the number of the entry.
    """
    return part.__dict__[_LINK].slots if _LINK in part.__dict__ else {}


def _is_under_compiler() -> bool:
    """Whether a compiler looks at what runs here, between two graphs."""
    return eval_frame.get_eval_frame_callback() is not None


def _computed(name: str) -> property:
    def read(self: Any) -> Tensor:
        weights, index = self.__dict__[_LINK].slots[name]
        try:
            return weights.read(index)
        except AttributeError as error:  # which Python would take for a missing attribute
            raise RuntimeError(f"{name} could not be computed: {error}") from error

    return property(read, lambda self, _: _refuse(self, name))


def _refuse(module: Any, name: str) -> None:
    weights, index = module.__dict__[_LINK].slots[name]
    raise weights.written(index)


def _set_recurrent_state(module: Any, values: dict[str, Any]) -> None:
    # RNNBase's own reads the weights, which are not there yet.
    nn.Module.__setstate__(module, values)


def _item(self: Any, key: Any) -> Any:
    if isinstance(key, slice):
        return [self[index] for index in range(len(self))[key]]
    return nn.ParameterList.__getitem__(self, key)


#: Recurrent modules keep their weights in a list, too; a container would make parameters of them.
_SPECIAL: dict[type[nn.Module], dict[str, Any]] = {
    nn.RNNBase: {
        "_flat_weights": property(
            lambda self: [getattr(self, name) for name in self._flat_weights_names],
            lambda _, __: None,
        ),
        "_init_flat_weights": lambda _: None,
        "_weights_have_changed": lambda _: False,
        "__setstate__": _set_recurrent_state,
    },
    nn.ParameterList: {"__getitem__": _item},
    nn.ParameterDict: {"copy": lambda self: dict(self.items())},
}


@functools.cache
def _live(kind: type[nn.Module], names: tuple[str, ...] | None) -> type[nn.Module]:
    """The class of a module of some kind with computed weights of these names, or of adapters."""
    body: dict[str, Any] = {name: _computed(name) for name in names or ()}
    for container, methods in _SPECIAL.items():
        if issubclass(kind, container):
            body |= methods
    body |= {_MADE: (kind, names), "__module__": kind.__module__, "__doc__": kind.__doc__}
    body["__qualname__"] = kind.__qualname__
    bases = (kind,) if issubclass(kind, Live) else (Live, kind)
    return type(kind.__name__, bases if names is not None else (Chosen, *bases), body)


def _own_class(kind: type) -> Any:
    """The class that the user knows."""
    made = next((c.__dict__[_MADE] for c in kind.__mro__ if _MADE in c.__dict__), None)
    return kind if made is None else _own_class(made[0])


def _describe(kind: type) -> Any:
    """A live class by the class that it was made of."""
    if _MADE not in kind.__dict__:
        return kind
    base, names = kind.__dict__[_MADE]
    return _describe(base), names


def _new(description: Any, *args: Any) -> Any:
    kind = _kind_of(description)
    return kind.__new__(kind, *args)


def _kind_of(description: Any) -> Any:
    if not isinstance(description, tuple):
        return description
    base, names = description
    return _live(_kind_of(base), names)


__all__ = [
    "OMEGA",
    "RECIPE",
    "Link",
    "Live",
    "Place",
    "check",
    "check_unchanged",
    "derive",
    "install",
    "misnamed",
    "name",
    "release",
    "restore",
    "slots",
    "written_to",
]
