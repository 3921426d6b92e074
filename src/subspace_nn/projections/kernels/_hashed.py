"""The two programs of `hashed` that run on a GPU, in Triton's language; `hashed.py` starts them."""

import triton
import triton.language as tl

from subspace_nn import bits

_GAMMA = tl.constexpr(bits._GAMMA)
_MIX_1 = tl.constexpr(bits._MIX_1)
_MIX_2 = tl.constexpr(bits._MIX_2)


# Where it starts and stops is specialised: 16 bytes are loaded at once where both allow for it.
@triton.jit(do_not_specialize=["count", "key", "dim", "magic", "shift", "tiles"])
def place(
    out,
    origin,
    values,
    hashes,
    count: tl.int32,
    key: tl.uint64,
    start: tl.int64,
    stop: tl.int64,
    dim: tl.uint32,
    magic: tl.uint32,
    shift: tl.uint32,
    tiles: tl.int32,
    ADD: tl.constexpr,
    WORDS: tl.constexpr,
):
    row, tile = _split(tl.program_id(0), tiles)
    first = start // 64 + tile.to(tl.int64) * WORDS
    word = _word(key, first + tl.arange(0, WORDS))
    bit = tl.arange(0, 64)[None, :]
    sign = tl.where((word[:, None] >> bit.to(tl.uint64)) & 1 != 0, -1.0, 1.0)

    local = tl.arange(0, WORDS)[:, None] * 64 + bit
    begin = first * 64
    inside = (local >= start - begin) & (local < stop - begin)
    block = begin // dim.to(tl.int64)
    place = (begin - block * dim.to(tl.int64)).to(tl.uint32) + local.to(tl.uint32)
    after = tl.umulhi(place << 1, magic.to(tl.uint32)) >> shift.to(tl.uint32)
    hash = hashes + block + after
    a = tl.load(hash, mask=inside, other=0).to(tl.uint32, bitcast=True)
    quotient = tl.load(hash + count, mask=inside, other=0).to(tl.uint32, bitcast=True)
    c = tl.load(hash + 2 * count, mask=inside, other=0).to(tl.uint32, bitcast=True)
    k = _below(_times(a, quotient, place - after * dim, dim) + c, dim)

    value = tl.load(values + row.to(tl.int64) * dim + k, mask=inside, other=0)
    if value.dtype != tl.float64:
        value = value.to(tl.float32)
    value *= sign.to(value.dtype)  # exact: no bit depends on whether a sum is fused with it
    to = begin - start + local
    if ADD:
        theta0 = tl.load(origin + to, mask=inside, other=0)
        value = value + theta0  # in the wider dtype
    tl.store(
        out + row.to(tl.int64) * (stop - start) + to, value.to(out.dtype.element_ty), mask=inside
    )


@triton.jit(
    do_not_specialize=[
        "count",
        "key",
        "start",
        "stop",
        "dim",
        "first",
        "last",
        "tiles",
        "batch",
    ]
)
def collect(
    sums,
    gradient,
    hashes,
    count: tl.int32,
    key: tl.uint64,
    start: tl.int64,
    stop: tl.int64,
    dim: tl.uint32,
    first: tl.int32,
    last: tl.int32,
    tiles: tl.int32,
    batch: tl.int32,
    WIDTH: tl.constexpr,
    DEPTH: tl.constexpr,
):
    part, tile = _split(tl.program_id(0), tiles)
    split, row = _split(part, batch)
    k = (tile * WIDTH + tl.arange(0, WIDTH)).to(tl.uint32)
    begin = first + split * DEPTH
    gradient += row.to(tl.int64) * (stop - start)
    total = tl.full([WIDTH], 0, sums.dtype.element_ty)
    for step in range(DEPTH):
        block = tl.minimum(begin + step, last)  # beyond the last no weight is inside
        hash = hashes + tl.minimum(block, count - 1)
        inverse = tl.load(hash).to(tl.uint32, bitcast=True)
        quotient = tl.load(hash + count).to(tl.uint32, bitcast=True)
        c = tl.load(hash + 2 * count).to(tl.uint32, bitcast=True)
        place = _times(inverse, quotient, _below(k + (dim - c), dim), dim)
        i = block.to(tl.int64) * dim + _below(place, dim)
        inside = (k < dim) & (i >= start) & (i < stop)
        g = tl.load(gradient + (i - start), mask=inside, other=0).to(total.dtype)
        negative = (_word(key, i >> 6) >> (i & 63).to(tl.uint64)) & 1 != 0
        total += tl.where(negative, -g, g)
    to = (split.to(tl.int64) * batch + row) * dim + k
    tl.store(sums + to, total, mask=k < dim)


@triton.jit
def _split(number, count):
    """Which group of a given size a number is in, and its place in the group."""
    group = number // count
    return group, number - group * count


@triton.jit
def _word(key, index):
    """Word of a stream: `bits.words`."""
    x = key.to(tl.uint64) + (index + 1).to(tl.uint64) * _GAMMA
    x = (x ^ (x >> 30)) * _MIX_1
    x = (x ^ (x >> 27)) * _MIX_2
    return x ^ (x >> 31)


@triton.jit
def _times(a, quotient, x, dim):
    """A x mod d, or that plus d."""
    return a * x - tl.umulhi(quotient, x) * dim


@triton.jit
def _below(x, dim):
    """X mod d for x < 3 d: where x - d is negative it wraps, and x is the lesser."""
    x = tl.minimum(x, x - dim)
    return tl.minimum(x, x - dim)
