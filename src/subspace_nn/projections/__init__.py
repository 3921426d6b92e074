"""The linear maps P from d free parameters to D weights, one final class a file."""

from collections.abc import Mapping
from typing import Any

from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.projections.base import STORED, Needs, Projection, Rows, RowWise, check_sizes
from subspace_nn.projections.combine import BlockDiagonal, Composition, HStack, Sum
from subspace_nn.projections.custom import Dense, Functions
from subspace_nn.projections.fastfood import Fastfood
from subspace_nn.projections.gaussian import Gaussian
from subspace_nn.projections.hadamard import Hadamard
from subspace_nn.projections.hashed import Hashed
from subspace_nn.projections.identity import Identity
from subspace_nn.projections.kronecker import Kronecker
from subspace_nn.projections.layerwise import Layerwise
from subspace_nn.projections.learned import Columns, Pieces
from subspace_nn.projections.linear import Transpose
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
        Layerwise,
        Identity,
    )
}

#: The kinds whose numbers a checkpoint may hold, by the name of P there.
LEARNED: dict[str, type[Projection]] = {
    f"{kind.kind}/{kind.version}{STORED}": kind for kind in (Dense, Pieces, Columns)
}


def parse(name: str) -> tuple[type[Projection], dict[str, Any]]:
    """Parse a name: a kind, which words may follow, as in `layerwise:hadamard:layer`.

    Args:
        name: the kind and its words, separated by colons.

    Returns:
        The class and the keyword arguments that the words stand for.

    Raises:
        InputError: if the kind or a word is unknown.

    Example:
        >>> parse("layerwise:hadamard:root")
        (<class '...Layerwise'>, {'of': <class '...Hadamard'>, 'share': 'root'})
    """
    kind, *words = name.split(":") if isinstance(name, str) else [name]
    if kind not in KINDS:
        raise InputError(unknown_name("projection", kind, KINDS))
    return KINDS[kind], KINDS[kind].parse_words(words, KINDS)


def make(
    name: str,
    D: int,
    dim: int,
    seed: int = 0,
    *,
    tensors: Mapping[str, int] | None = None,
    **options: Any,
) -> Projection:
    """Make a projection by its name.

    Args:
        name: one of `KINDS`, with words after it for the kinds that take them.
        D: number of weights.
        dim: number of free parameters d.
        seed: any integer from 0 to 2^64 - 1.
        tensors: the number of weights of each tensor of θ by name, in order, for the kinds that
            need them.
        **options: further arguments of the kind; they override the words.

    Returns:
        The projection.

    Raises:
        InputError: if the name is unknown or an argument is out of range.

    Example:
        >>> make("hashed", D=100, dim=10)
        Hashed(D=100, dim=10, seed=0)
    """
    kind, from_name = parse(name)
    if kind.takes_tensors:
        options["tensors"] = tensors
    return kind(D, dim, seed, **from_name | options)


__all__ = [
    "KINDS",
    "LEARNED",
    "STORED",
    "BlockDiagonal",
    "Columns",
    "Composition",
    "Dense",
    "Fastfood",
    "Functions",
    "Gaussian",
    "HStack",
    "Hadamard",
    "Hashed",
    "Identity",
    "Kronecker",
    "Layerwise",
    "Needs",
    "Orthonormal",
    "Pieces",
    "Projection",
    "RowWise",
    "Rows",
    "Sparse",
    "Sum",
    "Transpose",
    "check_sizes",
    "make",
    "parse",
]
