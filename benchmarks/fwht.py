"""The fast Walsh-Hadamard transform beside other forms in pure torch, interleaved in one run.

    python benchmarks/fwht.py [results/fwht.json]

One thread, float32, one vector of n numbers. All forms are timed in turn in each round; what is
reported of each is the median time, and the median over the rounds of the ratio of the stacked
butterfly's time of the same round to its own, with its quartiles: how many times faster it is.

- stacked: log2 n stages, each stacking sums and differences into a new tensor; the usual form.
- in place: one product with H_16, then each stage in place over the whole vector.
- radix 16: products with H_16 throughout.
- fwht, portable: the package's, in its two forms.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from subspace_nn import environment
from subspace_nn.files import write_atomically
from subspace_nn.hadamard import fwht

EXPONENTS = (12, 14, 16, 18, 20, 22, 24)
H16 = fwht(torch.eye(16))


def stacked(x: Tensor) -> Tensor:
    """Each stage makes a new tensor.

    Args:
        x: shape (n,).

    Returns:
        The transform.
    """
    y, distance = x, 1
    while distance < x.numel():
        a, b = y.view(-1, 2, distance).unbind(1)
        y = torch.stack((a + b, a - b), dim=1)
        distance *= 2
    return y.view(-1)


def in_place(x: Tensor) -> Tensor:
    """One product with H_16, then each stage in place over the whole vector.

    Args:
        x: shape (n,), n at least 16.

    Returns:
        The transform.
    """
    y, distance = x.view(-1, 16) @ H16, 16
    while distance < x.numel():
        a, b = y.view(-1, 2, distance).unbind(1)
        a.add_(b)
        torch.sub(a, b, alpha=2, out=b)
        distance *= 2
    return y.view(-1)


def radix_16(x: Tensor) -> Tensor:
    """Products with H_16 throughout, and one with a smaller matrix for what is left.

    Args:
        x: shape (n,), n at least 16.

    Returns:
        The transform.
    """
    y, distance = x.view(-1, 16) @ H16, 16
    while distance < x.numel():
        order = min(16, x.numel() // distance)
        y = torch.matmul(H16[:order, :order], y.view(-1, order, distance))
        distance *= order
    return y.view(-1)


def portable(x: Tensor) -> Tensor:
    """The package's form with a fixed order of all sums.

    Args:
        x: shape (n,).

    Returns:
        The transform.
    """
    return fwht(x, portable=True)


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "stacked": stacked,
    "in place": in_place,
    "radix 16": radix_16,
    "fwht": fwht,
    "portable": portable,
}


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    torch.set_num_threads(1)
    results = [row for exponent in EXPONENTS for row in measure(exponent)]
    if len(sys.argv) > 1:
        content = {
            "command": "python benchmarks/fwht.py",
            "environment": environment.describe(),
            "results": results,
        }
        write_atomically(Path(sys.argv[1]), (json.dumps(content, indent=1) + "\n").encode())


def measure(exponent: int) -> list[dict[str, Any]]:
    """Time all forms in turn, and print and return the figures of each.

    Args:
        exponent: log2 n.

    Returns:
        One dictionary for each form.
    """
    x = torch.randn(1 << exponent, generator=torch.Generator().manual_seed(0))
    for form in FORMS.values():
        torch.testing.assert_close(form(x), stacked(x), rtol=0, atol=1e-6 * x.numel() ** 0.5 * 30)
    rounds = 5 if exponent > 22 else 25
    times: dict[str, list[float]] = {name: [] for name in FORMS}
    for _ in range(rounds):
        for name, form in FORMS.items():
            start = time.perf_counter()
            form(x)
            times[name].append(time.perf_counter() - start)
    print(f"n = 2^{exponent}")
    return [report(exponent, name, times[name], times["stacked"]) for name in FORMS]


def report(exponent: int, name: str, own: list[float], base: list[float]) -> dict[str, Any]:
    """Print and return the figures of one form.

    Args:
        exponent: log2 n.
        name: of the form.
        own: its times, in seconds.
        base: those of the stacked butterfly in the same rounds.

    Returns:
        The figures by name.
    """
    low, middle, high = statistics.quantiles([b / a for a, b in zip(own, base, strict=True)], n=4)
    print(
        f"  {name:10} {statistics.median(own) * 1e3:9.3f} ms  "
        f"{middle:5.2f} times faster than stacked (quartiles {low:.2f} to {high:.2f})"
    )
    return {
        "log2_n": exponent,
        "form": name,
        "rounds": len(own),
        "ms": round(statistics.median(own) * 1e3, 4),
        "times_faster": round(middle, 3),
        "quartiles": [round(low, 3), round(high, 3)],
    }


if __name__ == "__main__":
    main()
