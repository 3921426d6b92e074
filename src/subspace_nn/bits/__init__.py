"""Counter-based random integers: the only source of randomness in P, θ0 and the data's order.

Word `i` of the stream `(seed, name)` is a pure function of these three, computed in 64-bit integer
arithmetic. So it is the same on every device, torch version, number of threads and size of pieces.
`torch.randn` guarantees none of these.

The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014; the finaliser is variant 13 of Stafford, 2011), started at a key made
from seed and stream name. All arithmetic is modulo 2^64:

    mix(x)          x ^= x >> 30; x *= 0xBF58476D1CE4E5B9
                    x ^= x >> 27; x *= 0x94D049BB133111EB
                    x ^= x >> 31
    key(seed, name) mix(mix(seed) + FNV1a64(name in UTF-8))
    word(i)         mix(key + (i + 1) * 0x9E3779B97F4A7C15)

`docs/bits.md` specifies everything, with golden values, so that other languages can implement it.
"""

import math

import torch
from torch import Tensor

from subspace_nn.bits.pieces import piece, pieces_of
from subspace_nn.common.checks import plain, whole
from subspace_nn.common.errors import InputError

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_FNV_BASIS = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3

#: Words made at a time: they fit a processor's last cache and take few calls of torch.
_CHUNK = 1 << 17


def check_seed(seed: int) -> int:
    """Check that a seed is one the generator takes.

    Args:
        seed: any integer from 0 to 2^64 - 1.

    Returns:
        The seed, as Python's own number.

    Raises:
        InputError: if it is not.
    """
    if whole("seed", seed, 0, _MASK):
        raise InputError(f"seed must be a whole number from 0 to 2^64 - 1, got {plain(seed)!r}.")
    return plain(seed)


def key(seed: int, stream: str) -> int:
    """The 64-bit key of a stream: where its SplitMix64 sequence starts.

    Args:
        seed: any integer from 0 to 2^64 - 1.
        stream: the stream's name; different names give unrelated words.

    Returns:
        An integer from 0 to 2^64 - 1.

    Raises:
        InputError: if the seed is out of range.

    Example:
        >>> hex(key(0, "hashed/sign"))
        '0x8358ad763d130417'
    """
    fnv = _FNV_BASIS
    for byte in stream.encode():
        fnv = ((fnv ^ byte) * _FNV_PRIME) & _MASK
    return _mix_int((_mix_int(check_seed(seed)) + fnv) & _MASK)


def words(
    seed: int, stream: str, start: int, count: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Words `start` to `start + count - 1` of a stream, 64 random bits each.

    Args:
        seed: any integer from 0 to 2^64 - 1.
        stream: the stream's name.
        start: index of the first word, at least 0.
        count: number of words, at least 0.
        device: where to compute; the bits do not depend on it.

    Returns:
        int64 tensor of shape (count,): the bits of each word read as a two's-complement number.

    Raises:
        InputError: if the seed is out of range, or start or count is negative.

    Example:
        >>> words(0, "example", 0, 2).tolist()
        [-3536703953218066290, 4183030854424484083]
        >>> bool((words(0, "example", 1, 1) == words(0, "example", 0, 2)[1:]).all())
        True
    """
    start, count = plain(start), plain(count)
    if start < 0 or count < 0:
        raise InputError(f"start and count must not be negative, got {start} and {count}.")
    first = key(seed, stream)
    out = torch.empty(count, dtype=torch.int64, device=device)
    begin = 0
    for part in out.split(piece(_CHUNK)):
        torch.arange(part.numel(), out=part, device=out.device)
        offset = (first + (start + begin + 1) * _GAMMA) & _MASK
        _mix(part.mul_(_signed(_GAMMA)).add_(_signed(offset)))
        begin += part.numel()
    return out


def signs(
    seed: int, stream: str, start: int, count: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Random signs: sign `i` is bit `i mod 64` of word `i // 64`, 0 for +1 and 1 for -1.

    The arguments are those of `words`, counted in signs.

    Returns:
        int8 tensor of shape (count,), each entry -1 or +1.

    Example:
        >>> signs(0, "example", 0, 4).tolist()
        [1, -1, -1, -1]
    """
    first, skip = divmod(start, 64)
    source = words(seed, stream, first, (skip + count + 63) // 64, device)
    bit = torch.arange(64, device=source.device)
    ones = (source[:, None] >> bit).bitwise_and_(1).to(torch.int8).flatten()
    return ones[skip : skip + count].mul_(-2).add_(1)


def below(limit: int | Tensor, random: Tensor) -> Tensor:
    """Whole numbers from 0 to limit - 1: the upper 63 bits of each word, modulo the limit.

    Args:
        limit: from 1 to 2^63 - 1, or an int64 tensor of such.
        random: words, int64.

    Returns:
        int64 tensor of the shape of `random`.

    Example:
        >>> below(10, words(0, "example", 0, 4)).tolist()
        [3, 1, 9, 0]
    """
    return _shift_right(random, 1) % limit


def uniform(
    seed: int, stream: str, start: int, count: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Uniform numbers in the open interval (0, 1): u = ((word >> 12) + 1/2) / 2^52.

    The arguments are those of `words`, counted in numbers.

    Returns:
        float64 tensor of shape (count,); the bits are exact, for a float64 holds 52 bits and 1/2
        without rounding.

    Example:
        >>> uniform(0, "example", 0, 2)
        tensor([0.8083, 0.2268], dtype=torch.float64)
    """
    top = _shift_right(words(seed, stream, start, count, device), 12)
    return top.to(torch.float64).add_(0.5).mul_(2.0**-52)


def normal(
    seed: int, stream: str, start: int, count: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Standard normal numbers by the transform of Box and Muller (1958), two from each word.

    With h and l the high and low 32 bits of word j: r = sqrt(-2 ln((h + 1/2) / 2^32)),
    φ = 2π l / 2^32, and number 2j is r cos φ, number 2j + 1 is r sin φ.

    The arguments are those of `words`, counted in numbers.

    Returns:
        float64 tensor of shape (count,), the same everywhere to a relative 1e-14 of r: ln, cos
        and sin are not rounded alike by every library, all else is exact.

    Example:
        >>> normal(0, "example", 0, 2)
        tensor([0.3529, 0.5488], dtype=torch.float64)
    """
    first, skip = divmod(start, 2)
    source = words(seed, stream, first, (skip + count + 1) // 2, device)
    high = _shift_right(source, 32).to(torch.float64).add_(0.5).mul_(2.0**-32)
    angle = source.bitwise_and_(0xFFFFFFFF).to(torch.float64).mul_(2 * math.pi * 2.0**-32)
    radius = high.log_().mul_(-2).sqrt_()
    pairs = torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1)
    return pairs.flatten()[skip : skip + count]


def permutation(seed: int, stream: str, count: int, device: torch.device | str = "cpu") -> Tensor:
    """A random order of 0 … count - 1: the order that sorts the stream's first words.

    The words are compared as two's-complement numbers; should two be equal, the lower index
    comes first.

    Args:
        seed: any integer from 0 to 2^64 - 1.
        stream: the stream's name.
        count: length of the permutation, at least 0.
        device: where to compute.

    Returns:
        int64 tensor of shape (count,).

    Example:
        >>> permutation(0, "example", 5).tolist()
        [3, 0, 4, 2, 1]
    """
    return torch.sort(words(seed, stream, 0, count, device), stable=True).indices


def _mix_int(x: int) -> int:
    x = ((x ^ (x >> 30)) * _MIX_1) & _MASK
    x = ((x ^ (x >> 27)) * _MIX_2) & _MASK
    return x ^ (x >> 31)


def _mix(x: Tensor) -> Tensor:
    """`_mix_int` in place on int64, whose products wrap modulo 2^64 as unsigned ones do."""
    x ^= _shift_right(x, 30)
    x *= _signed(_MIX_1)
    x ^= _shift_right(x, 27)
    x *= _signed(_MIX_2)
    x ^= _shift_right(x, 31)
    return x


def _shift_right(x: Tensor, by: int) -> Tensor:
    """Logical shift: int64's own shift copies the sign bit in from the left, so mask it away."""
    return (x >> by).bitwise_and_((1 << (64 - by)) - 1)


def _signed(x: int) -> int:
    return x - (1 << 64) if x >> 63 else x


__all__ = [
    "below",
    "check_seed",
    "key",
    "normal",
    "permutation",
    "piece",
    "pieces_of",
    "signs",
    "uniform",
    "words",
]
