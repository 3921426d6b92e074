"""Modules that are hard to wrap, each with an input: the cases that many laws run over."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class Tied(nn.Module):
    """One weight in two layers, as an embedding and its output layer share it."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(6, 4, bias=False)
        self.decode = nn.Linear(4, 6)
        self.decode.weight = nn.Parameter(self.encode.weight.T.contiguous())
        self.again = nn.Linear(6, 4)
        self.again.weight = self.encode.weight

    def forward(self, x):
        return self.decode(self.encode(x)) + self.decode(self.again(x))


class SharedSubmodule(nn.Module):
    """One submodule under two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.second = self.first
        self.rest = nn.Sequential(self.first, nn.Tanh(), nn.Linear(5, 2))

    def forward(self, x):
        return self.rest(self.second(x))


class Frozen(nn.Module):
    """Some parameters do not train."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(5, 7).requires_grad_(requires_grad=False)
        self.head = nn.Linear(7, 3)

    def forward(self, x):
        return self.head(self.body(x).relu())


class Recurrent(nn.Module):
    """An LSTM returns a tuple and keeps a flat list of its weights."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 6, num_layers=2, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class Attention(nn.Module):
    """Attention with a norm, and keyword arguments."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        return self.norm(self.attention(query=x, key=x, value=x, need_weights=False)[0])


class FrozenTied(nn.Module):
    """Two frozen parameters that are one, and a submodule with buffers under two names."""

    def __init__(self):
        super().__init__()
        self.one = nn.Linear(5, 5).requires_grad_(requires_grad=False)
        self.two = nn.Linear(5, 5, bias=False)
        self.two.weight = self.one.weight
        self.norm = nn.BatchNorm1d(5)
        self.same_norm = self.norm
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.same_norm(self.two(self.norm(self.one(x)))))


def _batchnorm():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


@dataclass(frozen=True)
class Case:
    """A module's maker and an input for it."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]

    def input(self, n: int = 4) -> Tensor:
        """n examples, always the same."""
        return torch.randn(n, *self.shape, generator=torch.Generator().manual_seed(0))

    def train(self, net: nn.Module, steps: int) -> list[float]:
        """Losses while the outputs are drawn towards 0.1, under the same dropout in each step."""
        optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
        losses = []
        for _ in range(steps):
            torch.manual_seed(0)
            loss = (net(self.input()) - 0.1).square().mean()
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return losses


CASES = {
    "linear": Case(lambda: nn.Linear(6, 5), (6,)),
    "conv, batchnorm": Case(_batchnorm, (2, 6, 6)),
    "groupnorm": Case(lambda: nn.Sequential(nn.Conv1d(4, 6, 2), nn.GroupNorm(2, 6)), (4, 5)),
    "transposed conv": Case(lambda: nn.ConvTranspose2d(2, 3, 2), (2, 4, 4)),
    "dropout": Case(lambda: nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5)), (6,)),
    "tied weights": Case(Tied, (6,)),
    "shared submodule": Case(SharedSubmodule, (5,)),
    "frozen body": Case(Frozen, (5,)),
    "frozen and tied": Case(FrozenTied, (5,)),
    "weight norm": Case(lambda: weight_norm(nn.Linear(6, 4)), (6,)),
    "lstm": Case(Recurrent, (3, 4)),
    "attention": Case(Attention, (3, 8)),
    "transformer layer": Case(
        lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), (3, 8)
    ),
}
