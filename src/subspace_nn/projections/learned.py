"""`pieces` and `columns`: maps that were learned, at the price of D numbers or of d."""

import functools
import hashlib
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from subspace_nn import bits
from subspace_nn.common.errors import InputError
from subspace_nn.projections.base import Needs, RowWise, check_in_file, digest
from subspace_nn.projections.hadamard import Hadamard


@final
class Pieces(RowWise):
    """One vector v of θ-space, cut into d pieces of unit norm.

        (P ω)_i = u_i ω_b(i),    u_i = v_i / ‖v restricted to the piece b(i)‖

    The weights are dealt out to the pieces at random, as equally as possible, so that no piece is
    one layer. v lies in the subspace, whatever d is, and D numbers define P for every d.

    Cost: 8 bytes per weight for the pieces' numbers, and 4 for v; products take O(D).

    Args:
        vector: v, shape (D,), finite, not zero on any piece.
        dim: number of pieces d, 1 ≤ d ≤ D.
        seed: of the cut; and of θ0, where a `Subspace` draws it.
        in_file: whether a checkpoint holds the D numbers; with None, the default, `save` refuses.

    Raises:
        InputError: if an argument is out of range, or v is zero on a piece.

    Example:
        >>> v = torch.tensor([3.0, 0.0, 4.0, 5.0])
        >>> P = Pieces(v, dim=1)
        >>> (P @ v.norm()[None]).allclose(v)
        True
    """

    kind = "pieces"
    portable = False

    def __init__(
        self, vector: Tensor, dim: int, seed: int = 0, *, in_file: bool | None = None
    ) -> None:
        super().__init__(len(check_vector(vector)), dim, seed)
        self.in_file = in_file
        v = vector.detach().cpu().double()
        piece = bits.permutation(self.seed, "pieces", self.D) % self.dim
        norms = torch.zeros(self.dim, dtype=v.dtype, device="cpu")
        norms = norms.index_add_(0, piece, v.square()).sqrt_()
        if empty := int((norms == 0).sum()):
            raise InputError(
                f"The vector is zero on {empty:,} of its {dim:,} pieces. Expected fewer pieces "
                "(dim), or a vector with fewer zeros."
            )
        self._tables = (v / norms[piece]).float(), piece

    @property
    def distortion(self) -> float:
        """1e-6, for the unit norms are rounded to float32."""
        return 1e-6

    @classmethod
    def stated(cls, D: int, dim: int) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:  # noqa: ARG003
        """As `Projection` says."""
        return {"pieces": (torch.float32, (D,))}

    def numbers(self) -> dict[str, Tensor]:
        """As `Projection` says."""
        return {"pieces": self._tables[0].cpu()}

    @classmethod
    def restored(cls, D: int, dim: int, seed: int, numbers: Mapping[str, Tensor]) -> "Pieces":  # noqa: ARG003
        """As `Projection` says."""
        unit = numbers["pieces"]
        P = cls(unit, dim, seed, in_file=True)
        if not torch.allclose(unit, P._tables[0], rtol=1e-5, atol=0):
            raise InputError("Expected pieces of unit norm, got others.")
        P._tables = unit, P._tables[1]
        return P

    def stored_bytes(self) -> int:
        """Bytes of v and of the number of each weight's piece."""
        return sum(table.nbytes for table in self._tables)

    def needs(self) -> Needs:
        """A few vectors of D numbers."""
        return Needs.linear(self.D)

    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        unit, piece = self._on(omega, rows)
        return (omega[..., piece] * unit).to(omega.dtype)

    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        unit, piece = self._on(gradient, rows)
        terms = gradient * unit  # of float32 at least: they are many
        sums = terms.new_zeros((*gradient.shape[:-1], self.dim))
        return sums.index_add_(-1, piece, terms).to(gradient.dtype)

    def _on(self, x: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        """U and the pieces of some rows, for an operand."""
        unit, piece = self._tables  # which another thread may move, for an operand of its own
        if piece.device != x.device:
            unit, piece = self._tables = unit.to(x.device), piece.to(x.device)
        return unit[rows], piece[rows]

    def _filed(self, value: Any) -> bool | None:
        return check_in_file(value)

    def _identity(self) -> tuple[Any, ...]:
        return *self._recipe(), digest(self._tables[0])

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the vector."""
        make = functools.partial(_pieces, in_file=self.in_file)
        return make, (*self.shape, self.seed, self.numbers())


@final
class Columns(RowWise):
    """Chosen columns of a fixed transform, `hadamard` with all of its columns; PᵀP = I exactly.

    The d numbers of the columns, and a seed, are all that defines P: a checkpoint holds them.

    Cost: that of `hadamard` with d = n, the largest power of two up to D.

    Args:
        D: number of weights, at least 1.
        columns: the d different numbers of columns, from 0 to n - 1.
        seed: of the transform; and of θ0, where a `Subspace` draws it.

    Raises:
        InputError: if an argument is out of range, or a column is chosen twice.

    Example:
        >>> P = Columns(D=6, columns=[3, 0])
        >>> P.shape, torch.equal(P.dense(), Hadamard(6, 4).dense()[:, [0, 3]])
        ((6, 2), True)
    """

    kind = "columns"
    _in_file = True

    def __init__(self, D: int, columns: Any, seed: int = 0) -> None:
        try:
            self.columns = torch.as_tensor(columns, device="cpu")
        except (TypeError, ValueError, RuntimeError):
            raise InputError(f"columns must be a list of whole numbers, got {columns!r}.") from None
        if self.columns.dim() != 1 or self.columns.dtype not in {torch.int64, torch.int32}:
            got = f"{self.columns.dtype} of shape {tuple(self.columns.shape)}"
            raise InputError(f"columns must be a list of whole numbers, got {got}.")
        super().__init__(D, len(self.columns), seed)
        self.columns = self.columns.long().unique()
        most = 1 << self.D.bit_length() - 1
        if len(self.columns) != self.dim or not 0 <= self.columns[0] <= self.columns[-1] < most:
            raise InputError(f"columns must be different numbers from 0 to {most - 1:,}.")
        self._all = Hadamard(self.D, most, seed)

    @classmethod
    def stated(cls, D: int, dim: int) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:  # noqa: ARG003
        """As `Projection` says."""
        return {"columns": (torch.int64, (dim,))}

    def numbers(self) -> dict[str, Tensor]:
        """As `Projection` says."""
        return {"columns": self.columns}

    @classmethod
    def restored(cls, D: int, dim: int, seed: int, numbers: Mapping[str, Tensor]) -> "Columns":  # noqa: ARG003
        """As `Projection` says."""
        columns = numbers["columns"]
        if not bool((columns.diff() > 0).all()):
            raise InputError("columns must be different and ascending.")
        return cls(D, columns, seed)

    def stored_bytes(self) -> int:
        """Bytes of the columns' numbers, and what the transform holds."""
        return self.columns.nbytes + self._all.stored_bytes()

    def needs(self) -> Needs:
        """Those of the transform."""
        return self._all.needs()

    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        padded = omega.new_zeros((*omega.shape[:-1], self._all.dim))
        padded[..., self.columns] = omega
        return self._all._matvec_rows(padded, rows)

    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        return self._all._rmatvec_rows(gradient, rows)[..., self.columns]

    def _filed(self, value: Any) -> bool | None:
        if value is not True:
            raise InputError(f"in_file={value!r}: every checkpoint holds the numbers of columns.")
        return value

    def _recipe(self) -> tuple[Any, ...]:
        found = hashlib.sha256(self.columns.numpy().astype("<i8").tobytes())
        return *super()._recipe(), found.hexdigest()[:16]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the columns' numbers."""
        return type(self), (self.D, self.columns, self.seed)


def _pieces(
    D: int, dim: int, seed: int, numbers: Mapping[str, Tensor], *, in_file: bool | None
) -> Pieces:
    P = Pieces.restored(D, dim, seed, numbers)
    P.in_file = in_file
    return P


def check_vector(vector: Tensor) -> Tensor:
    """Check a vector of θ-space.

    Args:
        vector: shape (D,), finite, floating-point.

    Returns:
        The vector.

    Raises:
        InputError: if it is something else.
    """
    expected = "Expected a finite floating-point vector of shape (D,)"
    if not isinstance(vector, Tensor):
        raise InputError(f"{expected}, got a {type(vector).__name__}.")
    if not vector.is_floating_point() or vector.dim() != 1:
        raise InputError(f"{expected}, got {vector.dtype} of shape {tuple(vector.shape)}.")
    if odd := int((~vector.isfinite()).sum()):
        raise InputError(f"{expected}, got {odd:,} of {len(vector):,} numbers that are not finite.")
    return vector


__all__ = ["Columns", "Pieces", "check_vector"]
