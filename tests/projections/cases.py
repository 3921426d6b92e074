"""Projections that laws and digests run over, by name: every kind, and maps made of maps.

    python -m tests.projections.cases [device]

prints digests of each as JSON: of P itself, and of P ω as the device computes it.
"""

import hashlib
import json
import sys

import torch

from subspace_nn import bits
from subspace_nn.projections import (
    KINDS,
    BlockDiagonal,
    Composition,
    Fastfood,
    Gaussian,
    Hadamard,
    Hashed,
    HStack,
    Identity,
    Kronecker,
    Layerwise,
    Orthonormal,
    Sparse,
    Sum,
    make,
)

#: Layers a, b and c, with a tensor of one weight and a layer of two tensors.
TENSORS = {"a.weight": 45, "a.bias": 1, "b.one.weight": 30, "b.one.bias": 6, "b.two.weight": 15}
D = sum(TENSORS.values())


def _layerwise(name, dim, seed=7):
    return lambda: make(f"layerwise:{name}", D, dim, seed, tensors=TENSORS)


LAYERWISE = {
    f"layerwise {name} {dim}": _layerwise(name, dim)
    for name, dim in [
        ("hashed", 31),
        ("hashed", 5),
        ("hashed", D),
        ("hashed", D - 1),
        ("identity", D),
        ("sparse:layer", 31),
        ("hadamard:1:root", 31),
        ("fastfood:equal", 40),
        ("kronecker:root", 20),
        ("gaussian:layer:equal", 16),
        ("orthonormal:2", 32),
    ]
}
COMBINED = {
    "sum": lambda: Sum(Gaussian(97, 31), Hadamard(97, 31)),
    "portable sum": lambda: Hashed(100, 10) + Hadamard(100, 10, 1),
    "hstack": lambda: Hashed(97, 20) | Hadamard(97, 10) | Sparse(97, 1),
    "hstack of one map twice": lambda: HStack(Hashed(64, 20), Hashed(64, 20)),
    "block-diagonal": lambda: BlockDiagonal(Hashed(60, 7), Identity(5, 5), Kronecker(36, 4)),
    "composition": lambda: Composition(Hashed(101, 50), Hadamard(50, 10)),
    "composition of inexact maps": lambda: Gaussian(97, 31) @ Fastfood(31, 5),
    "nested": lambda: (Hadamard(97, 31) | Hashed(97, 10)) @ Hadamard(41, 7),
}
ANCHORED = {
    "orthonormal, anchored": lambda: Orthonormal(
        50, 7, seed=3, anchor=bits.uniform(0, "example", 0, 50)
    )
}


def _kind(kind, size, dim):
    return lambda: make(kind, size, dim, 7)


#: Every kind at one size, and at one at which threads share the work.
KIND = {k: _kind(k, 97, 97 if k == "identity" else 31) for k in KINDS}
LARGE = {f"{k}, large": _kind(k, 70_001, 70_001 if k == "identity" else 9) for k in KINDS}
LARGE["layerwise, large"] = lambda: Layerwise(70_001, 9, tensors={"a": 70_000, "b": 1})

CASES = {**KIND, **LAYERWISE, **COMBINED, **ANCHORED}


def digest(x):
    """16 hexadecimal digits of a tensor's float64 values, to the bit."""
    return hashlib.sha256(x.detach().cpu().double().numpy().astype("<f8").tobytes()).hexdigest()[
        :16
    ]


def digests(P, device="cpu"):
    """What P is, as far as it is the same everywhere; floats are the same to a tolerance."""
    dtypes = (torch.float16, torch.bfloat16, torch.float32)
    if device != "mps":
        dtypes = (*dtypes, torch.float64)
    omega = bits.uniform(0, "example", 0, P.dim) - 0.5  # linspace depends on the processor
    if not P.portable:
        return [P.fingerprint(), *P.sketch()]
    return [P.fingerprint(), *(digest(P @ omega.to(device, dtype)) for dtype in dtypes)]


if __name__ == "__main__":
    where = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    found = {name: digests(make_one(), where) for name, make_one in (CASES | LARGE).items()}
    json.dump({"capability": torch.backends.cpu.get_cpu_capability(), "found": found}, sys.stdout)
