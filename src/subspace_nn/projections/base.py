"""The base of all projections: everything except the two products."""

import abc
import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, cast, final, overload

import torch
from torch import Tensor

from subspace_nn import bits
from subspace_nn.common.checks import is_whole, plain
from subspace_nn.common.errors import InputError
from subspace_nn.projections._compiled import PROJECTIONS, multiply
from subspace_nn.projections.linear import LinearMap, shifted
from subspace_nn.projections.pages import PAGES

#: Every projection has a number of its own.
_NUMBERS = itertools.count()

#: What follows the name of a P whose numbers a checkpoint holds.
STORED = ":stored"
#: Bytes of the blocks that a kind works on, however small P is.
BLOCKS = 1 << 25
#: Weights that are placed at a time.
PLACED = 1 << 21


@dataclass(frozen=True)
class Needs:
    """The resources that a projection needs, known before anything is computed.

    Attributes:
        entries: number of entries of P that are drawn individually, 0 for kinds that draw a few
            numbers per weight at most. Loading a file from a stranger limits it.
        growing_bytes: the part of `bytes` that grows with D.
        seconds: time of one core to make P and compute each product twice, to a factor of a few.
    """

    entries: int
    growing_bytes: int
    seconds: float

    @property
    def bytes(self) -> int:
        """Upper bound on the memory to make P, its products and its fingerprint, θ included."""
        return self.growing_bytes + BLOCKS

    @classmethod
    def linear(cls, D: int) -> "Needs":
        """The needs of a map that works on a few vectors of D numbers.

        Args:
            D: number of weights.

        Returns:
            80 bytes and 200 ns per weight.
        """
        return cls(0, 80 * D, 2e-7 * D)

    def __add__(self, other: "Needs") -> "Needs":
        """The needs of two maps that are used one after the other."""
        return Needs(
            self.entries + other.entries,
            self.growing_bytes + other.growing_bytes,
            self.seconds + other.seconds,
        )


class Kernel(Protocol):
    """Places and collects the weights of a map in few passes over memory, on one device.

    Attributes:
        at_once: whether several tensors take one call: then it is a `Passes`.
    """

    at_once: ClassVar[bool]

    @staticmethod
    def takes(omega: Tensor, *origins: Tensor) -> bool:
        """Whether `place` takes some θ0 with an ω.

        Args:
            omega: ω.
            origins: θ0.

        Returns:
            False where plain torch must add them.
        """
        ...

    def place(
        self, omega: Tensor, rows: slice, origin: Tensor | None = None, step: float = 1.0
    ) -> Tensor:
        """θ0 + step · P[rows] ω; of a portable P with the bits of plain torch.

        Args:
            omega: shape (*, d).
            rows: which, with a start and a stop.
            origin: θ0 of these rows, n numbers in any shape, contiguous, that `takes` takes, where
                ω has no batch dimensions; None for zero.
            step: a factor, 1 by default.

        Returns:
            Shape (*, n) in ω's dtype, or shape and dtype of θ0.
        """
        ...

    def collect(self, gradient: Tensor, rows: slice, step: float = 1.0) -> Tensor:
        """Step · P[rows]ᵀ g, its sums in at least float32 and in one fixed order.

        Args:
            gradient: g of these rows, shape (*, n).
            rows: which, with a start and a stop.
            step: a factor, 1 by default.

        Returns:
            Shape (*, d), in g's dtype or float32, whichever is wider.
        """
        ...


class Passes(Kernel, Protocol):
    """The same, of several tensors at once."""

    def place_all(
        self, omega: Tensor, start: int, origins: Sequence[Tensor], steps: Sequence[float]
    ) -> list[Tensor]:
        """θ0 + step · P ω of consecutive tensors, from a row on."""
        ...

    def collect_all(
        self, gradients: Sequence[Tensor], start: int, steps: Sequence[float]
    ) -> Tensor:
        """The sum of step · P[rows]ᵀ g over consecutive tensors, in at least float32."""
        ...


class Projection(LinearMap):
    """A linear map P from R^d to R^D, defined by its recipe: (kind, D, d, seed, options, version).

    A kind implements `_matvec`, `_rmatvec`, `stored_bytes` and `needs`; `RowWise` asks for rows in
    place of the first two. Checks, gradients of any order, batching under `torch.func`, the dense
    form and the fingerprint are implemented here, once. An instance holds only its recipe and what
    it computed from it, so that it pickles and copies as the recipe.

    Args:
        D: number of weights, at least 1.
        dim: number of free parameters d, 1 ≤ d ≤ D.
        seed: any integer from 0 to 2^64 - 1.

    Raises:
        InputError: if D, dim or seed is out of range.
    """

    #: Name of the kind, as users give it.
    kind: ClassVar[str]
    #: Increased when the same recipe starts to mean another P.
    version: ClassVar[int] = 1
    #: Whether P has the same bits everywhere; otherwise (LAPACK) it is the same to a tolerance.
    portable: bool = True
    #: Whether the kind takes `anchor=v`, a vector of θ-space that the subspace then contains.
    takes_anchor: ClassVar[bool] = False
    #: Whether the kind takes `tensors`, the sizes of the tensors of θ by name, in order.
    takes_tensors: ClassVar[bool] = False
    _in_file: bool | None = False

    def __init__(self, D: int, dim: int, seed: int = 0) -> None:
        self.D, self.dim = check_sizes(D, dim)
        self.seed = bits.check_seed(seed)
        self._number = next(_NUMBERS)
        PROJECTIONS[self._number] = self

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
        """Parse the words after the kind in a name, as in `layerwise:hadamard`.

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
    def in_file(self) -> bool | None:
        """Whether a checkpoint holds the numbers of P that no seed makes; None: `save` refuses.

        To set where there are such numbers.
        """
        return self._in_file

    @in_file.setter
    def in_file(self, value: bool | None) -> None:
        self._in_file = self._filed(value)

    def _filed(self, value: Any) -> bool | None:
        """A value of `in_file`, if this P can have it."""
        if value is not False:
            raise InputError(f"in_file={value!r}: no checkpoint can hold a P of kind {self.kind}.")
        return value

    @property
    def label(self) -> str:
        """The name of P in a checkpoint: as `make` takes it, each kind with its version."""
        return f"{self.kind}/{self.version}{STORED if self.in_file else ''}"

    @classmethod
    def stated(cls, D: int, dim: int) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:  # noqa: ARG003
        """Dtype and shape of the numbers that no seed makes, by name: none for a kind of seeds.

        Args:
            D: number of weights.
            dim: number of free parameters d.

        Returns:
            What `numbers` has.
        """
        return {}

    def numbers(self) -> dict[str, Tensor]:
        """The numbers that no seed makes, by name.

        Returns:
            Tensors on the CPU, not copied.
        """
        return {}

    @classmethod
    def restored(cls, D: int, dim: int, seed: int, numbers: Mapping[str, Tensor]) -> "Projection":  # noqa: ARG003
        """P from the numbers that no seed makes.

        Args:
            D: number of weights.
            dim: number of free parameters d.
            seed: of P.
            numbers: what `numbers` returned.

        Returns:
            The projection.

        Raises:
            InputError: if they are no numbers of such a P.
        """
        return cls(D, dim, seed)

    @property
    def distortion(self) -> float:
        """A bound on the spectral norm of PᵀP - I; 0 for the kinds with PᵀP = I exactly.

        ‖Pω‖² lies within 1 ± distortion times ‖ω‖². For a random kind that is not exactly isometric
        the bound holds for nearly every seed.
        """
        return 0.0

    def widening(self, begin: int, end: int) -> float:  # noqa: ARG002  # the same for all weights
        """The factor that makes steps independent of P: 1 / root mean square of the row norms.

        The D rows of an isometric P have a mean square norm of d/D, so a step of lr in each ω moves
        a weight by lr √(d/D). A kind that spreads its parameters unevenly over θ overrides this.

        Args:
            begin: index of the first row, a tensor's first weight.
            end: index after the last row.

        Returns:
            √(D/d) by default.
        """
        return math.sqrt(self.D / self.dim)

    @property
    def anchored(self) -> bool:
        """Whether the subspace contains the starting point, so that θ = Pω needs no θ0."""
        return False

    def omega0(self) -> Tensor:
        """The initial ω: zeros, or the coordinates of the anchor.

        Returns:
            float64 tensor of shape (d,).
        """
        return torch.zeros(self.dim, dtype=torch.float64, device="cpu")

    @abc.abstractmethod
    def stored_bytes(self) -> int:
        """Bytes of the tables held now, 0 if nothing is kept between products."""

    @abc.abstractmethod
    def needs(self) -> Needs:
        """Resources to make P and multiply with it; the answer computes nothing of P."""

    @property
    def shape(self) -> tuple[int, int]:
        """(D, d), the shape of the dense form."""
        return self.D, self.dim

    def _address(self) -> tuple[int, int, int]:
        return self._number, 0, self.D

    def __getitem__(self, rows: slice) -> "Rows":
        """Consecutive rows of P as a map: `P[start:stop] @ omega` and `P[start:stop].T @ g`.

        For the portable kinds P[start:stop] ω has the bits of (P ω)[start:stop]. It costs these
        rows and a few d numbers in time and memory, unless the kind's docstring says otherwise.

        Args:
            rows: `start:stop`, 0 ≤ start ≤ stop ≤ D; either may be omitted.

        Returns:
            The map from R^d to R^(stop - start).

        Raises:
            InputError: if it is not such a slice.

        Example:
            >>> from subspace_nn.projections import Hashed
            >>> P, omega = Hashed(D=1000, dim=10), torch.linspace(0, 1, 10)
            >>> P[200:300].shape
            (100, 10)
            >>> torch.equal(P[200:300] @ omega, (P @ omega)[200:300])
            True
        """
        return Rows(self, _checked_rows(rows, self.D))

    def _kernel_for(self, *operands: Tensor) -> Kernel | None:  # noqa: ARG002
        """What multiplies these in few passes on their device; None where plain torch does."""
        return None

    def _passes(self, *operands: Tensor) -> Passes | None:
        """What does so with several tensors at once: a GPU takes longer to start one for each."""
        kernel = self._kernel_for(*operands)
        return cast("Passes", kernel) if kernel and kernel.at_once else None

    def _place(
        self, omega: Tensor, steps: Sequence[float], origins: Sequence[Tensor]
    ) -> list[Tensor] | None:
        passes = self._passes(omega)
        if passes is None or not passes.takes(omega, *origins):
            return None
        return passes.place_all(omega, 0, origins, steps)

    def _collect(self, gradients: Sequence[Tensor], steps: Sequence[float]) -> Tensor | None:
        passes = self._passes(*gradients)
        return None if passes is None else passes.collect_all(gradients, 0, steps)

    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        """P[rows] ω; by default from all of P ω, for a kind without a shorter way."""
        return self._matvec(omega)[..., rows].clone()  # a view would keep all of it alive

    def _place_rows(
        self,
        omega: Tensor,  # noqa: ARG002
        rows: slice,  # noqa: ARG002
        step: float,  # noqa: ARG002
        origin: Tensor,  # noqa: ARG002
    ) -> Tensor | None:
        """θ0 + step · P[rows] ω at once, for ω of shape (d,); None where that has no short way."""
        return None

    def _collect_rows(self, gradient: Tensor, rows: slice, step: float) -> Tensor | None:  # noqa: ARG002
        """Step · P[rows]ᵀ g at once, in at least float32; None where that has no short way."""
        return None

    def _gathered(self, rows: slice) -> tuple[Tensor, Tensor] | None:  # noqa: ARG002
        """An index i and n where P[rows] ω is [n ω, -n ω] at i; None for a kind of another form."""
        return None

    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        """P[rows]ᵀ g; by default from all of Pᵀ, with zeros in the other rows."""
        padded = gradient.new_zeros((*gradient.shape[:-1], self.D))
        padded[..., rows] = gradient
        return self._rmatvec(padded)

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
        return super().__matmul__(omega)

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
        """P as a matrix, for tests and small sizes.

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
        return (self @ torch.eye(self.dim, dtype=dtype, device="cpu")).T.contiguous()

    def sketch(self) -> tuple[float, ...]:
        """Four numbers that summarise P: S P w / ‖w‖ for a fixed vector w and fixed signs S (4, D).

        Projections whose entries differ by more than rounding have other sketches: the numbers are
        of order 1, and the same everywhere to 1e-4.

        Returns:
            The numbers, computed in float32 and rounded to six decimals.
        """
        w = _probe(self.dim)
        y = (self @ (w / w.norm()).float()).double()
        rows = (bits.signs(0, f"sketch/{row}", 0, self.D) for row in range(4))
        return tuple(round(float(y @ row.double()), 6) for row in rows)

    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify P.

        For a portable kind they come from the recipe and the bits of P w for a fixed vector w. For
        other kinds they come from the recipe alone, and checkpoints compare the `sketch`, too.

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

    def _identity(self) -> tuple[Any, ...]:
        """The recipe, and a digest of the numbers that it does not have."""
        return self._recipe()

    def __repr__(self) -> str:
        """The recipe."""
        return f"{type(self).__name__}(D={self.D}, dim={self.dim}, seed={self.seed})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the recipe alone."""
        return type(self), (self.D, self.dim, self.seed)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return itself: only cached tables of a projection ever change."""
        return self


class RowWise(Projection):
    """A kind that computes any rows at their own cost; all of P is the rows from 0 to D."""

    @abc.abstractmethod
    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        """P[rows] ω for omega of shape (*, d): shape (*, rows.stop - rows.start)."""

    @abc.abstractmethod
    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        """P[rows]ᵀ g for gradient of shape (*, rows.stop - rows.start): shape (*, d)."""

    def _place_rows(self, omega: Tensor, rows: slice, step: float, origin: Tensor) -> Tensor | None:
        """By a kernel, or in pieces, so that a large weight takes hardly more than its memory."""
        kernel = self._kernel_for(omega)
        if kernel and kernel.takes(omega, origin):
            return kernel.place(omega, rows, origin, step)
        plain_memory = type(origin) in {Tensor, torch.nn.Parameter} and origin.is_cpu
        if not plain_memory or origin.numel() <= (size := bits.piece(PLACED)):
            return None
        flat = origin.reshape(-1)
        weight = PAGES.empty(len(flat), flat.dtype)
        for start in range(0, len(flat), size):
            part = slice(start, min(start + size, len(flat)))
            some = slice(rows.start + part.start, rows.start + part.stop)
            move = multiply(omega, self[some], transposed=False)
            weight[part] = shifted(move * step, flat[part])
        return weight.view(origin.shape)

    def _collect_rows(self, gradient: Tensor, rows: slice, step: float) -> Tensor | None:
        kernel = self._kernel_for(gradient)
        return kernel.collect(gradient.reshape(-1), rows, step) if kernel else None

    @final
    def _matvec(self, omega: Tensor) -> Tensor:
        return self._matvec_rows(omega, slice(0, self.D))

    @final
    def _rmatvec(self, gradient: Tensor) -> Tensor:
        return self._rmatvec_rows(gradient, slice(0, self.D))


@final
class Rows(LinearMap):
    """Some consecutive rows of a projection: `P[start:stop]`.

    Args:
        projection: the map P.
        rows: a slice with 0 ≤ start ≤ stop ≤ D.
    """

    def __init__(self, projection: Projection, rows: slice) -> None:
        self.projection, self.rows = projection, rows

    @property
    def shape(self) -> tuple[int, int]:
        """(stop - start, d)."""
        return self.rows.stop - self.rows.start, self.projection.dim

    def _matvec(self, omega: Tensor) -> Tensor:
        count, P = self.shape[0], self.projection
        if not count:
            return omega.new_empty((*omega.shape[:-1], 0))
        return P._matvec(omega) if count == P.D else P._matvec_rows(omega, self.rows)

    def _place(
        self, omega: Tensor, steps: Sequence[float], origins: Sequence[Tensor]
    ) -> list[Tensor] | None:
        P = self.projection
        placed = P._place(omega, steps, origins) if self.shape[0] == P.D else None
        if placed is None and len(origins) == 1:
            one = P._place_rows(omega, self.rows, steps[0], origins[0])
            placed = None if one is None else [one]
        return placed

    def _collect(self, gradients: Sequence[Tensor], steps: Sequence[float]) -> Tensor | None:
        P = self.projection
        collected = P._collect(gradients, steps) if self.shape[0] == P.D else None
        if collected is None and len(gradients) == 1:
            collected = P._collect_rows(gradients[0], self.rows, steps[0])
        return collected

    def _rmatvec(self, gradient: Tensor) -> Tensor:
        count, P = self.shape[0], self.projection
        if not count:
            return gradient.new_zeros((*gradient.shape[:-1], P.dim))
        return P._rmatvec(gradient) if count == P.D else P._rmatvec_rows(gradient, self.rows)

    def _address(self) -> tuple[int, int, int]:
        return self.projection._number, self.rows.start, self.rows.stop

    def __repr__(self) -> str:
        """The expression that makes it."""
        return f"{self.projection}[{self.rows.start}:{self.rows.stop}]"


def check_in_file(value: Any) -> bool | None:
    """Check the value of `in_file` of a kind that has all three.

    Args:
        value: True, False or None.

    Returns:
        The value.

    Raises:
        InputError: if it is another.
    """
    if value is not None and not isinstance(value, bool):
        raise InputError(f"in_file must be True, False or None, got {value!r}.")
    return value


def digest(*tensors: Tensor) -> str:
    """16 hexadecimal digits that identify some tensors.

    Args:
        *tensors: dense ones.

    Returns:
        The first 64 bits of the SHA-256 of their bytes.
    """
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()[:16]


def _probe(dim: int) -> Tensor:
    return bits.uniform(0, "sketch/omega", 0, dim).sub_(0.5)


def check_sizes(D: int, dim: int) -> tuple[int, int]:
    """Check 1 ≤ d ≤ D.

    Args:
        D: number of weights.
        dim: number of free parameters.

    Returns:
        D and dim, as Python's own numbers.

    Raises:
        InputError: if either is not a whole number, or out of range.
    """
    D, dim = plain(D), plain(dim)
    if not is_whole(D) or D < 1:
        raise InputError(f"D must be a whole number of at least 1, got {D!r}.")
    if not is_whole(dim) or not 1 <= dim <= D:
        raise InputError(
            f"dim must be a whole number from 1 to the number of weights, {D:,}; got {dim!r}."
        )
    return D, dim


def _checked_rows(rows: object, D: int) -> slice:
    """The slice with its ends filled in."""
    if isinstance(rows, slice) and rows.step in {None, 1}:
        start = 0 if rows.start is None else plain(rows.start)
        stop = D if rows.stop is None else plain(rows.stop)
        if is_whole(start) and is_whole(stop) and 0 <= start <= stop <= D:
            return slice(start, stop)
    raise InputError(
        f"Rows of P are P[start:stop] with whole numbers 0 ≤ start ≤ stop ≤ {D}, got {rows!r}."
    )


__all__ = ["Needs", "Projection", "RowWise", "Rows", "check_in_file", "check_sizes", "digest"]
