"""From records to a report."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from subspace_nn.report import text
from subspace_nn.report.document import Highlight, Report, Section, Sweep
from subspace_nn.report.groups import Group, group
from subspace_nn.report.published import EXPERIMENTS, published
from subspace_nn.report.sections import (
    costs,
    environments,
    free_parameters,
    learning_rates,
    measurements,
    projections,
    recipes,
    sweeps,
)
from subspace_nn.report.sizes import checkpoint_bytes
from subspace_nn.runs.run import DONE
from subspace_nn.tasks.config import RunConfig

_FLOAT32 = 4

#: Names of parts across sweeps.
_RESERVED = (
    "measured",
    "free-parameters",
    "recipes",
    "which-projection",
    "one-learning-rate",
    "costs",
    "environment",
    "again",
)


def build(found: Sequence[Sweep], benchmarks: Mapping[str, Any] | None = None) -> Report:
    """Everything that some records have to tell.

    Sections across sweeps come first: accuracy against d, the two recipes, kinds of projections,
    learning rates, costs. Then each sweep has a section of its own, those of the literature first.

    Args:
        found: sweeps of any tasks.
        benchmarks: contents of benchmarks' files by name, as "time_to_accuracy".

    Returns:
        The report; a part without records is not in it.
    """
    place = {name: number for number, name in enumerate(EXPERIMENTS)}
    found = sorted(_with_own_name(found), key=lambda s: (place.get(s.name, len(place)), s.name))
    swept = [one for one in map(_without_measured, found) if one.records]
    records = [record for one in swept for record in one.records]
    groups = [g for g in group(records) if sweeps.is_mnist(g)]
    # Runs that were made to compare learning rates have a table; at another one than the default
    # they say nothing more of the kinds.
    rates = learning_rates.compared(groups)
    others = [g for g in rates if g.arguments.get("lr") != RunConfig.lr]
    kinds = [g for g in groups if not any(g is one for one in others)]
    tabled = {record["id"] for g in rates for record in g.records}
    across = [
        measurements.section(found),
        free_parameters.section(groups),
        recipes.section(groups),
        projections.section(kinds),
        learning_rates.section(groups),
        costs.section(groups, benchmarks or {}),
    ]
    own = [sweeps.section(one) for one in swept if not {r["id"] for r in one.records} <= tabled]
    parts = [*across, *own, environments.section(found)]
    parts = [_with_commands(part, swept) for part in parts if part]
    return Report(
        title="How many parameters is enough?",
        lead=_lead(groups, records),
        highlights=_highlights(groups, [r for one in found for r in one.records], benchmarks or {}),
        sections=parts,
    )


def _without_measured(sweep: Sweep) -> Sweep:
    """What a measurement ran, a few dimensions with many seeds, has a section of its own."""
    rest = [record for record in sweep.records if record["id"] not in sweep.measured]
    return replace(sweep, records=rest)


def _with_commands(section: Section, found: Sequence[Sweep]) -> Section:
    """The section with the commands of the sweeps that its runs are from, besides its own."""
    ids = {record["id"] for one in section.groups for record in one.records}
    made = [
        command
        for sweep in found
        if any(record["id"] in ids for record in sweep.records)
        for command in sweep.commands
    ]
    return replace(section, commands=list(dict.fromkeys([*section.commands, *made])))


def _lead(groups: Sequence[Group], records: Sequence[Mapping[str, Any]]) -> str:
    lead = "Models trained in d free parameters ω instead of their D weights θ = θ0 + σ√(D/d) ⊙ Pω."
    if groups and all(record["task"] == "mnist" for record in records):
        lead += (
            " The data are MNIST; test accuracy is that of the whole test set of 10,000 images at "
            "the end of training, mean ± standard deviation over n seeds."
        )
    return lead


def _highlights(
    groups: Sequence[Group], records: Sequence[Mapping[str, Any]], benchmarks: Mapping[str, Any]
) -> list[Highlight]:
    found = []
    conv = [one for one in free_parameters.subspaces(groups) if one.model == "conv"]
    for one in filter(None, (conv[0].at(1000) if conv else None,)):
        before = published("conv-large-2017", {"dim": one.dim})
        size = checkpoint_bytes(one.records[0]["arguments"])
        found += [
            Highlight(
                f"{one.accuracy.mean:.1f} %",
                f"of the test set with {one.dim:,} free parameters of the conv net's {one.D:,}, "
                f"after {text.epochs(one.arguments)}; in 2017 it was {before} % after 100",
            ),
            Highlight(
                f"{size:,} bytes",
                f"are that whole trained model; its weights alone are {_FLOAT32 * one.D:,}",
            ),
        ]
    race = [r for r in benchmarks.get("time_to_accuracy", {}).get("results", []) if r["ratio"]]
    if race:
        ratios, dims = [row["ratio"] for row in race], [f"{row['dim']:,}" for row in race]
        found.append(
            Highlight(
                " to ".join(dict.fromkeys((f"{min(ratios):,.0f}", f"{max(ratios):,.0f}")))
                + " times",
                f"sooner at the accuracy of 2017, at d = {text.listed(dims)}",
            )
        )
    unique = {r["id"]: r for r in records if r["status"] == DONE}
    time = text.duration(sum(r["seconds"] for r in unique.values()))
    found.append(Highlight(f"{len(unique):,} runs", f"in all, {time} of training"))
    return found


def _with_own_name(found: Sequence[Sweep]) -> list[Sweep]:
    """The sweeps under names that can be linked to: plain, and each once."""
    taken = set(_RESERVED)
    named = []
    for sweep in found:
        plain = re.sub(r"[^\w.-]+", "-", sweep.name).strip("-") or "sweep"
        free = (plain if n == 1 else f"{plain}-{n}" for n in itertools.count(1))
        name = next(candidate for candidate in free if candidate not in taken)
        taken.add(name)
        named.append(replace(sweep, name=name))
    return named
