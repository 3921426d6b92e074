"""The Python of the pages of docs/frameworks, run as it stands there."""

import re
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "frameworks"


def blocks(path):
    """The Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def run(name, **given):
    """Run the Python of a page with some names given; all names that it leaves."""
    path = FOLDER / f"{name}.md"
    exec(compile("\n".join(blocks(path)), path, "exec"), given)  # noqa: S102
    return given


def make_model():
    """A small module with buffers and a head."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def data(n=64):
    """Inputs, and classes that can be learned."""
    x = torch.randn(n, 8, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def loader():
    """The same in batches of 16."""
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data()), batch_size=16)
