"""How large the checkpoint of a run is."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from subspace_nn import models
from subspace_nn.format import container
from subspace_nn.format.container import Checkpoint
from subspace_nn.projections import KINDS
from subspace_nn.subspace.layout import Layout
from subspace_nn.subspace.wrapper import DRAWN, STORED
from subspace_nn.tasks.config import RunConfig

#: In place of a fingerprint.
_DIGITS = "0" * 16
#: In place of the sketch of a P that is portable to a tolerance only; its length varies a little.
_SKETCH = [0.123456, -1.123456] * 2


#: Kinds whose files differ in name only.
_PLAIN = frozenset(
    ("fastfood", "gaussian", "hadamard", "hashed", "identity", "kronecker", "orthonormal", "sparse")
)


def checkpoint_bytes(arguments: Mapping[str, Any]) -> int:
    """The size of the file that a run of the task "mnist" leaves.

    For most runs the file is made with zeros for ω: nothing is drawn and no P is built. That is
    exact for the portable kinds; for the others, whose files hold four decimal numbers more, it is
    to within 16 bytes. Where the recipe has more to it, the untrained net is built and saved.

    Args:
        arguments: of the run.

    Returns:
        Bytes.

    Example:
        >>> checkpoint_bytes({"model": "conv", "dim": 1000, "projection": "hashed", "seed": 0})
        4360
    """
    name, _, _ = arguments["projection"].partition(":")
    if name not in _PLAIN or arguments.get("scale", "init") not in {"init", "none"}:
        return _built(arguments)
    with torch.device("meta"):
        layout = Layout.of(models.build(arguments["model"]))
    dim = layout.D if arguments["dim"] == "full" else arguments["dim"]
    stored = arguments.get("init", "default") != "default"
    kind = KINDS[name]
    spec: dict[str, Any] = {
        "D": layout.D,
        "P": _DIGITS,
        "architecture": _DIGITS,
        "dim": dim,
        "model": arguments["model"],
        "projection": f"{kind.kind}/{kind.version}",
        "seed": arguments.get("seed", 0),
        "theta0": _DIGITS,
        "theta0_from": STORED if stored else DRAWN,
    }
    if arguments.get("scale", "init") != "init":
        spec["scale"] = arguments["scale"]
    if not kind.portable:
        spec["sketch"] = _SKETCH
    tensors = {"omega": torch.zeros(dim)}
    if stored:
        tensors |= {f"theta0.{e.name}": torch.zeros(e.shape) for e in layout.entries}
    return len(container.encode(Checkpoint(spec, tensors)))


def _built(arguments: Mapping[str, Any]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "omega.safetensors"
        RunConfig(**arguments).build().save(file)
        return file.stat().st_size
