"""The costs of a training and its checkpoint: seconds, and bytes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.report.runs import mnist, subspaces
from subspace_nn.common import numbers
from subspace_nn.report import cells
from subspace_nn.report.document import Section, Table
from subspace_nn.report.findings import Findings
from subspace_nn.report.frame import Curve, Setting

#: Bytes of a weight in a plain checkpoint.
FLOAT32 = 4

_NOTE = (
    "Seconds are wall time on a shared machine, one thread a run: only times of one "
    "benchmark compare closely."
)


def sections(found: Findings, benchmarks: Mapping[str, Any]) -> Iterator[Section]:
    """Time and file size.

    Args:
        found: sweeps of any tasks.
        benchmarks: contents of `time_to_accuracy.json` and `step_time.json`, if they exist.

    Yields:
        One section, if there are any numbers.
    """
    tables = []
    if race := benchmarks.get("time_to_accuracy", {}).get("results"):
        tables.append(_race(race))
    if drawn := subspaces(mnist(found)):
        tables.append(_sizes(drawn))
    if steps := benchmarks.get("step_time", {}).get("results"):
        tables.append(_steps(steps))
    if tables:
        yield Section(
            "costs",
            "Time and file size",
            text="A checkpoint is ω and a seed: P and θ0 are regenerated when it is read.",
            tables=tables,
            notes=(_NOTE,),
            commands=[one["command"] for one in benchmarks.values() if one.get("results")],
        )


def _sizes(found: Sequence[Curve]) -> Table:
    rows = [
        [
            one.model,
            cells.dims(one),
            cells.percent(one),
            numbers.short(one.seconds),
            cells.milliseconds(one),
            numbers.count(one.checkpoint_bytes),
            f"{FLOAT32 * one.D:,}",
            numbers.short(FLOAT32 * one.D / one.checkpoint_bytes),
        ]
        for curve in found
        for one in filter(_is_round, curve.points)
    ]
    return Table(
        ["net", "d", "accuracy, %", "seconds a run", "ms a step", "checkpoint, bytes",
         "all weights, bytes", "times smaller"],
        rows,
        strong=(5,),
        caption="New recipe: seconds are the median over the seeds, for the whole training with "
        "its evaluations; bytes are those of the file that `subspace-nn train` leaves, against "
        "those of D numbers of 4 bytes.",
    )  # fmt: skip


def _is_round(one: Setting) -> bool:
    """Whether d is a power of ten, or all weights are free: enough to show the sizes."""
    return one.full or set(str(one.dim)) <= {"1", "0"}


def _race(results: Sequence[Mapping[str, Any]]) -> Table:
    columns = {
        "net": [row["model"] for row in results],
        "d": [f"{row['dim']:,}" for row in results],
        "accuracy of 2017, %": [f"{row['target']:.1f}" for row in results],
        "recipe of 2017, s": [numbers.short(row["old_seconds"]) for row in results],
        "new recipe, s": [
            numbers.short(row["new_seconds"]) if row["ratio"] else numbers.NOTHING
            for row in results
        ],
        "its epochs": [f"{row['epochs']}" for row in results],
        "n": [f"{row['n']}" for row in results],
        "times faster": [
            f"{row['ratio']:,.0f}" if row["ratio"] else numbers.NOTHING for row in results
        ],
    }
    return Table(
        list(columns),
        list(zip(*columns.values(), strict=True)),
        strong=(7,),
        caption="Seconds of training until the accuracy of 2017 is reached and kept: with the "
        "recipe of 2017 (its step time times the steps of its record, all of them if it never "
        "gets there) and with the new one (the median over n seeds).",
    )


def _steps(results: Sequence[Mapping[str, Any]]) -> Table:
    rows = [
        [
            row["model"],
            row["projection"],
            f"{row['dim']:,}",
            f"{row['plain_ms']:.1f}",
            f"{row['subspace_ms']:.1f}",
            f"{row['ratio']:.2f}",
        ]
        for row in results
    ]
    return Table(
        ["net", "projection", "d", "plain step, ms", "in the subspace, ms", "median of the ratios"],
        rows,
        words=2,
        strong=(5,),
        caption="A training step against that of the plain net, interleaved in one run.",
    )
