"""The long pages of the documentation hold every section once, with figures that answer."""

import re

from experiments.report import documents
from subspace_nn.runs.store import Store
from tests.report import records as r


def test_pages_and_what_draws_on_them(tmp_path):
    for name, records in (("conv-hashed", r.CONV_NEW + r.CONV_FULL), ("zoo", r.ZOO)):
        for record in records:
            Store(tmp_path / "results" / name).write(record)
    documents.write(tmp_path / "results", tmp_path / "docs" / "results")
    documents.write_assets(tmp_path / "docs" / "_static")
    page = (tmp_path / "docs" / "results" / "sweeps.md").read_text("utf-8")
    assert page.startswith("<!-- Generated; do not edit. -->\n\n# All tables")
    assert '<figure class="chart wide" id="figure-free-parameters">' in page
    assert page.count("\n## Accuracy against free parameters\n") == 1
    needed = re.findall(r'<script src="\.\./_static/([^"]+)"', page)
    written = {path.name for path in (tmp_path / "docs" / "_static").iterdir()}
    assert set(needed) | {"charts.css"} == written
    assert 'body[data-theme="dark"]' in (tmp_path / "docs/_static/charts.css").read_text("utf-8")
    gallery = (tmp_path / "docs" / "results" / "figures.txt").read_text("utf-8")
    assert "figure-free-parameters" in gallery
    assert '<script src="_static/charts.js">' in gallery
    before = (tmp_path / "docs" / "results" / "sweeps.md").stat().st_mtime_ns
    documents.write(tmp_path / "results", tmp_path / "docs" / "results")
    assert (tmp_path / "docs" / "results" / "sweeps.md").stat().st_mtime_ns == before
