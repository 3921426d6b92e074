"""The linear maps P from d free parameters to D weights, one final class a file."""

from typing import Any

from subspace_nn.errors import InputError, unknown_name
from subspace_nn.projections.base import Projection, Transpose, check_sizes
from subspace_nn.projections.custom import Dense, Functions
from subspace_nn.projections.fastfood import Fastfood
from subspace_nn.projections.gaussian import Gaussian
from subspace_nn.projections.hadamard import Hadamard
from subspace_nn.projections.hashed import Hashed
from subspace_nn.projections.identity import Identity
from subspace_nn.projections.kronecker import Kronecker
from subspace_nn.projections.orthonormal import Orthonormal
from subspace_nn.projections.sparse import Sparse

#: Every kind by its name.
KINDS: dict[str, type[Projection]] = {
    kind.kind: kind
    for kind in (
        Hashed,
        Hadamard,
        Kronecker,
        Fastfood,
        Sparse,
        Gaussian,
        Orthonormal,
        Identity,
    )
}


def make(kind: str, D: int, dim: int, seed: int = 0, **options: Any) -> Projection:
    """Make a projection by the name of its kind.

    Args:
        kind: one of `KINDS`.
        D: number of weights.
        dim: number of free parameters d.
        seed: any integer from 0 to 2^64 - 1.
        **options: what the kind takes beside these.

    Returns:
        The projection.

    Raises:
        InputError: if the kind is not known or an argument is out of range.

    Example:
        >>> make("hashed", D=100, dim=10)
        Hashed(D=100, dim=10, seed=0)
    """
    if kind not in KINDS:
        raise InputError(unknown_name("projection", kind, KINDS))
    return KINDS[kind](D, dim, seed, **options)


__all__ = [
    "KINDS",
    "Dense",
    "Fastfood",
    "Functions",
    "Gaussian",
    "Hadamard",
    "Hashed",
    "Identity",
    "Kronecker",
    "Orthonormal",
    "Projection",
    "Sparse",
    "Transpose",
    "check_sizes",
    "make",
]
