"""A linear map and its adjoint as differentiable operators, from their two plain products."""

import abc
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad

from subspace_nn.common.errors import InputError
from subspace_nn.projections._compiled import multiply, product, written_out


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

    def _place(
        self,
        omega: Tensor,  # noqa: ARG002
        steps: Sequence[float],  # noqa: ARG002
        origins: Sequence[Tensor],  # noqa: ARG002
    ) -> list[Tensor] | None:
        """`place` in one pass, with the same bits, whatever flags θ0 has; None without a way."""
        return None

    def _collect(self, gradients: Sequence[Tensor], steps: Sequence[float]) -> Tensor | None:  # noqa: ARG002
        """The adjoint of `_place`, in one pass, in at least float32; None where there is no way."""
        return None

    @abc.abstractmethod
    def _address(self) -> tuple[int, int, int]:
        """The number of a projection, and its rows that this map has: start and stop."""

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


def place(
    linear: LinearMap, omega: Tensor, steps: Sequence[float], origins: Sequence[Tensor]
) -> list[Tensor]:
    """Weights at a place in a subspace: θ0 + step · A ω, rounded after each operation.

    Args:
        linear: the map A.
        omega: shape (columns,), of a floating-point dtype.
        steps: a factor for each tensor.
        origins: the tensors of θ0, one after another as many numbers as A has rows, in any shape,
            dtype and on any device; constants.

    Returns:
        Tensors like those of θ0, differentiable in ω to any order.

    Example:
        >>> from subspace_nn.projections import Identity
        >>> place(Identity(4, 4), torch.arange(4.0), [0.5, 2.0], [torch.ones(1, 2), torch.zeros(2)])
        [tensor([[1.0000, 1.5000]]), tensor([4., 6.])]
    """
    _check_operand("P @ omega", omega, linear.shape[1])
    if _single(omega, origins):
        if torch.is_grad_enabled() and omega.requires_grad:
            return list(_Placed.apply(omega, linear, steps, origins))
        return _placed(linear, omega, steps, origins)
    moves = _parts(_apply(omega, linear, transposed=False), origins)
    return [shifted(m * s, o) for m, s, o in zip(moves, steps, origins, strict=True)]


class _Placed(torch.autograd.Function):
    """`place`, all tensors at once: a node of autograd for each of them takes longer than sums."""

    @staticmethod
    def forward(  # pyrefly: ignore[bad-override]
        ctx: Any,
        omega: Tensor,
        linear: LinearMap,
        steps: Sequence[float],
        origins: Sequence[Tensor],
    ) -> tuple[Tensor, ...]:
        ctx.linear, ctx.steps, ctx.dtype = linear, steps, omega.dtype
        return tuple(_placed(linear, omega, steps, origins))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        steps = ctx.steps
        if not torch.is_grad_enabled():
            collected = ctx.linear._collect(grad_outputs, steps)
            if collected is not None:
                return collected.to(ctx.dtype), None, None, None
        gradients = [g.to(ctx.dtype) for g in grad_outputs]
        if len(steps) == 1:  # fewer numbers are scaled after
            flat = gradients[0].reshape(-1)
            return _apply(flat, ctx.linear, transposed=True) * steps[0], None, None, None
        # Which torch.autograd.grad(is_grads_batched=True) makes.
        if _transforming() or torch._C._functorch.is_legacy_batchedtensor(gradients[0]):
            gradients = [g * step for g, step in zip(gradients, steps, strict=True)]
        else:
            gradients = torch._foreach_mul(gradients, steps)
        flat = torch.cat([g.reshape(-1) for g in gradients])
        return _apply(flat, ctx.linear, transposed=True), None, None, None


def _placed(
    linear: LinearMap, omega: Tensor, steps: Sequence[float], origins: Sequence[Tensor]
) -> list[Tensor]:
    at_once = linear._place(omega, steps, origins)
    if at_once is not None:
        return at_once
    moves = torch._foreach_mul(_parts(multiply(omega, linear, transposed=False), origins), steps)
    if any(origin.dtype != omega.dtype for origin in origins):
        return [shifted(move, origin) for move, origin in zip(moves, origins, strict=True)]
    torch._foreach_add_(moves, [origin.detach() for origin in origins])
    return list(moves)


def _single(omega: Tensor, origins: Sequence[Tensor]) -> bool:
    """Whether no transformation looks on, and all tensors are on one device."""
    plain = not _transforming() and forward_ad._current_level < 0
    return plain and all(origin.device == omega.device for origin in origins)


def _parts(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """A vector cut into tensors of the shapes of others."""
    parts = flat.split([other.numel() for other in like])
    return [part.view(other.shape) for part, other in zip(parts, like, strict=True)]


def shifted(move: Tensor, origin: Tensor) -> Tensor:
    """θ0 + move, in the memory of the move where that has the sum's dtype.

    A move is scaled before, not by `add(alpha=…)`: where a processor fuses that, it rounds
    differently.

    Args:
        move: scaled, and nobody else's.
        origin: θ0, a constant of the same shape.

    Returns:
        A tensor like θ0.
    """
    origin = origin.detach()
    move = move.to(origin.device)
    if torch.promote_types(move.dtype, origin.dtype) == move.dtype:
        return move.add_(origin).to(origin.dtype)
    return (move + origin).to(origin.dtype)


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
        return multiply(x, linear, transposed=transposed)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        return _apply(grad_outputs[0], ctx.linear, transposed=not ctx.transposed), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _apply(tangents[0], ctx.linear, transposed=ctx.transposed)


class _Transformable(torch.autograd.Function):
    """The same in the form that `torch.func` needs, whose calls take three times as long."""

    @staticmethod
    def forward(  # pyrefly: ignore[bad-override]
        x: Tensor,
        linear: LinearMap,
        transposed: bool,  # noqa: FBT001
    ) -> Tensor:
        return multiply(x, linear, transposed=transposed)

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
        return _apply(batched, linear, transposed=transposed), 0


def _apply(x: Tensor, linear: LinearMap, *, transposed: bool) -> Tensor:
    if torch.compiler.is_dynamo_compiling():
        size = linear.shape[1 if transposed else 0]
        return product(x, linear._address(), size, transposed)
    if torch.compiler.is_exporting():
        return written_out(x, linear._address(), transposed=transposed)
    if _transforming():
        return _Transformable.apply(x, linear, transposed)
    # Most backward passes need no further derivative.
    if not torch.is_grad_enabled() and forward_ad._current_level < 0:
        return multiply(x, linear, transposed=transposed)
    return _Product.apply(x, linear, transposed)


def _transforming() -> bool:
    """The same test that `torch.autograd.Function` makes."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def _check_operand(what: str, x: Tensor, size: int) -> None:
    if not x.is_floating_point() or x.dim() == 0 or x.shape[-1] != size:
        raise InputError(
            f"{what}: expected a floating-point tensor of shape (*, {size}), "
            f"got {x.dtype} of shape {tuple(x.shape)}."
        )


__all__ = ["LinearMap", "Transpose", "multiply", "place", "shifted"]
