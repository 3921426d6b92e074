"""What every projection has in common: everything but its two products."""

import abc
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, cast, overload

import torch
from torch import Tensor
from torch.autograd import forward_ad

from subspace_nn import bits
from subspace_nn.common.errors import InputError


class Projection(abc.ABC):
    """A linear map P from R^d to R^D, known by its recipe: (kind, D, d, seed, options, version).

    A kind implements `_matvec` and `_rmatvec` for tensors with leading batch dimensions; checks,
    gradients of any order, batching under `torch.func`, the dense form and the fingerprint live
    here. An instance holds nothing but its recipe and what it can compute again from it, so it
    pickles and copies as the recipe alone.

    Args:
        D: number of weights, at least 1.
        dim: number of free parameters d, 1 ≤ d ≤ D.
        seed: any integer from 0 to 2^64 - 1.

    Raises:
        InputError: if D, dim or seed is out of range.
    """

    #: The name a user asks for it by.
    kind: ClassVar[str]
    #: Changed when the same recipe comes to mean another P.
    version: ClassVar[int] = 1
    #: Whether P has the same bits everywhere. If not (LAPACK), it is the same to a tolerance.
    portable: bool = True
    #: Whether the kind can be made with `anchor=v`, a vector of θ-space that it then contains.
    takes_anchor: ClassVar[bool] = False
    #: Whether the kind can be made with `tensors`, the sizes of the tensors of θ by name, in order.
    takes_tensors: ClassVar[bool] = False

    def __init__(self, D: int, dim: int, seed: int = 0) -> None:
        check_sizes(D, dim)
        self.D = D
        self.dim = dim
        self.seed = bits.check_seed(seed)

    @abc.abstractmethod
    def _matvec(self, omega: Tensor) -> Tensor:
        """P ω for omega of shape (*, d), in its dtype and on its device: shape (*, D)."""

    @abc.abstractmethod
    def _rmatvec(self, gradient: Tensor) -> Tensor:
        """Pᵀ g for gradient of shape (*, D), in its dtype and on its device: shape (*, d)."""

    @classmethod
    def parse_words(
        cls,
        words: Sequence[str],
        kinds: Mapping[str, type["Projection"]],  # noqa: ARG003  # for kinds made of others
    ) -> dict[str, Any]:
        """Options from the words after the kind in a name, as in `layerwise:hadamard`.

        Args:
            words: the words; most kinds take none.
            kinds: every kind by its name.

        Returns:
            Keyword arguments for the kind.

        Raises:
            InputError: if a word has no meaning here.
        """
        if words:
            raise InputError(f"{cls.kind} takes no words after its name, got {':'.join(words)!r}.")
        return {}

    @property
    def label(self) -> str:
        """What a checkpoint calls P: a name as `make` takes it, each kind with its version."""
        return f"{self.kind}/{self.version}"

    @property
    def distortion(self) -> float:
        """A bound on the spectral norm of PᵀP - I; 0 for the kinds with PᵀP = I exactly.

        So ‖Pω‖² lies within 1 ± distortion times ‖ω‖². For a random kind without exact isometry it
        is a bound that holds for nearly every seed.
        """
        return 0.0

    def widening(self, begin: int, end: int) -> float:  # noqa: ARG002  # the same for all weights
        """What undoes P's shrinking of a step: 1 / the root mean square of the norms of rows.

        An isometric P gives its D rows a mean square norm of d/D, so that lr in each ω moves a
        weight by lr √(d/D). A kind that spreads its parameters unevenly over θ says how.

        Args:
            begin: number of the first row, a tensor's first weight.
            end: number of the row behind the last.

        Returns:
            √(D/d), unless a kind says otherwise.
        """
        return math.sqrt(self.D / self.dim)

    @property
    def anchored(self) -> bool:
        """Whether P holds the starting point itself, so that θ = Pω needs no θ0."""
        return False

    def omega0(self) -> Tensor:
        """The ω to start from: zeros, or the anchor's coordinates.

        Returns:
            float64 tensor of shape (d,).
        """
        return torch.zeros(self.dim, dtype=torch.float64)

    def stored_bytes(self) -> int:
        """Bytes held at this moment so as not to be computed again; 0 if nothing is."""
        return 0

    @property
    def shape(self) -> tuple[int, int]:
        """(D, d), the shape of the dense form."""
        return self.D, self.dim

    @property
    def T(self) -> "Transpose":
        """The adjoint: `P.T @ g`."""
        return Transpose(self)

    @overload
    def __matmul__(self, omega: Tensor) -> Tensor: ...

    @overload
    def __matmul__(self, omega: "Projection") -> "Projection": ...

    def __matmul__(self, omega: "Tensor | Projection") -> "Tensor | Projection":
        """P ω, differentiable in ω to any order; with another projection Q, the map P Q.

        Args:
            omega: shape (*, d), of a floating-point dtype; or a projection from some R^k to R^d.

        Returns:
            Shape (*, D), same dtype and device; or `Composition(P, Q)`, from R^k to R^D.

        Raises:
            InputError: if the last dimension is not d or the dtype is not floating-point, or the
                projection is not one to R^d.
        """
        if isinstance(omega, Projection):
            from subspace_nn.projections.combine import Composition  # noqa: PLC0415

            return Composition(self, omega)
        _check_operand("P @ omega", omega, self.dim)
        return _apply(omega, self, transposed=False)

    # The classes of combinations are projections: they import this module.
    def __add__(self, other: "Projection") -> "Projection":
        """`Sum(P, Q)`: (P + Q) ω = P ω + Q ω, for Q of the same shape."""
        from subspace_nn.projections.combine import Sum  # noqa: PLC0415

        return Sum(self, other)

    def __or__(self, other: "Projection") -> "Projection":
        """`HStack(P, Q)`: [P | Q] (ω, ψ) = P ω + Q ψ, for Q with the same D."""
        from subspace_nn.projections.combine import HStack  # noqa: PLC0415

        return HStack(self, other)

    def dense(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """P as a matrix, column by column: for tests and small sizes.

        Args:
            dtype: floating-point dtype of the result; float64 by default.

        Returns:
            Tensor of shape (D, d).

        Example:
            >>> from subspace_nn.projections import Hashed
            >>> P = Hashed(D=6, dim=3).dense()
            >>> (P.T @ P - torch.eye(3)).abs().max() < 1e-15
            tensor(True)
        """
        return (self @ torch.eye(self.dim, dtype=dtype)).T.contiguous()

    def sketch(self) -> tuple[float, ...]:
        """Four numbers that sum up P: S P w / ‖w‖ for a fixed vector w and fixed rows of signs S.

        Two projections whose entries differ by more than rounding differ here: each number is of
        the order of 1, and the same everywhere to 1e-4.

        Returns:
            The numbers, computed in float32 and rounded to six decimals.
        """
        w = _probe(self.dim)
        y = (self @ (w / w.norm()).float()).double()
        rows = (bits.signs(0, f"sketch/{row}", 0, self.D) for row in range(4))
        return tuple(round(float(y @ row.double()), 6) for row in rows)

    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell this P from another.

        For a portable kind they are made from the bits of P w for a fixed vector w, which are the
        same everywhere; for the others from the recipe, and `sketch` is compared beside it.

        Returns:
            The first 64 bits of a SHA-256.

        Example:
            >>> from subspace_nn.projections import Hashed
            >>> Hashed(D=6, dim=3).fingerprint() == Hashed(D=6, dim=3, seed=1).fingerprint()
            False
        """
        digest = hashlib.sha256(repr(self._recipe()).encode())
        if self.portable:
            digest.update((self @ _probe(self.dim)).numpy().astype("<f8").tobytes())
        return digest.hexdigest()[:16]

    def _recipe(self) -> tuple[Any, ...]:
        return self.kind, self.version, self.D, self.dim, self.seed

    def __repr__(self) -> str:
        """The recipe."""
        return f"{type(self).__name__}(D={self.D}, dim={self.dim}, seed={self.seed})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the recipe alone."""
        return type(self), (self.D, self.dim, self.seed)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return itself: nothing in a projection ever changes but what it has computed."""
        return self


class Transpose:
    """The adjoint Pᵀ of a projection; its only use is `P.T @ g`."""

    def __init__(self, projection: Projection) -> None:
        self.T = projection
        self.shape = projection.shape[::-1]

    def __matmul__(self, gradient: Tensor) -> Tensor:
        """Pᵀ g, differentiable in g to any order.

        Args:
            gradient: shape (*, D), of a floating-point dtype.

        Returns:
            Shape (*, d), same dtype and device.

        Raises:
            InputError: if the last dimension is not D or the dtype is not floating-point.
        """
        _check_operand("P.T @ g", gradient, self.T.D)
        return _apply(gradient, self.T, transposed=True)


class _Product(torch.autograd.Function):
    """A linear map's derivative is itself and its adjoint's is the map: all orders follow."""

    @staticmethod
    def forward(  # pyrefly: ignore[bad-override]  # torch leaves the arguments open
        ctx: Any,
        x: Tensor,
        projection: Projection,
        transposed: bool,  # noqa: FBT001
    ) -> Tensor:
        ctx.projection, ctx.transposed = projection, transposed
        return _multiply(x, projection, transposed)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        return _apply(grad_outputs[0], ctx.projection, not ctx.transposed), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _apply(tangents[0], ctx.projection, ctx.transposed)


class _Transformable(torch.autograd.Function):
    """The same in the form that `torch.func` needs, whose calls take three times as long."""

    @staticmethod
    def forward(  # pyrefly: ignore[bad-override]
        x: Tensor,
        projection: Projection,
        transposed: bool,  # noqa: FBT001
    ) -> Tensor:
        return _multiply(x, projection, transposed)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        _, ctx.projection, ctx.transposed = inputs

    backward = _Product.backward
    jvp = _Product.jvp

    @staticmethod
    def vmap(  # pyrefly: ignore[bad-override]
        info: Any,  # noqa: ARG004
        in_dims: tuple[int | None, ...],
        x: Tensor,
        projection: Projection,
        transposed: bool,  # noqa: FBT001
    ) -> tuple[Tensor, int]:
        batched = x.movedim(cast("int", in_dims[0]), 0)
        return _apply(batched, projection, transposed), 0


def _multiply(x: Tensor, projection: Projection, transposed: bool) -> Tensor:  # noqa: FBT001
    product = projection._rmatvec if transposed else projection._matvec
    if not torch.is_autocast_enabled(x.device.type):
        return product(x)
    # It would make products of float32 in half precision: P has the operand's.
    with torch.autocast(x.device.type, enabled=False):
        return product(x)


def _apply(x: Tensor, projection: Projection, transposed: bool) -> Tensor:  # noqa: FBT001
    # As `torch.autograd.Function` itself asks.
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return _Transformable.apply(x, projection, transposed)
    # In most backward passes nobody asks for a derivative any more.
    if not torch.is_grad_enabled() and forward_ad._current_level < 0:
        return _multiply(x, projection, transposed)
    return _Product.apply(x, projection, transposed)


def _probe(dim: int) -> Tensor:
    return bits.uniform(0, "sketch/omega", 0, dim).sub_(0.5)


def check_sizes(D: int, dim: int) -> None:
    """Check 1 ≤ d ≤ D.

    Args:
        D: number of weights.
        dim: number of free parameters.

    Raises:
        InputError: if either is not a whole number, or out of range.
    """
    if not _is_whole(D) or D < 1:
        raise InputError(f"D must be a whole number of at least 1, got {D!r}.")
    if not _is_whole(dim) or not 1 <= dim <= D:
        raise InputError(
            f"dim must be a whole number from 1 to the number of weights, {D:,}; got {dim!r}."
        )


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _check_operand(what: str, x: Tensor, size: int) -> None:
    if not x.is_floating_point() or x.dim() == 0 or x.shape[-1] != size:
        raise InputError(
            f"{what}: expected a floating-point tensor of shape (*, {size}), "
            f"got {x.dtype} of shape {tuple(x.shape)}."
        )


__all__ = ["Projection", "Transpose", "check_sizes"]
