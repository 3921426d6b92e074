"""The long result pages of the documentation: built with it, never committed."""

from collections.abc import Sequence
from pathlib import Path

from experiments.report import report
from subspace_nn.common.atomic import write_atomically
from subspace_nn.report.colours import style_sheet
from subspace_nn.report.document import Picture, Report, Section
from subspace_nn.report.markdown import markdown
from subspace_nn.report.page import SCRIPTS, asset, figure

#: Pages by file: their titles, and the sections in them; the last has all others.
_PAGES = {
    "measurements": (
        "How many parameters each task needs",
        {"intrinsic-dimensions", "measurements"},
    ),
    "sweeps": ("All tables", set()),
}


def write(results: Path, folder: Path) -> None:
    """Write the pages; files that would not change are left alone.

    Args:
        results: folder of the records.
        folder: of the pages.
    """
    whole = report(results)
    _keep(folder / "figures.txt", _gallery(whole.sections))
    rest = list(whole.sections)
    for name, (title, wanted) in _PAGES.items():
        sections = [one for one in rest if one.name in wanted or not wanted]
        rest = [one for one in rest if one not in sections]
        text = markdown(Report(title, "", (), sections), _figure)
        _keep(folder / f"{name}.md", text + _raw(_SCRIPTS))


def _gallery(sections: Sequence[Section]) -> str:
    """The figures that compare many runs, each section with its title."""
    parts = [
        "\n\n".join([f"### {one.title}", *map(_figure, one.pictures), one.text])
        for one in sections
        if one.name in _GALLERY
    ]
    return "\n\n".join([*parts, _raw(_SCRIPTS.replace("../", ""))])


#: Sections whose figures are in the gallery.
_GALLERY = {
    "free-parameters", "2017-and-now", "intrinsic-dimensions", "projections-compared",
    "one-learning-rate",
}  # fmt: skip


def write_assets(folder: Path) -> None:
    """Write what draws the figures of these pages, in the colours of the documentation.

    Args:
        folder: of static files.
    """
    for name in SCRIPTS:
        _keep(folder / name, asset(name))
    _keep(folder / "charts.css", style_sheet(switch=True) + asset("charts.css"))


_SCRIPTS = "".join(f'<script src="../_static/{name}"></script>' for name in SCRIPTS)


def _figure(picture: Picture) -> str:
    return _raw(str(figure(picture)))


def _raw(html: str) -> str:
    return f"```{{raw}} html\n{html}\n```\n"


def _keep(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text("utf-8") != text:
        write_atomically(path, text.encode())
