"""The Walsh-Hadamard transform against Sylvester's matrix and, to the bit, against plain Python."""

import importlib
import math

import pytest
import torch

from subspace_nn import bits
from subspace_nn.common.errors import InputError
from subspace_nn.projections.fwht import fwht, fwht_columns, fwht_rows
from tests.reference import reference_fwht

# The package's attribute of this name is the function.
transform = importlib.import_module("subspace_nn.projections.fwht")
LENGTHS = [1, 2, 4, 8, 16, 32, 64, 128, 512, 4096]


def sylvester(n):
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < n:
        matrix = torch.cat(
            (
                torch.cat((matrix, matrix), dim=1),
                torch.cat((matrix, -matrix), dim=1),
            )
        )
    return matrix


def vector(*shape):
    return bits.normal(0, "testing/fwht", 0, math.prod(shape)).view(shape)


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("n", LENGTHS)
def test_is_the_product_with_sylvesters_matrix(n, portable):
    x = vector(3, n)
    want = x @ sylvester(n)
    torch.testing.assert_close(fwht(x, portable=portable), want, rtol=0, atol=1e-11)
    torch.testing.assert_close(
        fwht(x, portable=portable, orthonormal=True), want / math.sqrt(n), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("block", [1, 4, 16, 64, 100, 1024])
@pytest.mark.parametrize("small", [0, 1 << 16])
@pytest.mark.parametrize("shape", [(1, 1024), (3, 256), (5, 16), (7, 8), (2, 3, 32)])
def test_blocks_change_nothing(monkeypatch, shape, block, small, portable):
    x = vector(*shape)
    want = x @ sylvester(shape[-1])
    monkeypatch.setattr(transform, "_SMALL", small)
    with bits.pieces_of(block):
        got = fwht(x, portable=portable)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-11)
    if portable:
        assert torch.equal(got, fwht(x, portable=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [1, 2, 8, 16, 64, 256])
def test_portable_to_the_bit(n, dtype):
    x = vector(n)
    if dtype is torch.float32:
        # Whole numbers below 2^24 and sums of them: float32 and Python agree without rounding.
        x = (x * 1000).round()
    assert fwht(x.to(dtype), portable=True).tolist() == reference_fwht(x.tolist())


def test_portable_on_any_number_of_threads():
    x = vector(1 << 18).float()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        want = fwht(x, portable=True)
        torch.set_num_threads(3)
        assert torch.equal(fwht(x, portable=True), want)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("portable", [False, True])
def test_larger_than_a_block(portable):
    n = 2 * transform._BLOCK
    x = torch.zeros(n)
    x[[1, n // 2 + 5]] = torch.tensor([1.0, 2.0])
    got = fwht(x, portable=portable)
    i = torch.arange(n)
    low, high = i & 1, (i & 1) ^ (i >> 2 & 1) ^ (i >> (n.bit_length() - 2))
    torch.testing.assert_close(got, (1.0 - 2 * low) + 2 * (1.0 - 2 * high), rtol=0, atol=0)


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("n", LENGTHS)
def test_involution_and_linearity(n, portable):
    def transform(x):
        return fwht(x, orthonormal=True, portable=portable)

    x, y = vector(2, n)
    torch.testing.assert_close(transform(transform(x)), x, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        transform(2 * x - y), 2 * transform(x) - transform(y), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_keeps_dtype(dtype, portable):
    x = vector(2, 256).to(dtype)
    got = fwht(x, orthonormal=True, portable=portable)
    assert got.dtype == dtype
    want = (x.double() @ sylvester(256) / 16).to(dtype)
    torch.testing.assert_close(got, want, rtol=torch.finfo(dtype).eps, atol=1e-6)


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("n", [1, 2, 16, 512])
def test_leaves_its_argument_alone(n, portable):
    x = vector(3, n)
    before = x.clone()
    fwht(x, portable=portable).zero_()
    assert torch.equal(x, before)


@pytest.mark.parametrize("portable", [False, True])
def test_shapes_and_strides(portable):
    x = vector(64, 3, 2)
    want = x.movedim(0, -1).contiguous() @ sylvester(64)
    torch.testing.assert_close(fwht(x.movedim(0, -1), portable=portable), want)
    assert fwht(torch.zeros(0, 8), portable=portable).shape == (0, 8)
    assert fwht(torch.zeros(4, 0, 32), portable=portable).shape == (4, 0, 32)


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", [(3, 16), (2, 2048)])
def test_out(shape, dtype, portable):
    x, out = vector(*shape).to(dtype), torch.full(shape, torch.nan, dtype=dtype)
    got = fwht(x, orthonormal=True, portable=portable, out=out)
    assert got is out
    assert torch.equal(out, fwht(x, orthonormal=True, portable=portable))


@pytest.mark.parametrize(
    "out",
    [torch.zeros(16), torch.zeros(2, 8).double(), torch.zeros(8, 2).T],
    ids=["shape", "dtype", "strides"],
)
def test_out_must_fit(out):
    with pytest.raises(InputError, match=r"expected a contiguous torch.float32 .* \(2, 8\)"):
        fwht(torch.zeros(2, 8), out=out)


def test_autocast_leaves_the_precision_alone():
    x = vector(512).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = fwht(x)
    assert torch.equal(got, fwht(x))


FEW_AND_MANY = [(1, 1), (2, 1), (16, 16), (64, 3), (512, 1), (512, 16), (512, 511), (4096, 40)]


def some(n, d):
    return bits.permutation(0, "testing/places", n)[:d]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "d"), FEW_AND_MANY)
@pytest.mark.parametrize("piece", [64, 256, 1 << 18])
def test_columns_have_the_bits_of_the_portable_transform(n, d, dtype, piece):
    x, places = vector(2, 3, d).to(dtype), some(n, d)
    whole = torch.zeros(2, 3, n, dtype=dtype).index_copy_(-1, places, x)
    want = fwht(whole, portable=True)
    with bits.pieces_of(piece):
        assert torch.equal(fwht_columns(x, places, n), want)


@pytest.mark.parametrize(("n", "d"), FEW_AND_MANY)
def test_rows_are_those_of_sylvesters_matrix(n, d):
    x, places = vector(2, 3, n), some(n, d)
    before = x.clone()
    want = (x @ sylvester(n))[..., places]
    torch.testing.assert_close(fwht_rows(x, places), want, rtol=0, atol=1e-11)
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("d", [2, 200])
def test_rows_keep_dtype(d, dtype):
    x, places = vector(3, 256).to(dtype), some(256, d)
    got = fwht_rows(x, places)
    assert got.dtype == dtype
    want = (x.double() @ sylvester(256))[:, places].to(dtype)
    torch.testing.assert_close(got, want, rtol=torch.finfo(dtype).eps, atol=1e-4)


def test_rows_on_any_number_of_threads():
    x, threads = vector(1 << 18).float(), torch.get_num_threads()
    for d in (1, 1000, 100_000):
        torch.set_num_threads(1)
        want = fwht_rows(x, some(1 << 18, d))
        torch.set_num_threads(3)
        try:
            assert torch.equal(fwht_rows(x, some(1 << 18, d)), want)
        finally:
            torch.set_num_threads(threads)


@pytest.mark.parametrize("x", [
    torch.zeros(3), torch.zeros(4, 0), torch.zeros(4, 12), torch.tensor(1.0),
    torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.complex64),
], ids=["three", "none", "twelve", "scalar", "whole", "complex"])  # fmt: skip
def test_refuses(x):
    with pytest.raises(InputError, match=r"of shape \(\*, n\), n a power of two, got torch"):
        fwht(x)
