"""Refine an ω on a grid: single codes change for as long as the loss and its bits' price fall."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own spelling
from torch import Tensor

from subspace_nn import bits
from subspace_nn.common.checks import number, require, whole
from subspace_nn.common.errors import InputError
from subspace_nn.format import packing
from subspace_nn.subspace.wrapper import Subspace

Batches = Iterable[tuple[Any, Tensor]]


def refine(
    net: Subspace,
    data: Callable[[], Batches],
    *,
    price: float = 0.0,
    rounds: int = 10,
    seed: int = 0,
) -> list[float]:
    """Change single codes of a classifier's ω by one level, those that help most first.

    A round computes the gradient g and the Gauss-Newton matrix H of the mean cross-entropy in all
    d numbers. To move code k by δ = ±s, s the step of the grid, then changes the objective by about

        g_k δ + H_kk δ² / 2 + price · (change of the bits)

    The best move of all is made, g becomes g + δ H_k, and so on for as long as a move helps. As the
    loss is not quadratic that far, the objective is then computed with all of these moves, with the
    first half of them, the first quarter, and so on, until it rises again. The best of these codes
    are kept; without a better one the refinement is over. So the objective never rises.

    Each batch gives H one outer product v vᵀ, with v the gradient of

        Σ_ic ε_ic √p_ic (z_ic - Σ_j p_ij z_ij)

    for logits z and probabilities p of the classes c, with signs ε drawn anew. Its mean over the
    signs is the sum of the matrices of the batch's examples i. So give several times d batches;
    small ones will do.

    Args:
        net: its ω lies on a grid, as after a training with `levels`; changed in place.
        data: gives the batches each time it is called: inputs, and classes as int64.
        price: of a bit, in nats of the mean loss.
        rounds: the most rounds.
        seed: of the signs.

    Returns:
        The objective before, and after each round.

    Raises:
        InputError: if ω is on no grid, price is below 0 or rounds below 1, or there are no batches;
            if the net is no `Subspace`, or data cannot be called.

    Example:
        >>> x = torch.linspace(-1, 1, 80).view(20, 4)
        >>> y = (x[:, 0] > 0).long()
        >>> net = Subspace(torch.nn.Linear(4, 2), dim=5)
        >>> _ = torch.nn.init.ones_(net.omega)
        >>> history = refine(net, lambda: zip(x.split(2), y.split(2)), rounds=3)
        >>> history == sorted(history, reverse=True)
        True
    """
    if not isinstance(net, Subspace):
        raise InputError(f"Expected a Subspace, got a {type(net).__name__}.")
    if not callable(data):
        raise InputError(
            f"data is called for the batches, as in lambda: loader; got a {type(data).__name__}."
        )
    require(number("price", price, least=0), whole("rounds", rounds, 1))
    found = packing.grid(net.omega)
    if found is None:
        raise InputError("The net's ω is on no grid. Train with levels first.")
    step, codes = found[0], found[1].to(torch.int64)

    def objective(codes: Tensor) -> float:
        return _loss(_put(net, step * codes), data()) + price * length(codes)

    was_training = net.training
    net.eval()
    history: list[float] = []
    try:
        for turn in range(rounds):
            loss, slope, curve = _model(net, data(), f"refine/{turn}", seed)
            if not history:
                history.append(loss + price * length(codes))
            moves = _moves(codes, slope * step, curve * step**2, price)
            value, better = _best(objective, codes, moves, history[-1])
            if better is codes:
                break
            codes = better
            _put(net, step * codes)
            history.append(value)
    finally:  # an interrupt leaves no codes that were only tried
        _put(net, step * codes)
        net.train(was_training)
    return history


def length(codes: Tensor) -> float:
    """The bits of codes under the adaptive code of a file, to about a byte.

    For n_a codes of the level a, of m levels, that is

        Σ_i log2(m + 2i) - Σ_a Σ_j log2(2j - 1),    0 ≤ i < d,  1 ≤ j ≤ n_a

    Args:
        codes: shape (d,), whole numbers.

    Returns:
        Bits.

    Example:
        >>> round(length(torch.tensor([0, 1, 1, 1, -1, 1, 0, 1])), 1)
        13.6
    """
    values, counts = codes.unique(return_counts=True)
    levels = float(2 * values.abs().max() + 1)
    d = len(codes)
    totals = d + (math.lgamma(levels / 2 + d) - math.lgamma(levels / 2)) / math.log(2)
    # 1 · 3 · … · (2n - 1) = 2^n Γ(n + 1/2) / Γ(1/2)
    odd = torch.lgamma(counts + 0.5).sum().item() - len(counts) * math.lgamma(0.5)
    return totals - (d + odd / math.log(2))


@torch.enable_grad()
def _model(net: Subspace, batches: Batches, stream: str, seed: int) -> tuple[float, Tensor, Tensor]:
    """Mean loss, its gradient (d,), and the Gauss-Newton matrix (d, d)."""
    omega = net.omega
    total, count, used = 0.0, 0, 0
    slope = torch.zeros_like(omega)
    rows: list[Tensor] = []
    curve = torch.zeros(len(omega), len(omega), dtype=omega.dtype, device=omega.device)
    for inputs, classes in batches:
        logits = net(inputs)
        loss = F.cross_entropy(logits, classes, reduction="sum")
        slope += torch.autograd.grad(loss, omega, retain_graph=True)[0]
        with torch.no_grad():
            p = logits.softmax(1)
            signs = bits.signs(seed, stream, used, p.numel()).to(p).view_as(p)
            used += p.numel()
            roots = signs * p.sqrt()
            weights = roots - p * roots.sum(1, keepdim=True)
        rows += torch.autograd.grad((weights * logits).sum(), omega)
        if len(rows) == 512:
            curve.addmm_(torch.stack(rows).T, torch.stack(rows))
            rows = []
        total, count = total + loss.item(), count + len(classes)
    if not count:
        raise InputError(
            "data() gave no batches. It is called several times, and has to give them each time."
        )
    if rows:
        curve.addmm_(torch.stack(rows).T, torch.stack(rows))
    return total / count, slope / count, curve / count


def _best(
    objective: Callable[[Tensor], float],
    codes: Tensor,
    moves: Sequence[tuple[int, int]],
    value: float,
) -> tuple[float, Tensor]:
    """The best objective and codes with all moves, the first half, the first quarter, and so on."""
    best = (value, codes)
    count = len(moves)
    while count:
        tried = codes.clone()
        for k, change in moves[:count]:
            tried[k] += change
        value = objective(tried)
        if value < best[0]:
            best = value, tried
        elif best[1] is not codes:
            break
        count //= 2
    return best


def _moves(codes: Tensor, slope: Tensor, curve: Tensor, price: float) -> list[tuple[int, int]]:
    """The moves that the quadratic model foresees to help, the best first."""
    codes, slope = codes.clone(), slope.clone()
    low, high = int(codes.min()), int(codes.max())
    half = curve.diagonal() / 2
    counts = torch.bincount(codes - low, minlength=high - low + 1).double()
    found: list[tuple[int, int]] = []
    while len(found) < len(codes):
        gains: list[tuple[float, int, int]] = []
        for change in (-1, 1):
            target = codes + change
            allowed = (target >= low) & (target <= high)
            here, there = counts[codes - low], counts[(target - low).clamp(0, high - low)]
            paid = ((2 * here - 1) / (2 * there + 1)).log2().to(slope)
            gain = slope * change + half + price * paid
            gain[~allowed] = math.inf
            k = int(gain.argmin())
            gains.append((float(gain[k]), k, change))
        gain, k, change = min(gains)
        if gain >= 0:
            break
        counts[codes[k] - low] -= 1
        codes[k] += change
        counts[codes[k] - low] += 1
        slope += change * curve[k]
        found.append((k, change))
    return found


@torch.no_grad()
def _loss(net: Subspace, batches: Batches) -> float:
    total, count = 0.0, 0
    for inputs, classes in batches:
        total += F.cross_entropy(net(inputs), classes, reduction="sum").item()
        count += len(classes)
    return total / count if count else math.inf


@torch.no_grad()
def _put(net: Subspace, omega: Tensor) -> Subspace:
    net.omega.copy_(omega)
    return net
