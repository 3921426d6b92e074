"""The indices of `hashed`, computed piece by piece with a few additions per weight."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from subspace_nn import bits

#: Indices computed at a time on a CPU; they stay in its cache.
_CHUNK = 1 << 18
#: The same on other devices, where starting an operation takes as long as this many indices.
_WIDE_CHUNK = 1 << 22
#: Blocks whose hashes are drawn at a time.
_BAND = 1 << 15
#: Largest length of a row.
_ROW = 512


class AffineHash:
    """The parameter k = (a_b j + c_b) mod d and the sign of each weight, as `Hashed` defines them.

    A remainder per weight would take longer than everything else. So the places of a block are
    arranged in rows of m, and for j = m u + v

        k = (A_u + C_v) mod d,    A_u = (a m u + c) mod d,    C_v = (a v) mod d

    The remainder of the sum is not taken: the indices point into two consecutive copies of ω. The
    signs come eight at a time from a table with the bits of each byte.

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
            The weights, and their indices, int32 (int64 from d = 2^29 on). The next indices
            overwrite them.
        """
        dtype = torch.int32 if self.dim < 1 << 29 else torch.int64
        # Buffers are reused: new memory from the system would take longer than all these sums.
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
        """Cut weights into pieces of some whole blocks, or of a part of one block.

        Args:
            device: where to compute.
            rows: which weights.

        Yields:
            The weights, their blocks, and their places in each block. The last block may extend
            beyond the weights.
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
            blocks: numbers of the blocks.
            device: where to compute.

        Returns:
            a_b, the first candidate of each block that is coprime to d, and c_b: int64
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
    """Words of a stream at any indices, int64; `bits.words` takes consecutive indices only."""
    first = bits._signed(bits.key(seed, stream))
    return bits._mix((index + 1) * bits._signed(bits._GAMMA) + first)
