"""θ0 + step · A ω: its bits and its derivatives."""

import pytest
import torch

from subspace_nn import bits
from subspace_nn.projections.linear import place
from tests.projections.cases import KIND

ROWS = slice(11, 71)
#: Shapes of the tensors that the rows make: one, or several.
SHAPES = {"one": [(6, 10)], "several": [(3, 7), (), (0, 4), (38,)]}
STEPS = [0.37, 1.5, 2.0, -0.1]


@pytest.fixture(params=list(KIND))
def rows(request):
    return KIND[request.param]()[ROWS]


@pytest.fixture(params=list(SHAPES))
def shapes(request):
    return SHAPES[request.param]


def plainly(rows, omega, origins):
    """The same, operation by operation."""
    moves, begin = rows @ omega, 0
    for step, origin in zip(STEPS, origins, strict=False):
        move = moves[begin : begin + origin.numel()].view(origin.shape)
        yield (origin + move * step).to(origin.dtype)
        begin += origin.numel()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("size", [7, 1000])
def test_has_the_bits_of_three_operations(rows, shapes, dtype, grad, size):
    omega, origins = torch.randn(rows.shape[1]), [torch.randn(s).to(dtype) for s in shapes]
    expected, before = list(plainly(rows, omega, origins)), omega.clone()
    with bits.pieces_of(size):
        got = list(place(rows, omega.requires_grad_(grad), STEPS[: len(shapes)], origins))
    assert all(tensor.requires_grad == grad for tensor in got)
    assert [tensor.dtype for tensor in got] == [dtype] * len(shapes)
    # The sums of these have another order in another number of rows.
    sums = rows.projection.kind == "gaussian" or not rows.projection.portable
    exact = {} if sums else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(got, expected, **exact)
    assert torch.equal(omega, before)


def test_derivatives_and_transforms(rows, shapes):
    omega = torch.randn(rows.shape[1], dtype=torch.float64, requires_grad=True)
    # θ0 is a constant, whatever it says.
    origins = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]

    def placed(omega):
        tensors = place(rows, omega, STEPS[: len(shapes)], origins)
        return torch.cat([tensor.flatten() for tensor in tensors])

    assert torch.autograd.gradcheck(placed, omega, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(placed, omega, fast_mode=True)
    (slope,) = torch.autograd.grad(placed(omega).sum(), omega)
    assert torch.allclose(torch.func.grad(lambda w: placed(w).sum())(omega.detach()), slope)
    batch = torch.randn(2, len(omega), dtype=torch.float64)
    by_hand = torch.stack([placed(one) for one in batch])
    assert not by_hand.requires_grad
    assert torch.allclose(torch.func.vmap(placed)(batch), by_hand)


def test_backward_passes_in_a_batch(shapes):
    """As `torch.autograd.functional.jacobian(vectorize=True)` makes them."""
    rows, omega = KIND["hashed"]()[ROWS], torch.randn(31, requires_grad=True)
    outputs = place(rows, omega, STEPS[: len(shapes)], list(map(torch.zeros, shapes)))
    weights = [torch.randn(2, *shape) for shape in shapes]
    (both,) = torch.autograd.grad(outputs, omega, weights, is_grads_batched=True, retain_graph=True)
    (last,) = torch.autograd.grad(outputs, omega, [w[1] for w in weights])
    assert torch.allclose(both[1], last)


def test_a_tensor_that_nothing_uses_has_no_gradient():
    rows = KIND["hashed"]()[ROWS]
    omega, origins = (
        torch.randn(31, requires_grad=True),
        [torch.zeros(s) for s in SHAPES["several"]],
    )
    used = place(rows, omega, STEPS, origins)[0]
    (slope,) = torch.autograd.grad(used.sum(), omega)
    (expected,) = torch.autograd.grad((rows @ omega)[:21].sum() * STEPS[0], omega)
    assert torch.allclose(slope, expected)
