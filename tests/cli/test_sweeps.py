"""`sweep`, `runs`, `report` at the command line."""

import subprocess
import sys
from pathlib import Path

import pytest

from subspace_nn.runs.run import Run
from subspace_nn.runs.store import Store
from tests import hostile
from tests.toy import quick

QUICK = ["sweep", "--task", "tests.toy:quick", "--engine", "serial"]


@pytest.fixture
def swept(command, tmp_path):
    folder = tmp_path / "records"
    command(*QUICK, "dim=3,10", "seed=range(0,2)", "--out", folder)
    return folder


def test_sweep_prints_a_line_a_run_and_resumes(command, tmp_path):
    words = [*QUICK, "dim=3,10", "seed=range(0,2)", "--out", tmp_path]
    code, out, _ = command(*words)
    assert code == 0
    assert "dim=3 seed=0" in out
    assert f"4 of 4 runs done, in {tmp_path}" in out
    code, out, _ = command(*words)
    assert code == 0
    assert "dim=3 seed=0" not in out
    assert f"4 of 4 runs done, in {tmp_path}" in out
    assert "2 configurations" in out
    assert f"Next: subspace-nn report {tmp_path}\n      subspace-nn runs {tmp_path}\n" in out


def test_sweep_as_jobs_of_slurm(command, tmp_path):
    options = ["--engine-option", "cluster=local", "--engine-option", "time=5", "--jobs", "2"]
    words = ["sweep", "--task", "tests.toy:quick", "seed=range(0,2)", "--engine", "slurm", *options]
    code, out, _ = command(*words, "--out", tmp_path)
    assert code == 0
    assert f"2 of 2 runs done, in {tmp_path}" in out
    assert {r["result"]["test_accuracy"] for r in Store(tmp_path).read()} == {
        quick(seed=0)["test_accuracy"], quick(seed=1)["test_accuracy"],
    }  # fmt: skip


def test_words_replace_what_the_file_says(command, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('task = "tests.toy:quick"\n[[grid]]\ndim = [3, 10]\nseed = [0, 1]\n')
    code, out, _ = command("sweep", file, "seed=7", "--engine", "serial", "--out", tmp_path / "r")
    assert code == 0
    assert {r["arguments"]["seed"] for r in Store(tmp_path / "r").read()} == {7}
    assert "2 of 2 runs done" in out


@pytest.mark.parametrize("words", [["toy"], ["--task", "toy"]])
def test_a_task_goes_by_its_name(command, tmp_path, words):
    code, out, err = command("sweep", *words, "dim=3,10", "--engine", "serial", "--out", tmp_path)
    assert (code, err) == (0, "")
    assert "2 of 2 runs done" in out
    records = Store(tmp_path).read()
    assert {r["task"] for r in records} == {"subspace_nn.tasks.toy:train"}
    assert max(r["result"]["performance"] for r in records) > 0.99


def test_a_function_that_gives_a_module_and_data_is_swept(command, tmp_path):
    code, _, err = command(
        *("sweep", "tests.dimension.problems:digits", "dim=10,30", "projection=hashed,fastfood"),
        *("epochs=1", "--engine", "serial", "--out", tmp_path),
    )
    assert (code, err) == (0, "")
    records = Store(tmp_path).read()
    assert len(records) == 4
    assert {r["result"]["dim"] for r in records} == {10, 30}


@pytest.mark.parametrize(("words", "message"), [
    (["tyo", "dim=3"], "Unknown task or sweep file 'tyo'. Did you mean 'toy'?"),
    (["mine.py", "dim=3"], "write mine:FUNCTION"),
    (["toy", "--task", "mnist"], "Expected one task"),
    (["tests.dimension.problems:digits", "dmi=3"], "Unknown argument of tests.dimension.problems"),
    (["tests.dimension.problems:digits", "dim=3", "epcohs=3"], "Did you mean 'epochs'?"),
])  # fmt: skip
def test_mistakes_in_a_task(command, words, message):
    code, out, err = command("sweep", *words)
    assert (code, out) == (2, "")
    assert message in err


def test_a_file_with_a_byte_order_mark(command, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("task = 'tests.toy:quick'\n", encoding="utf-8-sig")
    assert command("sweep", file, "--engine", "serial", "--out", tmp_path / "r")[0] == 0


def test_a_task_of_ones_own_lies_in_the_current_folder(tmp_path):
    (tmp_path / "mytask.py").write_text(
        "def train(*, dim, seed=0):\n    return {'test_accuracy': dim + seed}\n"
    )
    command = Path(sys.executable).with_name("subspace-nn")
    words = ["sweep", "--task", "mytask:train", "dim=3,10", "--jobs", "2", "--out", "records"]
    done = subprocess.run(
        [command, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    records = Store(tmp_path / "records").read()
    assert sorted(r["result"]["test_accuracy"] for r in records) == [3, 10]


def test_a_failed_run_is_told_and_makes_exit_code_2(command, tmp_path):
    words = ["--task", "tests.toy:failing", "--engine", "serial", "--out", tmp_path]
    code, out, err = command("sweep", "seed=range(0,3)", *words)
    assert code == 2
    assert "2 of 3 runs done" in out
    assert "RuntimeError: seed 1 is odd" in out
    assert "Traceback" not in out + err


@pytest.mark.parametrize(("words", "messages"), [
    (["sweep", "dim=0", "model=cnov", "lr=-1"], ["got 0", "Did you mean 'conv'", "lr must be"]),
    (["sweep", "missing.toml"], ["The sweep file missing.toml cannot be read"]),
    (["sweep", "a.toml", "b.toml"], ["Expected one task or one sweep file, got a.toml, b.toml"]),
    (["sweep", "dim=3", "stages=2", "--batched", "--save"], [
        "stages must be 1 in a batched training, got 2", "leave out --save or --batched",
    ]),
    (["sweep", "dim=3", "--engine", "lok"], ["Unknown engine 'lok'. Did you mean 'loky'"]),
    (["sweep", "dim=3", "--jobs", "0"], ["jobs must be a whole number", "got 0"]),
    (["sweep", "dim=0", "--engine-option", "gpu", "--engine", "ray"], [
        "got 0", "--engine-option: expected name=value, got 'gpu'",
    ]),
    (["sweep", "dim=3", "--engine", "serial", "--engine-option", "time=3"], ["takes no options"]),
    (["sweep", "dim=3", "--engine", "slurm", "--engine-option", "tim=3"], [
        "Unknown option of sbatch 'tim'. Did you mean 'time'",
    ]),
    (["sweep", "--task", "mnis", "dim=3"], ["Unknown task 'mnis'"]),
    (["sweep", "toy", "dim=range(3,3)"], ["dim has no values"]),
    (["runs", "missing"], ["The folder missing does not exist"]),
    (["report"], ["Name at least one folder"]),
    (["report", "missing", "lost"], ["missing does not", "lost does not exist"]),
], ids=" ".join)  # fmt: skip
def test_mistakes(command, words, messages, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = command(*words)
    assert code == 2
    for message in messages:
        assert message in err
    assert "Traceback" not in out + err
    assert list(tmp_path.iterdir()) == []


def test_runs_lists_filters_and_exports(command, swept, tmp_path):
    code, out, _ = command("runs", swept, "dim=3", "--csv", tmp_path / "runs.csv")
    assert code == 0
    assert "2 runs; the same in all: status=done" in out
    assert "dim=3" in out
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 3
    code, _, err = command("runs", swept, "dmi=3")
    assert code == 2
    assert "No run has 'dmi'" in err


def test_sweep_without_words_shows_its_help_and_starts_nothing(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = command("sweep")
    assert (code, err) == (0, "")
    assert "Usage: subspace-nn sweep" in out
    assert list(tmp_path.iterdir()) == []


def test_runs_says_only_what_is_true(command, tmp_path):
    command(*QUICK, "dim=10,3", "seed=0,1", "--out", tmp_path / "a" / "b")
    failing = ["sweep", "--task", "tests.toy:failing", "--engine", "serial"]
    command(*failing, "seed=1", "--out", tmp_path / "c")
    store = Store(tmp_path / "a" / "b")
    for second, record in enumerate(store.read()):
        store.write({**record, "started": f"2026-01-31T12:00:0{second}+00:00"})
    _, out, _ = command("runs", store.folder)
    assert "started" not in out
    lines = [line.split() for line in out.splitlines()[1:5]]
    assert [line[1:3] for line in lines] == [["3", "0"], ["3", "1"], ["10", "0"], ["10", "1"]]
    assert [line[0] for line in lines] == [
        Run.of("tests.toy:quick", {"dim": int(line[1]), "seed": int(line[2])}).id for line in lines
    ]
    _, out, _ = command("runs", tmp_path)  # at any depth
    assert "5 runs" in out
    assert "RuntimeError: seed 1 is odd" in out
    _, out, _ = command("runs", tmp_path, "dim=3,10", "--mean", "--csv", tmp_path / "mean.csv")
    assert "2 configurations; the same in all: seconds=0.0, n=2" in out
    assert len((tmp_path / "mean.csv").read_text().splitlines()) == 3


def test_packed_runs_are_listed_as_the_folder_was(command, swept):
    before = command("runs", swept)
    code, out, _ = command("runs", swept, "--pack")
    assert (code, out) == (0, f"{swept}.jsonl: 4 runs\n")
    for file in swept.glob("*.json"):
        file.unlink()
    assert command("runs", swept) == command("runs", f"{swept}.jsonl") == before
    code, out, _ = command(*QUICK, "dim=3,10", "seed=range(0,2)", "--out", swept)
    assert "4 of 4 runs done" in out
    assert list(swept.glob("*.json")) == []


def test_runs_writes_parquet(command, swept, tmp_path):
    assert command("runs", swept, "--parquet", tmp_path / "runs.parquet")[0] == 0
    assert (tmp_path / "runs.parquet").read_bytes().startswith(b"PAR1")


def test_a_broken_record_is_named(command, swept):
    (swept / "broken.json").write_text("{")
    code, out, err = command("runs", swept)
    assert code == 0
    assert "broken.json is no record" in err
    assert "1 left out" in err
    assert "4 runs" in out


def test_report_of_real_runs(command, tmp_path):
    folder = tmp_path / "tiny"
    grid = ["model=fc", "dim=3,10", "epochs=1", "batch_size=20000", "seed=range(0,2)"]
    assert command("sweep", *grid, "--engine", "serial", "--out", folder)[0] == 0
    code, out, _ = command("report", folder, "--out", tmp_path / "page.html")
    assert code == 0
    assert "page.html" in out
    html = (tmp_path / "page.html").read_text()
    assert html.count('id="figure-') == 2  # accuracy by d, and the loss; one epoch is no course
    assert "4 runs" in html


def test_hostile_records_end_no_verb_and_command_no_terminal(command, tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    honest = Run.of("tests.toy:quick", {"dim": 3}).execute("subspace-nn sweep dim=3")
    for name, content in hostile.files(honest, 1000):
        (folder / name).write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    files = {"--csv": tmp_path / "a.csv", "--parquet": tmp_path / "a.parquet"}
    words = [[], ["--mean"], ["status=done"], *([option, path] for option, path in files.items())]
    for more in words:
        code, out, err = command("runs", folder, *more)
        assert code == 0, err
        assert "left out because they are no records" in err
        assert not {"\x1b", "\x07", "\u202e", "\ud800"} & set(out + err)
    code, _, err = command("runs", folder, "--pack")
    assert code == 2
    assert "Nothing was packed" in err
    code, out, _ = command(*QUICK, "dim=3,10", "--out", folder)
    assert code == 0
    assert "2 of 2 runs done" in out
    assert "=1+1" not in {cell[:4] for line in files["--csv"].read_text("utf-8").splitlines()
                          for cell in line.split(",")}  # fmt: skip
    written = set(tmp_path.rglob("*")) - set(before)
    assert {path for path in written if path.parent != folder} == set(files.values())
