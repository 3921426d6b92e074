"""Kinds in compiled loops, by Numba on a CPU, against plain torch and a copy of θ.

    python -m benchmarks.one_pass results/one_pass.json

d = 10,000, float32. For each kind and D, in turn:

- copy: θ into memory that is there, on some processors past the cache where it is large;
- add: θ + 1 into the same memory, with ordinary stores, as place has them;
- forward: P ω, into new memory;
- adjoint: Pᵀ g;
- place: θ0 + step · P ω, into memory that earlier weights left. It reads θ0 and writes θ, as a copy
  does;
- the last three in plain torch.

All on one thread; the first five also on two, whose times are those of the wall. What an addition
gains by the second thread is what the memory allows.
"""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks import output, timing
from subspace_nn.projections import make
from subspace_nn.projections.linear import place

DIM, ROUNDS = 10_000, 15
#: The weights of `fc`, and more than any cache holds, where nothing of `hashed` is stored.
CASES = [
    *((kind, 199_210) for kind in ("hashed", "sparse", "hadamard", "fastfood")),
    *((kind, 3 * 10**7) for kind in ("hashed:recomputed", "sparse:recomputed")),
    *((kind, 3 * 10**7) for kind in ("hadamard", "fastfood")),
    ("hashed:recomputed", 10**8),
]


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    chosen = timing.arguments(__doc__)
    rows = [row for kind, D in CASES for row in measure(kind, D)]
    output.write(chosen.out, "python -m benchmarks.one_pass", chosen.device, results=rows)


def measure(kind: str, D: int) -> list[dict[str, Any]]:
    """All products of one kind at one D.

    Args:
        kind: name of the projection.
        D: number of weights.

    Returns:
        A row for each product.
    """
    P, omega, theta, there = make(kind, D, DIM), torch.randn(DIM), torch.randn(D), torch.empty(D)
    copy, add = "copy", "add"
    compiled: dict[Any, Callable[[], object]] = {
        "forward": lambda: P @ omega,
        "adjoint": lambda: P.T @ theta,
        "place": lambda: place(P[:], omega, [0.3], [theta]),
    }
    passes = {
        copy: lambda: there.copy_(theta),
        add: lambda: torch.add(theta, 1.0, out=there),
    }
    actions = {**passes, **compiled}
    actions |= {("two", key): _on_two_threads(action) for key, action in actions.items()}
    actions |= {("torch", key): timing.in_torch(action) for key, action in compiled.items()}
    rounds = ROUNDS if D > 10**6 else 10 * ROUNDS
    times = timing.in_turn(actions, rounds, torch.device("cpu"))
    rows = []
    for product in compiled:
        one, plain = times[product], times["torch", product]
        row = {
            "projection": kind,
            "D": D,
            "dim": DIM,
            "product": product,
            "rounds": rounds,
            "ms": round(one.ms, 3),
            "copies": one.over(times[copy]),
            "adds": one.over(times[add]),
            "copies_in_torch": plain.over(times[copy]),
            "torch_over_one_pass": plain.over(one),
            "one_thread_over_two": one.over(times["two", product])["wall_ratio"],
            "one_thread_over_two_adds": times[add].over(times["two", add])["wall_ratio"],
        }
        rows.append(row)
        ratios = [f"{key} {value['ratio']}" for key, value in row.items() if type(value) is dict]
        print(f"{kind}, D = {D:,}, {product}: {one.ms:.3f} ms, {', '.join(ratios)}", flush=True)
    return rows


def _on_two_threads(action: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        torch.set_num_threads(2)
        try:
            return action()
        finally:
            torch.set_num_threads(1)

    return run


if __name__ == "__main__":
    main()
