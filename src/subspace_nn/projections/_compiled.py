"""Products in graphs: one opaque operation of `torch.compile`, constants of `torch.export`.

A compiler must not trace a product: its tables are made from 64-bit integers at the first use, and
the graph would depend on whether they exist. A graph holds the number of a projection, not the
object. An exported program is used where this package is not, so it holds P's entries.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from subspace_nn.common.errors import InputError

if TYPE_CHECKING:
    from subspace_nn.projections.base import Projection

#: Entries of the dense form of P that an exported program may hold: 256 MiB of float32.
MAX_ENTRIES = 1 << 26

#: The projections that exist, by number.
PROJECTIONS: WeakValueDictionary[int, "Projection"] = WeakValueDictionary()


def multiply(x: Tensor, linear: Any, *, transposed: bool) -> Tensor:
    """A plain product.

    Args:
        x: the operand.
        linear: a `LinearMap`.
        transposed: whether with the adjoint.

    Returns:
        The product.
    """
    product = linear._rmatvec if transposed else linear._matvec
    if not torch.is_autocast_enabled(x.device.type):
        return product(x)
    # Autocast would compute products of float32 in half precision; P keeps the operand's.
    with torch.autocast(x.device.type, enabled=False):
        return product(x)


@torch.library.custom_op("subspace_nn::product", mutates_args=())
def product(x: Tensor, rows: Sequence[int], size: int, transposed: bool) -> Tensor:  # noqa: ARG001, FBT001
    """A product with rows of a projection.

    Args:
        x: the operand.
        rows: number of the projection, first row, and row after the last.
        size: last dimension of the result, for the compiler.
        transposed: whether with the adjoint.

    Returns:
        The product.
    """
    number, start, stop = rows
    return multiply(x, PROJECTIONS[number][start:stop], transposed=transposed)


@product.register_fake
def _(x: Tensor, rows: Sequence[int], size: int, transposed: bool) -> Tensor:  # noqa: ARG001, FBT001
    return x.new_empty((*x.shape[:-1], size))


@product.register_vmap
def _(info: Any, in_dims: tuple[int | None, ...], x: Tensor, *others: Any) -> tuple[Tensor, int]:  # noqa: ARG001
    return product(x.movedim(cast("int", in_dims[0]), 0), *others), 0


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    x, ctx.rows, _, ctx.transposed = inputs
    ctx.size = x.shape[-1]


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return product(gradient, ctx.rows, ctx.size, not ctx.transposed), None, None, None


product.register_autograd(_backward, setup_context=_remember)


def written_out(x: Tensor, rows: Sequence[int], *, transposed: bool) -> Tensor:
    """A product with rows of a projection by constants and plain operations.

    Args:
        x: the operand.
        rows: number of the projection, first row, and row after the last.
        transposed: whether with the adjoint.

    Returns:
        The product.
    """
    number, start, stop = rows
    projection, rows_ = PROJECTIONS[number], slice(start, stop)
    # Tensors of an exporter have no values, and P must not keep tables made of them.
    with _disable_current_modes():
        written = projection._gathered(rows_) or _dense(projection, rows_)
    if isinstance(written, Tensor):
        return x @ (written if transposed else written.T).to(x.dtype)
    index, norm = written[0], written[1].to(x.dtype)
    places = index.to(torch.int32)  # the program holds fewer bytes of each
    if not transposed:
        scaled = x * norm
        return torch.cat((scaled, -scaled), dim=-1).index_select(-1, places)
    sums = x.new_zeros((*x.shape[:-1], 2 * projection.dim)).index_add(-1, places, x)
    plus, minus = sums.split(projection.dim, dim=-1)
    return (plus - minus) * norm


def _dense(projection: "Projection", rows: slice) -> Tensor:
    """P[rows] as a matrix, if all of P is small enough to be one."""
    entries = projection.D * projection.dim
    if entries > MAX_ENTRIES:
        raise InputError(
            f"Exported, {projection.kind} is a matrix of D × d = {entries:,} numbers, more than "
            f"{MAX_ENTRIES:,}. Export merge(), or use 'hashed', which takes one number a weight."
        )
    identity = torch.eye(projection.dim, dtype=torch.float64, device="cpu")
    return projection[rows]._matvec(identity).T.contiguous()


__all__ = ["MAX_ENTRIES", "PROJECTIONS", "multiply", "product", "written_out"]
