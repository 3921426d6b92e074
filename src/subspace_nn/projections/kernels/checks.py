"""Whether kernels give the right bits on a device."""

from typing import Any

import torch

from subspace_nn import bits
from subspace_nn.projections._affine import AffineHash


def check(kernel: Any, device: torch.device) -> None:
    """Compare a kernel with plain torch on a small map.

    Args:
        kernel: a class, made of hashes and norms.
        device: that computes.

    Raises:
        RuntimeError: if any bit differs.
    """
    D, dim = 192, 80
    hashes, i = AffineHash(D, dim, 0), torch.arange(D, device=device)
    a, c = hashes.hashes(range(hashes.blocks), device)
    k = (a[i // dim] * (i % dim) + c[i // dim]) % dim
    sign = bits.signs(0, "hashed/sign", 0, D, device).float()
    values = torch.arange(1.0, dim + 1, device=device)
    theta, sums = values[k] * sign, torch.zeros(dim, device=device)
    for block in range(0, D, dim):  # in which no parameter occurs twice
        sums[k[block : block + dim]] += sign[block : block + dim]
    blocks, rows = kernel.of(hashes, torch.ones_like(values).double()), slice(0, D)
    exact = torch.equal(blocks.place(values, rows), theta)
    exact &= torch.equal(blocks.place(values, rows, theta), 2 * theta)
    if not (exact and torch.equal(blocks.collect(torch.ones_like(theta), rows), sums)):
        raise RuntimeError("the kernels of `hashed` gave other numbers than plain torch.")


def check_transform(module: Any, device: torch.device) -> None:
    """Compare transforms with their definition: one that fits in a cache, and one that does not.

    Args:
        module: `walsh` or `transforms`.
        device: that computes.

    Raises:
        RuntimeError: if any bit differs.
    """
    for n in (1 << 6, 1 << 15):
        x = torch.arange(2.0 * n, device=device) % 5
        got, expected, h = torch.empty_like(x), x, 1
        module.fwht(x, got, n)
        while h < n:
            a, b = expected.view(-1, 2, h).unbind(1)
            expected, h = torch.stack((a + b, a - b), 1).flatten(), 2 * h
        if not torch.equal(got, expected):
            raise RuntimeError("the kernels of transforms gave other numbers than plain torch.")
