"""The fast Walsh-Hadamard transform, in pure torch.

The Hadamard matrix of order n, a power of two, in Sylvester's order (natural, not by sequency) is

    H_1 = 1,    H_2n = H_2 ⊗ H_n,    (H_n)_ij = (-1)^popcount(i & j)

It is symmetric and H_n H_n = n I. A stage of the transform replaces pairs (a, b) at one distance
by (a + b, a - b); log2 n stages make the whole.

Three things decide the time. Stages at distances below 16 read memory in scraps: one product with
H_16 does these four at once (in a small tensor, where calls cost more than sums, products do the
next ones too). A stage in place allocates nothing, unlike one that stacks its halves. And a
tensor larger than the cache is transformed block by block, so that all stages of a block find it
there. `benchmarks/fwht.py` measures what they are worth together.
"""

import functools
import math

import torch
from torch import Tensor

from subspace_nn.errors import InputError

#: Order of the matrix that does the first stages.
_LANES = 16
#: Up to this many entries products do the next stages too.
_SMALL = 1 << 16
#: Entries that are transformed together on a CPU: 4 MB in float32, within a last-level cache.
_BLOCK = 1 << 20


def fwht(x: Tensor, *, orthonormal: bool = False, portable: bool = False) -> Tensor:
    """H_n x along the last dimension: n log2 n additions.

    The transform is its own adjoint, and with `orthonormal` its own inverse. It has no derivative
    of its own: it is the inside of projections, which have.

    With `portable` all sums are made in one fixed order, each rounded by itself, so that the result
    has the same bits on every device and with any number of threads; on a CPU it takes up to
    twice the time. Without, a CPU's first four stages are a matrix product, whose order of
    summation is the library's (and whose precision `torch.set_float32_matmul_precision` may
    lower); other devices always take the portable way.

    Half-precision tensors are transformed in float32 and rounded once.

    Costs in memory the result, and with `portable` another tensor like it.

    Args:
        x: shape (*, n), n a power of two, of a floating-point dtype; it is not changed.
        orthonormal: divide by √n, so that norms are kept.
        portable: whether the result must have the same bits everywhere.

    Returns:
        A new tensor of the shape, dtype and device of x.

    Raises:
        InputError: if the last dimension is not a power of two or the dtype not floating-point.

    Example:
        >>> fwht(torch.tensor([1.0, 0.0, 0.0, 2.0]))
        tensor([ 3., -1., -1.,  3.])
    """
    n = x.shape[-1] if x.dim() else 0
    if n < 1 or n & (n - 1) or not x.is_floating_point():
        raise InputError(
            f"fwht: expected a floating-point tensor of shape (*, n), n a power of two, "
            f"got {x.dtype} of shape {tuple(x.shape)}."
        )
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    first = _first_stages_portable if portable or not x.is_cpu else _first_stages
    out, distance = first(wide, n, min(n, _LANES))
    _butterflies_(out.view(-1, n // distance, distance))
    if orthonormal:
        out.mul_(1 / math.sqrt(n))
    return out.view(x.shape).to(x.dtype)


def _first_stages(x: Tensor, n: int, lanes: int) -> tuple[Tensor, int]:
    """The stages below a distance, as a new tensor, and that distance; by matrix products."""
    rows, matrix = x.reshape(-1, lanes), _matrix(lanes, x.dtype)
    # With `out`, autocast leaves the precision alone.
    out, distance = torch.mm(rows, matrix, out=torch.empty_like(rows)), lanes
    while distance * _LANES <= n and out.numel() <= _SMALL:
        y = out.view(-1, lanes, distance)
        out = torch.bmm(matrix.expand(y.shape[0], -1, -1), y, out=torch.empty_like(y))
        distance *= lanes
    return out, distance


def _first_stages_portable(x: Tensor, n: int, lanes: int) -> tuple[Tensor, int]:  # noqa: ARG001
    """The same in a fixed order: butterflies on the transposed copy, which stand far apart."""
    columns = x.reshape(-1, lanes).T.clone(memory_format=torch.contiguous_format)
    _butterflies_(columns[None])
    return columns.T.contiguous(), lanes


@functools.cache
def _matrix(n: int, dtype: torch.dtype) -> Tensor:
    matrix = torch.eye(n, dtype=dtype)
    _butterflies_(matrix[None])
    return matrix


def _butterflies_(x: Tensor) -> None:
    """Transform the middle dimension of a contiguous (batch, n, m) in place."""
    if x.numel() <= _BLOCK or not x.is_cpu:
        _stages_(x)
        return
    batch, n, m = x.shape
    inner = min(n, 1 << max(0, (_BLOCK // m).bit_length() - 1))  # both are powers of two
    for piece in x.view(-1, inner, m).split(max(1, _BLOCK // (inner * m))):
        _stages_(piece)
    if inner < n:
        outer = n // inner
        for one in x.view(batch, outer, inner * m):
            for strip in one.split(max(1, _BLOCK // outer), dim=1):
                _stages_(strip[None])


def _stages_(x: Tensor) -> None:
    """`_butterflies_` without blocks, for tensors of any strides."""
    batch, n, m = x.shape
    distance = 1
    while distance < n:
        a, b = x.view(batch * n // (2 * distance), 2, distance, m).unbind(1)
        a.add_(b)
        torch.sub(a, b, alpha=2, out=b)  # (a + b) - 2b, without a temporary
        distance *= 2


__all__ = ["fwht"]
