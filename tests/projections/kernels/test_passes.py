"""Kernels on a CPU by Numba: the bits of plain torch, on any number of threads."""

import itertools
import threading
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from subspace_nn import Subspace, testing
from subspace_nn.projections import Fastfood, Hadamard, Hashed, Sparse, hashed, kernels
from subspace_nn.projections.fwht import fwht
from subspace_nn.projections.linear import place

pytest.importorskip("numba")
from subspace_nn.projections.kernels import loops, table, transforms
from subspace_nn.projections.kernels.passes import share

CPU = torch.device("cpu")
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
#: (D, d): one parameter, d a multiple of 64 and not, all weights, and parts of 64 blocks.
SIZES = [(75, 1), (130, 64), (200, 31), (99, 98), (5000, 7)]
#: The same for `sparse`, of 1, 2, 6, 10 and 18 groups.
GROUPS = [(130, 11), (130, 27), (130, 70), (99, 99), (5000, 1300)]
MAPS = [(Hashed, *sizes) for sizes in SIZES] + [(Sparse, *sizes) for sizes in GROUPS]
#: One number, D a power of two and not, one block and several, blocks larger than 4,096.
TRANSFORMED = [(1, 1), (64, 64), (75, 1), (200, 31), (5000, 7), (9000, 700), (40_000, 20_000)]
KINDS = [Hashed, Sparse, Hadamard, Fastfood]


@pytest.fixture(autouse=True, params=["stored", "computed"])
def small(request, monkeypatch):
    """Kernels at any size, in small parts, which read the indices of `hashed` or compute them."""
    monkeypatch.setattr(hashed, "LEAST", {"stored": 1 << 7, "computed": 1}[request.param])
    monkeypatch.setattr(table, "_PART", 512)
    monkeypatch.setattr(kernels, "LARGE", 1)
    monkeypatch.setattr(loops, "_PART", 1)
    monkeypatch.setattr(transforms, "_PART", 512)
    monkeypatch.setattr(transforms, "_BLOCKS", 1)


@pytest.fixture
def threads():
    """Sets the number of threads, and puts it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@contextmanager
def in_torch():
    """No kernels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "usable", lambda _: False)
        yield


def test_numba_is_used_here():
    assert kernels.usable(CPU)
    kernel = table.Table if hashed.LEAST > 3 else loops.Loops
    assert isinstance(Hashed(20, 3)._kernel_for(torch.ones(3)), kernel)


@pytest.mark.parametrize("law", list(testing.LAWS))
@pytest.mark.parametrize("kind", KINDS)
def test_keeps_the_law(kind, law):
    testing.LAWS[law](kind(67, 31, seed=7))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "D", "dim"), MAPS)
def test_has_the_bits_of_plain_torch_and_its_sums(kind, D, dim, dtype):
    for rows, batch in itertools.product([slice(0, D), slice(D // 3, D - 1)], [(), (2, 3)]):
        omega, g = torch.randn(*batch, dim).to(dtype), torch.randn(*batch, D).to(dtype)[..., rows]
        fast, slow = kind(D, dim, 7)[rows], kind(D, dim, 7)[rows]
        with in_torch():
            theta, sums = slow @ omega, slow.T @ g
        assert torch.equal(fast @ omega, theta)
        torch.testing.assert_close(fast.T @ g, sums)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [Hadamard, Fastfood])
@pytest.mark.parametrize(("D", "dim"), TRANSFORMED)
def test_transforms_agree_with_plain_torch(kind, D, dim, dtype):
    for rows, batch in itertools.product([slice(0, D), slice(D // 3, D)], [(), (2,)]):
        omega, g = torch.randn(*batch, dim).to(dtype), torch.randn(*batch, D).to(dtype)[..., rows]
        fast, slow = kind(D, dim, 7)[rows], kind(D, dim, 7)[rows]
        with in_torch():
            theta, sums = slow @ omega, slow.T @ g
        if kind is Hadamard:
            assert torch.equal(fast @ omega, theta)
        _assert_near(fast @ omega, theta)
        _assert_near(fast.T @ g, sums)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log2", [*range(16), 18, 19])
def test_the_transform_has_the_bits_of_the_portable_one(log2, dtype):
    x = torch.randn(3, 1 << log2, dtype=dtype)
    with in_torch():
        expected = fwht(x, portable=True)
    for portable in (False, True):
        assert torch.equal(fwht(x, portable=portable), expected)
    assert torch.equal(fwht(x.T.contiguous().T, out=torch.empty_like(x)), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "D", "dim"), MAPS)
def test_in_one_part_sums_have_the_bits_of_plain_torch_too(monkeypatch, kind, D, dim, dtype):
    for module in (loops, table):
        monkeypatch.setattr(module, "_PART", 1 << 18)
    g = torch.randn(D).to(dtype)
    with in_torch():
        sums = kind(D, dim, 7).T @ g
    assert torch.equal(kind(D, dim, 7).T @ g, sums)


def test_blocks_may_be_long():
    D, dim = 1_500_000, 1_048_583
    omega, g = torch.randn(dim), torch.randn(D)
    with in_torch():
        theta, sums = Hashed(D, dim, 7) @ omega, Hashed(D, dim, 7).T @ g
    assert torch.equal(Hashed(D, dim, 7) @ omega, theta)
    torch.testing.assert_close(Hashed(D, dim, 7).T @ g, sums)


def test_training_takes_the_same_steps_with_and_without(monkeypatch):
    for module in (loops, table):
        monkeypatch.setattr(module, "_PART", 1 << 18)

    def trained(kind):
        torch.manual_seed(0)
        net = Subspace(nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 5)), 40, kind)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            net(torch.randn(16, 20)).square().mean().backward()
            optimizer.step()
        return net.omega.detach().clone()

    for kind in ("hashed", "sparse"):
        with in_torch():
            slow = trained(kind)
        assert torch.equal(trained(kind), slow)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_places_whole_models_as_torch_does(kind, dtype):
    D, dim, shapes, steps = 200, 31, [(10, 9), (0,), (2, 5, 11)], [0.37, 2.0, -1.1]
    origins = [torch.randn(shape).to(dtype) for shape in shapes]
    omega = torch.randn(dim, dtype=torch.promote_types(dtype, torch.float32), requires_grad=True)
    weights = [torch.randn(shape).to(dtype) for shape in shapes]

    def placed():
        tensors = place(kind(D, dim, 7), omega, steps, origins)
        return tensors, torch.autograd.grad(tensors, omega, weights)[0]

    fast, slope = placed()
    with in_torch():
        slow, expected = placed()
    for one, other in zip(fast, slow, strict=True):
        assert torch.equal(one, other) or kind is Fastfood
        torch.testing.assert_close(one, other)
    assert [tensor.dtype for tensor in fast] == [dtype] * len(shapes)
    torch.testing.assert_close(slope, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_no_bit_depends_on_the_number_of_threads(threads, kind):
    P, omega, g = kind(50_000, 130, 1), torch.randn(130), torch.randn(50_000)
    found = []
    for count in (1, 2, 3):
        threads(count)
        found.append((P @ omega, P.T @ g))
    for theta, sums in found[1:]:
        assert torch.equal(theta, found[0][0])
        assert torch.equal(sums, found[0][1])


def test_threads_may_share_a_map():
    P, omegas = Hashed(5000, 7, 1), torch.randn(8, 7)
    expected, wrong = [P @ omega for omega in omegas], []

    def work(number):
        wrong.extend(1 for _ in range(50) if not torch.equal(P @ omegas[number], expected[number]))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_theta0_and_gradients_of_several_dtypes_are_taken():
    P, omega, steps = Hashed(200, 31, 7), torch.randn(31, requires_grad=True), [0.3, 2.0]
    origins = [torch.randn(10, 9), torch.randn(110).bfloat16()]

    def placed():
        tensors = place(P, omega, steps, origins)
        weights = [torch.ones_like(tensor) for tensor in tensors]
        return tensors, torch.autograd.grad(tensors, omega, weights)[0]

    fast, slope = placed()
    with in_torch():
        slow, expected = placed()
    assert all(map(torch.equal, fast, slow))
    torch.testing.assert_close(slope, expected)


def test_gradients_need_not_be_contiguous():
    P, g = Hashed(200, 31, 7), torch.randn(10, 20).T
    assert torch.equal(P._collect([g], [1.0]), P.T @ g.flatten())


def test_tensors_without_memory_are_left_to_torch():
    P = Hashed(200, 31)
    assert P._kernel_for(torch.empty(31, device="meta")) is None
    with FakeTensorMode():
        assert P._kernel_for(torch.empty(31)) is None


def _assert_near(one, other):
    """As near as sums in another order are, measured by the largest number."""
    half = one.dtype in {torch.float16, torch.bfloat16}
    error = (2 if half else 64) * torch.finfo(one.dtype).eps
    assert (one - other).abs().max() <= error * other.abs().max()


def test_transforms_of_torch_func_are_left_to_torch():
    def seen(x):
        assert not kernels.take(x)
        return x.sum()

    x = torch.randn(2, 64)
    torch.func.vmap(seen)(x)
    torch.func.grad(seen)(x)
    torch.func.jvp(seen, (x,), (x,))
    assert kernels.take(x)


def test_where_numba_fails_plain_torch_computes_and_a_warning_says_why(monkeypatch):
    monkeypatch.setattr(kernels, "kernel", lambda _: 1 / 0)
    with pytest.warns(RuntimeWarning, match="Numba does not work on cpu.*division by zero"):
        assert not kernels.usable.__wrapped__(CPU)


def test_transforms_that_are_wrong_are_left_to_torch(monkeypatch):
    right = transforms.fwht
    monkeypatch.setattr(transforms, "fwht", lambda x, out, n: right(-x, out, n))
    kernels.for_transforms.cache_clear()
    with pytest.warns(RuntimeWarning, match="Numba does not work on cpu.*other numbers"):
        assert kernels.for_transforms(CPU) is None
    omega = torch.randn(31)
    assert fwht(torch.ones(2)).tolist() == [2.0, 0.0]
    for P in (Hadamard(200, 31), Fastfood(200, 31)):
        assert P._kernel_for(omega) is None
    kernels.for_transforms.cache_clear()


def test_no_two_compiled_functions_have_one_name():
    """Numba's cache would link one in the place of the other."""
    from subspace_nn.projections.kernels import _loops, _transforms  # noqa: PLC0415

    compiled = {f for m in (_loops, _transforms) for f in vars(m).values() if hasattr(f, "py_func")}
    names = [f"{f.__module__}.{f.py_func.__qualname__}" for f in compiled]
    assert len(set(names)) == len(names) > 10


@pytest.mark.parametrize("count", [1, 2, 9, 100])
def test_every_part_is_done_once_and_the_caller_is_one_of_the_threads(threads, count):
    threads(2)
    done, met = {}, threading.Barrier(min(2, count), timeout=60)

    def work(number):
        if threading.get_ident() not in done.values():
            met.wait()  # for both threads to take parts
        done[number] = threading.get_ident()

    share(work, count)
    assert sorted(done) == list(range(count))
    assert threading.get_ident() in done.values()


def test_an_error_in_a_part_reaches_the_caller(threads):
    threads(2)
    with pytest.raises(ZeroDivisionError):
        share(lambda number: 1 / (number - 7), 9)
