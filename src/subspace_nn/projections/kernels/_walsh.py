"""Walsh-Hadamard transforms, and what `fastfood` and `hadamard` do around them, in Triton.

A program does all the stages that it can on the numbers that it loaded. A pair (a, b) becomes
(a + b, (a + b) - 2 b), rounded as in `fwht`, from the smallest distance on: the results have its
bits, where products and sums are not fused. `walsh.py` starts the programs.

A factor comes as the bits of a float64: Triton would take a float for a float32.
"""

import triton
import triton.language as tl

from subspace_nn.projections.kernels._hashed import _word


@triton.jit
def low(out, x, count: tl.int64, N: tl.constexpr, TILE: tl.constexpr):
    """All stages of rows of N numbers."""
    at = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
    inside = at < count
    y = _stages(tl.load(x + at, mask=inside, other=0), 1, N, TILE)
    tl.store(out + at, y, mask=inside)


@triton.jit
def high(x, h: tl.int64, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """The stages at distances h to h ROWS / 2, in place."""
    number, across = tl.program_id(0).to(tl.int64), h // WIDTH
    begin = number // across * (ROWS * h) + number % across * WIDTH
    local = tl.arange(0, ROWS * WIDTH)
    at = begin + (local // WIDTH) * h + local % WIDTH
    tl.store(x + at, _stages(tl.load(x + at), WIDTH, ROWS * WIDTH, ROWS * WIDTH))


@triton.jit
def spread(out, values, signs, dim: tl.int32, N: tl.constexpr):
    """H B u of a block."""
    first, j = tl.program_id(0).to(tl.int64) * N, tl.arange(0, N)
    u = tl.load(values + j, mask=j < dim, other=0)
    x = u * tl.load(signs + first + j).to(u.dtype)
    tl.store(out + first + j, _stages(x, 1, N, N))


@triton.jit
def settle(
    out, origin, x, order, scales, before: tl.int64, start: tl.int64, stop: tl.int64,
    step: tl.int64, ADD: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """θ_i = θ0_i + step (H G Π x)_i of a block, for start ≤ i < stop; before: rows of P and x."""
    first, j = tl.program_id(0).to(tl.int64) * N, tl.arange(0, N)
    y = tl.load(x + (tl.load(order + first + j) - before))
    y = _stages(y * tl.load(scales + first + j).to(y.dtype), 1, N, N)
    i = before + first + j
    inside = (i >= start) & (i < stop)
    y *= _factor(step, y.dtype)
    if ADD:
        y = y + tl.load(origin + (i - start), mask=inside, other=0)  # in the wider dtype
    tl.store(out + (i - start), y.to(out.dtype.element_ty), mask=inside)


@triton.jit
def lift(out, g, scales, before: tl.int64, start: tl.int64, stop: tl.int64, N: tl.constexpr):
    """G H g of a block, where g is zero but for start ≤ i < stop."""
    first, j = tl.program_id(0).to(tl.int64) * N, tl.arange(0, N)
    i = before + first + j
    inside = (i >= start) & (i < stop)
    y = tl.load(g + (i - start), mask=inside, other=0).to(out.dtype.element_ty)
    y = _stages(y, 1, N, N) * tl.load(scales + first + j).to(y.dtype)
    tl.store(out + first + j, y)


@triton.jit
def gather(
    sums, x, inverse, signs, before: tl.int64, count: tl.int32, dim: tl.int32,
    N: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """The sum of B H Πᵀ x over some blocks."""
    program, j = tl.program_id(0), tl.arange(0, N)
    total = tl.full([N], 0, sums.dtype.element_ty)
    for step in range(DEPTH):
        number = program * DEPTH + step
        at = number.to(tl.int64) * N + j
        place = tl.load(inverse + at, mask=number < count, other=before) - before
        y = _stages(tl.load(x + place), 1, N, N)
        total += y * tl.load(signs + at, mask=number < count, other=0).to(y.dtype)
    tl.store(sums + program.to(tl.int64) * dim + j, total, mask=j < dim)


@triton.jit
def unfold(
    out, origin, y, key: tl.uint64, core: tl.int64, D: tl.int64, half: tl.int64, step: tl.int64,
    ADD: tl.constexpr, WORDS: tl.constexpr,
):  # fmt: skip
    """θ_i = θ0_i + step · s_i y_(i mod n), and y times half where two weights share it."""
    i, sign = _signs(key, WORDS)
    k = tl.where(i < core, i, i - core)
    value = tl.load(y + k, mask=i < D, other=0)
    value = tl.where(k < D - core, value * _factor(half, value.dtype), value)
    value = value * sign.to(value.dtype) * _factor(step, value.dtype)
    if ADD:
        value = value + tl.load(origin + i, mask=i < D, other=0)  # in the wider dtype
    tl.store(out + i, value.to(out.dtype.element_ty), mask=i < D)


@triton.jit
def fold(y, g, key: tl.uint64, core: tl.int64, D: tl.int64, half: tl.int64, WORDS: tl.constexpr):
    """The adjoint: y_k = s_k g_k, or half (s_k g_k + s_(k + n) g_(k + n)) where there are two."""
    k, sign = _signs(key, WORDS)
    value = tl.load(g + k, mask=k < core, other=0).to(y.dtype.element_ty) * sign
    i = k + core
    other = (_word(key, i >> 6) >> (i & 63).to(tl.uint64)) & 1 != 0
    twice = tl.load(g + i, mask=i < D, other=0).to(y.dtype.element_ty)
    both = (value + tl.where(other, -twice, twice)) * _factor(half, value.dtype)
    tl.store(y + k, tl.where(i < D, both, value).to(y.dtype.element_ty), mask=k < core)


@triton.jit
def _factor(bits, dtype: tl.constexpr):
    return bits.to(tl.float64, bitcast=True).to(dtype)


@triton.jit
def _signs(key, WORDS: tl.constexpr):
    """The numbers of a program's weights, and their signs."""
    first = tl.program_id(0).to(tl.int64) * WORDS
    word = _word(key, first + tl.arange(0, WORDS))
    bit = tl.arange(0, 64)[None, :]
    sign = tl.where((word[:, None] >> bit.to(tl.uint64)) & 1 != 0, -1.0, 1.0)
    return (first + tl.arange(0, WORDS))[:, None] * 64 + bit, sign


@triton.jit
def _stages(x, FIRST: tl.constexpr, N: tl.constexpr, SIZE: tl.constexpr):
    """The stages at distances FIRST to N / 2 of SIZE numbers."""
    for stage in tl.static_range(64):
        if FIRST << stage < N:
            x = _stage(x, FIRST << stage, SIZE)
    return x


@triton.jit
def _stage(x, H: tl.constexpr, SIZE: tl.constexpr):
    """The stage at distance H."""
    pairs = tl.permute(tl.reshape(x, (SIZE // (2 * H), 2, H)), (0, 2, 1))
    a, b = tl.split(pairs)
    total = a + b
    pairs = tl.join(total, total - (b + b))
    return tl.reshape(tl.permute(pairs, (0, 2, 1)), (SIZE,))
