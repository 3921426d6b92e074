"""The fast Walsh-Hadamard transform, in pure torch.

The Hadamard matrix of order n, a power of two, in Sylvester's order (natural, not by sequency) is

    H_1 = 1,    H_2n = H_2 ⊗ H_n,    (H_n)_ij = (-1)^popcount(i & j)

It is symmetric and H_n H_n = n I. A stage of the transform replaces pairs (a, b) at one distance
by (a + b, a - b); log2 n stages make the whole.

Three things decide the time. Stages at small distances read memory in scraps: one product with
H_16 does the first four at once (in a small tensor, where calls cost more than sums, one with H_32
does five, and products do the next ones too). A stage in place allocates nothing, unlike one that
stacks its halves. And a tensor larger than the cache is transformed block by block, so that all
stages of a block find it there. `benchmarks/fwht.py` measures what they are worth together.
"""

import functools
import math
from collections.abc import Iterable

import torch
from torch import Tensor

from subspace_nn import bits
from subspace_nn.common.errors import InputError
from subspace_nn.projections import kernels

#: Order of the matrices that do stages by products; the first of a small tensor is the wide one.
_RADIX, _WIDE_RADIX = 16, 32
#: Rows of the transposed copy on which the first stages are done one by one.
_PORTABLE_LANES = 64
#: Entries that a row is multiplied with at most in `fwht_rows`: the square of a matrix's order.
_WIDTH = 1 << 10
#: Below this many, all of the transform is no slower.
_NARROW = 32
#: Up to this many entries a tensor is small.
_SMALL = 1 << 15
#: Entries that are transformed together on a CPU: 4 MB in float32, within a last-level cache.
_BLOCK = 1 << 20
#: Entries whose first stages are done on a transposed copy, on a CPU.
_PIECE = 1 << 18


def fwht(
    x: Tensor, *, orthonormal: bool = False, portable: bool = False, out: Tensor | None = None
) -> Tensor:
    """H_n x along the last dimension: n log2 n additions.

    The transform is its own adjoint, and with `orthonormal` its own inverse. It has no derivative
    of its own: it is the inside of projections, which have.

    With `portable` all sums are made in one fixed order, each rounded by itself, so that the result
    has the same bits on every device and with any number of threads; on a CPU it takes up to
    twice the time. Without, a CPU's first stages are a matrix product, whose order of
    summation is the library's (and whose precision `torch.set_float32_matmul_precision` may
    lower); other devices always take the portable way, and so does a CPU with Numba (the extra
    "fast") from 2^16 numbers on, in a quarter of the time.

    Half-precision tensors are transformed in float32 and rounded once.

    Costs in memory the result, and with `portable` another tensor like it.

    Args:
        x: shape (*, n), n a power of two, of a floating-point dtype; it is not changed.
        orthonormal: divide by √n, so that norms are kept.
        portable: whether the result must have the same bits everywhere.
        out: a contiguous tensor of the shape, dtype and device of x for the result, which shares
            no memory with x; a new one if not given.

    Returns:
        The result, a tensor of the shape, dtype and device of x.

    Raises:
        InputError: if the last dimension is not a power of two, the dtype is not floating-point,
            or `out` is of another shape or dtype, or not contiguous.

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
    if out is not None and (
        (out.shape, out.dtype) != (x.shape, x.dtype) or not out.is_contiguous()
    ):
        raise InputError(
            f"fwht: expected a contiguous {x.dtype} tensor of shape {tuple(x.shape)} for out, "
            f"got {out.dtype} of shape {tuple(out.shape)} and strides {out.stride()}."
        )
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    direct = out is not None and wide.dtype == x.dtype
    y = out if direct else torch.empty_like(wide, memory_format=torch.contiguous_format)
    compiled = None
    if (x.numel() >= kernels.LARGE or not x.is_cpu) and kernels.take(y):
        compiled = kernels.for_transforms(y.device)
    if compiled:
        compiled.fwht(wide.contiguous(), y, n)
    elif portable or not x.is_cpu:
        lanes = min(n, _PORTABLE_LANES)
        pieces = wide.reshape(-1).split(_piece() if x.is_cpu else max(1, x.numel()))
        rows = (piece.view(-1, lanes).mT for piece in pieces)
        copies = (r.clone(memory_format=torch.contiguous_format) for r in rows)
        _from_transposed(copies, y, n)
    else:
        distance = _first_stages(wide, y, n)
        _butterflies_(y.view(-1, n // distance, distance))
    if orthonormal:
        y.mul_(1 / math.sqrt(n))
    if direct:
        return y
    return y.to(x.dtype) if out is None else out.copy_(y)


def fwht_columns(x: Tensor, columns: Tensor, n: int) -> Tensor:
    """Some columns of H_n times x: `fwht` of a vector that is x there and zero elsewhere.

    It has the bits of `fwht` with `portable`, and spares it the first of two transposed copies.

    Args:
        x: shape (*, d), of a floating-point dtype.
        columns: numbers of d different columns, int64 (d,), on the device of x.
        n: order of the matrix, a power of two.

    Returns:
        Shape (*, n), dtype and device of x.

    Example:
        >>> fwht_columns(torch.tensor([1.0, 2.0]), torch.tensor([0, 3]), 4)
        tensor([ 3., -1., -1.,  3.])
    """
    lanes, size = min(n, _PORTABLE_LANES), min(n, _piece() if x.is_cpu else n)
    y = x.new_zeros((*x.shape[:-1], n), dtype=torch.promote_types(x.dtype, torch.float32))
    transposed = columns % lanes * (size // lanes) + columns % size // lanes
    y.index_copy_(-1, columns // size * size + transposed, x.to(y.dtype))
    out = torch.empty_like(y)
    _from_transposed(y.view(-1, lanes, size // lanes), out, n)
    return out.to(x.dtype)


def fwht_rows(x: Tensor, rows: Tensor) -> Tensor:
    """Some rows of H_n times x: `fwht` at these places.

    Where they are few, no more is done for each than needed: with w ≤ n/d a power of two, the
    stages at distances from w on make n/w blocks of w; each result is a sum over one of them, with
    signs that are a Kronecker product of two rows of smaller matrices. The order of all sums is
    fixed, but not that of `fwht`.

    Args:
        x: shape (*, n), n a power of two, of a floating-point dtype; it is not changed.
        rows: numbers of the rows, int64 (d,), on the device of x.

    Returns:
        Shape (*, d), dtype and device of x.

    Example:
        >>> fwht_rows(torch.tensor([1.0, 0.0, 0.0, 2.0]), torch.tensor([0, 2]))
        tensor([ 3., -1.])
    """
    n, d = x.shape[-1], len(rows)
    width = min(_WIDTH, 1 << max(1, n // d).bit_length() - 1)
    if width < _NARROW:
        return fwht(x, portable=True).index_select(-1, rows)
    y = x.to(torch.promote_types(x.dtype, torch.float32), copy=True)
    _butterflies_(y.view(-1, n // width, width))
    inner = 1 << width.bit_length() // 2
    blocks = y.unflatten(-1, (n // width, width)).index_select(-2, rows // width)
    low = _matrix(inner, y.dtype).to(x.device)[rows % inner]
    high = _matrix(width // inner, y.dtype).to(x.device)[rows % width // inner]
    sums = blocks.unflatten(-1, (width // inner, inner)).mul_(low[:, None]).sum(-1)
    return sums.mul_(high).sum(-1).to(x.dtype)


def fwht_block(x: Tensor, columns: Tensor, n: int, rows: slice) -> Tensor:
    """Some consecutive rows of `fwht_columns`, with the same bits, in the memory of these rows.

    Additions must be those of the whole transform, in its order, which starts at the smallest
    distances. So every block of columns as wide as the rows is transformed, and of what follows
    only the rows' share is computed: n log2 m additions for m rows, and fewer where columns are so
    few that blocks are empty.

    Args:
        x: shape (*, d), of a floating-point dtype.
        columns: numbers of d different columns, int64 (d,), on the device of x.
        n: order of the matrix, a power of two.
        rows: which rows of the result, 0 ≤ start < stop ≤ n.

    Returns:
        Shape (*, rows.stop - rows.start), dtype and device of x.

    Example:
        >>> fwht_block(torch.tensor([1.0, 2.0]), torch.tensor([0, 3]), 4, slice(1, 3))
        tensor([-1., -1.])
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return _block(wide, columns, n, rows).to(x.dtype)


def fwht_block_adjoint(y: Tensor, columns: Tensor, rows: slice) -> Tensor:
    """The adjoint of `fwht_block`: some columns of some rows of H_n, transposed, times y.

    Costs m log2 m additions for m rows, and d. The order of all sums is fixed.

    Args:
        y: shape (*, rows.stop - rows.start), of a floating-point dtype.
        columns: numbers of d columns, int64 (d,), on the device of y.
        rows: which rows, 0 ≤ start < stop ≤ n.

    Returns:
        Shape (*, d), dtype and device of y.

    Example:
        >>> fwht_block_adjoint(torch.tensor([1.0, 2.0]), torch.tensor([0, 3]), slice(1, 3))
        tensor([ 3., -3.])
    """
    span = _span(rows)
    wide = y.to(torch.promote_types(y.dtype, torch.float32))
    sums = wide.new_zeros((*y.shape[:-1], len(columns)))
    for block, among in _aligned(rows, span):
        place = rows.start + among.start - block * span
        padded = wide.new_zeros((*y.shape[:-1], span))
        padded[..., place : place + among.stop - among.start] = wide[..., among]
        sums += fwht_rows(padded, columns % span) * _parity_signs(columns // span & block)
    return sums.to(y.dtype)


def _block(x: Tensor, columns: Tensor, n: int, rows: slice) -> Tensor:
    """`fwht_block` of a wide x: in halves while it is large, else all blocks of columns at once."""
    span = _span(rows)
    blocks, place = torch.unique(columns // span, return_inverse=True)
    size = x[..., :1].numel() * len(blocks) * span
    if n > span and len(blocks) > 1 and size > bits.piece(_BLOCK):
        upper = columns >= n // 2
        a = _block(x[..., ~upper], columns[~upper], n // 2, rows)
        b = _block(x[..., upper], columns[upper] - n // 2, n // 2, rows)
        return _stage(a, b, n // 2, rows)
    y = x.new_zeros((*x.shape[:-1], len(blocks) * span))
    y.index_copy_(-1, place * span + columns % span, x)
    y = fwht(y.unflatten(-1, (len(blocks), span)), portable=True)
    y = y[..., torch.arange(rows.start, rows.stop, device=x.device) % span]
    distance = span
    while distance < n:
        blocks, place, odd = *torch.unique(blocks // 2, return_inverse=True), blocks % 2 == 1
        a, b = (y.new_zeros((*y.shape[:-2], len(blocks), y.shape[-1])) for _ in range(2))
        a[..., place[~odd], :] = y[..., ~odd, :]
        b[..., place[odd], :] = y[..., odd, :]
        y = _stage(a, b, distance, rows)
        distance *= 2
    return y.sum(-2)  # of one block, or none


def _stage(a: Tensor, b: Tensor, distance: int, rows: slice) -> Tensor:
    """Of the pairs (a + b, a - b) at a distance, rounded as in `_stages_`, what the rows need."""
    total = a + b
    for block, among in _aligned(rows, _span(rows)):
        if block * _span(rows) & distance:
            total[..., among].sub_(b[..., among], alpha=2)
    return total


def _span(rows: slice) -> int:
    """The least power of two that is no less than the number of rows."""
    return 1 << (rows.stop - rows.start - 1).bit_length()


def _aligned(rows: slice, span: int) -> list[tuple[int, slice]]:
    """Cut rows where a block of a span ends: the number of each part's block, and the part."""
    block = rows.start // span
    length = rows.stop - rows.start
    cut = min((block + 1) * span - rows.start, length)
    parts = [(block, slice(0, cut)), (block + 1, slice(cut, length))]
    return [(number, part) for number, part in parts if part.start < part.stop]


def _parity_signs(numbers: Tensor) -> Tensor:
    """(-1)^popcount, int8."""
    for shift in (32, 16, 8, 4, 2, 1):
        numbers = numbers ^ (numbers >> shift)
    return (1 - 2 * (numbers & 1)).to(torch.int8)


def _first_stages(x: Tensor, out: Tensor, n: int) -> int:
    """The stages below a distance, by matrix products; returns the distance."""
    small = out.numel() <= _SMALL
    distance = min(n, _WIDE_RADIX if small else _RADIX)
    # With `out`, autocast leaves the precision alone.
    torch.mm(x.reshape(-1, distance), _matrix(distance, x.dtype), out=out.view(-1, distance))
    matrix, done = _matrix(_RADIX, x.dtype), out
    while small and distance * _RADIX <= n:
        y = done.view(-1, _RADIX, distance)
        done = torch.bmm(matrix.expand(y.shape[0], -1, -1), y, out=torch.empty_like(y))
        distance *= _RADIX
    if done is not out:
        out.view(done.shape).copy_(done)
    return distance


def _from_transposed(pieces: Iterable[Tensor], out: Tensor, n: int) -> None:
    """The transform, in a fixed order, of what is cut up into pieces (lanes, m).

    Entry i of a piece is at (i mod lanes, i // lanes): the first stages are those of rows, which
    lie far apart. They are done in place.
    """
    begin, lanes = 0, 1
    for piece in pieces:
        lanes = len(piece)
        _stages_(piece[None])
        out.view(-1)[begin : begin + piece.numel()].view(-1, lanes).copy_(piece.mT)
        begin += piece.numel()
    _butterflies_(out.view(-1, n // lanes, lanes))


def _piece() -> int:
    """Entries of a piece: a power of two that holds whole rows of the transposed copy."""
    return max(_PORTABLE_LANES, 1 << bits.piece(_PIECE).bit_length() - 1)


@functools.cache
def _matrix(n: int, dtype: torch.dtype) -> Tensor:
    matrix = torch.eye(n, dtype=dtype, device="cpu")
    _butterflies_(matrix[None])
    return matrix


def _butterflies_(x: Tensor) -> None:
    """Transform the middle dimension of a contiguous (batch, n, m) in place."""
    size = bits.piece(_BLOCK)
    if x.numel() <= size or not x.is_cpu:
        _stages_(x)
        return
    batch, n, m = x.shape
    inner = min(n, 1 << max(0, (size // m).bit_length() - 1))  # both are powers of two
    for piece in x.view(-1, inner, m).split(max(1, size // (inner * m))):
        _stages_(piece)
    if inner < n:
        outer = n // inner
        for one in x.view(batch, outer, inner * m):
            for strip in one.split(max(1, size // outer), dim=1):
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


__all__ = ["fwht", "fwht_block", "fwht_block_adjoint", "fwht_columns", "fwht_rows"]
