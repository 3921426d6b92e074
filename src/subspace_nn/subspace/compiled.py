"""P ω as an operator that a compiler need not look into."""

import itertools
import weakref
from typing import Any

import torch
from torch import Tensor

from subspace_nn.projections import Projection

_NUMBERS = itertools.count()
_PROJECTIONS: weakref.WeakValueDictionary[str, Projection] = weakref.WeakValueDictionary()


def handle(projection: Projection) -> str:
    """A text that stands for a projection in compiled code, for as long as it lives.

    Args:
        projection: any.

    Returns:
        The text, another one each time.
    """
    name = str(next(_NUMBERS))
    _PROJECTIONS[name] = projection
    return name


@torch.library.custom_op("subspace_nn::product", mutates_args=())
def product(
    x: Tensor,
    rows: str,
    transposed: bool,  # noqa: FBT001  # operators have no keywords
) -> Tensor:
    """P[start:stop] x, or its transpose.

    Args:
        x: shape (d,), or (stop - start,) for the transpose.
        rows: "handle:start:stop". A text, for a compiler would make numbers symbolic.
        transposed: which of the two.

    Returns:
        The product, differentiable.
    """
    projection, start, stop = _parsed(rows)
    part = projection[start:stop]
    return ((part.T if transposed else part) @ x).clone()


@product.register_fake
def _(x: Tensor, rows: str, transposed: bool) -> Tensor:  # noqa: FBT001
    projection, start, stop = _parsed(rows)
    return x.new_empty(projection.dim if transposed else stop - start)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    _, ctx.rows, ctx.transposed = inputs


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    return product(gradient, ctx.rows, not ctx.transposed), None, None


product.register_autograd(_backward, setup_context=_setup)


def _parsed(rows: str) -> tuple[Projection, int, int]:
    name, start, stop = rows.split(":")
    return _PROJECTIONS[name], int(start), int(stop)


__all__ = ["handle", "product"]
