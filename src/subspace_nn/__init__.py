"""Train any PyTorch model in a low-dimensional subspace of its parameters."""

from subspace_nn.checkpoint import load
from subspace_nn.errors import CheckpointError, DataError, InputError
from subspace_nn.subspace import Subspace

__all__ = ["CheckpointError", "DataError", "InputError", "Subspace", "load"]
