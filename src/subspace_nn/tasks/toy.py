"""The toy of Li et al. (2018): ten constraints on 1,000 weights, so that the answer is 10."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from subspace_nn import bits
from subspace_nn.common.errors import problems_of
from subspace_nn.projections import parse
from subspace_nn.runs.task import checked
from subspace_nn.subspace.wrapper import Subspace

#: Standard deviation of the initial weights: each sum of 100 then starts at about ±1.
_SPREAD = 0.1


class Sums(nn.Module):
    """Weights whose consecutive groups are summed.

    Args:
        D: number of weights.
        groups: number of sums; divides D.
        seed: of the initial weights, normal with standard deviation 0.1.

    Example:
        >>> Sums()().shape
        torch.Size([10])
    """

    def __init__(self, D: int = 1000, groups: int = 10, seed: int = 0) -> None:
        super().__init__()
        start = bits.normal(seed, "toy/theta0", 0, D) * _SPREAD
        self.weights = nn.Parameter(start.view(groups, D // groups))

    def forward(self) -> Tensor:
        """The sums.

        Returns:
            Shape (groups,).
        """
        return self.weights.sum(1)


def _check(arguments: Mapping[str, Any]) -> list[str]:
    return problems_of(lambda: parse(arguments["projection"]))


@checked(_check)
def train(
    *, dim: int | Literal["full"] = 10, projection: str = "hashed", seed: int = 0
) -> dict[str, Any]:
    """Train the weights so that the first hundred of them add up to 1, the second to 2, … 10.

    The loss is the sum of the squared differences, and the performance exp(-loss) (Li et al.,
    "Measuring the intrinsic dimension of objective landscapes", 2018). It is quadratic in ω, and
    L-BFGS in float64 goes on until it no longer falls. A solution has D - 10 dimensions, so that a
    subspace of d dimensions meets it where d is at least 10.

    Args:
        dim: number of free parameters d, or "full" for all 1,000.
        projection: as for `Subspace`.
        seed: of P and θ0.

    Returns:
        `D`, `dim`, `loss`, `performance`, and `steps`, the number of evaluations.

    Example:
        >>> round(train(dim=10)["performance"], 6), train(dim=9)["performance"] < 0.9
        (1.0, True)
    """
    module = Sums(seed=seed)
    D = module.weights.numel()
    net = Subspace(module, D if dim == "full" else dim, projection, seed=seed)
    target = torch.arange(1, 11, dtype=torch.float64)
    optimizer = torch.optim.LBFGS(
        net.parameters(),
        max_iter=500,
        tolerance_grad=1e-10,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )
    losses: list[float] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (net() - target).square().sum()
        loss.backward()
        losses.append(loss.item())
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        loss = float((net() - target).square().sum())
    return {
        "D": D,
        "dim": net.dim,
        "loss": loss,
        "performance": math.exp(-loss),
        "steps": len(losses),
    }
