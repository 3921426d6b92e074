"""Checkpoints of every row and every kind of projection, loaded in another process.

python -m tests.conformance.files FOLDER THREADS   # loads what `write` wrote there, and compares

Sums of floating-point numbers depend on how many threads share them, so both processes use as many.
"""

import contextlib
import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path

import safetensors.torch
import torch
import transformers

import subspace_nn as sn
from subspace_nn import projections
from subspace_nn.subspace.layout import Layout
from tests.conformance.checks import run, step
from tests.conformance.rows import ROWS

KINDS = tuple(projections.KINDS)


def write(folder: Path, *, every: bool = False) -> None:
    """A checkpoint for each row, a pickle where the plain module has one, and what it computes.

    With every kind of projection, or only for the small rows and with one: each of them in turn.
    """
    for number, row in enumerate(ROWS.values()):
        if (row.large and not every) or importlib.util.find_spec(row.needs) is None:
            continue
        for kind in KINDS if every else [KINDS[number % len(KINDS)]]:
            torch.manual_seed(number)
            module = row.make()
            layout = Layout.of(module)
            many = max(16, len(layout.entries)) if kind == "layerwise" else 16
            dim = layout.D if kind == "identity" else min(many, layout.D)
            net = sn.Subspace(module, dim, kind, seed=number)
            step(net, row)  # moves ω and BatchNorm's statistics
            net.save(folder / f"{number}-{kind}.safetensors")
            net.eval()
            outputs = {str(i): t.detach().contiguous() for i, t in enumerate(run(net, row))}
            safetensors.torch.save_file(outputs, folder / f"{number}-{kind}.outputs")
            with contextlib.suppress(RuntimeError, AttributeError, pickle.PicklingError):
                pickle.dumps(module)
                (folder / f"{number}-{kind}.pickle").write_bytes(pickle.dumps(net))


def differences(folder: Path) -> list[str]:
    """Rows and kinds that do not come back with identical outputs; here is another process."""
    wrong = []
    for number, (name, row) in enumerate(ROWS.items()):
        for path in sorted(folder.glob(f"{number}-*.safetensors")):
            torch.manual_seed(1000 + number)  # other weights than the writer's
            nets = [sn.load(path, row.make())]
            if (pickled := path.with_suffix(".pickle")).exists():
                nets.append(pickle.loads(pickled.read_bytes()))
            expected = safetensors.torch.load_file(path.with_suffix(".outputs"))
            for net in nets:
                got = run(net, row)
                same = len(got) == len(expected) and all(
                    torch.equal(t, expected[str(i)]) for i, t in enumerate(got)
                )
                wrong += [] if same else [f"{name}: {path.stem}"]
    return wrong


def in_a_new_process(folder: Path) -> str:
    """What `differences` finds there: nothing, if all is well."""
    threads = str(torch.get_num_threads())
    command = [sys.executable, "-m", "tests.conformance.files", str(folder), threads]
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(int(sys.argv[2]))
    with contextlib.redirect_stdout(sys.stderr):
        found = differences(Path(sys.argv[1]))
    sys.stdout.write("\n".join(found))
