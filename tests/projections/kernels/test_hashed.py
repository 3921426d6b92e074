"""The kernels of `hashed`: on a GPU, or else in Triton's interpreter on the CPU."""

import importlib

import pytest
import torch

from subspace_nn import bits, testing
from subspace_nn.projections import Hashed, hashed
from subspace_nn.projections import kernels as package
from subspace_nn.projections._affine import AffineHash
from subspace_nn.projections.kernels import checks
from subspace_nn.projections.linear import place

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
with pytest.MonkeyPatch.context() as patch:
    if not CUDA:
        patch.setenv("TRITON_INTERPRET", "1")  # read where a kernel is defined, and where it runs
    pytest.importorskip("triton")
    from subspace_nn.projections.kernels import hashed as kernels

    importlib.reload(kernels._hashed)

#: (D, d, seed, rows): small parameters, all but one, ranges within a word and across blocks.
CASES = [
    (1, 1, 0, slice(0, 1)),
    (75, 1, 4, slice(60, 75)),
    (130, 64, 3, slice(1, 128)),
    (200, 31, 2**64 - 1, slice(0, 200)),
    (200, 31, 2**64 - 1, slice(70, 71)),
    (99, 98, 5, slice(64, 99)),
    (1000, 301, 6, slice(299, 700)),
]
needs_cuda = pytest.mark.skipif(not CUDA, reason="no CUDA device")
#: More programs than a second dimension of the grid could count.
MANY = (2**24, 2, 0, slice(0, 2**24))
#: Numbers of weights beyond 32 bits, and the largest d, whose 4 GB the interpreter would copy.
FAR = [
    (2**33 + 5, 2**20 + 7, 3, slice(2**33 - 20, 2**33 + 5)),
    pytest.param(2**30 + 9, 2**30 - 1, 8, slice(2**30 - 30, 2**30 + 9), marks=needs_cuda),
]


@pytest.fixture(autouse=True)
def interpreter(monkeypatch):
    """Small pieces, so that several programs share the work even here."""
    if not CUDA:
        monkeypatch.setenv("TRITON_INTERPRET", "1")
        for name, size in (("_WORDS", 2), ("_WIDTH", 64), ("_DEPTH", 2)):
            monkeypatch.setattr(kernels, name, size)


def plain(D, dim, seed, rows):
    """Parameter and sign of each weight, by the formula."""
    i = torch.arange(rows.start, rows.stop)
    first = rows.start // dim
    a, c = AffineHash(D, dim, seed).hashes(range(first, -(-rows.stop // dim)), torch.device("cpu"))
    block = i // dim - first
    k = (a[block] * (i % dim) + c[block]) % dim
    return k, bits.signs(seed, "hashed/sign", rows.start, len(i))


def same_bits(one, other):
    return one.dtype == other.dtype and torch.equal(one.view(torch.int8), other.view(torch.int8))


def draw(*shape):
    return torch.randn(shape, dtype=torch.float64)


def blocks_of(D, dim, seed):
    """Of a map whose norms are 1."""
    norm = torch.ones(dim, dtype=torch.float64, device=DEVICE)
    return kernels.Blocks.of(AffineHash(D, dim, seed), norm)


@pytest.mark.parametrize(("D", "dim", "seed", "rows"), CASES + FAR)
def test_place_has_the_bits_of_the_definition(D, dim, seed, rows):
    blocks, (k, sign) = blocks_of(D, dim, seed), plain(D, dim, seed, rows)
    values = torch.zeros(dim)
    values[k[1:]] = draw(len(k) - 1).float()  # zero has a sign, too
    got = blocks.place(values.to(DEVICE), rows).cpu()
    assert same_bits(got, values[k] * sign)
    origin = draw(len(k)).float()
    got = blocks.place(values.to(DEVICE), rows, origin.to(DEVICE)).cpu()
    assert same_bits(got, origin + values[k] * sign)


@pytest.mark.parametrize(("dtype", "wide"), [
    (torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float64, torch.float32),
    (torch.float64, torch.float64),
])  # fmt: skip
def test_place_sums_in_the_wider_dtype(dtype, wide):
    D, dim, seed, rows = CASES[-1]
    k, sign = plain(D, dim, seed, rows)
    values, origin = draw(dim).to(wide), draw(len(k)).to(dtype)
    got = blocks_of(D, dim, seed).place(values.to(DEVICE), rows, origin.to(DEVICE)).cpu()
    want = (values[k] * sign + origin).to(dtype)
    if dtype == torch.bfloat16 and not CUDA:  # which the interpreter cuts off
        torch.testing.assert_close(got, want, rtol=2**-7, atol=0)
    else:
        assert same_bits(got, want)


@pytest.mark.parametrize(("D", "dim", "seed", "rows"), CASES)
def test_collect_is_the_sum_one_by_one(D, dim, seed, rows):
    k, sign = plain(D, dim, seed, rows)
    g = draw(2, len(k))
    want = torch.zeros(2, dim, dtype=torch.float64).index_add_(-1, k, g * sign)
    blocks = blocks_of(D, dim, seed)
    torch.testing.assert_close(blocks.collect(g.to(DEVICE), rows).cpu(), want)
    for dtype in (torch.float32, torch.bfloat16):
        part = g.to(dtype)
        want = torch.zeros(2, dim).index_add_(-1, k, part.float() * sign)
        got = blocks.collect(part.to(DEVICE), rows, 0.5)
        torch.testing.assert_close(got.cpu(), want * 0.5)


def test_batches_are_their_rows():
    D, dim, seed, rows = CASES[-1]
    blocks = blocks_of(D, dim, seed)
    values = draw(2, 3, dim).to(DEVICE)
    g = draw(2, 3, rows.stop - rows.start).to(DEVICE)
    placed, collected = blocks.place(values, rows), blocks.collect(g, rows)
    assert same_bits(placed[1, 2], blocks.place(values[1, 2].contiguous(), rows))
    assert same_bits(collected[1, 2], blocks.collect(g[1, 2].contiguous(), rows))


def test_no_rows_are_no_numbers():
    blocks = blocks_of(10, 3, 0)
    assert blocks.place(torch.ones(3, device=DEVICE), slice(4, 4)).shape == (0,)
    none = blocks.collect(torch.ones(0, device=DEVICE), slice(4, 4))
    assert none.tolist() == [0, 0, 0]


@pytest.mark.parametrize("dim", [1, 2, 3, 31, 1000, 2**20 + 7, 2**30 - 1])
def test_divisions_without_dividing(dim):
    magic, shift = kernels._division(dim)
    assert 0 < magic < 2**32
    multiples = [m * dim + off for m in (1, 2, 3, (2**31 - 1) // dim) for off in (-1, 0, 1)]
    for n in [*multiples, 0, 1, 2**31 - 1]:
        if 0 <= n < 2**31:
            assert (2 * n * magic >> 32) >> shift == n // dim


def test_the_check_of_a_device_sees_wrong_bits(monkeypatch):
    checks.check(kernels.Blocks, DEVICE)
    good = bits.signs
    monkeypatch.setattr(bits, "signs", lambda *a: good(*a).neg())
    with pytest.raises(RuntimeError, match="other numbers"):
        checks.check(kernels.Blocks, DEVICE)


@pytest.fixture
def by_kernels(monkeypatch):
    """`hashed` of any size is computed by the kernels, on a CPU, too."""
    monkeypatch.setattr(hashed, "LEAST", 1)
    monkeypatch.setattr(package, "LARGE", 1)
    monkeypatch.setattr(package, "usable", lambda device: device.type == DEVICE.type)
    monkeypatch.setattr(package, "kernel", lambda _: kernels.Blocks)


@pytest.mark.skipif(CUDA, reason="the laws compute on the CPU; tests/test_cuda.py on a GPU")
@pytest.mark.parametrize("law", ["linear", "differentiable", "transformable", "keeps_dtype"])
@pytest.mark.usefixtures("by_kernels")
def test_hashed_by_kernels_keeps_the_law(law):
    testing.LAWS[law](Hashed(67, 31, seed=7))


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.usefixtures("by_kernels")
def test_hashed_by_kernels_has_the_bits_of_plain_torch(monkeypatch, store):
    P, rows = Hashed(205, 31, 7, store=store), slice(40, 130)
    omega, g = torch.randn(31, device=DEVICE), torch.randn(205, device=DEVICE)
    whole, some, back = P @ omega, P[rows] @ omega, P[rows].T @ g[rows]
    origin = torch.randn(9, 10, device=DEVICE)
    (placed,) = place(P[rows], omega.requires_grad_(), [0.37], [origin])
    (slope,) = torch.autograd.grad(placed.sum(), omega)
    assert P.stored_bytes() == 24 * 7 + (8 + 4) * 31  # no index
    monkeypatch.undo()
    plain = Hashed(205, 31, 7, store=store)
    monkeypatch.setattr(package, "usable", lambda _: False)
    assert same_bits(whole, plain @ omega)
    assert same_bits(some, whole[rows])
    assert same_bits(placed, origin + (plain @ omega)[rows].view(9, 10) * 0.37)
    assert same_bits(slope, (plain[rows].T @ torch.ones_like(whole[rows])) * 0.37)
    torch.testing.assert_close(back, plain[rows].T @ g[rows])


def test_where_triton_fails_plain_torch_computes_and_a_warning_says_why(monkeypatch):
    device = torch.device("cuda", 7)  # which need not be present to be asked about
    monkeypatch.setattr(checks, "check", lambda *_: 1 / 0)
    with pytest.warns(RuntimeWarning, match="Triton does not work on cuda:7.*division by zero"):
        assert not package.usable.__wrapped__(device)


@needs_cuda
def test_any_number_of_programs():
    D, dim, seed, rows = MANY
    k, sign = plain(*MANY)
    values, blocks = torch.tensor([2.0, 3.0]), blocks_of(D, dim, seed)
    assert same_bits(blocks.place(values.to(DEVICE), rows).cpu(), values[k] * sign)
    sums = torch.zeros(dim, dtype=torch.float64).index_add_(0, k, sign.double())
    assert blocks.collect(torch.ones(D, device=DEVICE), rows).tolist() == sums.tolist()


@needs_cuda
@pytest.mark.parametrize(("D", "dim"), [(1_000_003, 100), (10_000_019, 70_001)])
def test_cuda_large(D, dim):
    blocks, rows = blocks_of(D, dim, 0), slice(12_345, D - 1)
    k, sign = plain(D, dim, 0, rows)
    values, origin, g = draw(dim).float(), draw(len(k)).float(), draw(len(k)).float()
    placed = blocks.place(values.to(DEVICE), rows, origin.to(DEVICE))
    assert same_bits(placed.cpu(), origin + values[k] * sign)
    sums = blocks.collect(g.to(DEVICE), rows)
    assert all(same_bits(blocks.collect(g.to(DEVICE), rows), sums) for _ in range(5))
    want = torch.zeros(dim, dtype=torch.float64).index_add_(0, k, (g * sign).double())
    torch.testing.assert_close(sums.double().cpu(), want, rtol=0, atol=1e-3)
