"""Exports: what they refuse. What they compute is held by tests/test_cli_files.py."""

import json
from pathlib import Path

import pytest
import safetensors.numpy
import torch
from torch import nn

import subspace_nn as sn
from subspace_nn import InputError
from subspace_nn.checkpoint import export
from subspace_nn.format import container


class WithState(nn.Linear):
    """Keeps what is no tensor."""

    def get_extra_state(self):
        return {"epoch": 3}


class Branching(nn.Module):
    """Computes by the values of its input, which no graph holds."""

    def forward(self, x):
        return x + 1 if float(x.sum()) > 0 else x


def test_state_of_other_things_is_refused():
    with pytest.raises(InputError, match="holds what is no tensor: _extra_state"):
        export.state_bytes(WithState(3, 2))


class Several(nn.Linear):
    """Returns no tensor."""

    def __init__(self, kind):
        super().__init__(3, 2)
        self.kind = kind

    def forward(self, x):
        return self.kind([("y", super().forward(x))])


@pytest.mark.parametrize(
    "kind", [tuple, lambda pairs: [*pairs, "more"], lambda _: 3, dict.fromkeys]
)
def test_other_outputs_than_tensors_are_refused(kind):
    with pytest.raises(InputError, match="returns a tensor, several, or a mapping of them, got "):
        export.onnx_bytes(Several(kind), torch.zeros(2, 3))


def test_outputs_have_the_names_of_a_mapping():
    session = session_of(export.onnx_bytes(Several(dict), torch.zeros(2, 3)))
    assert [value.name for value in session.get_outputs()] == ["y"]


class Text(nn.Module):
    """Takes integers and a mask by name, and has a head and buffers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(20, 6)
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 3)

    def forward(self, ids, *, mask):
        mean = (self.embedding(ids) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return {"logits": self.head(self.norm(mean)), "mean": mean}


def texts(rows):
    generator = torch.Generator().manual_seed(rows)
    ids = torch.randint(20, (rows, 5), generator=generator)
    return {"ids": ids, "mask": (ids > 3).float() + 0.1}


def session_of(content):
    runtime = pytest.importorskip("onnxruntime")
    return runtime.InferenceSession(content, providers=["CPUExecutionProvider"])


def randomised(net, seed):
    """The net with another ω, head, and buffers."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in export.adapter_tensors(net).values():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    return net


def test_one_session_computes_with_fifty_adapters(tmp_path):
    net = sn.Subspace(Text(), 10, theta0="module", train="head").eval()
    content = export.onnx_bytes(net, texts(2))
    session, inputs = session_of(content), texts(7)
    names = {value.name for value in session.get_inputs()} - {*inputs}
    assert names == {
        "omega", "module.head.weight", "module.head.bias", "module.norm.running_mean",
        "module.norm.running_var",
    }  # fmt: skip
    seen = set()
    for number in range(50):
        path = tmp_path / f"{number}.safetensors"
        randomised(net, number).save(path, base="a text model")
        file = safetensors.numpy.load_file(path)
        own = {name: file[name] for name in names}  # an adapter is what its file holds
        feeds = own | {name: tensor.numpy() for name, tensor in inputs.items()}
        with torch.no_grad():
            expected = net(**inputs)
        for output, got in zip(session.get_outputs(), session.run(None, feeds), strict=True):
            torch.testing.assert_close(
                torch.from_numpy(got), expected[output.name], atol=1e-4, rtol=0
            )
        seen.add(tuple(expected["logits"][0].tolist()))
    assert len(seen) == 50
    spec = container.read(path).spec
    stated = json.loads(session.get_modelmeta().custom_metadata_map["subspace"])
    assert {field: spec[field] for field in stated if field != "theta0_from"} == {
        field: value for field, value in stated.items() if field != "theta0_from"
    }
    assert str(Path.cwd()).encode() not in content


@pytest.mark.parametrize("projection", ["hashed", "gaussian"])
def test_omega_is_an_input_whichever_adapter_is_chosen(projection):
    net = sn.Subspace(nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 2)), 12, projection)
    net.add_adapter("acme")
    net.set_adapter("acme")
    content, x = export.onnx_bytes(randomised(net, 1), torch.rand(2, 6)), torch.rand(5, 6)
    assert export.onnx_difference(content, randomised(net, 2), x) < 1e-5
    net.set_adapter(None)
    assert export.onnx_difference(content, randomised(net, 3), x) < 1e-5


class Tied(nn.Module):
    """A scaled embedding whose weight is the head, too; its outputs have names of inputs."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.embedding = nn.Embedding(20, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 20, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("factors", torch.tensor([1, 2, 3, 4]))

    def forward(self, x):
        hidden = self.norm(self.body(self.embedding(x).sum(1)) * self.factors)
        return {"x": self.head(hidden), "omega": hidden}


def test_ties_and_integers_of_an_adapter_are_inputs_once(tmp_path):
    torch.manual_seed(0)
    net = sn.Subspace(Tied(), 10, theta0="module", train="embedding").eval()
    x = torch.randint(20, (2, 3))
    session = session_of(export.onnx_bytes(net, x))
    with torch.no_grad():
        net.module.embedding.weight.mul_(3)
        net.module.factors.mul_(5)
    net.save(tmp_path / "net.safetensors", base="a base")
    file = safetensors.numpy.load_file(tmp_path / "net.safetensors")
    names = {value.name for value in session.get_inputs()} - {"input"}
    assert names >= {"module.embedding.weight", "module.factors"}
    assert "module.head.weight" not in names
    outputs = session.run(None, {n: file[n] for n in names} | {"input": x.numpy()})
    for got, expected in zip(outputs, net(x).values(), strict=True):
        torch.testing.assert_close(torch.from_numpy(got), expected.detach(), atol=1e-4, rtol=0)


def test_an_output_with_the_name_of_an_input_gets_another():
    session = session_of(export.onnx_bytes(sn.Subspace(Tied(), 10), {"x": torch.ones(2, 3).int()}))
    assert [value.name for value in session.get_outputs()] == ["output_x", "output_omega"]


@pytest.mark.parametrize("wrap", [lambda module: module, lambda module: sn.Subspace(module, 10)])
def test_an_export_leaves_the_modes_as_they_were(wrap):
    module = wrap(nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)))
    next(part for part in module.modules() if isinstance(part, nn.Dropout)).eval()
    before, x = [part.training for part in module.modules()], torch.rand(2, 6)
    assert export.onnx_difference(export.onnx_bytes(module, x), module, x) < 1e-5
    assert [part.training for part in module.modules()] == before


def test_what_is_no_tensor_is_no_example():
    with pytest.raises(InputError, match=r"Expected an example of tensors, got float, ndarray\."):
        export.onnx_bytes(nn.Linear(3, 2), [1.0, torch.zeros(2, 3).numpy()])


def test_what_onnxruntime_cannot_run_is_told():
    module, x = nn.Linear(6, 4).bfloat16(), torch.rand(2, 6).bfloat16()
    content = export.onnx_bytes(module, x)
    with pytest.raises(InputError, match=r"onnxruntime cannot run this model: .* in float32\."):
        export.onnx_difference(content, module, x)


def test_a_weight_takes_two_bytes_more_with_omega_as_an_input():
    net = sn.Subspace(nn.Linear(300, 100), 1000)
    sizes = [len(export.onnx_bytes(m, torch.rand(2, 300))) for m in (net, net.merge())]
    assert sizes[0] - sizes[1] < 2 * net.D + 8_000


def test_what_pytorch_cannot_export_is_told_in_a_line(capfd):
    with pytest.raises(InputError, match="cannot export this module to ONNX: ") as caught:
        export.onnx_bytes(Branching(), torch.zeros(2, 3))
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("call", [
    lambda: export.onnx_bytes(nn.Linear(3, 2), torch.zeros(2, 3)),
    lambda: export.onnx_difference(b"", nn.Linear(3, 2), torch.zeros(2, 3)),
])  # fmt: skip
def test_without_the_extra(call, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'subspace-nn\[onnx\]'"):
        call()
