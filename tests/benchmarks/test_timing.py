"""What the benchmarks share: the turns, the ratios, the memory."""

import json

import pytest
import torch

from benchmarks import output, timing
from benchmarks.timing import Times

CPU = torch.device("cpu")


def test_actions_take_turns_and_the_first_round_does_not_count():
    called = []
    actions = {name: lambda name=name: called.append(name) for name in "ab"}
    times = timing.in_turn(actions, 3, CPU)
    assert "".join(called) == "ab" * 4
    assert {name: len(own.wall) for name, own in times.items()} == {"a": 3, "b": 3}
    assert len(times["a"].processor) == len(times["a"].pages) == 3


@pytest.mark.parametrize("use_wall", [False, True])
def test_ratios_are_those_of_the_same_round(use_wall):
    own = Times(use_wall, wall=[2.0, 40.0, 6.0, 8.0], processor=[1.0, 1.0, 1.0, 1.0])
    base = Times(use_wall, wall=[1.0, 10.0, 2.0, 4.0], processor=[2.0, 4.0, 1.0, 0.5])
    got = own.over(base)
    assert got["wall_ratio"] == 2.5
    assert got["ratio"] == (2.5 if use_wall else 0.75)
    assert got["ratio_quartiles"][0] <= got["ratio"] <= got["ratio_quartiles"][1]
    assert own.ms == (7000 if use_wall else 1000)


def test_peak_counts_what_lives_together_and_not_what_was_there():
    x = torch.zeros(1000)

    def action():
        y = x + 1  # 4000 bytes
        z = torch.cat((y, y))  # and 8000
        del y
        return z[:10], x.view(10, 100), torch.zeros(500)  # and 2000 when y is gone

    assert timing.peak(action, [x]) == 12_000
    assert timing.peak(action) == 14_000


def test_write_says_what_with(tmp_path):
    output.write(None, "none", CPU)
    output.write(tmp_path / "out.json", "python -m it", CPU, results=[1])
    content = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert (content["command"], content["results"]) == ("python -m it", [1])
    assert content["environment"]["threads"] == torch.get_num_threads()
