"""Which card a run gets; the cards are faked, everything else is real."""

import collections
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from subspace_nn.runs import cards


@pytest.fixture
def machine(monkeypatch):
    """A machine with as many cards as are listed."""

    def build(*names):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(names))

    return build


@pytest.mark.parametrize(
    ("asked", "names", "number"),
    [
        ((-1, "auto", "loky"), "0123", 4),
        ((-1, "cuda", "dask"), "01", 2),
        ((-1, "cuda:1", "loky"), "0123", 1),
        ((16, "auto", "loky"), "0123", 16),
        ((-1, "cpu", "loky"), "0123", -1),
        ((-1, "auto", "loky"), "", -1),
        ((-1, "auto", "slurm"), "0123", -1),
        ((-1, "auto", "ray"), "0123", -1),
        ((-1, "auto", "dask", "tcp://head:8786"), "0123", -1),
    ],
)
def test_a_worker_for_each_card(machine, asked, names, number):
    machine(*names)
    assert cards.workers(*asked) == number


def test_a_run_gets_the_card_with_the_fewest_runs(machine, tmp_path):
    machine("4", "5", "7")
    runs = [cards.taken("auto", tmp_path) for _ in range(5)]
    assert [run.__enter__() for run in runs] == ["cuda:0", "cuda:1", "cuda:2", "cuda:0", "cuda:1"]
    runs[2].__exit__(None, None, None)  # card 7 is free again
    with cards.taken("cuda", tmp_path) as device:
        assert device == "cuda:2"
    for run in (runs[0], runs[1], *runs[3:]):
        run.__exit__(None, None, None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("device", "names"), [("cpu", "01"), ("cuda:1", "01"), ("auto", "0"), ("auto", ""), ("mps", "")]
)
def test_there_is_nothing_to_choose(machine, tmp_path, device, names):
    machine(*names)
    with cards.taken(device, tmp_path) as chosen:
        assert chosen == device
        assert not list(tmp_path.iterdir())


def test_workers_that_see_other_cards_do_not_count(machine, tmp_path):
    machine("0", "1")
    with cards.taken("auto", tmp_path) as first:
        machine("2", "3")
        with cards.taken("auto", tmp_path) as other:
            assert first == other == "cuda:0"


def test_the_card_of_a_killed_worker_is_taken_over(machine, tmp_path):
    machine("0", "1")
    with cards.taken("auto", tmp_path):
        (path,) = tmp_path.iterdir()
        where, _, started = path.read_text().split()
    path.write_text(f"{where} {2**22 + 1} {started}")  # a process that there cannot be
    with cards.taken("auto", tmp_path) as device:
        assert device == "cuda:0"


def test_no_card_ever_has_two_runs_more_than_another(machine, tmp_path):
    machine("0", "1", "2", "3")
    lock, now, seen = threading.Lock(), collections.Counter(), []

    def run(number):
        with cards.taken("auto", tmp_path) as device:
            with lock:
                now[device] += 1
                seen.append(max(now.values()))
            time.sleep(0.002 * (number % 5))
            with lock:
                now[device] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(64)))
    assert max(seen) == 2  # of 8 workers for 4 cards
