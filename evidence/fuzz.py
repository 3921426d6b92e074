"""Damaged and forged checkpoints: 20,000 mutants of the golden files, and 5,000 forgeries.

    python -m evidence.fuzz results/fuzz.json

A mutant is a golden file with bytes changed. It must raise the one documented error,
`CheckpointError`, or load to exactly the original. A forgery has another content and the right
digest. It must raise the error, or load as what it says. None may crash the process, take more
than a second, or more than 200 MB of memory beyond what the process has from loading all originals.

Each thousand runs in a process of its own, whose peak memory the system counts.
"""

import collections
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import output
from tests import mutation
from tests.golden_cases import CASES

MUTANTS, FORGERIES, BATCH = 20_000, 5_000, 1_000
SECONDS, MEGABYTES = 1.0, 200.0


def main() -> None:
    """Run all, print, and write the JSON named on the command line."""
    if sys.argv[1] == "--batch":
        print(json.dumps(batch(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
        return
    results = {"mutants": run("mutants", MUTANTS), "forgeries": run("forgeries", FORGERIES)}
    output.write(output.named(), "python -m evidence.fuzz", **results)
    for name, result in results.items():
        print(f"{name}: {json.dumps(result)}")
    sys.exit(any(result["wrong"] or result["crashed"] for result in results.values()))


def run(kind: str, count: int) -> dict[str, Any]:
    """All files of a kind, in batches.

    Args:
        kind: "mutants" or "forgeries".
        count: how many.

    Returns:
        How many were refused and loaded, what went wrong, and the largest cost of a file.
    """
    total: dict[str, Any] = {"files": count, "refused": 0, "loaded": 0, "wrong": [], "crashed": []}
    worst = collections.defaultdict(float)
    for start in range(0, count, BATCH):
        command = [sys.executable, "-m", "evidence.fuzz", "--batch", kind, str(start), str(BATCH)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            total["crashed"].append({"start": start, "code": done.returncode, "error": done.stderr})
            continue
        part = json.loads(done.stdout)
        for name in ("refused", "loaded", "wrong"):
            total[name] += part[name]
        for name in ("seconds", "megabytes"):
            worst[name] = max(worst[name], part[name])
        print(f"{kind} {start + BATCH:,}: {dict(worst)}", file=sys.stderr, flush=True)
    return total | {f"most_{name}": round(value, 3) for name, value in worst.items()}


def batch(kind: str, start: int, count: int) -> dict[str, Any]:
    """Some files, each from a seed of its own.

    Args:
        kind: "mutants" or "forgeries".
        start: the first seed.
        count: how many.

    Returns:
        As `run`.
    """
    originals = mutation.Originals()
    base = _peak()
    result: dict[str, Any] = {"refused": 0, "loaded": 0, "wrong": [], "seconds": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "omega.safetensors"
        for seed in range(start, start + count):
            rng = random.Random(f"{kind} {seed}")  # noqa: S311  # no secret
            name, other = rng.choice(list(CASES)), rng.choice(list(CASES))
            if kind == "mutants":
                content = mutation.mutant(rng, originals.bytes[name], originals.bytes[other])
            else:
                content = mutation.forgery(rng, originals.saved[name])
            path.write_bytes(content)
            began = time.perf_counter()
            try:
                meaning = originals.meaning[name] if kind == "mutants" else None
                result[mutation.attempt(path, name, meaning)] += 1
            except Exception as error:  # noqa: BLE001  # whatever it is, it should not be
                what = f"{type(error).__name__}: {error}"[:500]
                result["wrong"].append({"seed": seed, "file": name, "error": what})
            seconds = time.perf_counter() - began
            if seconds > SECONDS:
                result["wrong"].append({"seed": seed, "file": name, "seconds": seconds})
            result["seconds"] = max(result["seconds"], seconds)
    result["megabytes"] = _peak() - base
    if result["megabytes"] > MEGABYTES:
        result["wrong"].append({"start": start, "megabytes": result["megabytes"]})
    return result


def _peak() -> float:
    """The most memory that this process has had so far, in megabytes (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
