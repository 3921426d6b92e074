"""The nets of the page that reads handwriting, into src/subspace_nn/play/nets.json.

    python experiments/play.py

Each is `conv`, trained for 10 epochs with seed 0 and the default recipe; one thread. What is
trained already in runs/play is kept. About 15 minutes of one core.
"""

import json
import subprocess
import sys
from pathlib import Path

from subspace_nn.play import look

DIMS = (3, 10, 30, 100, 300, 1000, 3000, 10_000)
FOLDER, NETS = Path("runs/play"), Path("src/subspace_nn/play/nets.json")


def main() -> None:
    """Train what is missing, look at all, write the file."""
    for dim in DIMS:
        if not (FOLDER / str(dim) / "omega.safetensors").exists():
            command = f"-m subspace_nn train --model conv --dim {dim} --epochs 10 --threads 1"
            subprocess.run(
                [sys.executable, *command.split(), "--out", FOLDER / str(dim)], check=True
            )
    nets = [json.dumps(look(FOLDER / str(dim) / "omega.safetensors")) for dim in DIMS]
    NETS.write_text("[\n" + ",\n".join(nets) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
