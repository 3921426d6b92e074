"""`certify` at the command line."""

import json
import sys
from pathlib import Path

import pytest
import torch

import subspace_nn as sn
from subspace_nn import models
from subspace_nn.cli import certify
from subspace_nn.tasks.data import mnist
from tests.tasks.test_classifier import subset

OWN = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
x = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
def problem():
    y = (x[:, 0] > 0).long()
    return nn.Linear(6, 2), [(x[:150], y[:150])], [(x[150:], y[150:])]
def shuffled(width=3, seed=1):
    y = (x[:, 0] > seed).long()
    net = nn.Sequential(nn.Linear(6, width), nn.Linear(width, 2))
    train = DataLoader(TensorDataset(x[:150], y[:150]), 40, shuffle=True, drop_last=True)
    return net, train, [(x[150:], y[150:])]
"""


@pytest.fixture(scope="module")
def digits():
    return subset(mnist())


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, digits):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(certify, "mnist", lambda _: digits)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "own_data", raising=False)
    (tmp_path / "own_data.py").write_text(OWN)
    net = sn.Subspace(models.build("conv-6-6"), 40)
    with torch.no_grad():
        net.omega.copy_(torch.arange(40) % 5 - 2.0)
    net.save("net.snn", dtype="coded")
    net.save("float.safetensors")
    return tmp_path


def test_a_certificate_is_printed_written_and_checked(command, digits):
    n = len(digits.train.labels)
    code, out, err = command("certify", "net.snn", "--explain", "--out", "c.json")
    assert (code, err) == (0, "")
    for part in ("bound", f"of {n:,}", "length of omega", "by hoeffding", "data-free"):
        assert part in out
    held = json.loads(Path("c.json").read_text("utf-8"))
    code, out, err = command("certify", "net.snn", "--json")
    assert json.loads(out) == held
    net = sn.load("net.snn")
    x = digits.train.images.unsqueeze(1) / 255
    assert held["errors"] == int((net(x).argmax(1) != digits.train.labels).sum())
    assert held["n"] == n
    assert 0 < held["train_error"] < held["bound"] <= 1
    assert held["bits"] == sum(held["terms"].values())
    code, out, err = command("certify", "net.snn", "--check", "c.json")
    assert (code, err) == (0, "")
    assert out.endswith("c.json: the certificate holds\n")
    Path("c.json").write_text(json.dumps({**held, "errors": 3}), "utf-8")
    code, out, err = command("certify", "net.snn", "--check", "c.json")
    assert code == 1
    assert f"c.json: errors: expected {held['errors']}, got 3." in err


def test_options_that_change_the_bound(command):
    def bits(*words):
        code, out, err = command("certify", *words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    plain = bits("net.snn")
    searched = bits("net.snn", "--among", "architecture=4", "--among", "crop=2", "--delta", 0.01)
    assert searched["bits"] == plain["bits"] + 3
    assert searched["bound"] > plain["bound"]
    learnt = bits("net.snn", "--first", 100)
    assert learnt["n"] == plain["n"] - 100
    assert learnt["prior"] == "θ0 was trained on the images 0 to 99"
    out = command("certify", "float.safetensors")[1]
    assert "The message is long for so few examples. Train with --levels" in out


def test_a_model_and_data_of_ones_own(command, here):
    code, _, err = command(
        *("sweep", "own_data:problem", "dim=4", "levels=5", "epochs=9", "--engine", "serial")
    )
    assert (code, err) == (0, "")
    sys.path.insert(0, str(here))
    import own_data  # noqa: PLC0415

    net = sn.Subspace(own_data.problem()[0], 4, theta0="seed")
    net.save("own.snn", dtype="coded")
    code, out, err = command("certify", "own.snn", "own_data:problem", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["n"], found["test"]["n"]) == (150, 50)


def test_a_net_that_a_sweep_kept_has_the_arguments_of_its_run(command):
    run = ("sweep", "./own_data.py:shuffled", "dim=4", "levels=5", "epochs=1", "width=5")
    assert command(*run, "--save", "--engine", "serial", "--out", "kept")[0] == 0
    (path,) = Path("kept/weights").iterdir()
    asked = ("certify", path, "./own_data.py:shuffled")
    code, out, err = command(*asked, "--out", "c.json")
    assert (code, err) == (0, "")
    assert "of 150" in out
    code, out, err = command(*asked, "--check", "c.json")
    assert (code, err) == (0, "")
    assert "the certificate holds" in out
    code, out, err = command("merge", path, "--module", "./own_data.py:shuffled", "--out", "m.st")
    assert (code, err) == (0, "")
    assert "47 weights" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("net.snn toy", "toy gives no module and data"),
        ("net.snn fashion-fc", "say which with --images"),
        ("none.snn", "none.snn: cannot be read"),
        ("net.snn --first 99999999", "--first must be from 0 to"),
        ("net.snn --among four", "--among: expected NAME=K"),
        ("net.snn --among a=0", "a must be one of a whole number of possibilities"),
        ("net.snn --delta 2", "delta must be a number above 0 and below 1, got 2.0"),
        ("net.snn own_data:problem --first 3", "leave them out with a problem"),
        ("net.snn --problem own_data:problem", "net.snn: another architecture"),
        ("net.snn --check own_data.py", "own_data.py is no certificate"),
        ("net.snn --images cifar", "Unknown images 'cifar'"),
        ("net.snn --out nowhere/c.json", "nowhere"),
    ],
)
def test_mistakes(command, words, message):
    code, out, err = command("certify", *words.split())
    assert (code, out) == (2, "")
    assert message in err
