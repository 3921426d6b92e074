"""Normal numbers with the same bits everywhere, and a test for tensors that hold such numbers.

`bits.normal` uses ln, cos and sin, which libraries round differently: the last bit of a float64,
and once in millions of numbers the last bit of a float32, depends on the machine. Initial weights
that are redrawn when a checkpoint is loaded must not. A sum of twelve uniform numbers is nearly
normal, and needs integers only.
"""

import math

import torch
from torch import Tensor

from subspace_nn import bits

#: Words per number; each gives two uniform numbers of 32 bits.
WORDS = 6

#: Numbers made at a time.
_CHUNK = 1 << 18


def twelve(seed: int, stream: str, start: int, count: int) -> Tensor:
    """Nearly standard normal numbers: the sum of twelve uniform numbers minus 6.

    With h_1 … h_12 the high and low halves of words 6i … 6i + 5 of the stream, number i is

        (h_1 + … + h_12 + 6) / 2^32 - 6

    which is exact in float64. Mean 0 and variance 1 - 2^-64; the fourth moment is 2.9, not 3, no
    number lies beyond ±6, and the density is within 0.0051 of the normal one.

    The arguments are those of `bits.words`, counted in numbers.

    Returns:
        float64 tensor of shape (count,) on the CPU.

    Example:
        >>> twelve(0, "example", 0, 3)
        tensor([-2.3902,  1.2553, -0.5483], dtype=torch.float64)
    """
    out = torch.empty(count, dtype=torch.float64, device="cpu")
    for part in out.split(bits.piece(_CHUNK)):
        words = bits.words(seed, stream, WORDS * start, WORDS * part.numel())
        halves = (words >> 32 & 0xFFFFFFFF) + (words & 0xFFFFFFFF)
        part.copy_(halves.view(-1, WORDS).sum(1).add_(6))
        start += part.numel()
    return out.mul_(2.0**-32).sub_(6)


def may_be_normal(tensor: Tensor) -> bool:
    """Whether a matrix may hold independent standard normal numbers, rows and columns alike.

    Each of these must be within six of its standard deviations: the mean; the second and fourth
    moments; the spread of the mean squares of rows, and of columns; the mean product of
    neighbours in a row, and in a column. Trained embeddings fail several: frequent words are
    longer than rare ones, and features differ in size and go together. So do embeddings that
    were scaled to mean 0 and deviation 1, as a whole or row by row.

    Args:
        tensor: shape (rows, columns).

    Returns:
        True if it may.
    """
    z = tensor.detach().double().cpu()
    rows, columns = z.shape
    n = z.numel()
    if not n:
        return True
    square = z.square()
    tests = [
        z.mean() * math.sqrt(n),
        (square.mean() - 1) * math.sqrt(n / 2),
        (square.square().mean() - 3) * math.sqrt(n / 96),
    ]
    for lines, size in ((square.sum(1), columns), (square.sum(0), rows)):
        # A sum s of `size` squares has mean `size`, variance v = 2 size and fourth central moment
        # 12 size² + 48 size, so that (s - size)²/v has mean 1 and variance 2 + 12/size.
        spread = (lines - size).square().mean() / (2 * size) - 1
        tests.append(spread * math.sqrt(len(lines) / (2 + 12 / size)))
    neighbours = (z[1:] * z[:-1], z[:, 1:] * z[:, :-1])
    tests += [p.mean() * math.sqrt(p.numel()) for p in neighbours if p.numel()]
    return all(abs(float(test)) <= 6 for test in tests)


__all__ = ["WORDS", "may_be_normal", "twelve"]
