"""Which tensors to adapt, and how many numbers it takes: the tables of docs/examples/minilm.md.

`subspace-nn sweep experiments/tensors.toml --engine serial` and
`subspace-nn measure experiments/measure/minilm.toml --engine serial` make the results.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from subspace_nn.common import numbers
from subspace_nn.common.moments import deviation, mean
from subspace_nn.report.document import Table
from subspace_nn.report.findings import Findings
from subspace_nn.runs.record import DONE
from subspace_nn.runs.store import stores

#: What a learning rate and a number of epochs are chosen for.
_CELL = ("part", "dim")

#: The words of a row, by the name of its part.
_WORDS = {
    "head": "none: the linear probe",
    "all": "all",
    "attention": "attention",
    "mlp": "MLP",
    "norms and biases": "norms and biases",
    "last two layers": "the last two layers",
    "lora": "LoRA's factors, r = 4",
}

#: What layers compute in, by the task of a measurement.
_TUNED = {"experiments.tensors:tuned": "bfloat16", "experiments.tensors:tuned_float32": "float32"}

_Record = Mapping[str, Any]


def table(data: str, results: Path) -> Table | None:
    """Accuracy of each part of the encoder, and its share of what all weights gain.

    Learning rate and epochs of a row are those of the run with seed 0 that has the best accuracy
    on the validation texts; of equal ones, those that more seeds were run with.

    Args:
        data: tweets or docstrings.
        results: the folder of results.

    Returns:
        The table; None without results.
    """
    cells = dict(_cells(data, results))
    if ("head", 0) not in cells or ("all", 0) not in cells:
        return None
    probe, full = (mean(_accuracies(cells[part, 0])) for part in ("head", "all"))
    rows = []
    for part, dim in sorted(cells, key=lambda cell: _order(*cell)):
        runs = cells[part, dim]
        accuracies = _accuracies(runs)
        shares = [100 * (accuracy - probe) / (full - probe) for accuracy in accuracies]
        first = runs[0]
        rows.append(
            [
                _WORDS[part],
                f"{first['result']['D']:,}" if part != "head" else "–",
                f"{dim:,}" if dim else "all" if part != "head" else "–",
                f"{first['arguments']['lr']:g}" if part != "head" else "–",
                str(first["arguments"]["epochs"]) if part != "head" else "–",
                _cell(accuracies, 2),
                _cell(shares, 0),
                str(len(runs)),
            ]
        )
    columns = [
        "θ is made of", "D", "d", "lr", "epochs", "test accuracy, %", "share of the gain, %", "n",
    ]  # fmt: skip
    return Table(columns, rows)


def needed(found: Findings) -> Table | None:
    """How many numbers have the share of the gain that was asked for.

    Args:
        found: the findings of the results.

    Returns:
        The table, a row for each measurement of the tasks in `_TUNED`; None without any.
    """
    every = [answer for one in found.sweeps for answer in one.answers]
    answers = [one for one in every if one.question.task in _TUNED]
    columns = [
        "texts", "θ is made of", "lr", "layers in", "d_int", "95 % interval", "probe, %",
        "threshold, %", "all weights, %", "runs",
    ]  # fmt: skip
    rows = [
        [
            one.question.arguments["data"],
            _WORDS[one.question.arguments.get("part", "norms and biases")],
            f"{one.question.arguments.get('lr', 0.1):g}",
            _TUNED[one.question.task],
            numbers.NOTHING if one.dim is None else f"{one.dim:,}",
            f"{one.low:,} to {one.high:,}",
            numbers.NOTHING if one.baseline is None else f"{one.baseline:.2f}",
            f"{one.threshold:.2f}",
            numbers.spread(one.full, one.full_std, ".2f", ".2f"),
            str(len(one.runs)),
        ]
        for one in answers
    ]
    return Table(columns, rows, words=2) if rows else None


def _cells(data: str, results: Path) -> Iterator[tuple[tuple[str, int], Sequence[_Record]]]:
    """The runs with the chosen setting, by part and d."""
    path = results / "tensors.jsonl"
    if not path.is_file():
        return
    found: dict[tuple[str, int], dict[str, list[_Record]]] = {}
    for store in stores([path]):
        for record in store.read():
            arguments = record["arguments"]
            if record["status"] == DONE and arguments["data"] == data:
                own = {n: v for n, v in arguments.items() if n not in {*_CELL, "data", "seed"}}
                settings = found.setdefault((arguments["part"], arguments["dim"]), {})
                settings.setdefault(repr(own), []).append(record)
    for cell, settings in found.items():
        yield cell, max(settings.values(), key=_validation)


def _validation(runs: Sequence[_Record]) -> tuple[float, int]:
    found = (r["result"]["validation_accuracy"] for r in runs if r["arguments"]["seed"] == 0)
    return max(found, default=-1.0), len(runs)


def _accuracies(runs: Sequence[_Record]) -> list[float]:
    return [run["result"]["test_accuracy"] for run in runs]


def _cell(values: Sequence[float], digits: int) -> str:
    spread = f" ± {deviation(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def _order(part: str, dim: int) -> tuple[bool, int, int]:
    """The probe first and what trains tensors themselves last."""
    return part != "head" and not dim, dim, list(_WORDS).index(part)
