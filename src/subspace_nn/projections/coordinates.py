"""From weights back to free parameters: the ω whose P ω is nearest to a given vector."""

import torch
from torch import Tensor

from subspace_nn.projections import Projection


def coordinates(projection: Projection, target: Tensor) -> Tensor:
    """The least-squares solution of P ω = y, by conjugate gradients on PᵀP ω = Pᵀ y.

    For an isometric P the solution is Pᵀ y, and the first step finds it. The number of steps grows
    with the distortion of P (Hestenes and Stiefel, "Methods of conjugate gradients for solving
    linear systems", 1952). P ω is the point of the subspace nearest to y.

    Args:
        projection: the map P.
        target: y, shape (D,), any floating-point dtype.

    Returns:
        ω, float64, shape (d,), on the device of the target.

    Example:
        >>> from subspace_nn.projections import Hashed
        >>> omega = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
        >>> P = Hashed(D=50, dim=3)
        >>> bool((coordinates(P, P @ omega) - omega).abs().max() < 1e-14)
        True
    """
    residual = projection.T @ target.double()
    omega = torch.zeros_like(residual)
    direction = residual.clone()
    square = residual.dot(residual)
    enough = square * 1e-30
    for _ in range(2 * projection.dim):  # d in exact arithmetic
        if square <= enough:
            break
        image = projection.T @ (projection @ direction)
        length = square / direction.dot(image)
        omega += length * direction
        residual -= length * image
        square, before = residual.dot(residual), square
        direction = residual + square / before * direction
    return omega


__all__ = ["coordinates"]
