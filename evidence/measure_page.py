"""The tables of docs/measure.md, of the records: nobody types them.

    python -m evidence.measure_page

A table stands between `<!-- NAME, by python -m evidence.measure_page -->` and `<!-- end -->`.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

from subspace_nn.common.atomic import write_atomically
from subspace_nn.measure import answers
from subspace_nn.report.document import Sweep, Table
from subspace_nn.report.markdown import table
from subspace_nn.report.sections import measurements

PAGE, RESULTS = Path("docs/measure.md"), Path("results")

_BLOCK = re.compile(
    r"(<!-- (\w+), by python -m evidence\.measure_page -->\n).*?(<!-- end -->)", re.DOTALL
)


def main() -> None:
    """Write the page again."""
    write_atomically(PAGE, written(PAGE.read_text(encoding="utf-8"), RESULTS).encode())


def written(page: str, results: Path) -> str:
    """A page with its tables made of what is measured by now.

    Args:
        page: its text.
        results: folder of the benchmarks' files, and of the measurements in `measure`.

    Returns:
        The text.
    """
    return _BLOCK.sub(lambda m: f"{m[1]}\n{TABLES[m[2]](results)}\n\n{m[3]}", page)


def measured(results: Path) -> str:
    """What each measurement found, beside published values."""
    folders = sorted(path for path in (results / "measure").glob("*") if path.is_dir())
    found = [Sweep(path.name, [], answers=answers(path), folder=str(path)) for path in folders]
    section = measurements.section(found)
    if section is None:
        return "Nothing yet."
    return "\n\n".join([*map(table, section.tables), *section.notes])


def pitfalls(results: Path) -> str:
    """What a change of one thing does to an intrinsic dimension."""
    rows = json.loads((results / "measure_pitfalls.json").read_bytes())["results"]
    cells = [
        [
            row["change"],
            f"{row['d_int']:,}",
            "{:,} to {:,}".format(*row["interval"]),
            f"{row['full']:.2f}",
            f"{row['threshold']:.2f}",
            str(row["runs"]),
            "tight" if row["stopped"] == "tight" else f"{row['stopped']} spent",
        ]
        for row in rows
    ]
    columns = [
        *("change", "d_int", "95 % interval", "full model, %", "threshold, %"),
        *("runs", "stopped"),
    ]
    return table(Table(columns, cells))


TABLES: dict[str, Callable[[Path], str]] = {"measured": measured, "pitfalls": pitfalls}


if __name__ == "__main__":
    main()
