"""`hashed` in one pass over memory, by Numba on a CPU, against plain torch and a copy of θ.

    python -m benchmarks.one_pass results/one_pass.json

Nothing is stored, d = 10,000, float32. For each D, in turn:

- copy: θ into memory that is there;
- forward: P ω, into new memory;
- adjoint: Pᵀ g;
- place: θ0 + step · P ω, into memory that earlier weights left. It reads θ0 and writes θ, as a copy
  does;
- the last three in plain torch.

All on one thread, and then the one pass on two, whose times are those of the wall.
"""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks import output, timing
from subspace_nn.projections import Hashed
from subspace_nn.projections.linear import place

SIZES, DIM, ROUNDS = [3 * 10**7, 10**8], 10_000, 7


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    chosen = timing.arguments(__doc__)
    rows = [row for D in SIZES for row in measure(D)]
    output.write(chosen.out, "python -m benchmarks.one_pass", chosen.device, results=rows)


def measure(D: int) -> list[dict[str, Any]]:
    """All products at one D.

    Args:
        D: number of weights.

    Returns:
        A row for each product.
    """
    fast, slow = (Hashed(D, DIM, store=False) for _ in range(2))
    slow._kernel_for = lambda *_: None  # pyrefly: ignore[method-assign]
    omega, theta, there = torch.randn(DIM), torch.randn(D), torch.empty(D)
    copy, threads = "copy", torch.set_num_threads
    actions: dict[Any, Callable[[], object]] = {copy: lambda: there.copy_(theta)}
    for name, P in (("one pass", fast), ("torch", slow)):
        actions["forward", name] = lambda P=P: P @ omega
        actions["adjoint", name] = lambda P=P: P.T @ theta
        actions["place", name] = lambda P=P: place(P[:], omega, [0.3], [theta])
    times = timing.in_turn(actions, ROUNDS, torch.device("cpu"))
    threads(2)
    both = {key: action for key, action in actions.items() if "one pass" in key}
    shared = timing.in_turn(both, ROUNDS, torch.device("cpu"))
    threads(1)
    rows = []
    for product in ("forward", "adjoint", "place"):
        one, plain = times[product, "one pass"], times[product, "torch"]
        row = {
            "D": D,
            "dim": DIM,
            "product": product,
            "ms": round(one.ms, 1),
            "copies": one.over(times[copy]),
            "copies_in_torch": plain.over(times[copy]),
            "torch_over_one_pass": plain.over(one),
            "one_thread_over_two": one.over(shared[product, "one pass"])["wall_ratio"],
        }
        rows.append(row)
        ratios = [f"{key} {value['ratio']}" for key, value in row.items() if type(value) is dict]
        print(f"D = {D:,}, {product}: {', '.join(ratios)}", flush=True)
    return rows


if __name__ == "__main__":
    main()
