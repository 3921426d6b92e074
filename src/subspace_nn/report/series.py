"""Groups that differ in d alone: a curve of accuracy against the number of free parameters."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from subspace_nn.report.groups import Group
from subspace_nn.runs import tables

#: The recipe of 2017: narrow initial weights, θ = Pω, a constant learning rate. The new one:
#: PyTorch's initial weights, steps in units of them. Neither: what a task of one's own does.
Recipe = Literal["2017", "new", ""]

_IDENTITY, _DEFAULT = "identity", "hashed"


@dataclass(frozen=True)
class Series:
    """One net under one recipe and one kind of projection, in several d.

    Attributes:
        arguments: of all groups, without seed, dim and projection.
        projection: the kind; "identity" where there is no d below D.
        groups: ordered by d; the last may have all weights free.
    """

    arguments: Mapping[str, Any]
    projection: str
    groups: Sequence[Group]

    @property
    def model(self) -> str:
        """Name of the net, if the task has one."""
        return self.groups[0].model

    @property
    def D(self) -> int:
        """Number of weights."""
        return self.groups[0].D

    @property
    def subspaces(self) -> list[Group]:
        """The groups in which not all weights are free."""
        return [g for g in self.groups if not g.is_full]

    @property
    def full(self) -> Group | None:
        """The group in which all weights are free, if there is one."""
        return next((g for g in self.groups if g.is_full), None)

    @property
    def recipe(self) -> Recipe:
        """Which recipe it is."""
        return recipe(self.arguments)

    def at(self, dim: int) -> Group | None:
        """The group of one d.

        Args:
            dim: number of free parameters.

        Returns:
            The group, or None if there is none.
        """
        return next((g for g in self.groups if g.dim == dim), None)


def recipe(arguments: Mapping[str, Any]) -> Recipe:
    """Which recipe some arguments are.

    Args:
        arguments: of a run of the task "mnist", or of any.

    Returns:
        "2017", "new", or an empty text.

    Example:
        >>> recipe({"init": "2017", "scale": "none"}), recipe({"init": "default", "scale": "init"})
        ('2017', 'new')
    """
    if arguments.get("init") == "2017":
        return "2017"
    return "new" if arguments.get("scale") == "init" else ""


def series(groups: Iterable[Group]) -> list[Series]:
    """Put groups that differ in d alone together; a full net belongs to each kind's series.

    Args:
        groups: any; those without d are left out.

    Returns:
        Series ordered by D and model.
    """
    families: dict[str, list[Group]] = {}
    for one in groups:
        if one.dim is not None:
            families.setdefault(repr((one.task, sorted(_rest(one).items()))), []).append(one)
    found: list[Series] = []
    for family in families.values():
        full = [g for g in family if g.is_full]
        kinds = dict.fromkeys(_kind(g) for g in family if not g.is_full) or {_IDENTITY: None}
        found += [
            Series(
                _rest(family[0]),
                kind,
                [*(g for g in family if not g.is_full and _kind(g) == kind), *full],
            )
            for kind in kinds
        ]
    return sorted(found, key=lambda s: (s.D, s.model, repr(s.arguments), s.projection))


def richest(found: Iterable[Series]) -> Series | None:
    """The series with the default projection, of those the one with the most runs, then most d.

    Args:
        found: to choose from.

    Returns:
        A series, or None if there is none.
    """
    return max(
        found,
        key=lambda s: (s.projection == _DEFAULT, sum(g.n for g in s.groups), len(s.subspaces)),
        default=None,
    )


def names(found: Sequence[Series]) -> list[str]:
    """A short name for each series: the arguments in which they differ.

    Args:
        found: to be told apart.

    Returns:
        One text for each; empty for a single one.
    """
    rows = [{**one.arguments, "projection": one.projection} for one in found]
    differing = tables.varying(rows)
    return [", ".join(f"{name} {row.get(name)}" for name in differing) for row in rows]


def _kind(one: Group) -> str:
    return str(one.arguments.get("projection", ""))


def _rest(one: Group) -> dict[str, Any]:
    return {n: v for n, v in one.arguments.items() if n not in {"dim", "projection"}}
