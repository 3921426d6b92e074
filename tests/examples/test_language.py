"""The script trains, adapts and generates; on short texts here."""

import json
import math
from types import SimpleNamespace

import pytest
import torch

from tests.examples.scripts import script

language = script("language")


def test_windows_are_bytes():
    one, two = language.windows(["é" + 99 * "ab", 100 * "c"])
    assert bytes(one.tolist()) == b"?" + 63 * b"ab" + b"a"
    assert bytes(two.tolist()) == b"b" + 35 * b"ab" + b"\n" + 56 * b"c"


def test_the_script(tmp_path, monkeypatch):
    monkeypatch.setattr(language, "TOPICS", [f"{n} is a number. " * 40 for n in range(16)])
    monkeypatch.setattr(language, "code", lambda names: language.windows([names * 20]))
    out = tmp_path / "language.json"
    language.main(str(out), steps=16, seeds=2)
    content = json.loads(out.read_text())
    runs = content["runs"]
    assert [run["dim"] for run in runs] == [0, 1000, 1000, 360_288, 360_288]
    assert all(run["says"].startswith("    def ") for run in runs)
    base, *others = (run["code"] for run in runs)
    assert max(others) < base
    assert len({*others}) == 4


def test_every_byte_counts_alike_in_a_perplexity():
    def model(*, input_ids, labels):
        assert input_ids is labels
        return SimpleNamespace(loss=torch.tensor(float(len(labels) > 1)))

    x = torch.zeros(65, 128, dtype=torch.long)
    assert language.perplexity(model, x) == pytest.approx(math.exp(64 / 65))
