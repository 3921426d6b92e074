"""How an intrinsic dimension depends on the recipe, the threshold and the projection.

    python -m evidence.measure_pitfalls results/measure_pitfalls.json

The task is `digits` (1,797 digits of 8 × 8 pixels, a net of 4,810 weights). One thing is changed
at a time: epochs, learning rate, threshold, projection. About five minutes on one core.
"""

import tempfile
from typing import Any

from benchmarks import output
from subspace_nn.dimension import measure, question

BUDGET = 40
#: Name of the change, arguments of the task, definition.
CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("as it is", {}, {}),
    ("2 epochs", {"epochs": 2}, {}),
    ("10 epochs", {"epochs": 10}, {}),
    ("lr 0.03", {"lr": 0.03}, {}),
    ("lr 0.1", {"lr": 0.1}, {}),
    ("lr 1", {"lr": 1.0}, {}),
    ("80 %", {}, {"threshold": 0.8}),
    ("95 %", {}, {"threshold": 0.95}),
    ("gaussian", {"projection": "gaussian"}, {}),
]


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    rows = []
    for name, arguments, definition in CASES:
        with tempfile.TemporaryDirectory() as folder:
            asked = question("digits", arguments, **definition)
            found = measure(asked, folder, engine="serial", budget=BUDGET)
        rows.append({
            "change": name,
            "d_int": found.dim,
            "interval": [found.low, found.high],
            "full": round(found.full, 2),
            "threshold": round(found.threshold, 2),
            "runs": len(found.runs),
            "stopped": found.stopped,
        })  # fmt: skip
        print(rows[-1], flush=True)
    output.write(output.named(), "python -m evidence.measure_pitfalls", results=rows)


if __name__ == "__main__":
    main()
