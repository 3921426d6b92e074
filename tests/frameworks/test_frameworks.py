"""Training frameworks meet a module in a subspace: every page's example, with the real library."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import subspace_nn as sn
from subspace_nn.checkpoint.export import onnx_bytes
from tests.frameworks import pages
from tests.frameworks.pages import data, loader, make_model


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def assert_loads(net, path="omega.safetensors"):
    x, _ = data()
    assert torch.equal(sn.load(path, make_model())(x), net.eval()(x))


@pytest.mark.parametrize("page", sorted(pages.FOLDER.glob("*.md")), ids=lambda page: page.stem)
def test_pages_are_short(page):
    assert len(page.read_text("utf-8").splitlines()) <= 30


# Averages


def test_averages_of_a_subspace_with_a_head():
    left = pages.run("averaging", make_model=make_model, loader=list(loader()))
    net, swa, ema = (left[name] for name in ("net", "swa", "ema"))
    assert_loads(ema.module, "ema.safetensors")
    assert not torch.equal(ema.module.omega, net.omega)
    x, _ = data()
    assert not torch.equal(swa.eval()(x), ema.eval()(x))


@pytest.mark.parametrize("of", ["net", "module"])
def test_an_average_is_that_of_all_weights(of):
    net = sn.Subspace(make_model(), 40, train="3")
    model = net if of == "net" else net.module
    average, thetas, heads = torch.optim.swa_utils.AveragedModel(model), [], []
    before = copy.deepcopy(net.theta0())
    for seed in range(3):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.normal_(generator=torch.Generator().manual_seed(seed))
        average.update_parameters(model)
        thetas.append(net.theta().detach())
        heads.append(net.module.get_parameter("3.weight").detach().clone())
    with torch.no_grad():
        net.omega.copy_(average.module.get_parameter(
            "module.subspace_omega" if of == "net" else "subspace_omega"
        ))  # fmt: skip
    torch.testing.assert_close(net.theta(), torch.stack(thetas).mean(0))
    inner = average.module.module if of == "net" else average.module
    torch.testing.assert_close(inner.get_parameter("3.weight"), torch.stack(heads).mean(0))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.theta0().items())


# Graphs


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")  # of PyTorch's own exporter
def test_compiled_and_exported():
    onnxruntime = pytest.importorskip("onnxruntime")
    x, _ = data(6)
    torch.compiler.reset()
    left = pages.run("compile-export", make_model=make_model, x=x)
    net, more = left["net"], data(9)[0]
    gradient = net.omega.grad.clone()
    expected = net(more)
    loaded = torch.export.load("net.pt2").module()
    torch.testing.assert_close(loaded(more), expected)
    torch.testing.assert_close(left["smaller"].module()(x), net(x))
    session = onnxruntime.InferenceSession("net.onnx")
    (got,) = session.run(None, {session.get_inputs()[0].name: more.numpy()})
    torch.testing.assert_close(torch.from_numpy(got), expected.detach())
    again = sn.Subspace(make_model(), 40)
    again(x).sum().backward()
    torch.testing.assert_close(gradient, again.omega.grad)


def test_one_onnx_model_for_all_adapters():
    pytest.importorskip("onnxruntime")
    net, x = sn.Subspace(make_model(), 40, train="3").eval(), data(6)[0]
    Path("model.onnx").write_bytes(onnx_bytes(net, {"input": x}))
    expected = {}
    for name in ("acme", "globex"):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.normal_()
        net.save(f"{name}.safetensors")
        expected[name] = net(x)
    left = pages.run("onnx", x=x.numpy())
    assert left["inputs"] >= {"omega", "module.3.weight", "module.1.running_mean"}
    (got,) = left["outputs"]
    torch.testing.assert_close(torch.from_numpy(got), expected["globex"])
    assert not torch.allclose(expected["acme"], expected["globex"])


# Trainers


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")  # read by Lightning
def test_lightning():
    quiet = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
    left = pages.run("lightning", make_model=make_model, loader=loader(), quiet=quiet)
    classifier = left["classifier"]
    assert_loads(classifier.net)
    path = left["trainer"].checkpoint_callback.best_model_path
    again = left["Classifier"].load_from_checkpoint(path)
    assert torch.equal(again.net.omega, classifier.net.omega)
    assert classifier.net.omega.abs().max() > 0


def test_accelerate():
    pytest.importorskip("accelerate")
    left = pages.run("accelerate", make_model=make_model, loader=loader())
    net, epoch = left["net"], left["epoch"]
    assert_loads(net)
    net.train()
    epoch()
    after = net.omega.detach().clone()
    left["accelerator"].load_state("state")
    assert not torch.equal(net.omega, after)
    epoch()
    assert torch.equal(net.omega, after)


def test_a_grid_search_over_dim():
    x, y = data(90)
    left = pages.run("skorch", make_model=make_model, X=x.numpy(), y=y.numpy())
    search = left["search"]
    best = search.best_estimator_
    assert best.module_.dim == search.best_params_["module__dim"]
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    expected = best.predict_proba(x.numpy())
    again = pickle.loads(pickle.dumps(best))
    assert np.array_equal(again.predict_proba(x.numpy()), expected)
    loaded = sn.load("omega.safetensors", make_model())
    with torch.no_grad():
        probabilities = nn.functional.softmax(loaded(x), -1).numpy()
    assert np.array_equal(probabilities.argmax(-1), best.predict(x.numpy()))
    best.save_params(f_params="parameters.pt")
    other = left["classifier"].set_params(**search.best_params_).initialize()
    other.load_params(f_params="parameters.pt")
    assert np.array_equal(other.predict_proba(x.numpy()), expected)
