"""Every law over every kind and size."""

import pytest
import torch

from subspace_nn import testing
from subspace_nn.projections import KINDS, Orthonormal, Projection, make

SIZES = {
    "one": (1, 1),
    "one of many": (37, 1),
    "all": (64, 64),
    "all but one": (64, 63),
    "prime": (97, 31),
    "power of two": (128, 16),
    "square": (100, 25),
    "not whole": (101, 10),
    "two": (9, 2),
}


def _projections():
    for kind in KINDS:
        for size, (D, dim) in SIZES.items():
            if kind != "identity" or dim == D:
                yield pytest.param(make(kind, D, dim, seed=7), id=f"{kind}-{size}")
    anchor = torch.linspace(-1, 2, 50)
    yield pytest.param(Orthonormal(50, 7, seed=3, anchor=anchor), id="orthonormal-anchored")


@pytest.mark.parametrize("law", list(testing.LAWS))
@pytest.mark.parametrize("projection", list(_projections()))
def test_law(projection, law):
    testing.LAWS[law](projection)


class _Faulty(Projection):
    """A dense map with a fault of the field's own code, as `peers` have them."""

    kind = "faulty"
    portable = False

    def __init__(self, D, dim, seed=0, fault="none"):
        super().__init__(D, dim, seed)
        self.fault = fault
        self.matrix = make("orthonormal", D, dim, seed).dense()

    def _matvec(self, omega):
        matrix = self.matrix.to(omega.dtype)
        if self.fault == "frozen weights":
            matrix = matrix * (torch.arange(self.D) % 4 > 0)[:, None]
        if self.fault == "unused omega":
            matrix = matrix * (torch.arange(self.dim) > 0)
        if self.fault == "wrong norm":
            matrix = matrix * 7.1
        if self.fault == "changes dtype":
            return omega.double() @ self.matrix.T
        if self.fault == "changes with each call":
            self.matrix = self.matrix.roll(1, 0)
        if self.fault == "not linear":
            return (omega @ matrix.T).relu()
        return omega @ matrix.T

    def _rmatvec(self, gradient):
        scale = 1 / 32 if self.fault == "gradient off by a factor" else 1
        matrix = self.matrix.to(gradient.dtype)
        if self.fault == "gradient of another tensor":
            matrix = matrix.roll(1, 0)
        return gradient @ matrix * scale

    def __reduce__(self):
        if self.fault == "pickles its matrix":
            return type(self), (self.D, self.dim, self.seed, self.fault), {"matrix": self.matrix}
        if self.fault == "forgets its seed":
            return type(self), (self.D, self.dim, self.seed + 1, self.fault)
        return type(self), (self.D, self.dim, self.seed, self.fault)


FAULTS = {
    "frozen weights": "covering",
    "unused omega": "covering",
    "wrong norm": "isometric",
    "gradient off by a factor": "adjoint",
    "gradient of another tensor": "adjoint",
    "changes dtype": "keeps_dtype",
    "changes with each call": "reproducible",
    "not linear": "linear",
    "pickles its matrix": "reproducible",
    "forgets its seed": "reproducible",
}


def test_sound_map_passes():
    testing.check(_Faulty(60, 30))


@pytest.mark.parametrize(("fault", "law"), list(FAULTS.items()), ids=list(FAULTS))
def test_planted_fault_is_caught(fault, law):
    faulty = _Faulty(60, 30, fault=fault)
    with pytest.raises(AssertionError, match=law):
        testing.check(faulty)
