"""Where a subspace comes from, if not from a seed: from a training, or from gradients.

All of them look at one vector, the ω of all weights. `Subspace(module, dim=D,
projection="identity")` trains all D weights, in units of σ, and its ω is that vector:

    θ = θ0 + σ ⊙ ω

What a function returns is a projection for `Subspace(module, dim, projection=…)`, which makes the
same θ0 and σ from the same module, or from the same seed.
"""

import functools
from collections.abc import Iterable

import torch
from torch import Tensor

from subspace_nn.common.errors import InputError
from subspace_nn.projections import Columns, Dense, Hadamard, Pieces, check_sizes
from subspace_nn.projections.learned import check_vector
from subspace_nn.subspace.wrapper import Subspace

#: Singular values below this share of the largest are rounding.
_ROUNDING = 1e-6


class Recorder:
    """The leading directions of a stream of vectors, in the memory of a few of them.

    It keeps at most 2 r vectors: r directions, weighted, that stand for all earlier vectors, and
    up to r new ones, which a singular value decomposition joins to them (Levey and Lindenbaum,
    "Sequential Karhunen-Loeve basis extraction and its application to images", 2000). Exact for
    up to 2 r vectors, and for any number of them in r dimensions.

    Args:
        dim: number of directions d.
        rank: r, at least d, its default: more is more exact, and slower.

    Raises:
        InputError: if dim or rank is out of range.

    Example:
        >>> recorder = Recorder(dim=2)
        >>> for t in range(100):
        ...     recorder.add(torch.tensor([t, 1.0, -1.0, 0.0]))
        >>> recorder.projection().shape
        (4, 2)
    """

    def __init__(self, dim: int, rank: int | None = None) -> None:
        self.dim = check_sizes(1 << 62, dim)[1]
        self.rank = check_sizes(1 << 62, dim if rank is None else rank)[1]
        if self.rank < self.dim:
            raise InputError(f"rank must be at least dim, {dim}, got {rank}.")
        self._rows: list[Tensor] = []

    def add(self, vector: Tensor) -> None:
        """Take a vector in, such as the ω of a training at this moment.

        Args:
            vector: shape (D,), finite, floating-point; copied.

        Raises:
            InputError: if it is something else, shorter than dim, or of another length than those
                before.
        """
        row = check_vector(check_vector(vector).detach().to(torch.float32, copy=True))
        size = self._rows[0].numel() if self._rows else check_sizes(len(row), self.dim)[0]
        if len(row) != size:
            raise InputError(f"Expected a vector of {size:,} numbers, got {len(row):,}.")
        self._rows.append(row)
        if len(self._rows) >= 2 * self.rank + 1:
            size, directions = self._directions()
            weighted = size[:, None] * directions
            self._rows = [*weighted[: self.rank]]

    def projection(self, *, seed: int = 0, in_file: bool | None = None) -> Dense:
        """The d leading directions, largest first.

        Args:
            seed: from which a `Subspace` draws θ0.
            in_file: whether a checkpoint holds their D·d numbers: True for yes; False for no, and
                whoever loads one gives the projection; None, the default, for an error in `save`.

        Returns:
            A projection with orthonormal columns, of float32, on the CPU.

        Raises:
            InputError: if the vectors have fewer than d independent directions.
        """
        size, directions = self._directions() if self._rows else (torch.empty(0), torch.empty(0))
        if (found := int((size > _ROUNDING * size.max()).sum()) if size.numel() else 0) < self.dim:
            raise InputError(
                f"Expected at least {self.dim} independent directions, got {found}: record more, "
                "or take a smaller dim."
            )
        basis = torch.linalg.qr(directions[: self.dim].cpu().double().T)[0]
        return Dense(basis.float(), seed, distortion=1e-6, in_file=in_file)

    def _directions(self) -> tuple[Tensor, Tensor]:
        """Sizes, largest first, and unit vectors (*, D)."""
        _, size, directions = torch.linalg.svd(torch.stack(self._rows), full_matrices=False)
        return size, directions


def trajectory(
    states: Iterable[Tensor],
    dim: int,
    *,
    rank: int | None = None,
    seed: int = 0,
    in_file: bool | None = None,
) -> Dense:
    """The principal directions of a training, about the point where it began.

    (Li et al., "Low dimensional trajectory hypothesis is true: DNNs can be trained in tiny
    subspaces", 2022; over a whole run, the lottery subspace of Larsen et al., "How many degrees of
    freedom do we need to train deep networks", 2022.) Where no stream is at hand, as in a callback,
    use a `Recorder`.

    Args:
        states: ω of all weights at some moments, each of shape (D,); a generator that trains
            between two of them is enough.
        dim: number of directions d.
        rank: of the `Recorder`.
        seed: from which a `Subspace` draws θ0.
        in_file: as for `Recorder.projection`.

    Returns:
        A projection, defined by D·d numbers.

    Raises:
        InputError: as `Recorder`.

    Example:
        >>> full = Subspace(torch.nn.Linear(5, 2), dim=12, projection="identity")
        >>> optimizer = torch.optim.Adam(full.parameters(), lr=0.1)
        >>> def training():
        ...     for _ in range(9):
        ...         optimizer.zero_grad()
        ...         (full(torch.ones(3, 5)) - torch.arange(2)).square().mean().backward()
        ...         optimizer.step()
        ...         yield full.omega
        >>> net = Subspace(torch.nn.Linear(5, 2), dim=2, projection=trajectory(training(), dim=2))
    """
    recorder = Recorder(dim, rank)
    for state in states:
        recorder.add(state)
    return recorder.projection(seed=seed, in_file=in_file)


def gradients(
    net: Subspace,
    losses: Iterable[Tensor],
    dim: int,
    *,
    rank: int | None = None,
    in_file: bool | None = None,
) -> Dense:
    """The leading directions of the covariance of gradients, Σ g gᵀ, at one point.

    (Gur-Ari, Roberts and Dyer, "Gradient descent happens in a tiny subspace", 2018.)

    Args:
        net: a subspace with the projection "identity".
        losses: of batches or examples, one by one: each with a graph to ω.
        dim: number of directions d, at most that of the losses.
        rank: of the `Recorder`.
        in_file: as for `Recorder.projection`.

    Returns:
        A projection with the net's seed, defined by D·d numbers.

    Raises:
        InputError: as `Recorder`; or if the net has another projection, or a loss is no scalar with
            a graph to its ω.

    Example:
        >>> full = Subspace(torch.nn.Linear(5, 2), dim=12, projection="identity")
        >>> xs = torch.eye(5).split(1)
        >>> gradients(full, (full(x).square().mean() for x in xs), dim=2).shape
        (12, 2)
    """
    got = net.projection.kind if isinstance(net, Subspace) else f"a {type(net).__name__}"
    if got != "identity":
        raise InputError(
            "Gradients are taken in the space of all weights: expected a net with the projection "
            f"identity, got {got}."
        )
    if isinstance(losses, Tensor) and not losses.dim():
        raise InputError("Expected losses one by one, got one: make one of each batch or example.")
    vectors = map(functools.partial(_gradient, net), losses)
    return trajectory(vectors, dim, rank=rank, seed=net.seed, in_file=in_file)


def _gradient(net: Subspace, loss: Tensor) -> Tensor:
    is_tensor = isinstance(loss, Tensor)
    if not is_tensor or loss.dim() or not loss.requires_grad:
        kind = f"a {type(loss).__name__}"
        if is_tensor:
            kind += f" of shape {tuple(loss.shape)}, requires_grad={loss.requires_grad}"
        raise InputError(
            "Expected a loss of shape () that was computed from the net's output, with its graph; "
            f"got {kind}."
        )
    # The graph may be that of the other losses, too.
    found = torch.autograd.grad(loss, net.omega, retain_graph=True, allow_unused=True)[0]
    if found is None:
        raise InputError("Expected a loss that was computed from this net's ω, got another's.")
    return found


def lottery(end: Tensor, dim: int, *, seed: int = 0, in_file: bool | None = None) -> Pieces:
    """The way from θ0 to the end of a full run, cut into d pieces.

    Args:
        end: ω of all weights after the run, shape (D,).
        dim: number of pieces d.
        seed: of the cut, and from which a `Subspace` draws θ0.
        in_file: as for `Recorder.projection`.

    Returns:
        A projection, defined by D numbers whatever d is.

    Raises:
        InputError: as `Pieces`.
    """
    return Pieces(end, dim, seed, in_file=in_file)


def aligned(vector: Tensor, dim: int, *, seed: int = 0) -> Columns:
    """The d columns of a fixed transform on which a vector is largest.

    Args:
        vector: a gradient, or ω of all weights after a run, shape (D,).
        dim: number of columns d.
        seed: of the transform, and from which a `Subspace` draws θ0.

    Returns:
        A projection, defined by d whole numbers, which every checkpoint holds.

    Raises:
        InputError: if dim is out of range, or the vector is zero, not finite, or no vector.

    Example:
        >>> aligned(torch.arange(100.0), dim=3).shape
        (100, 3)
    """
    D, dim = check_sizes(len(check_vector(vector)), dim)
    columns = 1 << D.bit_length() - 1
    if dim > columns:
        raise InputError(f"dim must be at most {columns:,}, the columns of the transform.")
    if not vector.any():
        raise InputError("Expected a vector that is not zero: no column fits it best.")
    parts = Hadamard(D, columns, seed).T @ vector.detach().float()
    return Columns(D, parts.abs().topk(dim).indices.cpu(), seed)


__all__ = ["Recorder", "aligned", "gradients", "lottery", "trajectory"]
