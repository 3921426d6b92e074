"""Train any PyTorch model in a low-dimensional subspace of its parameters."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subspace_nn.certificates.certificate import Certificate, certify
    from subspace_nn.checkpoint.arithmetic import combine
    from subspace_nn.checkpoint.hub import from_pretrained, push_to_hub, save_pretrained
    from subspace_nn.checkpoint.loading import load
    from subspace_nn.common.errors import CheckpointError, DataError, InputError
    from subspace_nn.notebook import curves, measure, records, show, sweep
    from subspace_nn.subspace.wrapper import Subspace

__all__ = [
    "Certificate",
    "CheckpointError",
    "DataError",
    "InputError",
    "Subspace",
    "certify",
    "combine",
    "curves",
    "from_pretrained",
    "load",
    "measure",
    "push_to_hub",
    "records",
    "save_pretrained",
    "show",
    "sweep",
]

#: Where each name is. It is imported when it is asked for: PyTorch takes seconds to import, and
#: the command line answers before.
_HOMES = {
    "Certificate": "certificates.certificate",
    "CheckpointError": "common.errors",
    "DataError": "common.errors",
    "InputError": "common.errors",
    "Subspace": "subspace.wrapper",
    "certify": "certificates.certificate",
    "combine": "checkpoint.arithmetic",
    "curves": "notebook",
    "from_pretrained": "checkpoint.hub",
    "load": "checkpoint.loading",
    "measure": "notebook",
    "push_to_hub": "checkpoint.hub",
    "records": "notebook",
    "save_pretrained": "checkpoint.hub",
    "show": "notebook",
    "sweep": "notebook",
}

#: The modules that a user's program needs, as in `subspace_nn.models.build("conv")`.
_MODULES = ("bits", "dimension", "models", "projections", "runs", "sources", "tasks", "testing")


def __dir__() -> list[str]:
    """The names that a notebook completes; nothing is imported for it."""
    return sorted([*__all__, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
