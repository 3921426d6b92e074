"""Products as one opaque operation of `torch.compile`.

A compiler must not trace a product: its tables are made from 64-bit integers at the first use, and
the graph would depend on whether they exist. A graph holds the number of a projection, not the
object.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary

import torch
from torch import Tensor

if TYPE_CHECKING:
    from subspace_nn.projections.base import Projection

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


__all__ = ["PROJECTIONS", "multiply", "product"]
