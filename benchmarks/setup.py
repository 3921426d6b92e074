"""Setting up a subspace of fc with d = 10,000: seconds and memory, for every kind.

    make bench        (or: python -m benchmarks.setup results/setup.json)

Each kind is set up in a process of its own, with one thread: `Subspace(fc, 10_000, kind)`, and the
first product and the first adjoint, in which most kinds make what they keep. Seconds are those of
the processor. Memory is the largest resident size of the process beyond that before, when a tiny
one had been set up: the net (0.8 MB), some vectors of D numbers, and what LAPACK takes are in it.

The seed's way, `orthonormal`, is not run: it is set up at d = 200, and the figures are what this
comes to at d = 10,000, with memory in proportion to D d and time to D d².
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import output, timing
from subspace_nn import Subspace, models
from subspace_nn.projections import KINDS

MODEL, DIM = "fc", 10_000
#: Kinds that are run with fewer parameters, and how many.
COMPUTED = {"orthonormal": 200}
#: Kinds that need d = D.
LEFT_OUT = {"identity"}


def main() -> None:
    """Measure each kind in a process of its own, print, and write the JSON."""
    if sys.argv[1:2] == ["--kind"]:
        torch.set_num_threads(1)
        print(json.dumps(set_up(sys.argv[2], int(sys.argv[3]))))
        return
    chosen = timing.arguments(__doc__)
    rows = [measure(kind) for kind in KINDS if kind not in LEFT_OUT]
    command = "python -m benchmarks.setup"
    output.write(chosen.out, command, chosen.device, model=MODEL, dim=DIM, results=rows)


def measure(kind: str) -> dict[str, Any]:
    """Set up one kind in a process of its own, print and return the figures.

    Args:
        kind: its name.

    Returns:
        The figures by name.
    """
    dim = COMPUTED.get(kind, DIM)
    words = [sys.executable, "-m", "benchmarks.setup", "--kind", kind, str(dim)]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    row: dict[str, Any] = {"kind": kind, **json.loads(printed)}
    if dim != DIM:
        more = DIM / dim
        row |= {
            "computed_from_dim": dim,
            "seconds": round(row["seconds"] * more**2),
            "peak_bytes": round(row["peak_bytes"] * more),
            "kept_bytes": round(row["kept_bytes"] * more),
        }
    print(
        f"{kind:12} {row['seconds']:10,.2f} s, needs {row['peak_bytes'] / 1e6:10,.1f} MB, keeps "
        f"{row['kept_bytes'] / 1e6:10,.1f} MB{'' if dim == DIM else f' (computed from d = {dim})'}",
        flush=True,
    )
    return row


def set_up(kind: str, dim: int) -> dict[str, Any]:
    """Set up one kind in this process.

    Args:
        kind: its name.
        dim: number of free parameters.

    Returns:
        The figures by name.
    """
    small = Subspace(torch.nn.Linear(4, 4), 20, kind)  # what torch loads at the first use
    small.projection.T @ (small.projection @ small.omega.detach())
    before, start = _resident(), time.process_time()
    net = Subspace(models.build(MODEL), dim, kind)
    P = net.projection
    P.T @ (P @ net.omega.detach())
    seconds = time.process_time() - start
    most = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": round(seconds, 3),
        "peak_bytes": most - before,
        "kept_bytes": P.stored_bytes(),
    }


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * resource.getpagesize()


if __name__ == "__main__":
    main()
