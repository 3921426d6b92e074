"""What a notebook calls."""

import sys
import types

import pytest
from torch import nn

import subspace_nn as sn
from subspace_nn import notebook
from subspace_nn.dimension import question


class Handle:
    """What IPython's `display` gives: keeps what it was updated with."""

    def __init__(self):
        self.shown = []

    def update(self, html):
        self.shown.append(html)


@pytest.fixture
def cell(monkeypatch):
    handle = Handle()
    fake = types.ModuleType("IPython")
    fake.version_info = (9, 0)
    fake.get_ipython = lambda: types.SimpleNamespace(kernel=True)
    shown = types.ModuleType("IPython.display")
    shown.HTML, shown.display = str, lambda *_, **__: handle
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    return handle.shown


def test_a_sweep_shows_a_bar_and_gives_records(cell, tmp_path):
    axes = {"dim": [3, 10], "seed": range(2)}
    found = sn.sweep("tests.toy:quick", tmp_path, axes, engine="serial")
    assert repr(found) == "<4 records>"
    assert "<progress value='4' max='4'>" in cell[-1]
    table = sn.records(tmp_path)
    assert list(table.dim) == [3, 3, 10, 10]
    assert {"id", "status", "seed", "test_accuracy"} <= set(table.columns)


def test_a_measurement_shows_its_lines_and_draws_itself(cell, tmp_path):
    answer = sn.measure("toy", tmp_path, budget=8, engine="serial")
    assert "toy: how many free parameters?" in cell[-1]
    assert "<progress value='8' max='8'>" in cell[-1]
    assert len(repr(answer)) < 120
    html = answer._repr_html_()
    assert "<svg" in html
    assert "d_int" in html
    from matplotlib.figure import Figure  # noqa: PLC0415

    axes = Figure().subplots()
    assert answer.plot(ax=axes) is axes
    assert axes.lines


def test_a_question_takes_no_fields_besides(tmp_path):
    with pytest.raises(sn.InputError, match="got arguments, threshold besides"):
        sn.measure(question("toy"), tmp_path, arguments={"projection": "sparse"}, threshold=0.5)


def test_a_function_defined_in_place_is_measured(tmp_path):
    def task(*, dim, seed=0):
        d = 50 if dim == "full" else dim
        return {"D": 50, "test_accuracy": min(d, 20) * 5.0 + seed * 0}

    answer = sn.measure(task, tmp_path, budget=10, jobs=1, engine="serial")
    assert answer.question.task.startswith("local:task@")


def test_nothing_is_shown_where_nobody_looks(tmp_path, capsys):
    sn.sweep("tests.toy:quick", tmp_path, {"dim": 3}, engine="serial")
    assert capsys.readouterr().out == ""


def test_a_net_that_reads_no_digits_needs_data():
    net = sn.Subspace(nn.Linear(20, 3), dim=5)
    with pytest.raises(sn.InputError, match="does not read MNIST's digits"):
        sn.show(net)


def test_records_say_how_many_failed(tmp_path):
    found = sn.sweep("tests.toy:failing", tmp_path, {"seed": range(2)}, engine="serial")
    assert repr(found) == "<2 records, 1 failed>"


def test_a_run_in_two_folders_is_one_row(tmp_path):
    for name in ("a", "b"):
        sn.sweep("tests.toy:quick", tmp_path / name, {"dim": 3}, engine="serial")
    assert len(sn.records(tmp_path)) == 1


def test_curves_have_a_row_for_each_evaluation(tmp_path):
    words = {"model": "fc-16", "dim": 3, "epochs": 2, "batch_size": 60000}
    sn.sweep("mnist", tmp_path, words, engine="serial")
    table = sn.curves(tmp_path)
    assert list(table.epoch) == [1, 2]
    assert {"id", "dim", "test_accuracy", "train_loss"} <= set(table.columns)
    assert len(sn.records(tmp_path).loss_curve[0]) == 2


def test_pictures_of_a_net_show_themselves_and_are_files(tmp_path):
    net = sn.Subspace(sn.models.build("fc-16"), 3)
    inputs = sn.tasks.classifier.as_input(sn.tasks.data.mnist().test.images[:50])
    labels = sn.tasks.data.mnist().test.labels[:50].long()
    found = sn.show(net, [(inputs, labels)])
    assert isinstance(found, notebook.Pictures)
    assert found._repr_html_().count("<svg") == len(found) == 4
    found.save(tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {f"{name}.png" for name in found}
    assert net.training


def test_a_sweep_of_words_is_refused(tmp_path):
    with pytest.raises(sn.InputError, match="a list of Run; got a list with a str"):
        sn.sweep(["toy"], tmp_path)
