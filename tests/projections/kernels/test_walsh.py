"""The transforms' kernels: on a GPU, or else in Triton's interpreter on the CPU."""

import functools
import importlib
import itertools

import pytest
import torch

from subspace_nn import bits
from subspace_nn.projections import Fastfood, Hadamard, fastfood
from subspace_nn.projections import kernels as package
from subspace_nn.projections.fwht import fwht
from subspace_nn.projections.linear import shifted

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
with pytest.MonkeyPatch.context() as patch:
    if not CUDA:
        patch.setenv("TRITON_INTERPRET", "1")  # read where a kernel is defined, and where it runs
    pytest.importorskip("triton")
    from subspace_nn.projections.kernels import _hashed, _walsh, checks, walsh

    importlib.reload(_hashed)
    importlib.reload(_walsh)

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
#: (D, d): one number, D a power of two and not, one block and several, and one that is cut.
SIZES = [(1, 1), (16, 16), (19, 1), (60, 7), (50, 30)]
if CUDA:
    SIZES += [(200, 31), (3000, 7), (1500, 700), (100_000, 9000), (5_000_001, 16_384)]


@pytest.fixture(autouse=True)
def interpreter(monkeypatch):
    """Plain torch where `Stack` and `Fold` are not asked; small tiles even here."""
    monkeypatch.setattr(package, "usable", lambda _: False)
    monkeypatch.setattr(fastfood, "fwht", functools.partial(fwht, portable=True))
    if not CUDA:
        monkeypatch.setenv("TRITON_INTERPRET", "1")
        for name, size in (("_DEPTH", 2), ("_WORDS", 2)):
            monkeypatch.setattr(walsh, name, size)


def kernel_of(P):
    if isinstance(P, Fastfood):
        return walsh.Stack.of(P.dim, P._all_on(DEVICE), P._scale)
    key = bits.key(P.seed, "hadamard/sign")
    return walsh.Fold.of(P.D, P.core, key, P._columns_on(DEVICE))


def ranges(P):
    """All rows, and where a kernel takes them some."""
    return [slice(0, P.D), *([slice(P.D // 3, P.D)] if isinstance(P, Fastfood) else [])]


def assert_equal(got, want):
    """To the bit, but for bfloat16 in the interpreter, which cuts it off."""
    if got.dtype == torch.bfloat16 and not CUDA:
        torch.testing.assert_close(got, want, rtol=2**-7, atol=1e-3)
    else:
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        assert torch.equal(got.view(torch.int8), want.view(torch.int8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("log2", [0, 1, 2, 5, 6, 7, 9, 10, *(range(11, 28) if CUDA else ())])
def test_the_transform_has_the_bits_of_the_portable_one(monkeypatch, log2, small, dtype):
    if small:
        for name, size in (("_MOST", 1 << 8), ("_TILE", 1 << 8), ("_ROWS", 8)):
            monkeypatch.setattr(walsh, name, size)
    x = torch.randn(2, 1 << log2, dtype=dtype, device=DEVICE)
    out = torch.empty_like(x)
    walsh.fwht(x, out, 1 << log2)
    assert_equal(out, fwht(x, portable=True))
    walsh.fwht(x, x, 1 << log2)
    assert_equal(x, out)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [Hadamard, Fastfood])
@pytest.mark.parametrize(("D", "dim"), SIZES)
def test_place_has_the_bits_of_plain_torch(kind, D, dim, dtype):
    P = kind(D, dim, 7)
    kernel = kernel_of(P)
    for rows, batch in itertools.product(ranges(P), [(), (2,)]):
        omega = torch.randn(*batch, dim, device=DEVICE).to(dtype)
        assert_equal(kernel.place(omega, rows), P[rows] @ omega)


@pytest.mark.parametrize(("wide", "dtype"), [
    (wide, dtype) for wide, dtypes in walsh._ADDED.items() for dtype in dtypes
])  # fmt: skip
@pytest.mark.parametrize("kind", [Hadamard, Fastfood])
@pytest.mark.parametrize(("D", "dim"), SIZES)
def test_place_adds_as_plain_torch_does(kind, D, dim, wide, dtype):
    P = kind(D, dim, 7)
    kernel, omega = kernel_of(P), torch.randn(dim, dtype=wide, device=DEVICE)
    for rows in ranges(P):
        origin = torch.randn(rows.stop - rows.start, device=DEVICE).to(dtype)
        assert kernel.takes(omega, origin)
        got = kernel.place(omega, rows, origin, 0.37)
        assert_equal(got, shifted((P[rows] @ omega) * 0.37, origin))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [Hadamard, Fastfood])
@pytest.mark.parametrize(("D", "dim"), SIZES)
def test_collect_is_the_adjoint(kind, D, dim, dtype):
    P = kind(D, dim, 7)
    kernel = kernel_of(P)
    for rows, batch in itertools.product(ranges(P), [(), (2,)]):
        g = torch.randn(*batch, D, device=DEVICE).to(dtype)[..., rows]
        got = kernel.collect(g, rows, 0.5)
        assert got.dtype == torch.promote_types(dtype, torch.float32)
        torch.testing.assert_close(got, (P[rows].T @ g.to(got.dtype)) * 0.5, rtol=1e-4, atol=1e-4)
        assert_equal(kernel.collect(g, rows, 0.5), got)


def test_other_dtypes_of_the_point_are_left_to_torch():
    half, single = torch.ones(3, dtype=torch.float16), torch.ones(3)
    assert not walsh.Fold.takes(half, half)
    assert not walsh.Fold.takes(single.double(), single)
    assert not walsh.Fold.takes(single, torch.ones(2, 3).T)


def test_blocks_that_do_not_fit_are_left_to_torch():
    assert walsh.Stack.fits(1 << 14, torch.bfloat16)
    assert not walsh.Stack.fits(1 << 14, torch.float64)
    assert not walsh.Stack.fits(1 << 15, torch.float32)


def test_the_check_of_a_device_sees_wrong_bits(monkeypatch):
    checks.check_transform(walsh, DEVICE)
    right = walsh.fwht
    monkeypatch.setattr(walsh, "fwht", lambda x, out, n: right(-x, out, n))
    with pytest.raises(RuntimeError, match="other numbers"):
        checks.check_transform(walsh, DEVICE)
