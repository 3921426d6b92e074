"""The notebooks as sources; `make docs` runs them and shows what they give."""

from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == ["conv", "fc", "zoo"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_text_without_outputs_that_survives_jupyter(path):
    text = path.read_text(encoding="utf-8")
    notebook = jupytext.reads(text, fmt="py:percent")
    written = jupytext.writes(notebook, fmt="py:percent")
    assert written.split("# %%", 1)[1] == text.split("# %%", 1)[1]  # before it stand versions
    assert notebook.cells[0].source.startswith("# ")
    assert sum(cell.cell_type == "code" for cell in notebook.cells) >= 4


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_a_page_and_small_unless_told(path):
    assert f"notebooks/{path.stem}\n" in (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert (ROOT / "docs" / "notebooks" / path.name).samefile(path)
    assert 'os.environ.get("SUBSPACE_NN_NOTEBOOK", "small") != "full"' in path.read_text("utf-8")
