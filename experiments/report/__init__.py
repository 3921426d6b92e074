"""This project's own report: the generic one, and sections that only its MNIST sweeps fill.

    python -m experiments.report results --out runs/report.html

It is a client of `subspace_nn.report`: a part is a function from findings to sections, and `build`
takes a list of them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.report import costs, free_parameters, learning_rates, projections, recipes
from experiments.report.published import EXPERIMENTS, about
from experiments.report.runs import mnist, subspaces
from subspace_nn.common import numbers
from subspace_nn.report import text
from subspace_nn.report.build import Part, build
from subspace_nn.report.document import Highlight, Report, Section
from subspace_nn.report.findings import Findings, read
from subspace_nn.report.parts import environments, measurements, sweeps
from subspace_nn.report.parts.sweeps import About as About

_LEAD = (
    "Models trained in d numbers instead of their D weights. Accuracies are of the whole test set "
    "of MNIST at the end of training, mean ± standard deviation over n seeds."
)


def report(folder: Path) -> Report:
    """The report of this project's results.

    Args:
        folder: of all sweeps, packed or not, and of the benchmarks' files.

    Returns:
        The report.
    """
    found, benchmarks = read([folder]), _benchmarks(folder)
    return build(
        found,
        parts(benchmarks),
        lead=_LEAD,
        highlights=list(_highlights(found, benchmarks)),
        unfolded=3,
    )


def parts(benchmarks: Mapping[str, Any]) -> list[Part]:
    """The parts of the report, in order.

    Args:
        benchmarks: contents of the benchmarks' files by name.

    Returns:
        Functions from findings to sections.
    """
    return [
        free_parameters.sections,
        recipes.sections,
        measurements.summary,
        _comparisons,
        partial(costs.sections, benchmarks=benchmarks),
        _sweeps,
        measurements.pictures,
        environments.sections,
    ]


def _comparisons(found: Findings) -> Iterator[Section]:
    """Kinds of projections and learning rates."""
    settings = mnist(found)
    # Runs that compare learning rates have a table of their own; away from the default they say
    # nothing more of the kinds.
    others = {
        one.ids[0]
        for one in learning_rates.compared(settings)
        if one.arguments.get("lr") != learning_rates.DEFAULT
    }
    yield from projections.section([one for one in settings if one.ids[0] not in others])
    yield from learning_rates.section(settings)


def _sweeps(found: Findings) -> Iterator[Section]:
    """The sweeps, without those that only compare learning rates or kinds of projections."""
    settings, rows = mnist(found), found.runs
    kinds = rows[~rows.full].groupby("sweep").projection.nunique()
    many = {i for one in projections.compared(settings) for i in one.ids}
    many &= set(rows[rows.sweep.map(kinds) > 1].id)
    tabled = many | {i for one in learning_rates.compared(settings) for i in one.ids}
    other = {sweep for sweep, i in zip(rows.sweep, rows.id, strict=True) if i not in tabled}
    yield from sweeps.sections(
        found.chosen(rows.sweep.map(other.__contains__)),
        {name: about(name) for name in EXPERIMENTS},
    )


def _benchmarks(folder: Path) -> dict[str, Any]:
    files = [folder / f"{name}.json" for name in ("time_to_accuracy", "step_time")]
    return {file.stem: json.loads(file.read_bytes()) for file in files if file.is_file()}


def _highlights(found: Findings, benchmarks: Mapping[str, Any]) -> Iterator[Highlight]:
    conv = [one.at(1000) for one in subspaces(mnist(found)) if one.model == "conv"]
    for one in filter(None, conv):
        before = EXPERIMENTS["conv-large-2017"].values["dim", one.dim]
        yield Highlight(
            f"{one.mean:.1f} %",
            f"of the test set with {one.dim:,} free parameters of the conv net's {one.D:,}, "
            f"after {one.arguments['epochs']} epochs; in 2017 it was {before} % after 100",
        )
        yield Highlight(
            f"{numbers.count(one.checkpoint_bytes)} bytes",
            f"for the whole trained model; its weights alone are {costs.FLOAT32 * one.D:,}",
        )
    race = [r for r in benchmarks.get("time_to_accuracy", {}).get("results", []) if r["ratio"]]
    if race:
        ratios = [row["ratio"] for row in race]
        span = dict.fromkeys((f"{min(ratios):,.0f}", f"{max(ratios):,.0f}"))
        yield Highlight(
            f"{'–'.join(span)}×",
            f"faster to the accuracy of 2017, at d = {text.listed(_dims(race))}",
        )


def _dims(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{row['dim']:,}" for row in rows]
