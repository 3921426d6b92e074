"""Exports: what they refuse. What they compute is held by tests/test_cli_files.py."""

import pytest
import torch
from torch import nn

from subspace_nn import InputError
from subspace_nn.checkpoint import export


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


@pytest.mark.parametrize("kind", [tuple, dict])
def test_other_outputs_than_a_tensor_are_refused(kind):
    with pytest.raises(InputError, match=f"returns one tensor, got {kind.__name__}"):
        export.onnx_bytes(Several(kind), torch.zeros(2, 3))


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
