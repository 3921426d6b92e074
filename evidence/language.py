"""A language model in a subspace: the table of docs/examples/language.md.

`python examples/language.py results/language.json` makes the results.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from subspace_nn.common.moments import deviation, mean
from subspace_nn.report.document import Table
from subspace_nn.report.markdown import table

_COLUMNS = ("numbers that train", "perplexity of code", "of documentation", "n")


def perplexities(results: Path) -> str:
    """Perplexities by the number of free parameters.

    Args:
        results: the folder of results.

    Returns:
        Markdown.
    """
    path = results / "language.json"
    if not path.is_file():
        return "Not measured yet."
    content = json.loads(path.read_bytes())
    runs: dict[int, list[Mapping[str, Any]]] = {}
    for run in content["runs"]:
        runs.setdefault(run["dim"], []).append(run)
    names = {0: "none: the base", content["D"]: f"all {content['D']:,}"}
    rows = [
        [
            names.get(dim, f"{dim:,}"),
            _cell([run["code"] for run in some]),
            _cell([run["documentation"] for run in some]),
            str(len(some)),
        ]
        for dim, some in runs.items()
    ]
    return table(Table(_COLUMNS, rows))


def _cell(values: Sequence[float]) -> str:
    spread = f" ± {deviation(values):.2f}" if len(values) > 1 else ""
    return f"{mean(values):.2f}{spread}"
