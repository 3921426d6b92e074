"""Verbs that read import nothing from the current folder, whatever lies in it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from subspace_nn import cli, models
from subspace_nn.runs.run import Run
from subspace_nn.runs.store import Store
from subspace_nn.subspace.wrapper import Subspace
from tests.golden_cases import path_of

#: Names that Python, PyTorch or a package looks for; each ends the process that imports it.
DECOYS = [
    "opt_einsum", "cuda", "lz4", "gmpy2", "dill", "random", "tempfile", "json", "sitecustomize",
    "usercustomize", "numpy", "torch", "matplotlib", "scipy", "pandas", "joblib", "trap",
    "subspace_nn", "tests",
]  # fmt: skip

#: Reports each file of code in the current folder that is opened, and each import that looks there.
HOOK = """
import os, sys
HERE = os.getcwd()
def audit(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        path = os.path.abspath(arguments[0])
        if os.path.dirname(path) == HERE and path.endswith((".py", ".pyc", ".so", ".pth")):
            os.write(2, b"OPENED " + path.encode())
    if event == "import" and {"", ".", HERE} & set(sys.path):
        os.write(2, b"LOOKED HERE FOR " + arguments[0].encode())
sys.addaudithook(audit)
"""

PROGRAM = """
import json, sys
from subspace_nn import cli, models
for words in json.loads(sys.stdin.read()):
    sys.argv = ["subspace-nn", *words]
    try:
        cli.main()
    except SystemExit as end:
        print("ENDED", words[0], end.code or 0)
    else:
        print("ENDED", words[0], 0)
"""


@pytest.fixture
def folder(tmp_path):
    """Where a stranger's checkpoint and records lie, and code."""
    for name in DECOYS:
        (tmp_path / f"{name}.py").write_text(f"import os; os._exit(99)  # {name}")
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.toml").write_text(
        'task = "trap:train"\n[[grid]]\nseed = "range(0, 100000000000)"\n'
    )
    (tmp_path / "a").write_bytes(path_of("buffers").read_bytes())
    Subspace(models.build("conv"), 20).save(tmp_path / "net")
    store = Store(tmp_path / "results" / "mine")
    for seed in (0, 1):
        run = Run("trap:train", {"dim": 3, "seed": seed})
        record = run.failed("", "subspace-nn sweep experiments/mine.toml")
        store.write(record | {"status": "done", "result": {"D": 10, "test_accuracy": 9.0}})
    return tmp_path


@pytest.fixture
def audited(folder, tmp_path_factory):
    """Run a program in that folder, under the hook."""
    hook = tmp_path_factory.mktemp("hook")
    (hook / "sitecustomize.py").write_text(HOOK)

    def run(*words, **keywords):
        done = subprocess.run(
            list(words), cwd=folder, env={**os.environ, "PYTHONPATH": str(hook)}, text=True,
            capture_output=True, check=False, **keywords,
        )  # fmt: skip
        assert "OPENED" not in done.stderr
        assert "LOOKED HERE" not in done.stderr
        return done

    return run


def test_no_verb_that_reads_imports_from_the_current_folder(audited):
    verbs = [name for name in cli.app if not name.startswith("-")]
    words = [
        ["--help"], *([verb, "--help"] for verb in verbs), ["inspect", "a"], ["verify", "a"],
        ["verify", "net"], ["diff", "a", "a"], ["evaluate", "net"],
        ["convert", "net", "--out", "b", "--dtype", "int8"],
        ["merge", "net", "--out", "c"], ["runs", "results"], ["runs", "results", "--csv", "r.csv"],
        ["runs", "results/mine", "--pack"], ["report", "results", "--markdown", "r.md"],
        ["projections", "hashed", "--dim", "3", "--D", "50"], ["play", "net", "--out", "[b].html"],
        ["export", "net", "--out", "net.onnx"],
    ]  # fmt: skip
    done = audited(sys.executable, "-P", "-c", PROGRAM, input=json.dumps(words))
    ended = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("ENDED")]
    assert [verb for verb, _ in ended] == [verb for verb, *_ in words], done.stderr
    assert "Traceback" not in done.stderr
    assert {code for verb, code in ended} == {"0"}, done.stderr


def test_the_command_and_python_m_do_not_either(audited):
    command = str(Path(sys.executable).with_name("subspace-nn"))
    assert audited(command, "inspect", "a").returncode == 0
    # Before any code of the package runs, python -m itself has put the folder in front.
    safe = [sys.executable, "-P", "-m", "subspace_nn"]
    assert audited(*safe, "inspect", "a").returncode == 0


def test_a_module_of_ones_own_is_found_and_shadows_nothing(folder):
    (folder / "trap.py").write_text(
        "import random, tempfile, torch\n"
        "def train(*, dim, seed=0):\n"
        "    return {'test_accuracy': dim + seed, 'where': [random.__file__, tempfile.__file__]}\n"
    )
    command = str(Path(sys.executable).with_name("subspace-nn"))
    words = ["sweep", "--task", "trap:train", "dim=3,4,5", "--jobs", "2", "--out", "mine"]
    for more in ([], ["--engine", "slurm", "--engine-option", "cluster=local"]):
        done = subprocess.run(
            [command, *words, *more, f"seed={len(more)}"], cwd=folder, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
    records = Store(folder / "mine").read()
    assert len(records) == 6
    assert not any(str(folder) in place for r in records for place in r["result"]["where"])


def test_a_folder_of_several_nets_names_them(command, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Subspace(models.build("fc"), 3).save(tmp_path / name / "omega.safetensors")
    code, _, err = command("evaluate", tmp_path)
    assert code == 2
    assert err.endswith("holds several nets, name one of them: one, two.\n")
