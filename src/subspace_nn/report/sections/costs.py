"""What a training takes and what it leaves: seconds, and bytes."""

from collections.abc import Mapping, Sequence
from typing import Any

from subspace_nn.report import text
from subspace_nn.report.document import Section, Table
from subspace_nn.report.groups import Group
from subspace_nn.report.sections.free_parameters import subspaces
from subspace_nn.report.series import Series
from subspace_nn.report.sizes import checkpoint_bytes

#: What a plain checkpoint takes for a weight.
_FLOAT32 = 4


_NOTE = (
    "Seconds are wall time on a shared machine, one thread a run: only figures of one "
    "benchmark compare closely."
)


def section(groups: Sequence[Group], benchmarks: Mapping[str, Any]) -> Section | None:
    """Time and file size.

    Args:
        groups: of the task "mnist".
        benchmarks: contents of `time_to_accuracy.json` and `step_time.json`, where there are any.

    Returns:
        The section, if there is anything to tell.
    """
    tables = []
    if race := benchmarks.get("time_to_accuracy", {}).get("results"):
        tables.append(_race(race))
    curves = subspaces(groups)
    if curves:
        tables.append(_sizes(curves))
    if steps := benchmarks.get("step_time", {}).get("results"):
        tables.append(_steps(steps))
    if not tables:
        return None
    made = [one["command"] for one in benchmarks.values() if one.get("results")]
    return Section(
        "costs",
        "Time and file size",
        text="A checkpoint is ω and a seed: P and θ0 are made again when it is read.",
        tables=tables,
        notes=(_NOTE,),
        groups=[g for one in curves for g in one.groups],
        commands=made,
    )


def _sizes(curves: Sequence[Series]) -> Table:
    rows = []
    for one in curves:
        for g in filter(_is_round, one.groups):
            size = checkpoint_bytes(g.records[0]["arguments"])
            rows.append([
                one.model,
                text.dims(g),
                text.percent(g.accuracy),
                text.seconds(g.seconds),
                text.milliseconds(g),
                f"{size:,}",
                f"{_FLOAT32 * one.D:,}",
                _times(_FLOAT32 * one.D / size),
            ])  # fmt: skip
    return Table(
        ["net", "d", "accuracy, %", "seconds a run", "ms a step", "checkpoint, bytes",
         "all weights, bytes", "times smaller"],
        rows,
        strong=(5,),
        caption="New recipe: seconds are the median over the seeds, for the whole training with "
        "its evaluations; bytes are those of the file that `subspace-nn train` leaves, beside "
        "those of D numbers of 4 bytes.",
    )  # fmt: skip


def _is_round(one: Group) -> bool:
    """Whether d is a power of ten, or all weights are free: enough to tell sizes by."""
    return one.is_full or set(str(one.dim)) <= {"1", "0"}


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"


def _race(results: Sequence[Mapping[str, Any]]) -> Table:
    columns = {
        "net": [row["model"] for row in results],
        "d": [f"{row['dim']:,}" for row in results],
        "accuracy of 2017, %": [f"{row['target']:.1f}" for row in results],
        "recipe of 2017, s": [text.seconds(row["old_seconds"]) for row in results],
        "new recipe, s": [
            text.seconds(row["new_seconds"]) if row["ratio"] else text.NOTHING for row in results
        ],
        "its epochs": [f"{row['epochs']}" for row in results],
        "n": [f"{row['n']}" for row in results],
        "times sooner": [
            f"{row['ratio']:,.0f}" if row["ratio"] else text.NOTHING for row in results
        ],
    }
    return Table(
        list(columns),
        list(zip(*columns.values(), strict=True)),
        strong=(7,),
        caption="Seconds of training until the accuracy of 2017 is reached and kept: the recipe of "
        "2017 (its step time times the steps of its record, all of them if it never gets there) "
        "and the new one (trained for so many epochs, median over n seeds).",
    )


def _steps(results: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        ["net", "projection", "d", "plain step, ms", "in the subspace, ms", "median of the ratios"],
        [
            [
                row["model"],
                row["projection"],
                f"{row['dim']:,}",
                f"{row['plain_ms']:.1f}",
                f"{row['subspace_ms']:.1f}",
                f"{row['ratio']:.2f}",
            ]
            for row in results
        ],
        words=2,
        strong=(5,),
        caption="A training step beside that of the plain net, interleaved in one run.",
    )
