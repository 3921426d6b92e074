"""The others' maps are what they are said to be: linear, with the right gradient, of one scale."""

import pytest
import torch

from benchmarks import peers

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", list(peers.PEERS))
@pytest.mark.parametrize(("D", "dim"), [(1000, 7), (300, 64)])
def test_the_gradient_is_the_adjoint_and_columns_have_norm_one(name, D, dim):
    torch.manual_seed(1)
    map_, kept = peers.PEERS[name][0](D, dim, CPU)
    matrix = torch.stack([map_(axis) for axis in torch.eye(dim)], dim=1)
    omega, g = torch.randn(dim, requires_grad=True), torch.randn(D)
    theta = map_(omega)
    torch.testing.assert_close(theta, matrix @ omega, rtol=1e-4, atol=1e-4)
    (slope,) = torch.autograd.grad(theta, omega, g)
    torch.testing.assert_close(slope, matrix.T @ g, rtol=1e-4, atol=1e-4)
    assert 0.9 < float(matrix.norm(dim=0).mean()) < 1.1
    assert all(tensor.shape[0] >= D for tensor in kept)


def test_the_regenerated_gaussian_puts_the_generator_back():
    map_, _ = peers.regenerated(100, 5, CPU)
    torch.manual_seed(3)
    want = torch.rand(3)
    torch.manual_seed(3)
    theta = map_(torch.ones(5))
    assert torch.equal(torch.rand(3), want)
    assert torch.equal(map_(torch.ones(5)), theta)


@pytest.mark.parametrize("name", list(peers.PEERS))
def test_measured_both(name):
    row = peers.measure(name, 500, 20, CPU)
    assert row["other_ms"] > 0
    assert row["times_faster"]["ratio"] > 0
    assert row["ours_needed_bytes"] > 0


def test_too_large_is_not_run():
    assert peers.measure("dense", 10**7, 10_000, CPU)["not_run"] == "D d > 600000000"
