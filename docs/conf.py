"""Sphinx configuration. Nothing here needs a network: no intersphinx, no MathJax."""

import re
import sys
from importlib.metadata import version as _version
from pathlib import Path
from typing import Any

import jupytext
from sphinx.application import Sphinx

from subspace_nn import cli, play

_ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(_ROOT))

from experiments.report import documents  # noqa: E402

project = "subspace-nn"
author = "the subspace-nn authors"
project_copyright = author
version = release = _version("subspace-nn")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "_static", "conf.py"]
default_role = "code"  # docstrings write `code` with single backticks

html_theme = "furo"
html_static_path = ["_static", "docs.css"]
html_css_files = ["charts.css", "docs.css"]
html_title = f"subspace-nn {version}"

# Formulas are Unicode text: LaTeX would need MathJax from a server, so dollarmath stays off.
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# The notebooks, which a link brings here, are text: what a page of theirs shows is what the code
# gives when the page is built, at the small size.
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_render_markdown_format = "myst"  # with tables
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # they would come from a server

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Docstring examples run under pytest; here only what the pages mark with a directive.
doctest_test_doctest_blocks = ""
# Examples write files: each page runs in a folder of its own, which is then removed.
doctest_global_setup = """
import os, tempfile
_home, _folder = os.getcwd(), tempfile.TemporaryDirectory()
os.chdir(_folder.name)
"""
doctest_global_cleanup = """
os.chdir(_home)
_folder.cleanup()
"""


_SECTION = re.compile(r"(Args|Attributes|Example|Raises|Returns|Yields):")


def _as_rst(*event: Any) -> None:
    """Docstrings are plain text: keep their indented formulas as they are, and stars as stars."""
    lines: list[str] = event[-1]
    out, inside = [], False
    for number, line in enumerate(lines):
        if _SECTION.fullmatch(line):
            out += lines[number:]
            break
        if line.startswith("    ") and not inside:
            out += ["::", ""]
        inside = line.startswith("    ") or (inside and not line)
        out.append(line)
    lines[:] = [line.replace("(*, ", r"(\*, ") for line in out]


def _write_results(app: Sphinx) -> None:
    """The long pages of results, from the committed records."""
    documents.write(_ROOT / "results", Path(app.srcdir) / "results")


def _write_built(folder: Path) -> None:
    """What is made of the code: the demo, the notebooks as files, the options of each verb."""
    static = folder / "_static"
    documents.write_assets(static)
    (static / "play.html").write_text(play.page(), encoding="utf-8")
    (static / "notebooks").mkdir(exist_ok=True)
    for path in (_ROOT / "notebooks").glob("*.py"):
        jupytext.write(jupytext.read(path), static / "notebooks" / f"{path.stem}.ipynb")
    verbs = cli.app.generate_docs(output_format="markdown")
    verbs = verbs.replace("# subspace-nn", "# Every command", 1)
    (folder / "cli.md").write_text(_OF_EACH.sub("", verbs), encoding="utf-8")


#: An option of every verb, and a list of links that the page has at its side.
_OF_EACH = re.compile(
    r"^## Table of Contents\n(?:.*\n)*?(?=\*\*Commands)|^\* `--config PATH`.*\n", re.MULTILINE
)


def setup(app: Sphinx) -> None:
    _write_built(Path(app.srcdir))
    app.connect("builder-inited", _write_results)
    app.connect("autodoc-process-docstring", _as_rst, priority=400)  # before napoleon
