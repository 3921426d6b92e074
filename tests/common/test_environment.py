import json
import platform
from importlib.metadata import PackageNotFoundError

import pytest
import torch

from subspace_nn.common import environment


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
