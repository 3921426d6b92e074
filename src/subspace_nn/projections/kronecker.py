"""`kronecker`: the Kronecker product of two small orthonormal factors."""

import math
from typing import final

import torch
from torch import Tensor

from subspace_nn import bits
from subspace_nn.projections._folded import Folded
from subspace_nn.projections.base import Needs, check_sizes

#: Rounds of normalising the rows of a factor and orthonormalising its columns.
_ROUNDS = 3


@final
class Kronecker(Folded):
    """P = R1 ⊗ R2 with orthonormal factors of about √D × √d; PᵀP = I exactly.

    With D1 = ⌊√D⌋, D2 = ⌊D / D1⌋ and n = D1 D2, more than D - √D; and with d1 d2 ≥ d, d1 and d2
    about √d. Write ω, with zeros behind it, as a d1 × d2 matrix Ω, row by row. Then

        (P ω)_i = s_i Y_(i mod n) / √c_i,    Y = R1 Ω R2ᵀ, row by row,    s_i = ±1

    where R1 (D1, d1) and R2 (D2, d2) have orthonormal columns and c_i, 1 or 2, is the number of
    weights on a coordinate. The zeros leave out columns of R1 ⊗ R2; P stays orthonormal without
    them and with rows folded out to D. So every weight and every ω is used for any D and d. If d >
    n, two such products are composed, of the first n coordinates and, after random signs, of the
    last.

    The factors start as Gaussians. Three times their rows are normalised and their columns
    orthonormalised by QR: these alternating projections lead to orthonormal columns and rows of
    equal norm (Tropp, Dhillon, Heath and Strohmer, "Designing structured tight frames
    via an alternating projection method", 2005). With Gaussians alone the scales of the weights
    would be products of two χ, at d = 1 from a thousandth to seven.

    The form is that of Lotfi et al., "PAC-Bayes compression bounds so tight that they can explain
    generalization" (2022), with signs in place of their permutation.

    The factors are computed by LAPACK: P is the same everywhere to about 1e-12, not to the bit.

    Cost: 2 D d1 additions and multiplications, forward and backward, and O(d √D) once for the
    factors. It keeps 1 byte per weight (2 if d > n), and 8 (D1 d1 + D2 d2), about 16 √(D d), bytes
    for the factors. Rows cost the rows of R1 that make them, √D weights each; if d > n, all of P.

    Args:
        D: number of weights, at least 1.
        dim: number of free parameters d, 1 ≤ d ≤ D.
        seed: any integer from 0 to 2^64 - 1.

    Raises:
        InputError: if an argument is out of range.

    Example:
        >>> P = Kronecker(D=10, dim=4)
        >>> P.factors
        ((3, 2), (3, 2))
        >>> matrix = P.dense()
        >>> (matrix.T @ matrix - torch.eye(4)).abs().max() < 1e-14
        tensor(True)
    """

    kind = "kronecker"
    portable = False

    def __init__(self, D: int, dim: int, seed: int = 0) -> None:
        D, dim = check_sizes(D, dim)
        D1 = math.isqrt(D)
        D2 = D // D1
        super().__init__(D, dim, seed, core=D1 * D2)
        d1, d2 = _split(min(dim, self.core), D1, D2)
        #: The shapes (D1, d1) and (D2, d2).
        self.factors = (D1, d1), (D2, d2)
        self._made: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def _core(self, omega: Tensor) -> Tensor:
        R1, R2 = self._factors_like(omega)
        return (R1 @ (self._square(omega) @ R2.T)).flatten(-2)

    def _core_adjoint(self, y: Tensor) -> Tensor:
        R1, R2 = self._factors_like(y)
        full = (R1.T @ y.unflatten(-1, (R1.shape[0], R2.shape[0]))) @ R2
        return full.flatten(-2)[..., : self.dim]

    def _core_rows(self, omega: Tensor, rows: slice) -> Tensor:
        R1, R2 = self._factors_like(omega)
        some, place = self._covering(rows)
        return ((R1[some] @ self._square(omega)) @ R2.T).flatten(-2)[..., place]

    def _core_rows_adjoint(self, y: Tensor, rows: slice) -> Tensor:
        R1, R2 = self._factors_like(y)
        some, place = self._covering(rows)
        padded = y.new_zeros((*y.shape[:-1], (some.stop - some.start) * R2.shape[0]))
        padded[..., place] = y
        full = R1[some].T @ (padded.unflatten(-1, (-1, R2.shape[0])) @ R2)
        return full.flatten(-2)[..., : self.dim]

    def _square(self, omega: Tensor) -> Tensor:
        """Ω: ω padded with zeros, row by row, (*, d1, d2)."""
        (_, d1), (_, d2) = self.factors
        padded = torch.nn.functional.pad(omega, (0, d1 * d2 - omega.shape[-1]))
        return padded.unflatten(-1, (d1, d2))

    def _covering(self, rows: slice) -> tuple[slice, slice]:
        """The rows of R1 that make some coordinates, and the place of these among all they make."""
        D2 = self.factors[1][0]
        some = slice(rows.start // D2, -(-rows.stop // D2))
        return some, slice(rows.start - some.start * D2, rows.stop - some.start * D2)

    def stored_bytes(self) -> int:
        """Bytes of the signs and factors held now, on all devices."""
        return super().stored_bytes() + sum(t.nbytes for pair in self._made.values() for t in pair)

    def needs(self) -> Needs:
        """A few vectors of D numbers."""
        return Needs.linear(self.D)

    def _factors_like(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """R1 and R2 in the dtype and on the device of x; held in float64."""
        if x.device not in self._made:
            one, two = (
                _factor(bits.normal(self.seed, f"kronecker/{name}", 0, rows * columns), columns)
                for name, (rows, columns) in enumerate(self.factors, start=1)
            )
            self._made[x.device] = one.to(x.device), two.to(x.device)
        one, two = self._made[x.device]
        return one.to(x.dtype), two.to(x.dtype)


def _split(d: int, D1: int, D2: int) -> tuple[int, int]:
    """d1 ≤ D1 and d2 ≤ D2 with d1 d2 ≥ d: the least excess, then the nearest to a square."""
    # Columns left out make the scales of the weights uneven, the more the fewer there are: so d1
    # may go down to √d / 4 to have them all. Below d = 16 there are then none to leave out.
    widths = [
        (a * b - d, max(a, b), a, b)
        for a in range(math.isqrt(d) // 4 + 1, min(D1, math.isqrt(d - 1) + 1) + 1)
        if (b := -(-d // a)) <= D2
    ]
    return min(widths)[2:]


def _factor(gauss: Tensor, columns: int) -> Tensor:
    """Orthonormal columns and rows of nearly one norm, from (rows * columns,) Gaussians."""
    factor = gauss.view(-1, columns)
    for _ in range(_ROUNDS):
        q, r = torch.linalg.qr(factor / factor.norm(dim=1, keepdim=True))
        factor = q.mul_(torch.where(r.diagonal() < 0, -1.0, 1.0))
    return factor
