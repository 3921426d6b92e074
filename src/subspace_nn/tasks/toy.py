"""The toy of Li et al. (2018): ten constraints on 1,000 weights, so the answer is 10."""

import collections
import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from subspace_nn import bits
from subspace_nn.runs.task import checked
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks.config import subspace_problems
from subspace_nn.tasks.loop import steps

#: Number of weights.
D = 1000
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

    def __init__(self, D: int = D, groups: int = 10, seed: int = 0) -> None:
        super().__init__()
        start = bits.normal(seed, "toy/theta0", 0, D) * _SPREAD
        self.weights = nn.Parameter(start.view(groups, D // groups))

    def forward(self, _: object = None) -> Tensor:
        """Sum each group; there is no input.

        Args:
            _: not used.

        Returns:
            Shape (groups,).
        """
        return self.weights.sum(1)


def _check(arguments: Mapping[str, Any]) -> list[str]:
    return subspace_problems(arguments, D)


@checked(_check)
def train(
    *, dim: int | Literal["full"] = 10, projection: str = "hashed", seed: int = 0
) -> dict[str, Any]:
    """Train the weights so that the first hundred add up to 1, the second hundred to 2, … 10.

    The loss is the sum of the squared differences, and the performance exp(-loss) (Li et al.,
    "Measuring the intrinsic dimension of objective landscapes", 2018). The loss is quadratic in ω,
    and L-BFGS in float64 runs until it no longer falls. The solutions form a space of D - 10
    dimensions, so a subspace of d dimensions meets it if d is at least 10.

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
    net = Subspace(Sums(seed=seed), dim, projection, seed=seed)
    target = torch.arange(1, 11, dtype=torch.float64, device="cpu")
    optimizer = torch.optim.LBFGS(
        net.parameters(),
        max_iter=500,
        tolerance_grad=1e-10,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )
    evaluations = 0

    def loss(sums: Tensor, wanted: Tensor) -> Tensor:
        nonlocal evaluations
        evaluations += 1
        return (sums - wanted).square().sum()

    collections.deque(steps(net, [(None, target)], loss, optimizer), maxlen=0)
    with torch.no_grad():
        final = float((net() - target).square().sum())
    return {
        "D": net.D,
        "dim": net.dim,
        "loss": final,
        "performance": math.exp(-final),
        "steps": evaluations,
    }
