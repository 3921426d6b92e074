"""`orthonormal`: the 2017 projection, P = QR([θ_init, randn])."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from subspace_nn import bits
from subspace_nn.common.errors import InputError
from subspace_nn.projections.base import Needs, Projection, RowWise


@final
class Orthonormal(RowWise):
    """Orthonormal columns from the QR decomposition of a Gaussian matrix.

        P R = [v, G],    PᵀP = I,    R upper triangular with a positive diagonal

    With an anchor v the first column is v / ‖v‖, so that P (‖v‖, 0, …, 0) = v: this is the map
    of Greydanus, "Training networks in random subspaces" (2017), θ = Pω with v = θ_init. Without
    an anchor, all columns are random. The positive diagonal of R fixes the signs.

    P is computed by LAPACK: it is the same everywhere to a tolerance (about 1e-12 in float64), not
    to the bit.

    Cost: O(D d²) once, then one product with a dense (D, d) matrix forward and one backward. It
    stores D·d numbers and needs 24 bytes for each during the decomposition.

    Args:
        D: number of weights, at least 1.
        dim: number of free parameters d, 1 ≤ d ≤ D.
        seed: any integer from 0 to 2^64 - 1.
        anchor: the vector v, shape (D,), not zero; none by default.

    Raises:
        InputError: if an argument is out of range, or the anchor is zero, not finite, or of
            another shape.

    Example:
        >>> P = Orthonormal(D=4, dim=2, anchor=torch.tensor([3.0, 0.0, 4.0, 0.0]))
        >>> (P @ P.omega0()).round(decimals=6)
        tensor([3., 0., 4., 0.], dtype=torch.float64)
    """

    kind = "orthonormal"
    portable = False
    takes_anchor = True

    def __init__(self, D: int, dim: int, seed: int = 0, anchor: Tensor | None = None) -> None:
        super().__init__(D, dim, seed)
        self.anchor = None if anchor is None else _check_anchor(anchor, D)
        self._matrix: Tensor | None = None

    @classmethod
    def parse_words(
        cls, words: Sequence[str], kinds: Mapping[str, type[Projection]]
    ) -> dict[str, Any]:
        """Parse `orthonormal:plain`, which has no anchor where a `Subspace` would add one.

        Args:
            words: "plain", or no word.
            kinds: every kind by its name.

        Returns:
            `anchor=None` for "plain".

        Raises:
            InputError: if there is another word.
        """
        return {"anchor": None} if list(words) == ["plain"] else super().parse_words(words, kinds)

    @property
    def label(self) -> str:
        """Kind and version, with the word "plain" if there is no anchor."""
        return super().label if self.anchored else f"{super().label}:plain"

    @property
    def anchored(self) -> bool:
        """Whether it has an anchor."""
        return self.anchor is not None

    def omega0(self) -> Tensor:
        """The ω that gives the anchor: (‖v‖, 0, …, 0); zeros without an anchor.

        Returns:
            float64 tensor of shape (d,).
        """
        omega = super().omega0()
        if self.anchor is not None:
            omega[0] = self.anchor.norm()
        return omega

    def stored_bytes(self) -> int:
        """Bytes of the matrix, if it is computed."""
        return 0 if self._matrix is None else self._matrix.nbytes

    def needs(self) -> Needs:
        """D·d numbers and their decomposition."""
        entries = self.D * self.dim
        return Needs(entries, 40 * entries, 5e-8 * entries + 1e-9 * entries * self.dim)

    def _matvec_rows(self, omega: Tensor, rows: slice) -> Tensor:
        return omega @ self._like(omega)[rows].T

    def _rmatvec_rows(self, gradient: Tensor, rows: slice) -> Tensor:
        return gradient @ self._like(gradient)[rows]

    def _like(self, x: Tensor) -> Tensor:
        """P in the dtype and on the device of x; computed again only if x is more precise."""
        held = self._matrix
        if held is None or torch.promote_types(held.dtype, x.dtype) != held.dtype:
            held = self._decompose()
        self._matrix = held.to(device=x.device, dtype=x.dtype)
        return self._matrix

    def _decompose(self) -> Tensor:
        gauss = bits.normal(self.seed, "orthonormal", 0, self.D * self.dim)
        gauss = gauss.view(self.D, self.dim)
        if self.anchor is not None:
            gauss[:, 0] = self.anchor
        q, r = torch.linalg.qr(gauss)
        return q.mul_(torch.where(r.diagonal() < 0, -1.0, 1.0))

    def _recipe(self) -> tuple[Any, ...]:
        return *super()._recipe(), self.anchor is not None and _digest(self.anchor)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the recipe alone."""
        return type(self), (self.D, self.dim, self.seed, self.anchor)


def _check_anchor(anchor: Tensor, D: int) -> Tensor:
    if anchor.shape != (D,) or not anchor.isfinite().all() or not anchor.any():
        raise InputError(
            f"The anchor must be a finite vector of {D:,} numbers that are not all zero, "
            f"got shape {tuple(anchor.shape)}."
        )
    return anchor.detach().cpu().double().clone()


def _digest(vector: Tensor) -> str:
    return hashlib.sha256(vector.numpy().astype("<f8").tobytes()).hexdigest()[:16]
