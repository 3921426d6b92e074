"""Walsh-Hadamard transforms, and what `fastfood` and `hadamard` do around them, in Numba.

Three stages are done at once in registers, on 16 kB at a time: all stages up to 4,096 of a block
while it is in the first cache, and later ones on columns of blocks that are copied there. A pair
(a, b) becomes (a + b, (a + b) - 2 b), rounded as in `fwht`, from the smallest distance on: the
results have its bits. `transforms.py` starts them.
"""

import numpy as np

from subspace_nn.projections.kernels._loops import _1, _array, _compiled, _draw, _inlined, _u64

#: Numbers that are transformed together.
BLOCK = 1 << 12
#: Weights whose signs are drawn together.
_CHUNK = 256


@_inlined
def _pair(a, b):
    total = a + b
    return total, total - (b + b)


@_inlined
def _eight(a, b, c, d, e, f, g, h):
    """Three stages of eight numbers."""
    (a, b), (c, d), (e, f), (g, h) = _pair(a, b), _pair(c, d), _pair(e, f), _pair(g, h)
    (a, c), (b, d), (e, g), (f, h) = _pair(a, c), _pair(b, d), _pair(e, g), _pair(f, h)
    (a, e), (b, f), (c, g), (d, h) = _pair(a, e), _pair(b, f), _pair(c, g), _pair(d, h)
    return a, b, c, d, e, f, g, h


@_compiled
def _first(x):
    """The stages at distances 1, 2 and 4."""
    for j in range(len(x) // 8):
        i = 8 * j
        (
            x[i], x[i + 1], x[i + 2], x[i + 3], x[i + 4], x[i + 5], x[i + 6], x[i + 7],
        ) = _eight(
            x[i], x[i + 1], x[i + 2], x[i + 3], x[i + 4], x[i + 5], x[i + 6], x[i + 7]
        )  # fmt: skip


@_inlined
def _three(x, h):
    """Three stages from a distance on, which the compiler has to know to use vectors."""
    for begin in range(0, len(x), 8 * h):
        r = x[begin : begin + 8 * h]
        for j in range(h):
            (
                r[j], r[j + h], r[j + 2 * h], r[j + 3 * h],
                r[j + 4 * h], r[j + 5 * h], r[j + 6 * h], r[j + 7 * h],
            ) = _eight(
                r[j], r[j + h], r[j + 2 * h], r[j + 3 * h],
                r[j + 4 * h], r[j + 5 * h], r[j + 6 * h], r[j + 7 * h],
            )  # fmt: skip


# Functions of one name would be taken for each other when Numba loads them from its cache, if
# different processes had compiled them.
@_compiled
def _at_8(x):
    _three(x, 8)


@_compiled
def _at_64(x):
    _three(x, 64)


@_compiled
def _at_512(x):
    _three(x, 512)


@_compiled
def _at(x, h):
    """The stage at any distance."""
    for begin in range(0, len(x), 2 * h):
        a, b = x[begin : begin + h], x[begin + h : begin + 2 * h]
        for j in range(h):
            a[j], b[j] = _pair(a[j], b[j])


@_compiled
def low(x, n, block):
    """All stages of order n ≤ 16,384 of blocks that are as long, or 4,096."""
    for first in range(0, len(x), block):
        whole = x[first : first + block]
        for begin in range(0, len(whole), BLOCK):
            part, h = whole[begin : begin + BLOCK], 1
            if n >= 8:
                _first(part)
                h = 8
            if n >= 64:
                _at_8(part)
                h = 64
            if n >= 512:
                _at_64(part)
                h = 512
            if n >= BLOCK:
                _at_512(part)
                h = BLOCK
            while h < min(n, BLOCK):
                _at(part, h)
                h *= 2
        h = BLOCK
        while h < n:
            _at(whole, h)
            h *= 2


@_compiled
def high(x, h, rows, start, stop):
    """The stages at h, …, h rows/2 on some tiles of 8 or 64 rows and 4,096 numbers."""
    width = BLOCK // rows
    tile, across = np.empty(BLOCK, x.dtype), h // width
    for number in range(start, stop):
        begin = number // across * (rows * h) + number % across * width
        for row in range(rows):
            _copy(tile[row * width : (row + 1) * width], x[begin + row * h :])
        if rows == 64:
            _at_64(tile)
        _at_512(tile)
        for row in range(rows):
            _copy(x[begin + row * h : begin + row * h + width], tile[row * width :])


@_inlined
def _copy(to, x):
    for j in range(len(to)):
        to[j] = x[j]


@_compiled
def plan(n):
    """Of a transform of order n: the order of `low`, and rows of the first `high`, or none."""
    order, rows = n, 64
    while order > 4 * BLOCK:
        order, rows = order // 8, 72 - rows
    return order, rows


@_compiled
def _transform(x, n):
    """Rows of n numbers each, in place."""
    h, rows = plan(n)
    low(x, h, max(h, BLOCK))
    while h < n:
        high(x, h, rows, 0, len(x) // BLOCK)
        h, rows = h * rows, 64


@_compiled
def stack(to, bounds, steps, origins, values, signs, order, scales, start, stop):
    """θ_i = θ0_i + step (H G Π H B u)_i for start ≤ i < stop; θ0 may be None."""
    n, many = signs.shape[1], max(1, BLOCK // signs.shape[1])
    x, y = np.empty(many * n, values.dtype), np.empty(many * n, values.dtype)
    for block in range(start // n, -(-stop // n), many):
        count, first = min(many, len(signs) - block), block * n
        for row in range(count):
            own, sign = x[row * n : (row + 1) * n], signs[block + row]
            for j in range(len(values)):
                own[j] = -values[j] if sign[j] < 0 else values[j]
            own[len(values) :] = 0
        _transform(x[: count * n], n)
        places, scale = order[first : first + count * n], scales[first : first + count * n]
        for j in range(count * n):
            y[j] = x[_u64(places[j] - first)] * scale[j]
        _transform(y[: count * n], n)
        _put(to, origins, bounds, steps, y[: count * n], first, start, stop)


@_compiled
def unstack(at, bounds, steps, sums, signs, inverse, scales, start, stop):
    """V += (B H Πᵀ G H) step · g for start ≤ i < stop, block by block."""
    n, many = signs.shape[1], max(1, BLOCK // signs.shape[1])
    x, y = np.empty(many * n, sums.dtype), np.empty(many * n, sums.dtype)
    for block in range(start // n, -(-stop // n), many):
        count, first = min(many, len(signs) - block), block * n
        _take(at, bounds, steps, y[: count * n], first, start, stop)
        _transform(y[: count * n], n)
        places, scale = inverse[first : first + count * n], scales[first : first + count * n]
        for j in range(count * n):
            y[j] *= scale[j]
        for j in range(count * n):
            x[j] = y[_u64(places[j] - first)]
        _transform(x[: count * n], n)
        for row in range(count):
            own, sign = x[row * n : (row + 1) * n], signs[block + row]
            for j in range(len(sums)):
                sums[j] += -own[j] if sign[j] < 0 else own[j]


@_compiled
def unfold(to, bounds, steps, origins, y, key, start, stop):
    """θ_i = θ0_i + step · s_i y_(i mod n) for start ≤ i < stop; θ0 may be None."""
    signs, move = np.empty(_CHUNK // 64, np.uint64), np.empty(_CHUNK, y.dtype)
    for i in range(start, stop, _CHUNK):
        place = i % len(y)
        count = min(_CHUNK, stop - i)
        _draw(signs, key, i)
        some = y[place : place + count]
        for j in range(len(some)):
            move[j] = some[j]
        for j in range(len(some), count):
            move[j] = y[j - len(some)]
        _sign(move, signs)
        _put(to, origins, bounds, steps, move[:count], i, start, stop)


@_compiled
def fold(at, bounds, steps, signed, key, start, stop):
    """S_i · step · g_i for start ≤ i < stop."""
    signs, move = np.empty(_CHUNK // 64, np.uint64), np.empty(_CHUNK, signed.dtype)
    for i in range(start, stop, _CHUNK):
        count = min(_CHUNK, stop - i)
        _draw(signs, key, i)
        _take(at, bounds, steps, move[:count], i, start, stop)
        _sign(move, signs)
        signed[i : i + count] = move[:count]


@_inlined
def _sign(move, signs):
    for word in range(len(signs)):
        part, sign = move[64 * word : 64 * word + 64], signs[word]
        for j in range(64):
            part[j] = -part[j] if (sign >> _u64(j)) & _1 else part[j]


@_inlined
def _put(to, origins, bounds, steps, moves, first, start, stop):
    """θ_i = θ0_i + step · moves_(i - first) for all i of the moves that start ≤ i < stop."""
    start, stop = max(start, first), min(stop, first + len(moves))
    for tensor in range(len(steps)):
        begin, end = max(start, bounds[tensor]), min(stop, bounds[tensor + 1])
        if begin < end:
            step, skip = steps[tensor], (begin - bounds[tensor]) * moves.itemsize
            theta, move = _array(to[tensor] + skip, end - begin, moves), moves[begin - first :]
            if origins is None:
                for j in range(end - begin):
                    theta[j] = step * move[j]
            else:
                theta0 = _array(origins[tensor] + skip, end - begin, moves)
                for j in range(end - begin):
                    theta[j] = theta0[j] + step * move[j]


@_inlined
def _take(at, bounds, steps, moves, first, start, stop):
    """Moves_(i - first) = step · g_i where start ≤ i < stop, else 0."""
    start, stop = max(start, first), min(stop, first + len(moves))
    moves[: start - first] = 0
    moves[stop - first :] = 0
    for tensor in range(len(steps)):
        begin, end = max(start, bounds[tensor]), min(stop, bounds[tensor + 1])
        if begin < end:
            step, skip = steps[tensor], (begin - bounds[tensor]) * moves.itemsize
            gradient, move = _array(at[tensor] + skip, end - begin, moves), moves[begin - first :]
            for j in range(end - begin):
                move[j] = step * gradient[j]
