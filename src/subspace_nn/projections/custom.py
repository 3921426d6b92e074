"""`dense` and `functions`: your own P, as a matrix or as a pair of functions."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor

from subspace_nn.common.errors import InputError
from subspace_nn.projections.base import Needs, Projection, RowWise, check_in_file, digest


@final
class Dense(RowWise):
    """P is a given matrix, dense or sparse.

    For example the leading directions of a training, or any map that no seed makes. Give its
    columns unit norm, `matrix / matrix.norm(dim=0)`, so that the learning rate keeps its meaning.

    A checkpoint does not hold the matrix, unless it is to: pass it to `load(path,
    projection=Dense(matrix))`. As P has no recipe, `fingerprint` distinguishes shapes and seeds
    only; `sketch` distinguishes matrices, to a tolerance. A checkpoint holds and compares both. A
    pickle holds the matrix.

    Cost: one product with the matrix forward and one backward, O(D d) or O(non-zero entries). The
    matrix is not copied and must not change; operands of another dtype or device need a second
    one. Rows of a sparse matrix are searched among all of its entries.

    Args:
        matrix: finite floating-point tensor of shape (D, d), 1 ≤ d ≤ D; a sparse one of any layout
            is kept as coalesced COO.
        seed: seed from which a `Subspace` draws θ0; P does not depend on it.
        distortion: a bound on ‖PᵀP - I‖ in the spectral norm, 0 for orthonormal columns; None to
            compute it where it is asked for, which takes O(D d²).
        in_file: whether a checkpoint holds the D·d numbers of a dense matrix of float32; with None
            `save` refuses, and says how many they are.

    Raises:
        InputError: if the matrix has another shape or dtype or is not finite, or another argument
            is out of range.

    Example:
        >>> Dense(torch.eye(3)[:, :2]) @ torch.tensor([1.0, 2.0])
        tensor([1., 2., 0.])
    """

    kind = "dense"
    portable = False

    def __init__(
        self,
        matrix: Tensor,
        seed: int = 0,
        *,
        distortion: float | None = 0.0,
        in_file: bool | None = False,
    ) -> None:
        self.matrix = _check_matrix(matrix)
        D, dim = self.matrix.shape
        super().__init__(D, dim, seed)
        self._distortion = None if distortion is None else _check_distortion(distortion)
        self._held = self.matrix
        self.in_file = in_file

    @property
    def distortion(self) -> float:
        """The bound that was given, or ‖PᵀP - I‖ where none was."""
        if self._distortion is None:
            matrix = self.matrix.to_dense()
            with torch.autocast(matrix.device.type, enabled=False):
                gram = matrix.T @ matrix
            gram.diagonal().sub_(1)
            self._distortion = float(torch.linalg.matrix_norm(gram.float(), ord=2)) + 1e-6
        return self._distortion

    @classmethod
    def stated(cls, D: int, dim: int) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        """As `Projection` says."""
        return {"matrix": (torch.float32, (D, dim))}

    def numbers(self) -> dict[str, Tensor]:
        """As `Projection` says."""
        return {"matrix": self.matrix.cpu()}

    @classmethod
    def restored(cls, D: int, dim: int, seed: int, numbers: Mapping[str, Tensor]) -> "Dense":  # noqa: ARG003
        """As `Projection` says; the distortion is computed where it is asked for."""
        return cls(numbers["matrix"], seed, distortion=None, in_file=True)

    def stored_bytes(self) -> int:
        """Bytes of the matrix, and of the copy in the dtype and on the device last used."""
        held = () if self._held is self.matrix else (self._held,)
        return sum(_nbytes(matrix) for matrix in (self.matrix, *held))

    def needs(self) -> Needs:
        """The matrix, and a copy in the operand's dtype."""
        linear = Needs.linear(self.D)
        copies = 8 * self.matrix._nnz() if self.matrix.is_sparse else 8 * self.matrix.numel()
        return linear + Needs(0, _nbytes(self.matrix) + 3 * copies, 1e-9 * copies)

    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        return _product(self._like(omega, rows), omega)

    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        return _product(self._like(gradient, rows).T, gradient)

    def _like(self, x: Tensor, rows: slice) -> Tensor:
        """Rows of the matrix in the dtype and on the device of x."""
        # Sparse products take no half precision.
        dtype = torch.promote_types(x.dtype, torch.float32) if self.matrix.is_sparse else x.dtype
        held = self._held  # which another thread may change, for an operand of its own
        if (held.dtype, held.device) != (dtype, x.device):
            held = self._held = self.matrix.to(device=x.device, dtype=dtype)
        if not held.is_sparse:
            return held[rows]
        if rows == slice(0, self.D):
            return held
        return held.narrow_copy(0, rows.start, rows.stop - rows.start)

    def _filed(self, value: Any) -> bool | None:
        if check_in_file(value) is not False:
            if self.matrix.is_sparse or self.matrix.dtype != torch.float32:
                raise InputError(
                    f"in_file={value}: a checkpoint can hold a dense matrix of float32, "
                    f"got {self.matrix.dtype}, {self.matrix.layout}."
                )
            # As a reader will have it: sums have its bits.
            self._held = self.matrix = self.matrix.contiguous()
        return value

    def _identity(self) -> tuple[Any, ...]:
        return *self._recipe(), self._digest

    @functools.cached_property
    def _digest(self) -> str:
        if self.matrix.is_sparse:
            return digest(self.matrix.indices(), self.matrix.values())
        return digest(self.matrix)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the matrix."""
        make = functools.partial(type(self), distortion=self._distortion, in_file=self.in_file)
        return make, (self.matrix, self.seed)


@final
class Functions(Projection):
    """P is a given pair of functions, ω ↦ P ω and g ↦ Pᵀ g.

    The pair is not checked; `subspace_nn.testing.check` detects functions that are not adjoint.
    They get one vector at a time, of any floating-point dtype and device, without gradients. This
    class adds derivatives, and batches by a loop. Checkpoints and the norm of columns are as for
    `Dense`. A pickle holds the functions by name, so a lambda does not pickle.

    Cost: that of the functions; rows cost all of P. Nothing else is stored.

    Args:
        D: number of weights, at least 1.
        dim: number of free parameters d, 1 ≤ d ≤ D.
        matvec: function of a tensor (d,) that returns P ω, (D,).
        rmatvec: function of a tensor (D,) that returns Pᵀ g, (d,).
        seed: seed from which a `Subspace` draws θ0; P does not depend on it.
        distortion: a bound on ‖PᵀP - I‖ in the spectral norm, 0 for orthonormal columns.

    Raises:
        InputError: if an argument is out of range; in use, if a function returns another shape.

    Example:
        >>> pad = Functions(5, 2, lambda w: torch.nn.functional.pad(w, (0, 3)), lambda g: g[:2])
        >>> pad.T @ (pad @ torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """

    kind = "functions"
    portable = False

    def __init__(
        self,
        D: int,
        dim: int,
        matvec: Callable[[Tensor], Tensor],
        rmatvec: Callable[[Tensor], Tensor],
        seed: int = 0,
        *,
        distortion: float = 0.0,
    ) -> None:
        super().__init__(D, dim, seed)
        self.matvec, self.rmatvec = matvec, rmatvec
        self._distortion = _check_distortion(distortion)

    @property
    def distortion(self) -> float:
        """The bound that was given."""
        return self._distortion

    def stored_bytes(self) -> int:
        """0; the functions' own storage is unknown."""
        return 0

    def needs(self) -> Needs:
        """A few vectors of D numbers, as a guess: the functions are unknown."""
        return Needs.linear(self.D)

    def _matvec(self, omega: Tensor) -> Tensor:
        return _each("matvec", self.matvec, omega, self.D)

    def _rmatvec(self, gradient: Tensor) -> Tensor:
        return _each("rmatvec", self.rmatvec, gradient, self.dim)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the functions, by their names."""
        make = functools.partial(type(self), distortion=self.distortion)
        return make, (self.D, self.dim, self.matvec, self.rmatvec, self.seed)


def _product(
    matrix: Tensor,  # (m, n)
    x: Tensor,  # (*, n)
) -> Tensor:  # (*, m)
    """The matrix times each vector of x, from the left as sparse products require."""
    columns = x.reshape(-1, x.shape[-1]).T.to(matrix.dtype)
    return (matrix @ columns).T.reshape(*x.shape[:-1], matrix.shape[0]).to(x.dtype)


def _each(name: str, function: Callable[[Tensor], Tensor], x: Tensor, size: int) -> Tensor:
    """Apply the function to each vector of x (*, n), in x's dtype and on its device: (*, size)."""
    vectors = x.reshape(-1, x.shape[-1])
    results = x.new_empty((len(vectors), size))
    for row, vector in zip(results, vectors, strict=True):
        result = function(vector)
        if result.shape != (size,):
            raise InputError(
                f"{name} must give a tensor of shape {(size,)}, got {tuple(result.shape)}."
            )
        row.copy_(result)
    return results.reshape(*x.shape[:-1], size)


def _check_matrix(matrix: Tensor) -> Tensor:
    is_tensor = isinstance(matrix, Tensor)
    if not is_tensor or not matrix.is_floating_point() or matrix.dim() != 2:
        own = f"{matrix.dtype} of shape {tuple(matrix.shape)}" if is_tensor else None
        got = own or f"a {type(matrix).__name__}"
        raise InputError(f"The matrix must be a floating-point tensor of shape (D, d), got {got}.")
    matrix = matrix.detach()
    if matrix.layout != torch.strided:
        matrix = matrix.to_sparse_coo().coalesce()
    if not (matrix.values() if matrix.is_sparse else matrix).isfinite().all():
        raise InputError("The matrix must be finite, got infinite numbers or NaN.")
    return matrix


def _check_distortion(distortion: float) -> float:
    if not (math.isfinite(distortion) and distortion >= 0):
        raise InputError(f"distortion must be a number of at least 0, got {distortion!r}.")
    return float(distortion)


def _nbytes(matrix: Tensor) -> int:
    if matrix.is_sparse:
        return matrix.indices().nbytes + matrix.values().nbytes
    return matrix.nbytes


__all__ = ["Dense", "Functions"]
