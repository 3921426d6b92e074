"""`hashed` in plain torch against a copy of θ: forward, adjoint, memory, and where the time goes.

    make bench        (or: python -m benchmarks.roofline results/roofline.json [--device cuda])

Each row is one product at one D and d. What is reported is the median over the rounds of the ratio
to copying θ (D numbers of float32) into memory that is there, the *copy*, and into new memory, the
*clone*; with the floor, the bytes that must move over the 8 bytes a weight that a copy moves.

- forward, stored: an index is read and a weight is written, 8 bytes; recomputed: 4.
- adjoint, stored: an index and a number are read, 8 bytes; recomputed: 4.

Table, sums and signs, for d ≪ D, stay in a cache. Memory is what the product needs at one time
beyond its operand and its result, and what the projection keeps, in bytes a weight.

A new tensor of this size is new pages of memory, which the system clears and hands out one by one.
So everything is measured twice: with pages of 4 kB, as is usual, and of 2 MB, which glibc asks for
when GLIBC_TUNABLES=glibc.malloc.hugetlb=1 is set.

Then the parts, in nanoseconds a weight, on pieces that stay in the cache: what one thread takes for
a lookup, for an addition at a looked-up place, for making indices, and for new pages.
"""

import os
from collections.abc import Callable
from typing import Any

import torch

from benchmarks import output, timing
from subspace_nn.projections import Hashed

SIZES = [
    (10**7, 100), (10**7, 10_000), (10**7, 100_000), (10**7, 1_000_000),
    (10**8, 10_000), (10**8, 1_000_000),
]  # fmt: skip
ROUNDS = {10**7: 15, 10**8: 5}
PAGES = {"4 kB": "", "2 MB": "glibc.malloc.hugetlb=1"}
#: Weights of a piece that stays in the cache.
PIECE = 1 << 15


def main() -> None:
    """Measure with pages of both sizes, each in a process of its own, and write the JSON."""
    chosen = timing.arguments(__doc__)
    if "ROOFLINE_PAGES" in os.environ or chosen.device.type != "cpu":
        content = measure(chosen.device, os.environ.get("ROOFLINE_PAGES", ""))
    else:
        runs = [
            timing.in_a_process("roofline", {"GLIBC_TUNABLES": tunables, "ROOFLINE_PAGES": pages})
            for pages, tunables in PAGES.items()
        ]
        content = {key: [row for run in runs for row in run[key]] for key in ("results", "parts")}
    output.write(chosen.out, "python -m benchmarks.roofline", chosen.device, **content)


def measure(device: torch.device, pages: str) -> dict[str, Any]:
    """All sizes, and the parts.

    Args:
        device: that computes.
        pages: how large the system's pages are, for the rows.

    Returns:
        `results` and `parts`, lists of rows.
    """
    print(f"pages of {pages}" if pages else str(device))
    rows = [row for D, dim in SIZES for row in products(D, dim, device)]
    return {
        "results": [{"pages": pages, **row} for row in rows],
        "parts": [{"pages": pages, **row} for row in parts(device)],
    }


def products(D: int, dim: int, device: torch.device) -> list[dict[str, Any]]:
    """Both products of both forms, and a copy of θ.

    Args:
        D: number of weights.
        dim: number of free parameters.
        device: that computes.

    Returns:
        A row for each.
    """
    omega, theta = torch.randn(dim, device=device), torch.randn(D, device=device)
    there = torch.empty_like(theta)
    maps = {"stored": Hashed(D, dim, store=True), "recomputed": Hashed(D, dim, store=False)}
    actions: dict[tuple[str, str], Callable[[], object]] = {
        ("copy", ""): lambda: there.copy_(theta),
        ("clone", ""): theta.clone,
    }
    for form, P in maps.items():
        actions["forward", form] = timing.in_torch(lambda P=P: P @ omega)
        actions["adjoint", form] = timing.in_torch(lambda P=P: P.T @ theta)
    times = timing.in_turn(actions, ROUNDS[D], device)
    copy, clone = times.pop(("copy", "")), times.pop(("clone", ""))
    print(f"D = {D:,}, d = {dim:,}: copy {copy.ms:.1f} ms, clone {clone.ms:.1f} ms")
    rows = []
    for (product, form), own in times.items():
        result = {"forward": 4 * D, "adjoint": 4 * dim}[product]
        kept = [*maps[form]._index.values(), *maps[form]._norms.values()]
        needed = timing.peak(actions[product, form], [omega, theta, *kept])
        row = {
            "D": D,
            "dim": dim,
            "product": product,
            "form": form,
            "rounds": len(own.wall),
            "ms": round(own.ms, 2),
            "copy_ms": round(copy.ms, 2),
            "clone_ms": round(clone.ms, 2),
            "copies": own.over(copy),
            "clones": own.over(clone),
            "floor_copies": 1.0 if form == "stored" else 0.5,
            "new_pages": own.pages[-1],
            "stored_bytes_per_weight": round(maps[form].stored_bytes() / D, 3),
            "peak_bytes_per_weight": round((needed - result) / D, 3),
        }
        rows.append(row)
        print(
            f"  {product}, {form:10} {row['ms']:8.1f} ms, {row['copies']['ratio']:6.2f} copies "
            f"(floor {row['floor_copies']}), {row['clones']['ratio']:5.2f} clones; "
            f"needs {row['peak_bytes_per_weight']:.2f} and keeps "
            f"{row['stored_bytes_per_weight']:.2f} bytes a weight",
            flush=True,
        )
    return rows


def parts(device: torch.device, dim: int = 1000) -> list[dict[str, Any]]:
    """What a product is made of, each alone.

    Args:
        device: that computes.
        dim: number of free parameters.

    Returns:
        A row for each, in nanoseconds a weight.
    """
    D = 10**7
    P, table = Hashed(D, dim, store=False), torch.randn(4 * dim, device=device)
    _, index = next(P._hash.indices(device, slice(0, P.D)))
    index = index[:PIECE].clone()
    long, out, theta = index.long(), torch.empty(len(index), device=device), torch.randn(D)
    there = theta.to(device)
    pieces = {
        "look up": lambda: torch.index_select(table, 0, index, out=out),
        "int32 to int64": lambda: long.copy_(index),
        "add where looked up": lambda: table.scatter_add_(0, long, out),
    }
    wholes = {
        "make indices": lambda: [None for _ in P._hash.indices(device, slice(0, P.D))],
        "write there": lambda: there.fill_(1.0),
        "write to new pages": lambda: torch.empty_like(there).fill_(1.0),
    }
    rows = []
    for actions, count, rounds in ((pieces, len(index), 500), (wholes, D, 9)):
        for part, own in timing.in_turn(actions, rounds, device).items():
            rows.append({"part": part, "ns_per_weight": round(own.ms * 1e6 / count, 3)})
            print(f"  {part:20} {rows[-1]['ns_per_weight']:.2f} ns a weight")
    return rows


if __name__ == "__main__":
    main()
