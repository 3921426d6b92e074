"""What one does with a checkpoint at the command line, as its user meets it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

import subspace_nn as sn
from subspace_nn import models
from subspace_nn.cli import checkpoints, training
from subspace_nn.format import container
from subspace_nn.tasks.data import mnist
from tests.golden_cases import CASES, path_of
from tests.tasks.test_classifier import subset

NETS = """
import torch
from tests.golden_cases import CASES
base, mlp, normed = (CASES[name].make for name in ("theta0-base", "hashed", "buffers"))
number = lambda: 3
rows = lambda: [torch.rand(4, 1, 28, 28)]
single = lambda: torch.rand(1, 1, 28, 28)
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """A current folder with a file of the user's own nets, and a checkpoint of the zoo."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "own_nets", raising=False)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "own_nets.py").write_text(NETS)
    net = sn.Subspace(models.build("conv"), 20)
    with torch.no_grad():
        net.omega.copy_(torch.arange(20) / 10 - 1)
    net.save(tmp_path / "conv")
    return tmp_path


@pytest.fixture(scope="module")
def digits():
    return subset(mnist())


@pytest.fixture
def small_set(monkeypatch, digits):
    for module in (checkpoints, training):
        monkeypatch.setattr(module, "mnist", lambda _: digits)


def test_inspect_shows_what_a_file_says(command):
    code, out, err = command("inspect", path_of("selection"))
    assert (code, err) == (0, "")
    for part in (
        "hashed/1, seed 0",
        "in the file",
        "exclude",
        "0.bias",
        "train",
        "theta0.0.weight",
    ):
        assert part in out
    out = command("inspect", path_of("theta0-base"))[1]
    assert "the weights of a-publisher/a-model, which the file does not hold" in out


@pytest.mark.parametrize("name", CASES)
def test_inspect_as_json(command, name):
    code, out, _ = command("inspect", path_of(name), "--json")
    content, saved = json.loads(out), container.read(path_of(name))
    assert code == 0
    assert content["spec"] == saved.spec
    assert {n: tuple(t["shape"]) for n, t in content["tensors"].items()} == {
        n: t.shape for n, t in saved.tensors.items()
    }
    assert content["bytes"] == path_of(name).stat().st_size


def test_verify(command):
    code, out, err = command("verify", "conv")
    assert (code, err) == (0, "")
    assert re.findall(r"^(\S+) +as saved", out, re.MULTILINE) == ["architecture", "θ0", "P"]
    code, out, err = command("verify", path_of("hashed"))
    assert code == 0
    assert "not checked: the file names no net of the package; give --module" in out
    assert "as saved" in command("verify", path_of("hashed"), "--module", "own_nets:mlp")[1]


def test_diff(command):
    code, out, err = command("diff", "conv", "conv")
    assert (code, out, err) == (0, "The same.\n", "")
    assert (
        command("convert", "conv", "--dtype", "bfloat16", "--out", "other", "--data", "x")[0] == 2
    )
    sn.load("conv").save("other", dtype="bfloat16")
    code, out, err = command("diff", "conv", "other")
    assert (code, err) == (1, "")
    assert [line.split()[0] for line in out.splitlines()[3:]] == ["omega", "ω", "θ"]
    distance = (sn.load("conv").theta() - sn.load("other").theta()).norm()
    assert f"{distance:.4g} (" in out
    code, out, _ = command("diff", path_of("hashed"), path_of("sparse"), "--module", "own_nets:mlp")
    assert code == 1
    assert {"P", "dim", "projection", "ω", "θ"} == {
        line.split()[0] for line in out.splitlines()[3:]
    }


@pytest.mark.usefixtures("small_set")
@pytest.mark.parametrize("dtype", ["float16", "int8", "int4"])
def test_convert_tells_what_it_costs(command, here, dtype):
    code, out, err = command("convert", "conv", "--dtype", dtype, "--out", "small")
    assert (code, err) == (0, "")
    before, after = ((here / name).stat().st_size for name in ("conv", "small"))
    assert f"{before:,} bytes → {after:,} bytes" in out
    assert re.search(r"test accuracy +\d+\.\d\d % → \d+\.\d\d % \([+-]\d\.\d\d points\)", out)
    assert container.read("small").spec["omega"] == dtype
    assert sn.load("small").omega.dtype == torch.float32


def test_convert_a_net_of_ones_own(command):
    code, out, _ = command("convert", path_of("to-int8"), "--dtype", "int4", "--out", "small")
    assert code == 0
    assert "relative error" in out
    assert "accuracy" not in out
    again = CASES["to-int8"].load("small")
    assert (again.omega - CASES["to-int8"].load(path_of("to-int8")).omega).abs().max() < 0.1


@pytest.mark.usefixtures("small_set")
def test_train_with_a_dtype(command, here):
    code, out, err = command(
        *("train", "--model", "fc", "--dim", 30, "--epochs", 1, "--dtype", "int8", "--out", "out"),
        *("--device", "cpu"),
    )
    assert (code, err) == (0, "")
    assert re.search(r"as int8 +\d+\.\d\d % → \d+\.\d\d %", out)
    path = here / "out" / "omega.safetensors"
    assert f"{path.stat().st_size:,} bytes" in out
    assert container.read(path).spec["omega"] == "int8"


@pytest.mark.usefixtures("small_set")
def test_train_on_a_grid_writes_a_coded_file_that_loses_nothing(command, here):
    code, out, err = command(
        *("train", "--model", "fc", "--dim", 30, "--epochs", 2, "--levels", 5, "--price", 1e-4),
        *("--out", "out", "--device", "cpu"),
    )
    assert (code, err) == (0, "")
    assert "(+0.00 points)" in out
    assert container.read(here / "out" / "omega.safetensors").spec["omega"] == "coded"
    code, out, err = command("convert", "out", "--dtype", "coded", "--out", "small.snn")
    assert (code, err) == (0, "")
    assert "(+0.00 points)" in out
    assert (here / "small.snn").stat().st_size < 100
    for verb in ("inspect", "verify", "evaluate"):
        code, out, err = command(verb, "small.snn")
        assert (code, err) == (0, "")
    code, out, err = command("convert", "out", "--dtype", "int8", "--out", "other.snn")
    assert code == 2
    assert "Cannot be saved as a compact file (*.snn): its ω is not coded" in err


PLAIN = """
import sys
sys.modules["subspace_nn"] = None  # importing it fails
import safetensors.torch, torch
from torch import nn
import torch.nn.functional as F

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 10, 5), nn.Conv2d(10, 20, 5)
        self.fc1, self.fc2 = nn.Linear(320, 50), nn.Linear(50, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 2).relu()
        x = F.max_pool2d(self.conv2(x), 2).relu()
        return self.fc2(self.fc1(x.flatten(1)).relu())

net = Net()
net.load_state_dict(safetensors.torch.load_file("model.safetensors"))
expected = safetensors.torch.load_file("expected")
assert torch.equal(net(expected["x"]), expected["y"])
"""


def test_merge_is_for_plain_pytorch_without_this_package(command, here):
    code, out, err = command("merge", "conv")
    assert (code, err) == (0, "")
    assert "21,840 weights" in out
    x = torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        safetensors.torch.save_file({"x": x, "y": sn.load("conv").eval()(x)}, "expected")
    done = subprocess.run(
        [sys.executable, "-c", PLAIN], cwd=here, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("name", "make"), [
    ("theta0-base", "base"), ("buffers", "normed"), ("hashed", "mlp"),
])  # fmt: skip
def test_merge_a_net_of_ones_own(command, name, make):
    assert command("merge", path_of(name), "--module", f"own_nets:{make}")[0] == 0
    net, plain = CASES[name].load(path_of(name)), CASES[name].make()
    plain.load_state_dict(safetensors.torch.load_file("model.safetensors"))
    for (one, a), (other, b) in zip(
        net.merge().state_dict().items(), plain.state_dict().items(), strict=True
    ):
        assert one == other
        assert torch.equal(a, b)


def test_export_computes_the_same(command):
    code, out, err = command("export", "conv")
    assert (code, err) == (0, "")
    (difference,) = re.findall(r"as PyTorch's to (\S+)", out)
    assert float(difference) < 1e-4
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    x = torch.rand(7, 1, 28, 28)
    (got,) = session.run(None, {"input": x.numpy()})
    assert torch.allclose(torch.from_numpy(got), sn.load("conv").merge()(x), atol=1e-4)


def test_export_with_omega_as_an_input(command):
    code, out, err = command("export", "conv", "--omega", "input", "--example", "own_nets:rows")
    assert (code, err) == (0, "")
    assert float(re.findall(r"as PyTorch's to (\S+)", out)[0]) < 1e-4
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    net, x = sn.load("conv"), torch.rand(7, 1, 28, 28)
    net.omega.data.normal_()
    (got,) = session.run(None, {"omega": net.omega.detach().numpy(), "input": x.numpy()})
    assert torch.allclose(torch.from_numpy(got), net(x), atol=1e-4)


HELD = "exists. Name another with --out, or overwrite it with --force."


@pytest.mark.parametrize(("given", "parts"), [
    ("inspect nothing", ["nothing: cannot be read (No such file"]),
    ("verify own_nets.py", ["own_nets.py: truncated, or not a safetensors file"]),
    ("diff conv nothing", ["nothing: cannot be read"]),
    ("diff own_nets.py nothing", ["own_nets.py: ", "nothing: "]),
    ("convert conv --dtype int5 --out x", ["Unknown dtype 'int5'. Did you mean 'int8'?"]),
    ("convert conv --dtype int8 --out conv", [f"conv {HELD}"]),
    ("convert nothing --dtype int8 --out no/x", ["nothing: cannot be", "The folder no does not"]),
    ("convert conv --out x", ["--dtype"]),
    ("merge nothing --out conv", [f"conv {HELD}", "nothing: "]),
    ("merge conv --module nowhere:net", ["--module: expected package.module:function"]),
    ("merge conv --module own_nets", ["--module: expected package.module:function"]),
    ("merge conv --module own_nets:no", ["--module: expected package.module:function"]),
    ("merge conv --module json:dumps", ["which fails: TypeError: dumps() missing 1 required"]),
    ("merge conv --module own_nets:number", ["must return a torch.nn.Module, got <class 'int'>"]),
    ("merge conv --module own_nets:mlp", ["conv: another architecture than"]),
    ("export conv --module own_nets:mlp", ["--shape: expected", "conv: another architecture"]),
    ("export conv --shape 3,28", ["The module takes no input of shape (2, 3, 28): "]),
    ("export conv --example own_nets:rows --shape 1,28,28", ["give one of them"]),
    ("export conv --example own_nets:number", ["number of rows, 2 or more; got int"]),
    ("export conv --example own_nets:single", ["2 or more; got Tensor with [1] rows"]),
    ("export conv --example own_nets:no", ["--example: expected package.module:function"]),
    ("export conv --omega inputs", ["Unknown --omega 'inputs'. Did you mean 'input'?"]),
    ("export conv --shape 28x28", ["as in 1,28,28; got '28x28'"]),
    ("train --dtype int5", ["Unknown dtype 'int5'"]),
])  # fmt: skip
def test_mistake(command, here, given, parts):
    before = {path.name: path.stat().st_mtime_ns for path in here.iterdir() if path.is_file()}
    code, out, err = command(*given.split())
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert len(lines) == len(parts)
    for line, part in zip(lines, parts, strict=True):
        assert line.startswith("error: ")
        assert part in line
    assert {p.name: p.stat().st_mtime_ns for p in here.iterdir() if p.is_file()} == before


def test_trust_lifts_the_limit_of_entries(command, monkeypatch):
    monkeypatch.setattr(checkpoints, "MAX_ENTRIES", 100)
    net = sn.Subspace(models.build("fc-16"), 3, "gaussian")
    net.save("gaussian")
    code, _, err = command("merge", "gaussian")
    assert code == 2
    assert "--trust" in err
    assert command("merge", "gaussian", "--trust")[0] == 0


@pytest.mark.parametrize("line", [
    "inspect conv", "verify conv", "diff conv conv", "convert conv --dtype float16 --out x",
])  # fmt: skip
@pytest.mark.usefixtures("small_set")
def test_trust_lifts_the_limit_of_bytes(command, monkeypatch, line):
    monkeypatch.setattr(container, "MAX_BYTES", 79)
    code, out, err = command(*line.split())
    assert (code, out) == (2, "")
    assert "its tensors have 80 bytes, more than 79" in err
    assert "--trust" in err
    assert command(*line.split(), "--trust")[0] == 0


def test_export_a_net_of_another_dtype(command, here):
    (here / "own_nets.py").write_text(NETS + "double = lambda: mlp().double()\n")
    code, out, err = command(
        *("export", path_of("float64"), "--module", "own_nets:double", "--shape", 12)
    )
    assert (code, err) == (0, "")
    (difference,) = re.findall(r"as PyTorch's to (\S+)", out)
    assert float(difference) < 1e-12


def test_tied_weights_merge_under_each_name(command, here):
    (here / "own_nets.py").write_text(NETS + "tied = CASES['tied'].make\n")
    assert command("merge", path_of("tied"), "--module", "own_nets:tied")[0] == 0
    plain = CASES["tied"].make()
    assert isinstance(plain, nn.Module)
    plain.load_state_dict(safetensors.torch.load_file("model.safetensors"))
    assert plain.back.weight is plain.there.weight


@pytest.mark.parametrize("verb", ["inspect", "verify", "evaluate", "merge"])
def test_a_folder_stands_for_the_checkpoint_in_it(verb, command, here):
    (here / "run").mkdir()
    (here / "run" / "omega.safetensors").write_bytes((here / "conv").read_bytes())
    assert command(verb, "run")[0] == 0


@pytest.mark.parametrize("words", [
    ["inspect", "~/conv"], ["inspect", "--file=~/conv"], ["diff", "conv", "~/conv"],
    ["merge", "conv", "--out=~/merged"],
])  # fmt: skip
def test_a_tilde_is_the_home(words, command, here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    assert command(*words)[0] == 0
    assert not (here / "~").exists()
    assert (here / "merged").exists() == ("merge" in words)


@pytest.mark.parametrize("verb", ["evaluate", "merge", "export"])
def test_a_net_of_ones_own_needs_its_module(verb, command):
    code, _, err = command(verb, path_of("hashed"))
    assert code == 2
    assert "mine:function" in err if verb == "evaluate" else "--module" in err


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "uint16", "bool", "complex64"])
def test_tensors_of_any_dtype_are_compared(name, command, here):
    for path, value in (("a", 0), ("b", 1)):
        saved = container.read(path_of("hashed"))
        tensor = torch.full((3,), value).to(getattr(torch, name))
        tensors = {**saved.tensors, "module.x": tensor}
        container.write(container.Checkpoint(saved.spec, tensors), here / path)
    code, out, err = command("diff", "a", "b")
    assert (code, err) == (1, "")
    assert "module.x" in out


@pytest.mark.parametrize("verb", ["inspect", "verify", "evaluate", "merge"])
def test_a_d_beyond_any_number_is_refused(verb, command, here):
    content = (here / "conv").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].replace(rb"\"D\":21840", rb"\"D\":1" + b"0" * 400)
    (here / "huge").write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    code, _, err = command(verb, "huge")
    assert code == 2
    assert "D < 2^63" in err


def test_combine_writes_a_mean_or_a_sum(command, here):
    net = sn.load(here / "conv")
    net.omega.data.mul_(3)
    net.save(here / "other")
    code, out, err = command("combine", "conv", "other", "--out", "mean")
    assert (code, err) == (0, "")
    assert "mean = 0.5 · conv + 0.5 · other" in out
    torch.testing.assert_close(sn.load(here / "mean").omega, 2 * net.omega / 3)
    code, out, _ = command("combine", "conv", "other", "--weights=-1,2", "--out", "sum")
    assert code == 0
    torch.testing.assert_close(sn.load(here / "sum").omega, 5 * net.omega / 3)


@pytest.mark.parametrize(("words", "message"), [
    ("combine conv conv --weights=1 --out x", "expected 2 numbers, one for each file"),
    ("combine conv conv --weights=1,a --out x", "expected 2 numbers, one for each file"),
    ("combine --out x", "at least one file"),
    ("combine conv --out conv", "exists"),
])  # fmt: skip
def test_mistakes_of_combine(words, message, command):
    code, out, err = command(*words.split())
    assert (code, out) == (2, "")
    assert message in err.replace("\n", " ")


def test_a_file_of_stages_is_told_verified_and_compared(command, here):
    net = sn.load(here / "conv")
    net.next_stage(7)
    with torch.no_grad():
        net.omega.fill_(0.25)
    net.save("stages.safetensors")
    shown = command("inspect", "stages.safetensors")[1]
    assert "2, of d numbers each; later seeds 7" in shown
    assert re.search(r"stored numbers +40\b", shown)
    assert "as saved" in command("verify", "stages.safetensors")[1]
    net.next_stage()
    net.save("more.safetensors")
    code, compared, err = command("diff", "stages.safetensors", "more.safetensors")
    assert (code, err) == (1, "")
    assert "[7, 4294967303]" in compared
    assert re.search(r"stages +float32 \(1, 20\) +float32 \(2, 20\)", compared)


def test_a_file_of_a_learned_projection_is_told_and_trusted(command):
    path = str(path_of("dense"))
    shown = command("inspect", path)[1]
    assert "dense/1:stored" in shown
    assert "projection.matrix float32 (140, 9)" in shown
    assert "as saved" in command("verify", path, "--module", "own_nets:mlp")[1]
