"""Products with P as others make them and as this package does, interleaved in one run.

    make bench        (or: python -m benchmarks.peers results/peers.json [--device cuda])

One forward and one backward pass through θ = Pω by autograd, float32, one thread. The others are
small implementations of their techniques, written from their descriptions; none of their code:

- dense: the seed's (2017), a stored D × d matrix. Above 10^8 entries it is random and not made
  orthonormal, which takes minutes and does not change a product.
- regenerated Gaussian: as tight-pac-bayes does it (Lotfi et al., 2022): rows are drawn anew by
  `torch.randn` in both passes, 2·10^8 numbers at a time, and the generator is put back.
- fastfood: as intrinsic-dimensionality does it for a tensor (PyPI): one block of all its D weights,
  padded to a power of two; each stage of the transform makes a new tensor.
- indexing: as Uni-LoRA does it in PEFT (Li et al., 2025): an int64 index and a factor are kept for
  each weight, and autograd adds up the gradient.

`ours` is the kind of this package that does the same: `hadamard` for dense (every weight depends on
every ω, PᵀP = I), `gaussian` with nothing stored, `fastfood`, and `hashed`. What is reported is the
time of both passes, the median over the rounds of the ratio of the other's time to ours, and the
bytes: what is kept, and what both passes need at one time beyond that, ω, θ and its gradient.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from benchmarks import output, timing
from subspace_nn.projections import Gaussian, Projection, make

SIZES = [
    (21_840, 10), (21_840, 100), (21_840, 1000), (21_840, 10_000),
    (199_210, 10), (199_210, 100), (199_210, 1000), (199_210, 10_000),
    (10**7, 100), (10**7, 10_000),
]  # fmt: skip
#: What is larger is not run: entries of a stored matrix (2.4 GB), and of one drawn in each pass.
STORED, DRAWN = 6 * 10**8, 15 * 10**8

Map = Callable[[Tensor], Tensor]


def dense(D: int, dim: int, device: torch.device) -> tuple[Map, list[Tensor]]:
    """A stored matrix.

    Args:
        D: number of weights.
        dim: number of free parameters.
        device: where to.

    Returns:
        The map, and what it keeps.
    """
    P = torch.randn(D, dim)
    P = torch.linalg.qr(P).Q.contiguous() if P.numel() <= 10**8 else P.div_(math.sqrt(D))
    P = P.to(device)
    return lambda omega: P @ omega, [P]


class _Regenerated(torch.autograd.Function):
    """θ = G ω / √D, with rows of G drawn again in both passes."""

    @staticmethod
    def forward(ctx: Any, omega: Tensor, D: int) -> Tensor:  # pyrefly: ignore[bad-override]
        ctx.sizes = D, len(omega), omega.device
        parts = [rows @ omega for rows in _draw(*ctx.sizes)]
        return torch.cat(parts) / math.sqrt(D)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        g, total = grad_outputs[0], torch.zeros(ctx.sizes[1], device=ctx.sizes[2])
        begin = 0
        for rows in _draw(*ctx.sizes):
            total += g[begin : begin + len(rows)] @ rows
            begin += len(rows)
        return total / math.sqrt(len(g)), None


def _draw(D: int, dim: int, device: torch.device) -> Any:
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(137)
        step = math.ceil(2e8 / dim)
        for begin in range(0, D, step):
            yield torch.randn(min(step, D - begin), dim, device=device)


def regenerated(D: int, dim: int, device: torch.device) -> tuple[Map, list[Tensor]]:
    """Rows drawn again in both passes.

    Args:
        D: number of weights.
        dim: number of free parameters.
        device: where to.

    Returns:
        The map, and what it keeps.
    """
    del dim, device
    return lambda omega: _Regenerated.apply(omega, D), []


class _Stacked(torch.autograd.Function):
    """The transform whose stages each make a new tensor; it is its own adjoint."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # pyrefly: ignore[bad-override]  # noqa: ARG004
        y, distance = x, 1
        while distance < len(x):
            pairs = y.view(-1, 2, distance)
            a, b = pairs[:, 0], pairs[:, 1]
            y = torch.cat((a + b, a - b), dim=1)
            distance *= 2
        return y.view(-1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:  # noqa: ARG004
        return _Stacked.apply(grad_outputs[0])


def padded_fastfood(D: int, dim: int, device: torch.device) -> tuple[Map, list[Tensor]]:
    """One block H G Π H B of all weights.

    Args:
        D: number of weights.
        dim: number of free parameters.
        device: where to.

    Returns:
        The map, and what it keeps.
    """
    n = 1 << (D - 1).bit_length()
    B = torch.randint(2, (n,), device=device).mul(2.0).sub(1)
    order, G = torch.randperm(n, device=device), torch.randn(n, device=device)
    scale = 1 / float((D * G.square().sum()).sqrt())

    def forward(omega: Tensor) -> Tensor:
        x = _Stacked.apply(torch.nn.functional.pad(omega, (0, n - dim)) * B)
        return _Stacked.apply(x[order] * G)[:D] * scale

    return forward, [B, order, G]


def indexing(D: int, dim: int, device: torch.device) -> tuple[Map, list[Tensor]]:
    """An index and a factor for each weight.

    Args:
        D: number of weights.
        dim: number of free parameters.
        device: where to.

    Returns:
        The map, and what it keeps.
    """
    index = torch.randint(dim, (D,))
    factor = torch.bincount(index, minlength=dim).float().rsqrt()[index].to(device)
    index = index.to(device)
    return lambda omega: omega[index] * factor, [index, factor]


def ours(kind: str, D: int, dim: int) -> Projection:
    """The kind that does the same.

    Args:
        kind: its name.
        D: number of weights.
        dim: number of free parameters.

    Returns:
        The projection.
    """
    return Gaussian(D, dim, store=False) if kind == "gaussian" else make(kind, D, dim)


#: The others' way, the kind of ours that does the same, and the entries of a matrix it can handle.
PEERS = {
    "dense": (dense, "hadamard", STORED),
    "regenerated Gaussian": (regenerated, "gaussian", DRAWN),
    "fastfood": (padded_fastfood, "fastfood", None),
    "indexing": (indexing, "hashed", None),
}


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    chosen = timing.arguments(__doc__)
    torch.manual_seed(0)
    rows = [measure(name, D, dim, chosen.device) for D, dim in SIZES for name in PEERS]
    output.write(chosen.out, "python -m benchmarks.peers", chosen.device, results=rows)


def measure(name: str, D: int, dim: int, device: torch.device) -> dict[str, Any]:
    """Time both passes through the other's map and ours in turn.

    Args:
        name: of the other.
        D: number of weights.
        dim: number of free parameters.
        device: that computes.

    Returns:
        The figures by name.
    """
    maker, kind, entries = PEERS[name]
    row: dict[str, Any] = {"peer": name, "ours": kind, "D": D, "dim": dim}
    if entries is not None and D * dim > entries:
        print(f"D = {D:,}, d = {dim:,}: {name} is not run, D d is above {entries:,}")
        return row | {"not_run": f"D d > {entries}"}
    other, kept = maker(D, dim, device)
    P = ours(kind, D, dim)
    omega = torch.randn(dim, device=device, requires_grad=True)
    g = torch.randn(D, device=device)

    def passes(map_: Map) -> Tensor:
        return torch.autograd.grad(map_(omega), omega, g)[0]

    actions = {"other": lambda: passes(other), "ours": lambda: passes(P.__matmul__)}
    slow = name == "regenerated Gaussian" and D * dim > 10**8
    if not slow:
        actions["ours"]()  # makes what it keeps; what the slow one keeps is next to nothing
    ours_kept = [t for t in tree_leaves(list(vars(P).values())) if isinstance(t, Tensor)]
    known = [omega, g, *kept, *ours_kept]
    peaks = {k: timing.peak(action, known) for k, action in actions.items()}
    rounds = 2 if slow else 5 if D * dim > 10**9 else 15
    times = timing.in_turn(actions, rounds, device, warm=slow)
    result = times["other"].over(times["ours"])
    row |= {
        "rounds": len(times["ours"].wall),
        "other_ms": round(times["other"].ms, 3),
        "ours_ms": round(times["ours"].ms, 3),
        "times_faster": result,
        "other_kept_bytes": sum(t.nbytes for t in kept),
        "ours_kept_bytes": P.stored_bytes(),
        "other_needed_bytes": max(0, peaks["other"] - 4 * D),
        "ours_needed_bytes": max(0, peaks["ours"] - 4 * D),
    }
    print(
        f"D = {D:,}, d = {dim:,}: {name} {row['other_ms']:.2f} ms, our {kind} "
        f"{row['ours_ms']:.2f} ms, {result['ratio']:.2f} times faster; keeps "
        f"{row['other_kept_bytes'] / D:.1f} and {row['ours_kept_bytes'] / D:.1f}, needs "
        f"{row['other_needed_bytes'] / D:.1f} and {row['ours_needed_bytes'] / D:.1f} B a weight",
        flush=True,
    )
    return row


if __name__ == "__main__":
    main()
