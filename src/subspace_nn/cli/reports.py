"""`report`: records as a page, as figures, as Markdown."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from subspace_nn.cli._app import Terminal, show_problems
from subspace_nn.common.errors import InputError


def report(
    *folders: Annotated[
        Path, Parameter(help="Folders of records, or folders of such folders, at any depth.")
    ],
    out: Annotated[Path, Parameter(help="The page.")] = Path("report.html"),
    title: Annotated[str | None, Parameter(help="Heading of the page.")] = None,
    metric: Annotated[
        list[str] | None,
        Parameter(help="Judge runs by this number of their results, if they have it."),
    ] = None,
    figures: Annotated[
        Path | None, Parameter(help="Write each figure into this folder, as SVG, PNG and PDF.")
    ] = None,
    markdown: Annotated[
        Path | None, Parameter(help="Write the tables, and links to the figures, as Markdown.")
    ] = None,
) -> None:
    """Write one self-contained page about finished sweeps and measurements; it opens offline.

    Example: report results/ --out report.html --figures figures
    """
    # Its help does not wait for pandas.
    from subspace_nn.report.build import TITLE, build  # noqa: PLC0415
    from subspace_nn.report.files import (  # noqa: PLC0415
        rarely_collected,
        write_figures,
        write_markdown,
        write_page,
    )
    from subspace_nn.report.findings import read  # noqa: PLC0415

    words = ["subspace-nn", "report", *map(str, folders), "--out", str(out)]
    words += ["--title", title] if title else []
    words += [word for name in metric or () for word in ("--metric", name)]
    with rarely_collected():
        found = read(folders, metric or ())
        show_problems(found.problems)
        _check_some_done(len(found.runs), int(found.runs.done.sum()), folders)
        content = build(found, title=title or TITLE)
        written = [(out, write_page(content, out, shlex.join(words)))]
    if markdown is not None:
        written.append((markdown, write_markdown(content, markdown, figures)))
    console = Terminal()
    for path, size in written:
        console.print(f"{path}, {size:,} bytes", markup=False, soft_wrap=True)
    if figures is not None:
        write_figures(content, figures)
        console.print(f"{figures}, figures as SVG, PNG and PDF", markup=False, soft_wrap=True)


def _check_some_done(runs: int, done: int, folders: Sequence[Path]) -> None:
    if runs and not done:
        names = shlex.join(map(str, folders))
        raise InputError(
            f"No run in {names} is done: {runs} failed. subspace-nn runs {names} says why."
        )
