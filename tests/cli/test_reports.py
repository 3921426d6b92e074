"""`report` at the command line: folders at any depth, a page, figures, Markdown."""

import os
import re
import subprocess
import sys

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
    """Two sweeps, one deeper than the other and packed, with other files next to them."""
    folder = tmp_path / "results"
    for name, records in (("zoo", r.ZOO), ("deep/er/conv-hashed", r.CONV_NEW)):
        for record in records:
            Store(folder / name).write(record)
    Store(folder / "deep/er/conv-hashed").pack()
    for path in (folder / "deep/er/conv-hashed").glob("*.json"):
        path.unlink()
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
    assert found == ["conv-hashed", "zoo", "Environment", "Repeat this page"]
    assert sorted(tmp_path.iterdir()) == [results, tmp_path / "sub"]


def test_nets_that_were_trained_one_by_one_are_one_section(run, tmp_path):
    for number, record in enumerate(r.CONV_NEW):
        Store(tmp_path / f"runs/net-{number}").write(record)
        (tmp_path / f"runs/net-{number}/history.json").write_text("{}")
    run("report", "runs", "--figures", "figures")
    assert titles(tmp_path / "report.html")[0] == "runs"
    assert (tmp_path / "figures/runs-free-parameters.svg").exists()
    run("report", "runs/net-1")
    assert titles(tmp_path / "report.html")[0] == "net-1"


@pytest.mark.usefixtures("results")
def test_a_folder_named_twice_counts_once(run, tmp_path):
    run("report", "results", "results/zoo")
    assert titles(tmp_path / "report.html").count("zoo") == 1


def test_a_folder_of_failed_runs_has_no_page(run, tmp_path):
    store = Store(tmp_path / "mine")
    sweep(expand("toy", [{"dim": 3}]), store, engine="serial")
    (record,) = store.read()
    store.write({**record, "status": "failed", "error": "ValueError: wrong", "result": {}})
    code, _, err = run("report", "mine")
    assert code == 2
    assert "No run in mine is done: 1 failed. subspace-nn runs mine says why." in err
    assert not (tmp_path / "report.html").exists()


@pytest.mark.usefixtures("results")
def test_figures_are_written_under_speaking_names(run, tmp_path):
    code, *_ = run("report", "results/zoo", "--figures", "figures")
    assert code == 0
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    kinds = ("test-accuracy", "loss")
    assert names == {f"zoo-{kind}.{end}" for kind in kinds for end in ("svg", "png", "pdf")}
    assert (tmp_path / "figures" / "zoo-loss.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "figures" / "zoo-loss.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "figures" / "zoo-loss.svg").read_text()


@pytest.mark.usefixtures("results")
def test_markdown_links_the_figures_from_where_it_is(run, tmp_path):
    run("report", "results/zoo", "--markdown", "docs/results.md", "--figures", "figures")
    text = (tmp_path / "docs" / "results.md").read_text()
    assert "](../figures/zoo-test-accuracy.svg)" in text
    run("report", "results/zoo", "--markdown", "docs/results.md")
    assert "![" not in (tmp_path / "docs" / "results.md").read_text()


def test_a_sweep_file_that_records_name_gives_its_words(run, results, tmp_path):
    (tmp_path / "experiments").mkdir()
    file = tmp_path / "experiments" / "zoo.toml"
    file.write_text("# What small nets do.\n# And why.\n\ntask = 'none:such'\n")
    store = Store(results / "zoo")
    run("report", "results/zoo", "--markdown", "a.md")
    assert "What small nets do" not in (tmp_path / "a.md").read_text()
    for record in store.read():
        store.write({**record, "command": "subspace-nn sweep experiments/zoo.toml"})
    run("report", "results/zoo", "--markdown", "a.md")
    text = (tmp_path / "a.md").read_text()
    assert "What small nets do. And why.\n" in text
    assert "```sh\nsubspace-nn sweep experiments/zoo.toml\n```" in text


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["report"], ["Name at least one folder"]),
        (["report", "missing", "lost"], ["missing does not", "lost does not exist"]),
        (["report", "results/notes"], ["No records in results/notes"]),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("results")
def test_mistakes(run, words, messages, tmp_path):
    code, out, err = run(*words)
    assert code == 2
    for message in messages:
        assert message in err
    assert "Traceback" not in out + err
    assert not (tmp_path / "report.html").exists()


def test_a_file_that_is_no_record_is_left_out_and_named(run, results, tmp_path):
    (results / "zoo" / f"{'0' * 16}.json").write_text("{")
    code, _, err = run("report", "results")
    assert code == 0
    assert f"{'0' * 16}.json is no record" in err
    assert "zoo" in titles(tmp_path / "report.html")


@pytest.mark.usefixtures("results")
def test_a_title_and_a_metric_are_those_asked_for(run, tmp_path):
    words = ["--title", "Mine & yours", "--metric", "train_loss", "--metric", "checkpoint_bytes"]
    code, *_ = run("report", "results/zoo", *words)
    html = (tmp_path / "report.html").read_text()
    assert code == 0
    assert "<h1>Mine &amp; yours</h1>" in html
    assert "&#39;Mine &amp; yours&#39; --metric train_loss --metric checkpoint_bytes" in html


def test_a_task_of_ones_own_has_a_sensible_page(run, tmp_path):
    runs = expand("tests.toy:quick", [{"dim": [3, 10, 30], "seed": "range(0,3)"}])
    runs += expand("tests.toy:failing", [{"seed": 1}])
    store = Store(tmp_path / "mine")
    for record in sweep(runs, store, engine="serial"):
        store.write({**record, "command": "subspace-nn sweep --task tests.toy:quick dim=3,10,30"})
    code, *_ = run("report", "mine")
    html = (tmp_path / "report.html").read_text()
    assert code == 0
    assert html.count("<figure ") == 1
    assert "RuntimeError: seed 1 is odd" in html
    assert "MNIST" not in html


SCRIPT = """
import sys
sys.argv = ["subspace-nn", "report", "results", "--out", "page.html"]
from subspace_nn.cli import main
try:
    main()
finally:
    print(any(name in sys.modules for name in ("torch", "matplotlib", "scipy")))
"""


def test_what_a_report_imports(results):
    """Reading builds no net, no P and no figure: it does not even import what would."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=results.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[-1] == "False"


def test_a_file_that_is_no_answer_is_left_out_and_named(run, results):
    (results / "zoo" / "measurements").mkdir()
    (results / "zoo" / "measurements" / "x.json").write_text("{}")
    code, _, err = run("report", "results")
    assert code == 0
    assert "x.json" in err


def test_a_folder_whose_name_is_no_utf_8(run, tmp_path):
    name = os.fsdecode(b"b\xe4h")
    words = ("sweep", "toy", "dim=3", "--engine", "serial", "--out", name)
    assert run(*words)[::2] == (0, "")
    assert len(Store(tmp_path / name).finished()) == 1
    figures = ("--figures", f"{name}/figures", "--markdown", "a.md")
    code, _, err = run("report", name, *figures)
    assert (code, err) == (0, "")
    assert r"--out 'b\xe4h'" in (tmp_path / "a.md").read_text("utf-8")
