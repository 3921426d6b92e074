"""The fast Walsh-Hadamard transform and other forms in pure torch, interleaved in one run.

    make bench        (or: python -m benchmarks.fwht results/fwht.json [--device cuda])

One thread, float32, one vector of n numbers. All forms are timed in turn in each round; what is
reported of each is the median time, and the median over the rounds of the ratio of its time to that
of `in place` in the same round, with its quartiles: below 1 it is faster.

- in place: one product with H_16, then each stage in place over the whole vector; the fastest form
  known when the package's was written.
- stacked: log2 n stages, each stacking sums and differences into a new tensor; the usual form.
- radix 16: products with H_16 throughout.
- fwht, portable: the package's, in its two forms, in plain torch.
- compiled: the package's with the extra "fast", which has the bits of `portable`.
- columns, rows: the package's for 1,000 columns or rows of H, as `hadamard` needs them.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks import output, timing
from subspace_nn.projections.fwht import fwht, fwht_columns, fwht_rows

EXPONENTS = (12, 14, 16, 18, 20, 22, 24)
#: Columns or rows that are asked for.
FEW = 1000


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
    y, distance = x.view(-1, 16) @ _h16(x.device), 16
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
    y, distance = x.view(-1, 16) @ _h16(x.device), 16
    while distance < x.numel():
        order = min(16, x.numel() // distance)
        y = torch.matmul(_h16(x.device)[:order, :order], y.view(-1, order, distance))
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


@functools.cache
def _h16(device: torch.device) -> Tensor:
    return fwht(torch.eye(16, device=device))


def columns(x: Tensor) -> Tensor:
    """Evenly spread columns of H, times the first numbers of x.

    Args:
        x: shape (n,).

    Returns:
        Shape (n,).
    """
    return fwht_columns(x[:FEW], _few(x), len(x))


def rows(x: Tensor) -> Tensor:
    """Evenly spread entries of the transform.

    Args:
        x: shape (n,).

    Returns:
        Shape (1000,).
    """
    return fwht_rows(x, _few(x))


def _few(x: Tensor) -> Tensor:
    return torch.arange(FEW, device=x.device) * len(x) // FEW


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "in place": in_place,
    "stacked": stacked,
    "radix 16": radix_16,
    "fwht": fwht,
    "portable": portable,
    "columns": columns,
    "rows": rows,
    "compiled": fwht,
}


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    chosen = timing.arguments(__doc__)
    results = [row for exponent in EXPONENTS for row in measure(exponent, chosen.device)]
    output.write(chosen.out, "python -m benchmarks.fwht", chosen.device, results=results)


def measure(exponent: int, device: torch.device) -> list[dict[str, Any]]:
    """Time all forms in turn, and print and return the figures of each.

    Args:
        exponent: log2 n.
        device: that computes.

    Returns:
        One dictionary for each form.
    """
    x = torch.randn(1 << exponent, generator=torch.Generator().manual_seed(0)).to(device)
    for form in (in_place, radix_16, fwht, portable):
        torch.testing.assert_close(form(x), stacked(x), rtol=0, atol=1e-6 * x.numel() ** 0.5 * 30)
    actions: dict[str, Callable[[], object]] = {
        name: lambda form=form: form(x) for name, form in FORMS.items()
    }
    plain = {name: timing.in_torch(action) for name, action in actions.items()}
    actions = plain | {"compiled": actions["compiled"]}
    times = timing.in_turn(actions, 5 if exponent > 22 else 25, device)
    print(f"n = 2^{exponent}")
    return [report(exponent, name, own, times["in place"]) for name, own in times.items()]


def report(exponent: int, name: str, own: timing.Times, base: timing.Times) -> dict[str, Any]:
    """Print and return the figures of one form.

    Args:
        exponent: log2 n.
        name: of the form.
        own: its times.
        base: those of `in place` in the same rounds.

    Returns:
        The figures by name.
    """
    ratios = own.over(base)
    low, high = ratios["ratio_quartiles"]
    print(
        f"  {name:10} {own.ms:9.3f} ms, {ratios['ratio']:5.2f} times `in place` "
        f"(quartiles {low:.2f} to {high:.2f})",
        flush=True,
    )
    return {
        "log2_n": exponent,
        "form": name,
        "rounds": len(own.wall),
        "ms": round(own.ms, 4),
        **ratios,
    }


if __name__ == "__main__":
    main()
