"""The conformance table: what the checks find, written into docs/modules.md.

python -m tests.conformance.table              # about half an hour, with the slow columns
"""

import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import transformers

from evidence.blocks import blocks, fill
from tests.conformance import files
from tests.conformance.checks import CHECKS, SLOW, Nothing, Plain
from tests.conformance.rows import ROWS, Row

PAGE = Path(__file__).resolve().parents[2] / "docs" / "modules.md"

#: Of the table in the page.
NAME = "conformance"

HOLDS, NOTHING = "✓", "–"

#: The round trip, which all rows make together.
FILE = "file"

#: PyTorch's own, about what it does with the plain module, too.
NOISE = ("There is a performance drop", "Mismatch dtype between input and weight")


@dataclass(frozen=True)
class Cell:
    """What a check has found: a sign, and a note where the plain module cannot either."""

    sign: str
    note: str = ""


def find(row: Row, checks: Mapping[str, Callable[[Row], None]]) -> dict[str, Cell]:
    """Run checks on a row; a property that does not hold raises."""
    found = {}
    with warnings.catch_warnings():
        for text in NOISE:
            warnings.filterwarnings("ignore", text)
        for name, check in checks.items():
            try:
                check(row)
                found[name] = Cell(HOLDS)
            except Nothing:
                found[name] = Cell(NOTHING)
            except Plain as error:
                found[name] = Cell("", str(error))
    return found


def render(cells: Mapping[str, Mapping[str, Cell]]) -> str:
    """The table, its notes, and what the columns mean."""
    columns = list(next(iter(cells.values())))
    notes = list(dict.fromkeys(c.note for row in cells.values() for c in row.values() if c.note))
    letters = {note: _letter(number) for number, note in enumerate(notes)}
    lines = [["", *columns], ["---", *(":-:" for _ in columns)]]
    lines += [
        [name, *(letters.get(cell.note, cell.sign) for cell in row.values())]
        for name, row in cells.items()
    ]
    docs = {name: (check.__doc__ or "").strip() for name, check in {**CHECKS, **SLOW}.items()}
    docs[FILE] = (
        "Saved, or pickled, and loaded in a new process: identical outputs, with every projection."
    )
    return "\n".join([
        *("| " + " | ".join(line) + " |" for line in lines),
        "",
        "| column | what holds |",
        "| --- | --- |",
        *(f"| {name} | {docs[name]} |" for name in columns),
        "",
        "| letter | what PyTorch says of the plain module |",
        "| --- | --- |",
        *(f"| {letters[note]} | `{note}` |" for note in notes),
    ])  # fmt: skip


def parse(page: str) -> dict[str, dict[str, Cell]]:
    """The cells of a page that `render` has written."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in blocks(page)[NAME].splitlines()
        if line.startswith("|")
    ]
    widest = max(map(len, rows))
    head, _, *body = (row for row in rows if len(row) == widest)
    notes = {row[0]: row[1].strip("`") for row in rows if re.fullmatch(r"[a-z]+", row[0])}
    return {
        name: {
            column: Cell("", notes[sign]) if sign in notes else Cell(sign)
            for column, sign in zip(head[1:], signs, strict=True)
        }
        for name, *signs in body
    }


def differences(found: Mapping[str, Cell], stated: Mapping[str, Cell]) -> Iterable[str]:
    """Columns where the page is wrong.

    What PyTorch can do with the plain module differs between processors, so that the page may
    have a letter for it where the check holds here, and the other way about.
    """
    for column, cell in found.items():
        signs = {cell.sign, stated[column].sign}
        if len(signs) > 1 and signs != {"", HOLDS}:
            yield f"{column}: found {cell}, the page has {stated[column]}"


def _letter(number: int) -> str:
    return chr(ord("a") + number)


def main() -> None:
    """Write the table into the page, or the columns named on the command line."""
    transformers.logging.set_verbosity_error()
    page = PAGE.read_text(encoding="utf-8")
    columns = {FILE: _holds, **CHECKS, **SLOW}
    chosen = {name: columns[name] for name in sys.argv[1:] or columns}
    if FILE in chosen:
        with tempfile.TemporaryDirectory() as folder:
            files.write(Path(folder), every=True)
            if wrong := files.in_a_new_process(Path(folder)):
                raise SystemExit(f"Not the same in a new process: {wrong}")
    stated, cells = parse(page), {}
    for name, row in ROWS.items():
        sys.stderr.write(f"{name}\n")
        found = stated.get(name, {}) | find(row, chosen)
        cells[name] = {column: found[column] for column in [*CHECKS, FILE, *SLOW]}
    PAGE.write_text(fill(page, lambda _: render(cells)), encoding="utf-8")


def _holds(_: Row) -> None:
    """Found for all rows together."""


if __name__ == "__main__":
    main()
