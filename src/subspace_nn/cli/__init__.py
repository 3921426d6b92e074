"""The command `subspace-nn`: verbs as typed functions, nothing else."""

from subspace_nn.cli import reports, sweeps, training
from subspace_nn.cli._app import app, main

__all__ = ["app", "main", "reports", "sweeps", "training"]
