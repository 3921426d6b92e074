"""`report`: records as a page, as figures, as Markdown."""

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from subspace_nn.cli._app import Terminal, show_problems
from subspace_nn.common.atomic import write_atomically
from subspace_nn.common.errors import InputError
from subspace_nn.measure import answers
from subspace_nn.report.build import build
from subspace_nn.report.commands import sweep_commands
from subspace_nn.report.document import Report, Sweep
from subspace_nn.report.markdown import markdown as markdown_text
from subspace_nn.report.page import page
from subspace_nn.report.theme import png, svg
from subspace_nn.runs.store import Records, stores

#: Files of benchmarks that a report shows, by name without ending.
BENCHMARKS = ("time_to_accuracy", "step_time")


def report(
    *folders: Annotated[
        Path, Parameter(help="Folders of records, or folders of such folders, at any depth.")
    ],
    out: Annotated[Path, Parameter(help="The page.")] = Path("report.html"),
    figures: Annotated[
        Path | None, Parameter(help="Write each figure into this folder, as SVG and as PNG.")
    ] = None,
    markdown: Annotated[
        Path | None, Parameter(help="Write the tables, and links to the figures, as Markdown.")
    ] = None,
) -> None:
    """Make one self-contained page of finished sweeps; it opens without a network.

    Example: report results/ --out report.html --figures figures
    """
    content = read(folders)
    words = ["subspace-nn", "report", *map(str, folders), "--out", str(out)]
    console = Terminal()
    _write(console, out, page(content, shlex.join(words)).encode())
    if markdown is not None:
        _write(console, markdown, as_markdown(content, markdown, figures).encode())
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        for picture in (p for section in content.sections for p in section.pictures):
            drawn = picture.draw()
            write_atomically(figures / f"{picture.name}.svg", svg(drawn).encode())
            write_atomically(figures / f"{picture.name}.png", png(drawn))
        console.print(f"{figures}, figures as SVG and PNG", markup=False, soft_wrap=True)


def read(folders: Sequence[Path]) -> Report:
    """The report of some folders.

    Args:
        folders: of records, or of such folders.

    Returns:
        The report.

    Raises:
        InputError: if a folder is missing, holds no records, or a file in one is no record.
    """
    if not folders:
        raise InputError("Name at least one folder of records, as in results/fc-2017.")
    read = [(store.folder, store.read()) for store in stores(folders)]
    show_problems([problem for _, records in read for problem in records.problems])
    found = [_sweep(folder, records) for folder, records in read]
    return build(found, _benchmarks(folders))


def as_markdown(content: Report, path: Path, figures: Path | None) -> str:
    """A report as the text of a Markdown file.

    Args:
        content: the report.
        path: of the file.
        figures: folder of the figures' files, if they are to be shown.

    Returns:
        The text; links are relative to the file.
    """
    if figures is None:
        return markdown_text(content)
    return markdown_text(content, Path(os.path.relpath(figures, path.parent)).as_posix())


def _sweep(folder: Path, records: Records) -> Sweep:
    """The records of a folder, with the comment of the sweep file that they name."""
    name = folder.resolve().name
    file = Path("experiments") / f"{name}.toml"
    sweep = Sweep(name, records, answers=answers(folder), folder=folder.as_posix())
    rest = [record for record in records if record["id"] not in sweep.measured]
    commands = list(dict.fromkeys(r["command"] for r in rest if "command" in r))
    if commands == [f"subspace-nn sweep {file.as_posix()}"] and file.is_file():
        sweep = replace(sweep, description=_comment(file.read_text(encoding="utf-8")))
    return replace(sweep, commands=commands or sweep_commands(rest, folder.as_posix()))


def _comment(text: str) -> str:
    """The comment that a sweep file opens with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)


def _benchmarks(folders: Sequence[Path]) -> dict[str, Any]:
    found = {}
    for path in (folder / f"{name}.json" for folder in folders for name in BENCHMARKS):
        if path.is_file():
            try:
                found[path.stem] = json.loads(path.read_bytes())
            except ValueError as error:
                raise InputError(f"{path} is not JSON: {error}.") from None
    return found


def _write(console: Terminal, path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)
    console.print(f"{path}, {len(content):,} bytes", markup=False, soft_wrap=True)
