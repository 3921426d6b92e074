"""Patterns of names: the parameters of a module that are in θ, and those that train with ω.

Some patterns are no names but groups of parameters, by what they do; these begin with @.
"""

import difflib
import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Self

from torch import nn

from subspace_nn.common.errors import InputError
from subspace_nn.subspace.copies import canonical

Patterns = str | Iterable[str]

#: Names of parameters by what they do.
GROUPS = ("@norms", "@biases", "@attention", "@mlp", "@head")
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)

#: How names of classes of norms end, as LlamaRMSNorm and LayerNorm2d.
_NORM = re.compile(r"norm(\d+d?)?$", re.IGNORECASE)
_ATTENTION, _MLP = re.compile("attention|attn"), re.compile("mlp|expert")
#: Names of an MLP in a block of attention and MLP, which may be called attention itself.
_BLOCK = frozenset(("mlp", "ffn", "ff", "feed_forward", "feedforward"))


@dataclass(frozen=True)
class Selection:
    """Patterns that share a module's trainable parameters out.

    A pattern is one of a shell's, matched against the whole dotted name with its case: `*` stands
    for any characters, dots included, `?` for one, `[ab]` for one of these. A pattern that matches
    the name of a module stands for all parameters in it. A parameter is matched if any of its
    names is: tied ones have several.

    Groups stand for parameters by what they do, in any module:

    - `@norms`: those of normalisations: modules of PyTorch's classes for these, or whose class is
      named …Norm, or …Norm with a number.
    - `@biases`: those whose own name has "bias" in it.
    - `@attention`: those in modules whose class, or own name, has "attention" or "attn" in it; but
      for norms of such names, and for blocks that have an MLP, too.
    - `@head`: those of the last part with parameters among the module's own parts; of its last part
      where it has only one.
    - `@mlp`: those of linear and convolutional layers, and those that a module itself has whose
      class, or own name, has "mlp" or "expert" in it; but for attention and head.

    What `train` matches trains with ω. Of the rest, θ is what `include` matches and `exclude`
    does not. All else is held. Parameters with `requires_grad=False` are none of these.

    Attributes:
        include: patterns of what is in θ; everything by default.
        exclude: patterns of what is not, though included.
        train: patterns of what trains as it is, an ordinary parameter.

    Raises:
        InputError: if a pattern is not a text, or empty.

    Example:
        >>> module = nn.ModuleDict({"body": nn.Linear(2, 3), "head": nn.Linear(3, 1)})
        >>> parts = Selection.of(exclude="*.bias", train="head").sort(module)
        >>> [parts[name] for name in ("body.weight", "body.bias", "head.weight", "head.bias")]
        ['theta', 'held', 'extra', 'extra']
        >>> [n for n, part in Selection.of("@head").sort(module).items() if part == "theta"]
        ['head.weight', 'head.bias']
    """

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    train: tuple[str, ...] = ()

    @classmethod
    def of(cls, include: Patterns = "*", exclude: Patterns = (), train: Patterns = ()) -> Self:
        """A selection from single patterns or several.

        Args:
            include: a pattern, or several.
            exclude: likewise.
            train: likewise.

        Returns:
            The selection.
        """
        return cls(_several(include), _several(exclude), _several(train))

    def __post_init__(self) -> None:
        """Check the patterns."""
        odd = [
            f"{field.name}: a pattern must be a text of at least one character, got {pattern!r}."
            for field in fields(self)
            for pattern in getattr(self, field.name)
            if not isinstance(pattern, str) or not pattern
        ]
        if odd:
            raise InputError(*odd)

    def sort(self, module: nn.Module) -> dict[str, str]:
        """Tell the part that each trainable parameter has.

        Args:
            module: any module.

        Returns:
            "theta", "extra" or "held" by every name of every trainable parameter.

        Raises:
            InputError: if a pattern matches no trainable parameter.
        """
        names: dict[int, list[str]] = {}
        for name, parameter in module.named_parameters(remove_duplicate=False):
            if parameter.requires_grad:
                names.setdefault(id(parameter), []).append(name)
        patterns = (*self.include, *self.exclude, *self.train)
        groups = _groups(module) if any(pattern in GROUPS for pattern in patterns) else {}
        members = {
            key: [*map(canonical, several), *map(_Group, sorted(groups.get(key, ())))]
            for key, several in names.items()
        }
        if problems := list(self._unmatched([name for some in members.values() for name in some])):
            raise InputError(*problems)
        parts = {key: self._part(some) for key, some in members.items()}
        return {name: parts[key] for key, several in names.items() for name in several}

    def trains(self, name: str) -> bool:
        """Whether `train` matches a name.

        Args:
            name: of a parameter.

        Returns:
            True if it does.
        """
        return _any_matches(self.train, [name])

    def recipe(self) -> dict[str, list[str]]:
        """What a checkpoint says of it.

        Returns:
            The patterns by the name of the field, where they are not the default.
        """
        default = Selection()
        return {
            field.name: list(getattr(self, field.name))
            for field in fields(self)
            if getattr(self, field.name) != getattr(default, field.name)
        }

    def _part(self, names: Sequence[str]) -> str:
        if _any_matches(self.train, names):
            return "extra"
        inside = _any_matches(self.include, names) and not _any_matches(self.exclude, names)
        return "theta" if inside else "held"

    def _unmatched(self, names: Sequence[str]) -> Iterator[str]:
        modules = {name[:end] for name in names for end, mark in enumerate(name) if mark == "."}
        unmatched = [
            (field.name, pattern)
            for field in fields(self)
            for pattern in getattr(self, field.name)
            if names and not _any_matches([pattern], names)
        ]
        plain = list(dict.fromkeys(name for name in names if not isinstance(name, _Group)))
        there = dict.fromkeys(sorted(name for name in names if isinstance(name, _Group)))
        for number, (field, pattern) in enumerate(unmatched):
            means_group = pattern.startswith("@") or f"@{pattern}" in GROUPS
            pool = GROUPS if means_group else [*modules, *plain]
            if pattern in GROUPS:
                yield (
                    f"{field}: no parameter with requires_grad=True is in the group {pattern}. "
                    f"This module has {', '.join(there) or 'none'}, and names such as "
                    f"{', '.join(plain[:3])}."
                )
                continue
            # For a few only: the search is slow, and the patterns may be a stranger's.
            near = number < 3 and difflib.get_close_matches(pattern, pool, n=3)
            hint = ", ".join(near or (GROUPS if means_group else plain[:3]))
            yield (
                f"{field}: {pattern!r} matches no parameter with requires_grad=True. "
                f"Names are such as {hint}."
            )


class _Group(str):
    """A group among the names of a parameter, which a name may look like."""

    __slots__ = ()


def _any_matches(patterns: Iterable[str], names: Iterable[str]) -> bool:
    return any(_matches(pattern, name) for pattern in patterns for name in names)


def _matches(pattern: str, name: str) -> bool:
    if pattern in GROUPS or isinstance(name, _Group):
        return pattern == name and isinstance(name, _Group)
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}.*")


def _groups(module: nn.Module) -> dict[int, set[str]]:
    """The groups of each parameter, by its identity."""
    head = {id(p) for p in _head(module).parameters()}
    found: dict[int, set[str]] = {key: {"@head"} for key in head}
    attention = set[int]()
    for path, part in module.named_modules(remove_duplicate=False):
        own = {name: id(p) for name, p in part.named_parameters(recurse=False)}
        called = f"{path.rpartition('.')[2]} {type(part).__name__}".lower()
        if isinstance(part, _NORMS) or _NORM.search(type(part).__name__):
            _add(found, "@norms", own.values())
        elif _ATTENTION.search(called) and not _is_block(part):
            attention |= {id(p) for p in part.parameters()}
        elif isinstance(part, nn.Linear | nn.modules.conv._ConvNd) or called.endswith(" conv1d"):
            _add(found, "@mlp", (id(p) for p in part.parameters()))  # parametrised ones are inside
        elif _MLP.search(called):
            _add(found, "@mlp", own.values())
        _add(found, "@biases", (key for name, key in own.items() if "bias" in name))
    _add(found, "@attention", attention)
    for key in head | attention:
        found[key].discard("@mlp")
    return found


def _is_block(module: nn.Module) -> bool:
    """Whether a module has an MLP, too, however it is called."""
    return any(path.rpartition(".")[2] in _BLOCK for path, _ in module.named_modules())


def _add(found: dict[int, set[str]], group: str, keys: Iterable[int]) -> None:
    for key in keys:
        found.setdefault(key, set()).add(group)


def _head(module: nn.Module) -> nn.Module:
    """The last part that has parameters; of the only one, its last."""
    parts = [part for part in module.children() if any(True for _ in part.parameters())]
    if not parts:
        return module
    return _head(parts[0]) if len(parts) == 1 else parts[-1]


def _several(patterns: Patterns) -> tuple[str, ...]:
    if not isinstance(patterns, Iterable):
        raise InputError(f"Expected a pattern of names or several, got {patterns!r}.")
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


__all__ = ["GROUPS", "Patterns", "Selection"]
