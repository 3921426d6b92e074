"""How results of benchmarks and evidence become files: JSON, with what they were made with."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from subspace_nn.common import environment
from subspace_nn.common.atomic import write_atomically

if TYPE_CHECKING:
    import torch


def named() -> Path | None:
    """The file named on the command line, if there is one."""
    return Path(sys.argv[1]) if len(sys.argv) > 1 else None


def write(
    out: Path | None, command: str, device: "torch.device | str" = "cpu", **content: Any
) -> None:
    """Write results as JSON, atomically.

    Args:
        out: the file, or None for none.
        command: that prints them.
        device: that they were measured on.
        **content: the results.
    """
    if out is None:
        return
    about = {"command": command, "environment": environment.describe(device) | environment.commit()}
    text = json.dumps(about | content, indent=1, ensure_ascii=False) + "\n"
    write_atomically(out, text.encode())
