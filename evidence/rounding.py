"""What rounding ω costs in accuracy, by the size of the blocks and the choice of their scales.

    for seed in 0 1 2; do
        subspace-nn train --model conv --dim 1000 --seed $seed --threads 1 --out runs/conv-$seed
    done
    python evidence/rounding.py runs/conv-?/omega.safetensors

Prints, for each way, the relative error of ω and the test images of 10,000 that are classified
right, a column for each checkpoint. `farthest` gives the number of a block that is farthest from
zero the lowest code, which is what `format.packing` does with blocks of 64 (int8) and 32
(int4); `squares` takes of 26 scales from 0.6 to 1.1 times that, with both signs, the one of least
squares.
"""

import sys

import torch
from torch import Tensor

import subspace_nn as sn
from subspace_nn.tasks.classifier import count_correct
from subspace_nn.tasks.data import Split, mnist

WAYS = [(bits, block) for bits in (8, 4) for block in (32, 64, 1000)]


def main() -> None:
    """Print the table of the checkpoints named on the command line."""
    nets = [sn.load(path) for path in sys.argv[1:]]
    test = mnist().test
    print("float", *(count_correct(net, test)[0] for net in nets), sep="\t")
    for bits, block in WAYS:
        for choice, factors in (("farthest", [1.0]), ("squares", squares())):
            cells = [cell(net, test, bits, block, factors) for net in nets]
            print(f"int{bits}", f"blocks of {block}", choice, *cells, sep="\t")


def squares() -> list[float]:
    """The factors that are tried, with both signs."""
    factors = torch.linspace(0.6, 1.1, 26).tolist()
    return factors + [-factor for factor in factors]


def cell(net: sn.Subspace, test: Split, bits: int, block: int, factors: list[float]) -> str:
    """Relative error and images right of one net; it is as before afterwards."""
    omega = net.omega.detach().clone()
    rounded = round_(omega, bits, block, factors)
    net.omega.data.copy_(rounded)
    correct, _ = count_correct(net, test)
    net.omega.data.copy_(omega)
    return f"{float((rounded - omega).norm() / omega.norm()):.4f} {correct}"


def round_(omega: Tensor, bits: int, block: int, factors: list[float]) -> Tensor:
    """ω of codes and scales, each block with the best of its scales; float64 (d,)."""
    low = -(1 << bits - 1)
    parts = []
    for part in omega.double().split(block):
        scale = part[part.abs().argmax()] / low
        scales = torch.tensor(factors).double().mul(scale).to(torch.bfloat16).double()[:, None]
        tried = (part / scales).round().clamp(low, -low - 1) * scales
        parts.append(tried[(tried - part).square().sum(1).argmin()])
    return torch.cat(parts)


if __name__ == "__main__":
    main()
