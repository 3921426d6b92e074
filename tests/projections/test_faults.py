"""Faults of published code, planted one by one: the suite must catch each.

Each is written anew from its description. The first line of a class says whose code had it.
"""

import math

import numpy as np
import pytest
import torch

from subspace_nn import bits, testing
from subspace_nn.projections import KINDS, Needs, Projection, make
from subspace_nn.projections.fwht import fwht


class Sound(Projection):
    """A dense map without a fault, for others to have one."""

    kind = "own"
    portable = False

    def __init__(self, D, dim, seed=0):
        super().__init__(D, dim, seed)
        self.matrix = make("orthonormal", D, dim, seed).dense()

    def stored_bytes(self):
        return self.matrix.nbytes

    def needs(self):
        return Needs.linear(self.D * self.dim)

    def _matvec(self, omega):
        return omega @ self.matrix.to(omega.dtype).T

    def _rmatvec(self, gradient):
        return gradient @ self.matrix.to(gradient.dtype)


class GradientScaledPerTensor(Sound):
    """Structure-aware Fastfood: a tensor's transform is unnormalised, its gradient divided by L."""

    def _rmatvec(self, gradient):
        scale = torch.ones(self.D, dtype=gradient.dtype)
        scale[: self.D // 4] /= 16
        scale[self.D // 4 :] /= 64
        return super()._rmatvec(gradient * scale)


class FrozenBySparsity(Sound):
    """Sparse with independent entries of density 1/√D: a quarter of the rows are empty."""

    def __init__(self, D, dim, seed=0):
        super().__init__(D, dim, seed)
        generator = torch.Generator().manual_seed(seed)
        kept = torch.rand(D, dim, generator=generator) < 1 / math.sqrt(D)
        self.matrix = self.matrix.sign() * kept / math.sqrt(math.sqrt(D))

    @property
    def distortion(self):
        return 100.0


class FrozenRemainder(Sound):
    """Kronecker: what D - ⌊√D⌋² leaves over is frozen where d is a square."""

    def __init__(self, D, dim, seed=0):
        super().__init__(D, dim, seed)
        used = math.isqrt(D) ** 2
        self.matrix = make("orthonormal", used, dim, seed).dense()
        self.matrix = torch.cat((self.matrix, torch.zeros(D - used, dim, dtype=torch.float64)))


class OverscaledRemainder(Sound):
    """Kronecker: the weights left over move at 11.6 times the scale of the others."""

    def __init__(self, D, dim, seed=0):
        super().__init__(D, dim, seed)
        self.matrix[math.isqrt(D) ** 2 :] *= 11.6


class OverscaledBlock(Sound):
    """The same with columns of norm 1: a block of its own for the weights left over."""

    def __init__(self, D, dim, seed=0):
        super().__init__(D, dim, seed)
        used = math.isqrt(D) ** 2
        parts = make("orthonormal", used, dim // 2, seed), make("orthonormal", D - used, dim // 2)
        self.matrix = torch.block_diag(*(part.dense() for part in parts))


class AlmostFrozen(Sound):
    """A quarter of the rows is rounding."""

    def __init__(self, D, dim, seed=0):
        super().__init__(D, dim, seed)
        self.matrix[: D // 4] *= 1e-15
        self.matrix = torch.linalg.qr(self.matrix).Q


class SmallColumns(Sound):
    """Fastfood with one normalisation too many: columns of norm 0.08."""

    def __init__(self, D, dim, seed=0):
        super().__init__(D, dim, seed)
        self.matrix *= 0.08


class LargeColumns(Sound):
    """Dense randn/√d: columns of norm √(D/d)."""

    def __init__(self, D, dim, seed=0):
        super().__init__(D, dim, seed)
        generator = torch.Generator().manual_seed(seed)
        self.matrix = torch.randn(D, dim, generator=generator, dtype=torch.float64)
        self.matrix /= math.sqrt(dim)


class DropsParameters(Sound):
    """Tensors smaller than d: negative padding cuts ω off."""

    def _matvec(self, omega):
        short = torch.nn.functional.pad(omega, (0, self.dim // 2 - self.dim))
        return short @ self.matrix[:, : self.dim // 2].to(omega.dtype).T

    def _rmatvec(self, gradient):
        sums = gradient @ self.matrix[:, : self.dim // 2].to(gradient.dtype)
        return torch.nn.functional.pad(sums, (0, self.dim - self.dim // 2))


class PermutedByNumpy(Sound):
    """Fastfood: the permutation is NumPy's global one, so that no seed of torch's gives it back."""

    def __init__(self, D, dim, seed=0):
        super().__init__(D, dim, seed)
        order = np.random.permutation(D)  # noqa: NPY002  # the fault
        self.matrix = self.matrix[torch.from_numpy(order)]

    def __reduce__(self):
        return type(self), (self.D, self.dim, self.seed)


class Reseeds(Sound):
    """Regenerated from a seed of the global generator, which the user's dropout then gets."""

    def _matvec(self, omega):
        torch.manual_seed(self.seed)
        return super()._matvec(omega)


class RegeneratedInTheDtype(Sound):
    """Regenerated with torch.randn in the operand's dtype: another P in each."""

    def _like(self, x):
        generator = torch.Generator().manual_seed(self.seed)
        gauss = torch.randn(self.D, self.dim, generator=generator, dtype=x.dtype)
        return (gauss / gauss.double().norm(dim=0)).to(x.dtype)

    @property
    def distortion(self):
        return 10.0

    def _matvec(self, omega):
        return omega @ self._like(omega).T

    def _rmatvec(self, gradient):
        return gradient @ self._like(gradient)


class DrawnPieceByPiece(Sound):
    """Regenerated in chunks, each from a seed of its own: another P for another chunk size."""

    def __init__(self, D, dim, seed=0):
        super().__init__(D, dim, seed)
        size = bits.piece(1 << 17)
        pieces = range(0, D, size)
        order = [bits.permutation(seed + begin, "own", min(size, D - begin)) for begin in pieces]
        self.matrix = self.matrix[
            torch.cat([o + begin for o, begin in zip(order, pieces, strict=True)])
        ]


class IgnoresItsSeed(Sound):
    """The seed is dropped on the way: it is always the default."""

    def __init__(self, D, dim, seed=0):
        super().__init__(D, dim)
        self.seed = seed


class PicklesWhatItComputed(Sound):
    """P is a buffer: a file of some bytes of ω takes D·d numbers."""

    def __reduce__(self):
        return type(self), (self.D, self.dim, self.seed), {"matrix": self.matrix}


class NoCopyAfterUse(Sound):
    """What a forward pass leaves behind is part of a graph, and cannot be copied."""

    def _matvec(self, omega):
        with torch.enable_grad():
            self.last = omega.detach().requires_grad_() * 2
        return super()._matvec(omega)

    def __reduce__(self):
        return type(self), (self.D, self.dim, self.seed)

    def __deepcopy__(self, memo):
        twin = type(self)(self.D, self.dim, self.seed)
        if "last" in vars(self):
            twin.last = self.last.__deepcopy__(memo)
        return twin


class SumsInHalfPrecision(Sound):
    """Shared weights whose gradients are added up in the operand's dtype."""

    def __init__(self, D, dim, seed=0):
        super().__init__(D, dim, seed)
        self.index = torch.arange(D) % dim
        self.scale = math.sqrt(dim / D)

    def _matvec(self, omega):
        return omega.index_select(-1, self.index) * self.scale

    def _rmatvec(self, gradient):
        sums = gradient.new_zeros((*gradient.shape[:-1], self.dim))
        for i in range(self.D):  # one addition after another, as a scattered sum does them
            sums[..., self.index[i]] += gradient[..., i]
        return sums * self.scale


class RepeatsInEveryTensor(Sound):
    """One seed of places for every layer, and a transform's columns next to each other: P has
    two equal columns."""

    def __init__(self, D, dim, seed=0):
        super().__init__(D, dim, seed)
        order = 1 << (D - 1).bit_length()
        transform = fwht(torch.eye(order, dtype=torch.float64), orthonormal=True)
        self.matrix = transform[:D, torch.arange(dim) // 2 % order]


class MixesPrecision(Sound):
    """A buffer in float64 makes everything float64."""

    def _matvec(self, omega):
        return omega.double() @ self.matrix.T


class ChangesWithEachCall(Sound):
    """Resampled at every step."""

    def _matvec(self, omega):
        self.matrix = self.matrix.roll(1, 0)
        return super()._matvec(omega)


class RowsOfAnotherPlace(Sound):
    """Rows are counted from the start of a block: right in the first one only."""

    def _matvec_rows(self, omega, rows):
        start = rows.start % self.dim
        return self._matvec(omega)[..., start : start + rows.stop - rows.start]


class RowsForgetTheirPlaceBackward(Sound):
    """The gradient of some rows is taken for that of the first ones."""

    def _rmatvec_rows(self, gradient, rows):
        return super()._rmatvec_rows(gradient, slice(0, rows.stop - rows.start))


class RowsAddedInAnotherOrder(Sound):
    """P has the same bits everywhere, and its rows, by a shorter way, have others in the end."""

    portable = True

    def __init__(self, D, dim, seed=0):
        super().__init__(D, dim, seed)
        self.whole = make("hadamard", D, dim, seed)
        self.matrix = self.whole.dense()

    def _matvec(self, omega):
        return self.whole._matvec(omega)

    def _rmatvec(self, gradient):
        return self.whole._rmatvec(gradient)

    def _matvec_rows(self, omega, rows):
        return omega @ self.matrix[rows].to(omega.dtype).T

    def __reduce__(self):
        return type(self), (self.D, self.dim, self.seed)


SMALL = 60, 30
FAULTS = {
    GradientScaledPerTensor: (SMALL, "adjoint"),
    FrozenBySparsity: ((400, 30), r"covering: \d\d of 400 weights are frozen"),
    FrozenRemainder: (SMALL, "covering: 11 of 60 weights are frozen"),
    OverscaledRemainder: (SMALL, "isometric"),
    OverscaledBlock: ((2000, 8), "even: the rows .* over-scaled"),
    AlmostFrozen: (SMALL, "covering: 15 of 60 weights are frozen"),
    SmallColumns: (SMALL, "isometric"),
    LargeColumns: ((400, 8), "isometric"),
    DropsParameters: (SMALL, "covering: 15 of 30 ω are unused"),
    PermutedByNumpy: (SMALL, "leaves_generators_alone: .* of NumPy"),
    Reseeds: (SMALL, "leaves_generators_alone: .* of torch"),
    RegeneratedInTheDtype: (SMALL, "keeps_dtype"),
    SumsInHalfPrecision: ((1000, 1), "keeps_dtype"),
    DrawnPieceByPiece: (SMALL, "same_in_any_pieces"),
    MixesPrecision: (SMALL, "keeps_dtype: .* became torch.float64"),
    PicklesWhatItComputed: (SMALL, "reproducible: pickles to"),
    NoCopyAfterUse: (SMALL, "reproducible: Only Tensors created explicitly"),
    RepeatsInEveryTensor: (SMALL, "isometric"),
    ChangesWithEachCall: (SMALL, "reproducible"),
    RowsOfAnotherPlace: (SMALL, "sliced"),
    RowsForgetTheirPlaceBackward: (SMALL, "sliced"),
    RowsAddedInAnotherOrder: (SMALL, "sliced"),
}


def test_a_sound_map_passes():
    testing.check_kind(Sound)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"identity"}))
def test_a_kind_passes_at_sizes_of_use(kind):
    testing.check(make(kind, 10_000, 10))


@pytest.mark.parametrize("fault", list(FAULTS), ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_caught(fault):
    size, law = FAULTS[fault]
    with pytest.raises(AssertionError, match=rf"\n{law}"):
        testing.check(fault(*size))


def test_an_ignored_seed_is_caught():
    testing.check(IgnoresItsSeed(*SMALL))  # one map alone does not show it
    with pytest.raises(AssertionError, match="the seed has no effect"):
        testing.check_kind(IgnoresItsSeed)
