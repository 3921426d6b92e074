"""The loops of `hashed` and `sparse`, compiled by Numba for a CPU; others here start them.

Those that compute indices take some hundred weights at a time: first their indices and signs, in
vectors and within the cache, then one lookup or addition for each weight. These are so few weights
that the next ones arrive from memory meanwhile.

A map consists of groups of parameters, `hashed` of one. Each group has its first parameter, its
first block, the key of its signs, and a and c of each block.
"""

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from subspace_nn import bits

_GAMMA, _MIX_1, _MIX_2 = np.uint64(bits._GAMMA), np.uint64(bits._MIX_1), np.uint64(bits._MIX_2)
_1, _27, _30, _31, _64 = np.uint64(1), np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(64)
_u32, _u64 = np.uint32, np.uint64

#: Weights at a time: a few words of 64 signs.
_CHUNK = 256

# Without `fastmath` LLVM neither fuses nor reorders operations: the bits are the formula's.
_compiled = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, error_model="numpy", forceinline=True)


@_compiled
def place(to, bounds, steps, origins, values, dims, blocks, keys, multiplier, offset, start, stop):
    """θ_i = θ0_i + step · Σ s_i u_k over the groups, for start ≤ i < stop; θ0 may be None.

    Tensor t is at the address to[t], its θ0 at origins[t]; they are the weights from bounds[t] on.
    """
    index, signs = np.empty(_CHUNK + 64, np.uint32), np.empty(_CHUNK // 64, np.uint64)
    tables, held = np.empty((len(keys), 64), np.uint32), np.full(len(keys), -1)
    found, move = np.empty(_CHUNK, values.dtype), np.empty(_CHUNK, values.dtype)
    found[:] = 0
    for tensor in range(len(steps)):
        begin, end = max(start, bounds[tensor]), min(stop, bounds[tensor + 1])
        if begin >= end:
            continue
        step, skip = steps[tensor], (begin - bounds[tensor]) * values.itemsize
        theta = _array(to[tensor] + skip, end - begin, values)
        for i in range(begin, end, _CHUNK):
            count = min(_CHUNK, end - i)
            _fetch(to[tensor] + skip, i - begin, end - begin, values)
            if origins is not None:
                _fetch(origins[tensor] + skip, i - begin, end - begin, values)
            for group in range(len(keys)):
                first, dim = dims[group], dims[group + 1] - dims[group]
                own = slice(blocks[group], blocks[group + 1])
                held[group] = _look_up(
                    index, i, count, dim, multiplier[own], offset[own], tables[group], held[group]
                )
                _draw(signs, keys[group], i)
                _gather(found, values[first : first + dim], index, count)
                _add_signed(move, found, signs, group > 0)
            part = theta[i - begin : i - begin + count]
            if origins is None:
                for j in range(count):
                    part[j] = step * move[j]
            else:
                theta0 = _array(origins[tensor] + skip, end - begin, values)
                before = theta0[i - begin : i - begin + count]
                for j in range(count):
                    part[j] = before[j] + step * move[j]


@_compiled
def collect(at, bounds, steps, sums, shift, dims, blocks, keys, multiplier, offset, start, stop):
    """v_k += s_i · step · g_i for start ≤ i < stop, one after another.

    With a shift v_{k + shift} += step · g_i where s_i is -1. The gradient of tensor t is at the
    address at[t].
    """
    found, move = np.zeros(_CHUNK, sums.dtype), np.empty(_CHUNK, sums.dtype)
    index, signs = np.empty(_CHUNK + 64, np.uint32), np.empty(_CHUNK // 64, np.uint64)
    tables, held = np.empty((len(keys), 64), np.uint32), np.full(len(keys), -1)
    for tensor in range(len(steps)):
        begin, end = max(start, bounds[tensor]), min(stop, bounds[tensor + 1])
        if begin >= end:
            continue
        step, skip = steps[tensor], (begin - bounds[tensor]) * sums.itemsize
        gradient = _array(at[tensor] + skip, end - begin, sums)
        for i in range(begin, end, _CHUNK):
            count = min(_CHUNK, end - i)
            part = gradient[i - begin : i - begin + count]
            for group in range(len(keys)):
                first, dim = dims[group], dims[group + 1] - dims[group]
                own = slice(blocks[group], blocks[group + 1])
                held[group] = _look_up(
                    index, i, count, dim, multiplier[own], offset[own], tables[group], held[group]
                )
                _draw(signs, keys[group], i)
                total = sums[first:]
                if shift is None:  # another program, not a test
                    for j in range(count):
                        found[j] = step * part[j]
                    _add_signed(move, found, signs, False)  # noqa: FBT003
                    for j in range(count):
                        total[index[j]] += move[j]
                else:
                    _shift(index, signs, _u32(shift))
                    for j in range(count):
                        total[index[j]] += step * part[j]


@_compiled
def place_stored(to, bounds, steps, origins, values, index, start, stop):
    """`place` of one group, where the index points into [u, -u]."""
    for tensor in range(len(steps)):
        begin, end = max(start, bounds[tensor]), min(stop, bounds[tensor + 1])
        if begin >= end:
            continue
        step, skip = steps[tensor], (begin - bounds[tensor]) * values.itemsize
        theta, part = _array(to[tensor] + skip, end - begin, values), index[begin:end]
        if origins is None:
            for j in range(end - begin):
                theta[j] = step * values[part[j]]
        else:
            theta0 = _array(origins[tensor] + skip, end - begin, values)
            for j in range(end - begin):
                theta[j] = theta0[j] + step * values[part[j]]


@_compiled
def collect_stored(at, bounds, steps, sums, index, start, stop):
    """`collect` of one group, where the index points to positive and negative terms."""
    for tensor in range(len(steps)):
        begin, end = max(start, bounds[tensor]), min(stop, bounds[tensor + 1])
        if begin >= end:
            continue
        step, skip = steps[tensor], (begin - bounds[tensor]) * sums.itemsize
        gradient, part = _array(at[tensor] + skip, end - begin, sums), index[begin:end]
        for j in range(end - begin):
            sums[part[j]] += step * gradient[j]


@_inlined
def _look_up(index, i, count, dim, multiplier, offset, table, held):
    """The parameter of each of some weights, with the table of block `held`; returns the last."""
    done = 0
    while done < count:
        block = (i + done) // dim
        a, place = multiplier[block], i + done - block * dim
        if block != held:
            _multiply(table, a, _u32(dim))
            held = block
        k = _u32((a * _u64(place) + offset[block]) % _u64(dim))
        jump = _below(_u32(table[63] + _u32(a)), _u32(dim))
        end = min(count, done + dim - place)
        for begin in range(done, end, 64):
            part = index[begin : begin + 64]
            for j in range(64):  # up to 63 too many, which the next ones overwrite
                part[j] = _below(_u32(k + table[j]), _u32(dim))
            k = _below(_u32(k + jump), _u32(dim))
        done = end
    return held


@_inlined
def _multiply(table, a, dim):
    """0, a, 2 a, … mod d: what remains is exact where the quotient is, or is one too small."""
    ratio, a = a / dim, _u32(a)
    for j in range(64):
        quotient = _u32(j * ratio)
        table[j] = _below(_u32(_u32(_u32(j) * a) - _u32(quotient * dim)), dim)


@_inlined
def _below(k, dim):
    """K mod d for k < 2 d: where k - d is negative it wraps, and k is the lesser."""
    return min(k, _u32(k - dim))


@_inlined
def _draw(signs, key, i):
    """64 signs a word, from those of weight i on."""
    skip, word = _u64(i & 63), _word(key, i >> 6)
    for j in range(len(signs)):
        after = _word(key, (i >> 6) + j + 1)
        signs[j] = word >> skip
        if skip:
            signs[j] |= after << (_64 - skip)
        word = after


@_inlined
def _gather(found, values, index, count):
    for j in range(count):
        found[j] = values[index[j]]


@_inlined
def _add_signed(move, found, signs, more):
    """Move = ± found, or the sum of both."""
    for word in range(len(signs)):
        to, some = move[64 * word : 64 * word + 64], found[64 * word : 64 * word + 64]
        sign = signs[word]
        for j in range(64):
            one = -some[j] if (sign >> _u64(j)) & _1 else some[j]
            to[j] = to[j] + one if more else one


@_inlined
def _shift(index, signs, dim):
    """K + d where the sign is -1."""
    for word in range(len(signs)):
        part, sign = index[64 * word : 64 * word + 64], signs[word]
        for j in range(64):
            part[j] = _u32(part[j] + (dim if (sign >> _u64(j)) & _1 else _u32(0)))


@_inlined
def _word(key, index):
    """Word of a stream: `bits.words`."""
    x = key + (_u64(index) + _1) * _GAMMA
    x = (x ^ (x >> _30)) * _MIX_1
    x = (x ^ (x >> _27)) * _MIX_2
    return x ^ (x >> _31)


@_inlined
def _array(address, count, like):
    """The numbers at an address, of a dtype like others."""
    return numba.carray(_pointer(address), count, like.dtype)


@_inlined
def _fetch(address, done, count, like):
    """Prefetch the numbers after the next ones, of a count at an address, into the cache."""
    first = done + _CHUNK
    for i in range(first, min(first + _CHUNK, count), 64 // like.itemsize):
        _prefetch(address + i * like.itemsize)


@intrinsic
def _prefetch(_, address):
    """A hint to the processor."""

    def generate(_, builder, __, arguments):
        pointer, i32 = builder.inttoptr(arguments[0], cgutils.voidptr_t), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, i32, i32, i32])
        hint = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        return builder.call(hint, [pointer, i32(0), i32(3), i32(1)])

    return types.void(address), generate


@intrinsic
def _pointer(_, address):
    """A number as an address."""
    return types.voidptr(address), lambda _, builder, __, arguments: builder.inttoptr(
        arguments[0], cgutils.voidptr_t
    )
