"""A linear map and its adjoint as differentiable operators, from their two plain products."""

import abc
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad

from subspace_nn.common.errors import InputError


class LinearMap(abc.ABC):
    """A linear map A that is used as `A @ x` and `A.T @ y`.

    A subclass implements the two products of plain tensors. Checks of shape and dtype, derivatives
    of any order, forward and backward, batching under `torch.func` and autocast are handled here.
    """

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the dense form."""

    @abc.abstractmethod
    def _matvec(self, omega: Tensor) -> Tensor:
        """A x for x of shape (*, columns), in its dtype and on its device: shape (*, rows)."""

    @abc.abstractmethod
    def _rmatvec(self, gradient: Tensor) -> Tensor:
        """Aᵀ y for y of shape (*, rows), in its dtype and on its device: shape (*, columns)."""

    @property
    def T(self) -> "Transpose":
        """The adjoint: `P.T @ g`."""
        return Transpose(self)

    def __matmul__(self, omega: Tensor) -> Tensor:
        """A x, differentiable in x to any order.

        Args:
            omega: x, shape (*, columns), of a floating-point dtype.

        Returns:
            Shape (*, rows), same dtype and device.

        Raises:
            InputError: if the last dimension or the dtype does not fit.
        """
        _check_operand("P @ omega", omega, self.shape[1])
        return _apply(omega, self, transposed=False)


class Transpose:
    """The adjoint Aᵀ of a linear map; its only use is `A.T @ y`."""

    def __init__(self, linear: LinearMap) -> None:
        self.T = linear
        self.shape = linear.shape[::-1]

    def __matmul__(self, gradient: Tensor) -> Tensor:
        """Aᵀ y, differentiable in y to any order.

        Args:
            gradient: y, shape (*, rows), of a floating-point dtype.

        Returns:
            Shape (*, columns), same dtype and device.

        Raises:
            InputError: if the last dimension or the dtype does not fit.
        """
        _check_operand("P.T @ g", gradient, self.shape[1])
        return _apply(gradient, self.T, transposed=True)


class _Product(torch.autograd.Function):
    """A linear map's derivative is the map, and its adjoint's is the adjoint: all orders follow."""

    @staticmethod
    def forward(  # pyrefly: ignore[bad-override]  # torch leaves the arguments open
        ctx: Any,
        x: Tensor,
        linear: LinearMap,
        transposed: bool,  # noqa: FBT001
    ) -> Tensor:
        ctx.linear, ctx.transposed = linear, transposed
        return _multiply(x, linear, transposed)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        return _apply(grad_outputs[0], ctx.linear, not ctx.transposed), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _apply(tangents[0], ctx.linear, ctx.transposed)


class _Transformable(torch.autograd.Function):
    """The same in the form that `torch.func` needs, whose calls take three times as long."""

    @staticmethod
    def forward(  # pyrefly: ignore[bad-override]
        x: Tensor,
        linear: LinearMap,
        transposed: bool,  # noqa: FBT001
    ) -> Tensor:
        return _multiply(x, linear, transposed)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        _, ctx.linear, ctx.transposed = inputs

    backward = _Product.backward
    jvp = _Product.jvp

    @staticmethod
    def vmap(  # pyrefly: ignore[bad-override]
        info: Any,  # noqa: ARG004
        in_dims: tuple[int | None, ...],
        x: Tensor,
        linear: LinearMap,
        transposed: bool,  # noqa: FBT001
    ) -> tuple[Tensor, int]:
        batched = x.movedim(cast("int", in_dims[0]), 0)
        return _apply(batched, linear, transposed), 0


def _multiply(x: Tensor, linear: LinearMap, transposed: bool) -> Tensor:  # noqa: FBT001
    product = linear._rmatvec if transposed else linear._matvec
    if not torch.is_autocast_enabled(x.device.type):
        return product(x)
    # Autocast would compute products of float32 in half precision; P keeps the operand's.
    with torch.autocast(x.device.type, enabled=False):
        return product(x)


def _apply(x: Tensor, linear: LinearMap, transposed: bool) -> Tensor:  # noqa: FBT001
    # The same test that `torch.autograd.Function` makes.
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return _Transformable.apply(x, linear, transposed)
    # Most backward passes need no further derivative.
    if not torch.is_grad_enabled() and forward_ad._current_level < 0:
        return _multiply(x, linear, transposed)
    return _Product.apply(x, linear, transposed)


def _check_operand(what: str, x: Tensor, size: int) -> None:
    if not x.is_floating_point() or x.dim() == 0 or x.shape[-1] != size:
        raise InputError(
            f"{what}: expected a floating-point tensor of shape (*, {size}), "
            f"got {x.dtype} of shape {tuple(x.shape)}."
        )


__all__ = ["LinearMap", "Transpose"]
