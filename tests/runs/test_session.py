"""What a run is given beyond its arguments."""

import torch

from subspace_nn.runs import session
from subspace_nn.runs.run import Run
from subspace_nn.runs.session import Session, weights_of
from subspace_nn.runs.store import Store
from subspace_nn.runs.sweep import sweep
from subspace_nn.tasks.loop import find_device

TOY = "tests.toy:quick"


def test_a_run_computes_on_the_card_that_it_took(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with session.running(Session("auto"), tmp_path, "one"):
        assert session.device() == "cuda:0"
        with session.running(Session("auto"), tmp_path, "two"):
            assert session.device() == "cuda:1"
    assert not list((tmp_path / ".running").iterdir())


def test_the_device_of_a_session_is_what_auto_means(tmp_path):
    with session.running(Session("meta"), tmp_path, "one"):
        assert session.device() == "meta"
    with session.running(Session("cpu", threads=1), tmp_path, "one"):
        assert find_device("auto") == torch.device("cpu")
        assert session.used() == "cpu"
    assert session.device() == "auto"


def test_threads_are_those_of_each_run_and_put_back(tmp_path):
    before = torch.get_num_threads()
    (record,) = sweep(
        [Run.of("tests.runs.test_session:threads", {})],
        Store(tmp_path), engine="serial", threads=2,
    )  # fmt: skip
    assert record["result"] == {"threads": 2}
    assert record["environment"]["threads"] == 2
    assert torch.get_num_threads() == before


def threads() -> dict[str, int]:
    return {"threads": torch.get_num_threads()}


def test_a_finished_run_without_weights_is_run_again_if_they_are_wanted(tmp_path):
    arguments = {"problem": "tests.dimension.problems:digits", "dim": 3, "epochs": 1}
    run = Run.of("subspace_nn.tasks.own:train", arguments)
    store = Store(tmp_path)
    (first,) = sweep([run], store, engine="serial")
    path = weights_of(tmp_path, run.id)
    assert not path.exists()
    (second,) = sweep([run], store, engine="serial", save=True)
    assert path.exists()
    assert second["result"] == first["result"]
    content = path.read_bytes()
    sweep([run], store, engine="serial", save=True)
    assert path.read_bytes() == content
