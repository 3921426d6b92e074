"""θ0 + step · A ω: its bits and its derivatives."""

import pytest
import torch

from subspace_nn.projections.linear import place
from tests.projections.cases import KIND

ROWS = slice(11, 71)


@pytest.fixture(params=list(KIND))
def rows(request):
    return KIND[request.param]()[ROWS]


def draw(rows, dtype):
    count, dim = rows.shape
    return torch.randn(dim, dtype=dtype), torch.randn(6, count // 6, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("grad", [False, True])
def test_has_the_bits_of_three_operations(rows, dtype, grad):
    omega, origin = draw(rows, torch.float32)
    origin = origin.to(dtype)
    expected = (origin + (rows @ omega).view(6, 10) * 0.37).to(dtype)
    before = omega.clone()
    assert torch.equal(place(rows, omega.requires_grad_(grad), 0.37, origin), expected)
    assert torch.equal(omega, before)


def test_derivatives_and_transforms(rows):
    omega, origin = draw(rows, torch.float64)
    origin.requires_grad_()  # θ0 is a constant all the same

    def placed(omega):
        return place(rows, omega, 0.37, origin)

    omega.requires_grad_()
    assert torch.autograd.gradcheck(placed, omega, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(placed, omega, fast_mode=True)
    (slope,) = torch.autograd.grad(placed(omega).sum(), omega)
    assert torch.allclose(torch.func.grad(lambda w: placed(w).sum())(omega.detach()), slope)
    batch = torch.randn(2, len(omega), dtype=torch.float64)
    by_hand = torch.stack([placed(one) for one in batch])
    assert not by_hand.requires_grad
    assert torch.allclose(torch.func.vmap(placed)(batch), by_hand)
