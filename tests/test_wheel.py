"""The wheel that is built from the sdist, in an empty folder and without the clone."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
VERBS = {
    "train": ["train", "--dim", "10", "--epochs", "1", "--threads", "1", "--out", "net"],
    "measure": ["measure", "toy", "--out", "toy"],
    "play": ["play", "--out", "play.html"],
    "report": ["report", "toy", "--out", "report.html"],
}
MADE = ["net/omega.safetensors", "toy/measurements", "play.html", "report.html"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The variables of a shell that has the wheel and what it needs, but not the clone."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--outdir", folder, ROOT]  # the one from the other
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"No wheel could be built: {(built.stderr or built.stdout).splitlines()[-1]}")
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {
        "LICENSE",
        "README.md",
        "tests/test_wheel.py",
        "docs/conf.py",
        "results/kinds.jsonl",
    }
    target = folder / "installed"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True)
    # Folders on PYTHONPATH do not read .pth files, by which the clone would come in.
    paths = os.pathsep.join([str(target), str(Path(torch.__file__).parents[1])])
    return os.environ | {"PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}


@pytest.mark.timeout(600)
def test_the_verbs_work_without_the_clone(environment, tmp_path):
    for verb, words in VERBS.items():
        command = [sys.executable, "-S", "-m", "subspace_nn", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{verb}: {done.stdout}{done.stderr}"
    for path in MADE:
        assert (tmp_path / path).exists(), path
    where = "import subspace_nn; print(subspace_nn.__file__)"
    found = subprocess.run(
        [sys.executable, "-S", "-c", where], env=environment, capture_output=True, text=True,
        check=True, cwd=tmp_path,
    )  # fmt: skip
    assert not Path(found.stdout.strip()).is_relative_to(ROOT)
