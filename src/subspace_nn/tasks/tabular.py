"""Tables of scikit-learn as problems for `subspace_nn.tasks.own`."""

import importlib
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from subspace_nn import bits
from subspace_nn.common.errors import InputError
from subspace_nn.tasks.own import Problem

_BATCH = 32
#: Share of the rows that is held out for testing.
_TEST = 0.3


def digits() -> Problem:
    """Classify 1,797 digits of 8 × 8 pixels with a net 64-64-10, D = 4,810.

    Returns:
        The problem.
    """
    return _classify("load_digits", [64, 64, 10])


def breast_cancer() -> Problem:
    """Classify 569 tumours by 30 properties with a net 30-64-32-2, D = 4,130.

    Returns:
        The problem.
    """
    return _classify("load_breast_cancer", [30, 64, 32, 2])


def _batches(x: Tensor, y: Tensor, size: int, *, shuffle: bool) -> Any:
    return DataLoader(TensorDataset(x, y), size, shuffle=shuffle)


def _classify(load: str, units: Sequence[int]) -> Problem:
    try:
        datasets: Any = importlib.import_module("sklearn.datasets")
    except ImportError:
        raise InputError(
            "This task needs scikit-learn: pip install 'subspace-nn[tasks]'."
        ) from None
    rows, labels = getattr(datasets, load)(return_X_y=True)
    x = torch.tensor(rows, dtype=torch.float32, device="cpu")
    y = torch.tensor(labels, device="cpu")
    order = bits.permutation(0, f"split/{load}", len(y))
    test, train = order[: round(_TEST * len(y))], order[round(_TEST * len(y)) :]
    x = (x - x[train].mean(0)) / x[train].std(0).clamp(min=1e-6)
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(units):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return Problem(
        nn.Sequential(*layers[:-1]),
        _batches(x[train], y[train], _BATCH, shuffle=True),
        _batches(x[test], y[test], 1000, shuffle=False),
    )
