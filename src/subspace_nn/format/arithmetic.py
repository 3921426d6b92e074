"""An adaptive arithmetic code in integers of 32 bits, which ten lines of any language repeat.

A range coder (Martin, "Range encoding", 1979) over counts that adapt: all start at 1, each symbol
adds 2 to its own, which is the estimator of Krichevsky and Trofimov (1981) in integers.
"""

import bisect
import itertools
from collections.abc import Iterable, Iterator

#: When the sum of the counts is above this, each is halved, rounded up.
_MOST = 1 << 16

#: The range is kept at or above this, byte by byte.
_LEAST = 1 << 24

_WORD = (1 << 32) - 1


def encode(symbols: Iterable[int], size: int) -> bytes:
    """The shortest code: bytes of zero at its end are left out.

    Args:
        symbols: each from 0 to `size` - 1.
        size: number of symbols of the alphabet.

    Returns:
        Its bytes.

    Example:
        >>> encode([1, 1, 0, 1, 1, 1, 2, 1], 3).hex()
        '6c3d'
    """
    low, span, out = 0, _WORD, bytearray()
    counts = _Counts(size)
    for symbol in symbols:
        unit = span // counts.total
        low, span = low + unit * counts.below(symbol), unit * counts.of[symbol]
        counts.add(symbol)
        while span < _LEAST:
            low, span = _shift(low, out), span << 8
    # The number in [low, low + span) that ends in most zeros.
    keep = max(bits for bits in range(0, 40, 8) if -(-low >> bits) << bits < low + span)
    low = -(-low >> keep) << keep
    for _ in range(4):
        low = _shift(low, out)
    return bytes(out).rstrip(b"\0")


def decode(code: bytes, count: int, size: int) -> Iterator[int]:
    """The symbols of a code; behind its end a code goes on with zeros.

    Args:
        code: the bytes.
        count: number of symbols.
        size: number of symbols of the alphabet.

    Yields:
        The symbols. Any bytes give some: encoding again shows whether they are a code.

    Example:
        >>> list(decode(bytes.fromhex("6c3d"), 8, 3))
        [1, 1, 0, 1, 1, 1, 2, 1]
    """
    value, place, span = int.from_bytes(code[:4].ljust(4, b"\0"), "big"), 4, _WORD
    counts = _Counts(size)
    for _ in range(count):
        unit = span // counts.total
        symbol, below = counts.find(value // unit)
        value, span = value - unit * below, unit * counts.of[symbol]
        counts.add(symbol)
        yield symbol
        while span < _LEAST:
            byte = code[place] if place < len(code) else 0
            value, span, place = (value << 8 | byte) & _WORD, span << 8, place + 1


class _Counts:
    """The counts of the symbols so far."""

    def __init__(self, size: int) -> None:
        self.of, self.total = [1] * size, size

    def below(self, symbol: int) -> int:
        return sum(self.of[:symbol])

    def find(self, place: int) -> tuple[int, int]:
        """The symbol whose counts cover a place, the last one for a place behind them all."""
        ends = list(itertools.accumulate(self.of))
        symbol = min(bisect.bisect_right(ends, place), len(ends) - 1)
        return symbol, ends[symbol] - self.of[symbol]

    def add(self, symbol: int) -> None:
        self.of[symbol] += 2
        self.total += 2
        if self.total > _MOST:
            self.of = [(count + 1) // 2 for count in self.of]
            self.total = sum(self.of)


def _shift(low: int, out: bytearray) -> int:
    """Move the top byte of `low` out, and carry into the bytes before; returns the rest."""
    if low > _WORD:
        place = len(out) - 1
        while out[place] == 255:
            out[place] = 0
            place -= 1
        out[place] += 1
    out.append(low >> 24 & 255)
    return (low & _LEAST - 1) << 8
