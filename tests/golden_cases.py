"""The golden files: checkpoints that were written once and must load for ever.

    python -m tests.golden_cases

writes those that are not there yet, and says in `expected.json` what they hold. It never writes
one again: a file that was once released is the format.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

import subspace_nn as sn
from subspace_nn import models
from subspace_nn.format import container
from subspace_nn.projections import Columns, Dense, Pieces
from tests.modules import Frozen

FOLDER = Path(__file__).with_name("golden")
EXPECTED = FOLDER / "expected.json"


class Tied(nn.Module):
    """One weight in two layers."""

    def __init__(self):
        super().__init__()
        self.there = nn.Linear(6, 6)
        self.back = nn.Linear(6, 6)
        self.back.weight = self.there.weight

    def forward(self, x):
        return self.back(self.there(x).tanh())


def mlp():
    return nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 4))


def normed():
    return nn.Sequential(nn.Conv1d(3, 6, 2), nn.BatchNorm1d(6), nn.Flatten(), nn.Linear(24, 3))


def filled(module):
    """The module with weights that are not of an initialiser: a pretrained one."""
    with torch.no_grad():
        for number, tensor in enumerate(module.state_dict().values()):
            if tensor.is_floating_point():
                index = torch.arange(tensor.numel(), dtype=torch.float64)
                values = (index * (37 + number) + 11) % 101 / 64 - 0.75
                tensor.copy_(values.view(tensor.shape))
    return module


def matrix():
    """Of shape (140, 9), with columns of unit norm: numbers of float32 exactly."""
    one = torch.eye(140, dtype=torch.float32)
    return (one[:, :9] + one[:, 20:29] + one[:, 40:49] - one[:, 60:69]) / 2


@dataclass(frozen=True)
class Golden:
    """How a file was made, and the module it is loaded into."""

    make: Callable[[], nn.Module] | None = mlp
    dim: int = 21
    options: dict = field(default_factory=dict)
    dtype: str | None = None
    base: str | None = None
    build: Callable[[], nn.Module] | None = None  # where the file names the module itself
    suffix: str = ".safetensors"
    seeds: tuple[int, ...] = ()  # of later stages

    def net(self):
        """The net that was saved; its ω are multiples of 1/64."""
        net = sn.Subspace((self.build or self.make)(), self.dim, **self.options)
        index = torch.arange(self.dim, dtype=torch.float64)
        for seed in (None, *self.seeds):
            if seed is not None:
                net.next_stage(seed)
            with torch.no_grad():
                net.omega.copy_((index * 29 + 5) % 67 / 64 - 0.5)
        return net

    def module(self):
        return None if self.make is None else self.make()

    def load(self, path):
        return sn.load(path, self.module())


CASES = {
    "hashed": Golden(),
    "sparse": Golden(dim=45, options={"projection": "sparse"}),
    "hadamard": Golden(options={"projection": "hadamard", "seed": 2**64 - 1}),
    "fastfood": Golden(options={"projection": "fastfood"}),
    "kronecker": Golden(options={"projection": "kronecker"}),
    "gaussian": Golden(options={"projection": "gaussian"}),
    "orthonormal": Golden(options={"projection": "orthonormal"}),
    "orthonormal-plain": Golden(options={"projection": "orthonormal:plain"}),
    "identity": Golden(dim=140, options={"projection": "identity"}),
    "layerwise": Golden(options={"projection": "layerwise:hadamard:layer:root"}),
    "scale-none": Golden(options={"scale": "none"}),
    "scale-learned": Golden(options={"scale": "learned"}),
    "theta0-file": Golden(lambda: filled(mlp())),
    "theta0-base": Golden(lambda: filled(Frozen()), 9, base="a-publisher/a-model"),
    "frozen": Golden(lambda: filled(Frozen()), 9),
    "selection": Golden(lambda: filled(mlp()), options={"exclude": ["0.bias"], "train": ["2"]}),
    "buffers": Golden(lambda: filled(normed())),
    "tied": Golden(Tied, 10),
    "float64": Golden(lambda: mlp().double()),
    "bfloat16": Golden(lambda: mlp().bfloat16()),
    "to-float32": Golden(lambda: mlp().double(), dtype="float32"),
    "to-float16": Golden(dtype="float16"),
    "to-bfloat16": Golden(dtype="bfloat16"),
    "to-int8": Golden(dim=67, dtype="int8"),
    "to-int4": Golden(dim=67, dtype="int4"),
    "to-coded": Golden(dim=67, dtype="coded"),
    "compact": Golden(dim=67, dtype="coded", suffix=".snn", options={"seed": 3}),
    "compact-zoo": Golden(
        None, 30, dtype="coded", suffix=".snn", build=lambda: models.build("conv-6-6")
    ),
    "stages": Golden(seeds=(7, 2**64 - 1)),
    "stages-base": Golden(lambda: filled(Frozen()), 9, base="a-publisher/a-model", seeds=(1,)),
    "stages-learned": Golden(lambda: mlp().double(), options={"scale": "learned"}, seeds=(1,)),
    "stages-zoo": Golden(None, 30, seeds=(5,), build=lambda: models.build("conv-6-6")),
    "dense": Golden(dim=9, options={"projection": Dense(matrix(), in_file=True)}),
    "pieces": Golden(
        dim=9, options={"projection": Pieces(torch.arange(1.0, 141), 9, 3, in_file=True)}
    ),
    "columns": Golden(dim=5, options={"projection": Columns(140, [0, 127, 3, 64, 65], 3)}),
    "zoo": Golden(None, 30, dtype="int8", build=lambda: models.build("conv-6-6")),
    "zoo-float16": Golden(None, 30, build=lambda: models.build("conv-6-6").half()),
}


def path_of(name):
    return FOLDER / f"{name}{CASES[name].suffix}"


def summary(net):
    """What a net is, for comparison: digests, and θ itself for kinds that are the same nearly."""
    theta, portable = net.theta().detach(), net.projection.portable
    rest = {n: t for n, t in net.state_dict().items() if not n.startswith("module.subspace_")}
    return {
        "D": net.D,
        "projection": net.projection.label,
        "omega": container.fingerprint({"omega": net.omega}),
        "theta": container.fingerprint({"theta": theta}) if portable else theta.tolist(),
        "rest": container.fingerprint(rest),
    }


def main():
    expected = json.loads(EXPECTED.read_text("utf-8")) if EXPECTED.exists() else {}
    FOLDER.mkdir(exist_ok=True)
    for name, case in CASES.items():
        path = path_of(name)
        if not path.exists():
            case.net().save(path, dtype=case.dtype, base=case.base)
            expected[name] = {
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                **summary(case.load(path)),
            }
            print(f"{path.name}: {path.stat().st_size:,} bytes")  # noqa: T201
    EXPECTED.write_text(json.dumps(expected, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
