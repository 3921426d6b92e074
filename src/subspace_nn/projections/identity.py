"""`identity`: the full parameter space, the baseline."""

from typing import final

from torch import Tensor

from subspace_nn.common.errors import InputError
from subspace_nn.projections.base import Needs, Projection


@final
class Identity(Projection):
    """P = I: every weight is its own free parameter, so d = D.

    Cost: a copy, forward and backward; nothing is stored. The adjoint of rows makes D numbers.

    Args:
        D: number of weights, at least 1.
        dim: must equal D.
        seed: has no effect; all kinds take it.

    Raises:
        InputError: if dim is not D, or an argument is out of range.

    Example:
        >>> import torch
        >>> Identity(D=3, dim=3) @ torch.tensor([1.0, 2.0, 3.0])
        tensor([1., 2., 3.])
    """

    kind = "identity"

    def __init__(self, D: int, dim: int, seed: int = 0) -> None:
        super().__init__(D, dim, seed)
        if dim != D:
            raise InputError(f"identity is the full space: dim must be {D:,}, got {dim:,}.")

    def stored_bytes(self) -> int:
        """0."""
        return 0

    def needs(self) -> Needs:
        """A few vectors of D numbers."""
        return Needs.linear(self.D)

    def _matvec(self, omega: Tensor) -> Tensor:
        return omega.clone()

    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        return omega[..., rows].clone()

    def _rmatvec(self, gradient: Tensor) -> Tensor:
        return gradient.clone()
