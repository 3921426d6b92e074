"""The long result pages of the documentation: built with it, never committed."""

from pathlib import Path

from experiments.report import report
from subspace_nn.common.atomic import write_atomically
from subspace_nn.report.document import Report, Section
from subspace_nn.report.markdown import markdown
from subspace_nn.report.theme import svg

#: Pages by file: their titles, and the sections in them; the last has all others.
_PAGES = {
    "measurements": ("Measurements", {"intrinsic-dimensions", "measurements"}),
    "sweeps": ("All tables", set()),
}


def write(results: Path, folder: Path) -> None:
    """Write the pages and their figures; files that would not change are left alone.

    Args:
        results: folder of the records.
        folder: of the pages.
    """
    whole = report(results)
    rest = list(whole.sections)
    for name, (title, wanted) in _PAGES.items():
        sections = [one for one in rest if one.name in wanted or not wanted]
        rest = [one for one in rest if one not in sections]
        _keep(folder / f"{name}.md", markdown(Report(title, "", (), sections), "figures"))
        _figures(sections, folder / "figures")


def _figures(sections: list[Section], folder: Path) -> None:
    for picture in (one for section in sections for one in section.pictures):
        _keep(folder / f"{picture.name}.svg", svg(picture.draw()))


def _keep(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text("utf-8") != text:
        write_atomically(path, text.encode())
