"""A report as files: the page, Markdown, figures."""

import gc
import os
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from subspace_nn.common.atomic import write_atomically
from subspace_nn.report.document import Report
from subspace_nn.report.markdown import linked, markdown
from subspace_nn.report.page import page


@contextmanager
def rarely_collected() -> Generator[None]:
    """Run Python's collector of cycles less often: it walks through all records each time.

    Yields:
        Nothing.
    """
    usual = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def write_page(report: Report, path: Path, command: str = "") -> int:
    """Write a report as one self-contained page.

    Args:
        report: what to show.
        path: of the page; its folder is created.
        command: that writes the page again.

    Returns:
        Bytes.
    """
    return _write(path, page(report, command))


def write_markdown(report: Report, path: Path, figures: Path | None = None) -> int:
    """Write a report as Markdown.

    Args:
        report: what to show.
        path: of the page; its folder is created.
        figures: folder of the figures' files, if the page is to show them.

    Returns:
        Bytes.
    """
    if figures is None:
        return _write(path, markdown(report))
    where = Path(os.path.relpath(figures, path.parent)).as_posix()
    return _write(path, markdown(report, partial(linked, folder=where)))


def write_figures(report: Report, folder: Path) -> None:
    """Write each figure of a report as SVG, PNG and PDF.

    Args:
        report: whose figures.
        folder: is created; nothing is written outside of it.
    """
    from subspace_nn.report import draw, pdf, png, svg  # noqa: PLC0415  # import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    for picture in (one for section in report.sections for one in section.pictures):
        drawn = draw(picture.chart)
        write_atomically(folder / f"{picture.name}.svg", svg(drawn).encode())
        write_atomically(folder / f"{picture.name}.png", png(drawn))
        write_atomically(folder / f"{picture.name}.pdf", pdf(drawn))


def _write(path: Path, text: str) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode(errors="backslashreplace")  # as the name of a folder may need
    write_atomically(path, content)
    return len(content)
