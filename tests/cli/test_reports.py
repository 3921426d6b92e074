"""`report` at the command line: folders at any depth, a page, figures, Markdown."""

import json
import re

import pytest

from subspace_nn.runs.store import Store
from subspace_nn.runs.sweep import expand, sweep
from tests.report import records as r


@pytest.fixture
def run(command, monkeypatch, tmp_path):
    """The command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return command


@pytest.fixture
def results(tmp_path):
    """Two sweeps, one deeper than the other, with other files beside them."""
    folder = tmp_path / "results"
    for name, records in (("zoo", r.ZOO), ("deep/er/conv-hashed", r.CONV_NEW)):
        for record in records:
            Store(folder / name).write(record)
    (folder / "claims.json").write_text('{"command": "make claims"}')
    (folder / "zoo" / ".running").mkdir()
    (folder / "notes").mkdir()
    return folder


def titles(page):
    return re.findall("<h2>(.*?)</h2>", page.read_text())


def test_sweeps_are_found_at_any_depth(run, results, tmp_path):
    code, out, err = run("report", "results", "--out", "sub/page.html")
    assert (code, err) == (0, "")
    assert "sub/page.html, " in out
    found = titles(tmp_path / "sub" / "page.html")
    assert "“MNIST lite”: small nets, all weights free" in found
    assert "The conv net, new recipe" in found
    assert "Kinds of projections" not in found
    assert sorted(tmp_path.iterdir()) == [results, tmp_path / "sub"]


def test_a_folder_named_twice_counts_once(run, results, tmp_path):
    del results
    run("report", "results", "results/zoo")
    assert len([title for title in titles(tmp_path / "report.html") if "MNIST lite" in title]) == 1


def test_figures_are_written_under_speaking_names(run, results, tmp_path):
    del results
    code, *_ = run("report", "results/zoo", "--figures", "figures")
    assert code == 0
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"zoo-{what}.{end}" for what in ("accuracy", "loss") for end in ("svg", "png")}
    assert (tmp_path / "figures" / "zoo-loss.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "figures" / "zoo-loss.svg").read_text()


def test_markdown_links_the_figures_from_where_it_is(run, results, tmp_path):
    del results
    run("report", "results/zoo", "--markdown", "docs/results.md", "--figures", "figures")
    text = (tmp_path / "docs" / "results.md").read_text()
    assert "](../figures/zoo-accuracy.svg)" in text
    run("report", "results/zoo", "--markdown", "docs/results.md")
    assert "![" not in (tmp_path / "docs" / "results.md").read_text()


def test_a_sweep_file_that_records_name_gives_its_words(run, results, tmp_path):
    del results
    (tmp_path / "experiments").mkdir()
    file = tmp_path / "experiments" / "zoo.toml"
    file.write_text("# What small nets do.\n# And why.\n\ntask = 'none:such'\n")
    store = Store(tmp_path / "results" / "zoo")
    run("report", "results/zoo", "--markdown", "a.md")
    assert "What small nets do" not in (tmp_path / "a.md").read_text()
    for record in store.read():
        store.write({**record, "command": "subspace-nn sweep experiments/zoo.toml"})
    run("report", "results/zoo", "--markdown", "a.md")
    text = (tmp_path / "a.md").read_text()
    assert "What small nets do. And why.\n" in text
    assert "```sh\nsubspace-nn sweep experiments/zoo.toml\n```" in text


def test_benchmarks_beside_the_sweeps_are_shown(run, results, tmp_path):
    row = {"model": "conv", "projection": "hashed", "dim": 10, "plain_ms": 37.4,
           "subspace_ms": 39.7, "ratio": 1.02}  # fmt: skip
    content = {"command": "make bench", "results": [row]}
    (results / "step_time.json").write_text(json.dumps(content))
    run("report", "results", "--markdown", "a.md")
    assert "| conv | hashed | 10 | 37.4 | 39.7 | 1.02 |" in (tmp_path / "a.md").read_text()


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["report"], ["Name at least one folder"]),
        (["report", "missing", "lost"], ["missing does not", "lost does not exist"]),
        (["report", "results/notes"], ["No records in results/notes"]),
        (["report", "results/spoilt"], ["step_time.json is not JSON"]),
    ],
    ids=" ".join,
)
def test_mistakes(run, results, words, messages, tmp_path):
    Store(results / "spoilt" / "zoo").write(r.ZOO[0])
    (results / "spoilt" / "step_time.json").write_text("{")
    code, out, err = run(*words)
    assert code == 2
    for message in messages:
        assert message in err
    assert "Traceback" not in out + err
    assert not (tmp_path / "report.html").exists()


def test_a_task_of_ones_own_has_a_sensible_page(run, tmp_path):
    runs = expand("tests.toy:quick", [{"dim": [3, 10, 30], "seed": "range(0,3)"}])
    runs += expand("tests.toy:failing", [{"seed": 1}])
    store = Store(tmp_path / "mine")
    for record in sweep(runs, store, engine="serial"):
        store.write({**record, "command": "subspace-nn sweep --task tests.toy:quick dim=3,10,30"})
    code, *_ = run("report", "mine")
    html = (tmp_path / "report.html").read_text()
    assert code == 0
    assert html.count("<svg ") == 1
    assert "RuntimeError: seed 1 is odd" in html
    assert "MNIST" not in html
    assert "subspace-nn sweep --task tests.toy:quick dim=3,10,30" in html
