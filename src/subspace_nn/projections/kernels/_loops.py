"""The two loops of `hashed` that run on a CPU, compiled by Numba; `loops.py` starts them.

Both walk block by block and, in a block, word by word of 64 signs. The next weight's parameter is
one addition away: k + a mod d.
"""

import numba
import numpy as np

from subspace_nn import bits

_GAMMA, _MIX_1, _MIX_2 = np.uint64(bits._GAMMA), np.uint64(bits._MIX_1), np.uint64(bits._MIX_2)
_1, _27, _30, _31 = np.uint64(1), np.uint64(27), np.uint64(30), np.uint64(31)

# Without `fastmath` LLVM neither fuses nor reorders operations: the bits are the formula's.
_compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def place(out, origin, values, multipliers, offsets, key, start, stop):
    """out_i = θ0_i + s_i u_k for start ≤ i < stop; without θ0 where that is None."""
    dim = np.uint64(len(values))
    for block in range(start // len(values), -(-stop // len(values))):
        i, end, a, k = _begin(block, len(values), start, stop, multipliers, offsets)
        while i < end:
            signs, until = _word(key, i >> 6) >> np.uint64(i & 63), min(end, (i | 63) + 1)
            for j in range(i - start, until - start):
                value = -values[k] if signs & _1 else values[k]
                out[j] = value if origin is None else origin[j] + value
                signs >>= _1
                k += a
                if k >= dim:
                    k -= dim
            i = until


@_compiled
def collect(sums, gradient, multipliers, offsets, key, start, stop):
    """v_k += s_i g_i for start ≤ i < stop, one after another."""
    dim = np.uint64(len(sums))
    for block in range(start // len(sums), -(-stop // len(sums))):
        i, end, a, k = _begin(block, len(sums), start, stop, multipliers, offsets)
        while i < end:
            signs, until = _word(key, i >> 6) >> np.uint64(i & 63), min(end, (i | 63) + 1)
            for j in range(i - start, until - start):
                sums[k] += -gradient[j] if signs & _1 else gradient[j]
                signs >>= _1
                k += a
                if k >= dim:
                    k -= dim
            i = until


@_compiled
def _begin(block, dim, start, stop, multipliers, offsets):
    """Where some weights begin and end in a block, a, and the first one's parameter."""
    first = block * dim
    i, a = max(first, start), multipliers[block]
    k = (a * np.uint64(i - first) + offsets[block]) % np.uint64(dim)
    return i, min(first + dim, stop), a, k


@_compiled
def _word(key, index):
    """Word of a stream: `bits.words`."""
    x = key + (np.uint64(index) + _1) * _GAMMA
    x = (x ^ (x >> _30)) * _MIX_1
    x = (x ^ (x >> _27)) * _MIX_2
    return x ^ (x >> _31)
