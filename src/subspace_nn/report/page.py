"""One self-contained page of any number of sweeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2

from subspace_nn.report.figures import accuracy_against_dim, curves, svg
from subspace_nn.report.groups import Group, group, labels
from subspace_nn.report.published import GREYDANUS, published


@dataclass(frozen=True)
class Line:
    """A line of a section's table.

    Attributes:
        name: what tells it from the others.
        D: number of weights.
        dim: number of free parameters.
        published: the literature's figure, as printed.
        measured: mean ± standard deviation.
        n: number of runs.
        seconds: median wall time of a run.
        size: bytes of ω alone, in float32.
    """

    name: str
    D: int
    dim: int
    published: str
    measured: str
    n: int
    seconds: float
    size: int


def page(sweeps: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A page that opens offline: tables, curves, accuracy against d, environment, commands.

    Args:
        sweeps: records of each sweep, by its name.

    Returns:
        HTML with everything in it.
    """
    groups = {name: group(records) for name, records in sweeps.items()}
    groups = {name: found for name, found in groups.items() if found}
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        (files("subspace_nn.report") / "page.html.j2").read_text(encoding="utf-8")
    )
    series = {
        f"{name}: {model}" if len(_models(found)) > 1 else name: members
        for name, found in groups.items()
        for model, members in _models(found).items()
    }
    return template.render(
        overview=svg(accuracy_against_dim(series)) if series else "",
        sections=[_section(name, found) for name, found in groups.items()],
        source=GREYDANUS,
    )


def _section(name: str, groups: Sequence[Group]) -> dict[str, Any]:
    records = [record for one in groups for record in one.records]
    environments = {
        (
            r["environment"]["hardware"],
            r["environment"]["torch"],
            r["environment"].get("commit", ""),
        )
        for r in records
    }
    shared = {
        argument: value
        for argument, value in groups[0].arguments.items()
        if all(one.arguments.get(argument) == value for one in groups)
    }
    return {
        "name": name,
        "shared": shared,
        "lines": _lines(name, groups),
        "curves": svg(curves(groups)),
        "hours": sum(record["seconds"] for record in records) / 3600,
        "runs": len(records),
        "environments": sorted(environments),
    }


def _lines(name: str, groups: Sequence[Group]) -> list[Line]:
    names = labels(groups, without=("projection",)) if len(groups) > 1 else [name]
    return [
        Line(
            name=label,
            D=one.D,
            dim=one.dim,
            published=published(name, one.arguments),
            measured=f"{one.mean:.2f}" + ("" if one.std is None else f" ± {one.std:.2f}"),
            n=one.n,
            seconds=one.seconds,
            size=4 * one.dim,
        )
        for label, one in zip(names, groups, strict=True)
    ]


def _models(groups: Sequence[Group]) -> dict[str, list[Group]]:
    found: dict[str, list[Group]] = {}
    for one in groups:
        found.setdefault(str(one.arguments.get("model", "")), []).append(one)
    return found
