import json
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from subspace_nn.common import environment

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def test_it_is_plain_json():
    described = environment.describe()
    assert json.loads(json.dumps(described)) == described


def test_it_names_what_computes():
    described = environment.describe("cpu")
    assert described["torch"] == torch.__version__
    assert described["python"] == platform.python_version()
    assert described["threads"] == torch.get_num_threads()
    assert described["device"] == "cpu"
    assert all(value != "" for value in described.values())


@pytest.mark.parametrize("given", ["cpu", torch.device("cpu")], ids=["name", "device"])
def test_device_is_a_name_or_a_device(given):
    assert environment.describe(given) == environment.describe()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_is_named():
    assert environment.describe("cuda")["hardware"] == torch.cuda.get_device_name()


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        pytest.param("processor : 0\nmodel name\t: Some CPU: 3 GHz\n", "Some CPU: 3 GHz", id="x86"),
        pytest.param("processor : 0\nBogoMIPS : 50.00\n", "aarch64", id="arm names no model"),
        pytest.param(None, "aarch64", id="no such file"),
    ],
)
def test_the_processor_has_a_name_anywhere(tmp_path, monkeypatch, cpuinfo, expected):
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo, encoding="utf-8")
    monkeypatch.setattr(environment, "Path", lambda _: path)
    monkeypatch.setattr(platform, "processor", str)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert environment.describe()["hardware"] == expected


def test_a_copy_that_is_not_installed_says_so(monkeypatch):
    def fail(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(environment, "version", fail)
    assert environment.describe()["subspace-nn"] == "not installed"


def git(folder, *words):
    command = ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@example.org", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@needs_git
def test_the_commit_of_a_users_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("x = 1")
    assert environment.commit_of(file) == {}
    git(tmp_path, "init", "--quiet")
    assert environment.commit_of(file) == {}  # there is no commit yet
    (tmp_path / "nets.py").write_text("y = 1")
    git(tmp_path, "add", "nets.py")
    git(tmp_path, "commit", "--quiet", "-m", "nets")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert environment.commit_of(file) == {"task_commit": head, "task_dirty": True}  # not in it
    git(tmp_path, "add", "mine.py")
    git(tmp_path, "commit", "--quiet", "-m", "mine")
    (tmp_path / "records.json").write_text("{}")  # which a sweep writes next to it
    head = git(tmp_path, "rev-parse", "HEAD")
    assert environment.commit_of(file) == {"task_commit": head, "task_dirty": False}
    (tmp_path / "nets.py").write_text("y = 2")
    assert environment.commit_of(file)["task_dirty"]


def test_the_package_is_no_users_file():
    assert environment.commit_of(Path(environment.__file__)) == {}
