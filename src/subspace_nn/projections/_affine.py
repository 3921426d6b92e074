"""The indices of `hashed`, made piece by piece at the cost of a few additions a weight."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from subspace_nn import bits

#: Indices made at a time on a CPU, whose cache they stay in.
_CHUNK = 1 << 18
#: The same on other devices, where to start an operation takes as long as so many indices.
_WIDE_CHUNK = 1 << 22
#: Blocks whose hashes are drawn at a time.
_BAND = 1 << 15
#: Places of a row at most.
_ROW = 512


class AffineHash:
    """The parameter k = (a_b j + c_b) mod d and the sign of each weight, as `Hashed` tells.

    A remainder for each weight would take longer than all the rest. So the places of a block are
    laid out in rows of m, and for j = m u + v

        k = (A_u + C_v) mod d,    A_u = (a m u + c) mod d,    C_v = (a v) mod d

    where the remainder of the sum is left out: the indices point into two copies of ω, one behind
    the other. The signs come eight at a time, from a table of the bits of all bytes.

    Args:
        D: number of weights.
        dim: number of parameters d.
        seed: of the hashes.
    """

    def __init__(self, D: int, dim: int, seed: int) -> None:
        self.D, self.dim, self.seed = D, dim, seed
        self.blocks = -(-D // dim)

    def indices(self, device: torch.device, rows: slice) -> Iterator[tuple[slice, Tensor]]:
        """The index of each weight into [ω, ω, -ω, -ω], piece by piece.

        Args:
            device: where to compute.
            rows: which weights.

        Yields:
            Which weights, and their indices, int32 (int64 from d = 2^29 on), which the next ones
            overwrite.
        """
        dtype = torch.int32 if self.dim < 1 << 29 else torch.int64
        # Used again and again: the system takes longer to hand out new memory than all sums here.
        k, sign, index = (torch.empty(0, dtype=dtype, device=device) for _ in range(3))
        m = min(math.isqrt(self.dim - 1) + 1, _ROW)
        columns = torch.arange(m, device=device)
        drawn, multipliers, offsets = range(0), columns, columns
        for weights, blocks, places in self.pieces(device, rows):
            if blocks.stop > drawn.stop:
                last, band = -(-rows.stop // self.dim), bits.piece(_BAND)
                drawn = range(blocks.start, max(blocks.stop, min(blocks.start + band, last)))
                multipliers, offsets = self.hashes(drawn, device)
            own = slice(blocks.start - drawn.start, blocks.stop - drawn.start)
            a, c = multipliers[own, None], offsets[own, None]
            firsts = torch.arange(places.start, places.stop, m, device=device)
            A = ((a * firsts + c) % self.dim).to(dtype)
            C = (a * columns % self.dim).to(dtype)
            torch.add(A[:, :, None], C[:, None], out=k.resize_(len(blocks), len(firsts), m))

            shape = len(blocks), len(places)
            negative = self._negative(weights.start, math.prod(shape), device)
            sign.resize_(shape).copy_(negative.view(shape))
            sums = k.view(len(blocks), -1)[:, : len(places)]
            torch.add(sums, sign, alpha=2 * self.dim, out=index.resize_(shape))
            yield weights, index.view(-1)[: weights.stop - weights.start]

    def pieces(self, device: torch.device, rows: slice) -> Iterator[tuple[slice, range, range]]:
        """Cut weights into pieces to work on: some whole blocks, or a part of one.

        Args:
            device: that works.
            rows: which weights.

        Yields:
            Which weights, their blocks, and their places in each. The last block may end beyond
            the weights.
        """
        chunk = bits.piece(_CHUNK if device.type == "cpu" else _WIDE_CHUNK)
        begin = rows.start
        while begin < rows.stop:
            block, place = divmod(begin, self.dim)
            left = rows.stop - begin
            count = 1 if place else max(1, min(chunk, left + self.dim - 1) // self.dim)
            width = min(chunk, left, self.dim - place) if count == 1 else self.dim
            end = min(begin + count * width, rows.stop)
            yield slice(begin, end), range(block, block + count), range(place, place + width)
            begin = end

    def hashes(self, blocks: range, device: torch.device) -> tuple[Tensor, Tensor]:
        """Multipliers and offsets of blocks.

        Args:
            blocks: which.
            device: where to compute.

        Returns:
            a_b, for each block the first of its candidates that is coprime to d, and c_b: int64
            (len(blocks),).
        """
        where = blocks.start, len(blocks), device
        offset = bits.below(self.dim, bits.words(self.seed, "hashed/offset", *where))
        multiplier, dim = torch.empty_like(offset), torch.tensor(self.dim, device=device)
        open_ = torch.arange(len(blocks), device=device)
        trial = 0
        while len(open_):
            words = _words_at(self.seed, f"hashed/multiplier/{trial}", open_ + blocks.start)
            candidate = bits.below(self.dim, words)
            multiplier[open_] = candidate
            open_ = open_[torch.gcd(candidate, dim) > 1]
            trial += 1
        return multiplier, offset

    def _negative(self, begin: int, count: int, device: torch.device) -> Tensor:
        """1 where `bits.signs` is -1, else 0: int8 (count,)."""
        first, skip = divmod(begin, 64)
        words = bits.words(self.seed, "hashed/sign", first, -(-(skip + count) // 64), device)
        bit = torch.arange(8, device=device)
        bytes_ = (words[:, None] >> 8 * bit).bitwise_and_(255).flatten()
        table = (torch.arange(256, device=device)[:, None] >> bit).bitwise_and_(1).to(torch.int8)
        eight = table.view(torch.int64).flatten().index_select(0, bytes_)
        return eight.view(torch.int8)[skip : skip + count]


def _words_at(seed: int, stream: str, index: Tensor) -> Tensor:
    """Words of a stream with any indices, int64; `bits.words` makes those of consecutive ones."""
    first = bits._signed(bits.key(seed, stream))
    return bits._mix((index + 1) * bits._signed(bits._GAMMA) + first)
