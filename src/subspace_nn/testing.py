"""The laws that every projection must obey, also one of your own.

    from subspace_nn import testing
    testing.check(MyProjection(D=97, dim=31))  # one map
    testing.check_kind(MyProjection)           # maps of all sizes that tend to break

Each law is a function of a projection that raises AssertionError. `LAWS` holds all laws by name, to
parametrise a test. They compare with the dense form in float64, so D·d should be at most about
10^5.

No law can detect that P changes from one release to the next. `golden(P)` returns a value to write
into a test, and `check(P, golden=…)` compares.
"""

import copy
import hashlib
import itertools
import pickle
import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from subspace_nn import bits
from subspace_nn.common.errors import InputError
from subspace_nn.projections import Dense, Projection
from subspace_nn.projections.combine import Combination

Law = Callable[[Projection], None]

#: The result of `golden`: a digest or a sketch.
Golden = str | tuple[float, ...]

#: Sizes (D, d) at the edges, such as 1, primes, powers of two, squares, d = D and d = D - 1.
EDGES: dict[str, tuple[int, int]] = {
    "one": (1, 1),
    "one of many": (37, 1),
    "two": (9, 2),
    "all": (64, 64),
    "all but one": (64, 63),
    "prime": (97, 31),
    "all but one of a prime": (61, 60),
    "power of two": (128, 16),
    "square": (100, 25),
    "not whole": (101, 10),
    "thousands on each": (5003, 2),
}


def check(projection: Projection, golden: Golden | None = None) -> None:
    """Check that a projection obeys all laws.

    Args:
        projection: any projection of small size.
        golden: earlier result of `golden` to compare with; none by default.

    Raises:
        AssertionError: if it breaks any law; the message names all of them.

    Example:
        >>> from subspace_nn.projections import Hashed
        >>> check(Hashed(D=97, dim=31), golden="9d9a5b0126e85d43")
    """
    broken = []
    laws = LAWS if golden is None else {**LAWS, "golden": lambda P: _check_golden(P, golden)}
    for name, law in laws.items():
        try:
            law(projection)
        except Exception as error:  # noqa: BLE001  # a law that cannot be tried is not kept
            broken.append(f"{name}: {str(error).strip() or repr(error)}")
    if broken:
        raise AssertionError(f"{projection} breaks {len(broken)} laws\n" + "\n".join(broken))


def check_kind(make: Callable[[int, int, int], Projection]) -> None:
    """Check that a kind obeys all laws at all sizes of `EDGES`, and that its seed has an effect.

    Args:
        make: function of D, d and a seed that returns a projection, such as its class. Sizes that
            it refuses with an `InputError` are skipped.

    Raises:
        AssertionError: if a law is broken at any size, two seeds give the same P, or every size is
            refused.

    Example:
        >>> from subspace_nn.projections import Sparse
        >>> check_kind(Sparse)
    """
    made = 0
    for D, dim in EDGES.values():
        try:
            one, other = make(D, dim, 7), make(D, dim, 8)
        except InputError:
            continue
        made += 1
        check(one)
        # A single sign, or the whole space, may be the same.
        if 2 <= dim < D:
            _require(not torch.equal(one.dense(), other.dense()), f"{one}: the seed has no effect")
    _require(made > 0, "no size was accepted")


def golden(P: Projection) -> Golden:
    """The identity of P, in a form to write into a test.

    Args:
        P: the projection, of small size.

    Returns:
        For a portable P the first 16 hexadecimal digits of the SHA-256 of all entries, row by row,
        as little-endian float64, which is the same everywhere. Otherwise `P.sketch()`, which is the
        same to 1e-4.

    Example:
        >>> from subspace_nn.projections import Hashed
        >>> golden(Hashed(D=97, dim=31))
        '9d9a5b0126e85d43'
    """
    if not P.portable:
        return P.sketch()
    return hashlib.sha256(P.dense().numpy().astype("<f8").tobytes()).hexdigest()[:16]


def adjoint(P: Projection) -> None:
    """⟨Pω, g⟩ = ⟨ω, Pᵀg⟩.

    Args:
        P: the projection.
    """
    omega, g = _vector("omega", P.dim), _vector("gradient", P.D)
    torch.testing.assert_close((P @ omega) @ g, omega @ (P.T @ g), rtol=1e-10, atol=1e-10)


def linear(P: Projection) -> None:
    """P ω and Pᵀ g are products with the same matrix, with and without batch dimensions.

    Args:
        P: the projection.
    """
    matrix = P.dense()
    omega, g = _vector("omega", 6 * P.dim).view(2, 3, P.dim), _vector("g", 6 * P.D).view(2, 3, P.D)
    torch.testing.assert_close(P @ omega, omega @ matrix.T)
    torch.testing.assert_close(P.T @ g, g @ matrix)
    torch.testing.assert_close(P @ omega[0, 0], omega[0, 0] @ matrix.T)


def isometric(P: Projection) -> None:
    """‖PᵀP - I‖ is at most the kind's `distortion`, in the spectral norm.

    Args:
        P: the projection.
    """
    matrix = P.dense()
    difference = matrix.T @ matrix - torch.eye(P.dim, dtype=matrix.dtype, device=matrix.device)
    distortion = float(torch.linalg.matrix_norm(difference, ord=2))
    _require(
        distortion <= P.distortion + 1e-12, f"‖PᵀP - I‖ = {distortion:.3g} > {P.distortion:.3g}"
    )


def covering(P: Projection) -> None:
    """No weight is frozen and no ω unused: no row and no column of P is zero.

    Entries below 1e-12 of the largest one are rounding and count as zero.

    Args:
        P: the projection.
    """
    size = P.dense().abs()
    used = size > 1e-12 * size.max()
    frozen, unused = int((~used.any(1)).sum()), int((~used.any(0)).sum())
    _require(frozen == 0, f"{frozen} of {P.D} weights are frozen")
    _require(unused == 0, f"{unused} of {P.dim} ω are unused")


def widening(P: Projection) -> None:
    """`widening` gives the rows of P a mean square norm of 1, as far as P is isometric.

    A `Subspace` multiplies steps by it, so that a learning rate means the same for every P.

    Args:
        P: the projection.
    """
    mean_square = float(P.dense().square().sum()) / P.D * P.widening(0, P.D) ** 2
    _require(
        abs(mean_square - 1) <= P.distortion + 1e-9,
        f"rows have a mean square norm of {mean_square:.3g}, times `widening` squared",
    )


def even(P: Projection) -> None:
    """No neighbouring weights move far more than others: none are over-scaled.

    After `widening`, m consecutive rows, k of whose entries are not zero, have a mean square norm
    of at most 2 (1 + 2 √(x/k) + 2 x/k) with x = 20. Without the leading 2, k normal entries exceed
    this bound with a probability of e^-20 (Laurent and Massart, "Adaptive estimation of a quadratic
    functional by model selection", 2000, lemma 1); the 2 allows for weights with an ω of their own,
    whose square is twice that of two weights that share one. m is 1, 2, 4, … up to D/2, at all
    places. A P that contains a starting point has the scales of that point and always passes.

    Args:
        P: the projection.
    """
    if P.anchored:
        return
    matrix = P.dense()
    squares, entries = matrix.square().sum(1), (matrix != 0).sum(1)
    squares, entries = (nn.functional.pad(x.cumsum(0), (1, 0)) for x in (squares, entries))
    m = 1
    while m <= P.D // 2:
        free = 20 / (entries[m:] - entries[:-m])
        bound = 2 * (1 + 2 * free.sqrt() + 2 * free)
        widening = torch.tensor([P.widening(i, i + m) for i in range(P.D - m + 1)], device="cpu")
        mean = (squares[m:] - squares[:-m]) / m * widening**2
        worst = int((mean / bound).argmax())
        _require(
            bool(mean[worst] <= bound[worst]),
            f"the rows {worst} to {worst + m - 1} have a mean square norm of {mean[worst]:.3g} "
            f"after `widening`, where others have 1: their weights are over-scaled",
        )
        m *= 2


def sliced(P: Projection) -> None:
    """P[a:b] has the rows a to b of P, to the bit for portable kinds, and P[a:b].T is its adjoint.

    a and b are any two of about ten places: the ends, the first weights of blocks of d or of a
    power of two, and their neighbours.

    Args:
        P: the projection.
    """
    omega, g = _vector("omega", 3 * P.dim).view(3, P.dim), _vector("gradient", P.D)
    whole, single, matrix = P @ omega, P @ omega[0].float(), P.dense()
    tolerance = 0.0 if P.portable else 1e-10
    ends = {0, 1, P.D // 3, P.dim, P.dim + 1, 1 << P.D.bit_length() - 1, P.D - 1, P.D}
    for a, b in itertools.combinations_with_replacement(sorted(e for e in ends if e <= P.D), 2):
        rows = P[a:b]
        _require(rows.shape == (b - a, P.dim), f"P[{a}:{b}] has the shape {rows.shape}")
        torch.testing.assert_close(rows @ omega, whole[:, a:b], rtol=0, atol=tolerance)
        torch.testing.assert_close(
            rows @ omega[0].float(), single[a:b], rtol=0, atol=tolerance and 1e-5
        )
        torch.testing.assert_close(rows.T @ g[a:b], g[a:b] @ matrix[a:b], rtol=0, atol=1e-8)
    rows, part = P[P.D // 3 : P.D], matrix[P.D // 3 :]
    torch.testing.assert_close(torch.func.vmap(rows.__matmul__)(omega), omega @ part.T)
    torch.testing.assert_close(torch.func.jacfwd(rows.__matmul__)(omega[0]), part)
    x = omega[0].clone().requires_grad_()
    (slope,) = torch.autograd.grad((rows @ x).pow(3).sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    torch.testing.assert_close(curvature, part.T @ (6 * (part @ omega[0]) * part.sum(1)))


def differentiable(P: Projection) -> None:
    """First and second derivatives, forward and backward, agree with finite differences.

    Args:
        P: the projection.
    """
    omega = _vector("omega", P.dim).requires_grad_()
    g = _vector("gradient", P.D).requires_grad_()
    for product, x in ((P.__matmul__, omega), (P.T.__matmul__, g)):
        first = torch.autograd.gradcheck(
            product, x, check_forward_ad=True, fast_mode=True, raise_exception=False
        )
        _require(first, "the first derivative differs from finite differences")
        second = torch.autograd.gradgradcheck(product, x, fast_mode=True, raise_exception=False)
        _require(second, "the second derivative differs from finite differences")


def transformable(P: Projection) -> None:
    """`vmap`, `grad` and `jvp` of `torch.func` work, and their compositions.

    Args:
        P: the projection.
    """
    batch, tangent = _vector("omega", 3 * P.dim).view(3, P.dim), _vector("tangent", P.dim)
    by_hand = torch.stack([P @ omega for omega in batch])
    torch.testing.assert_close(torch.func.vmap(P.__matmul__)(batch), by_hand)
    torch.testing.assert_close(
        torch.func.vmap(P.__matmul__, in_dims=1, out_dims=1)(batch.T), by_hand.T
    )

    def energy(omega: Tensor) -> Tensor:
        return (P @ omega).square().sum()

    slopes = torch.func.vmap(torch.func.grad(energy))(batch)
    torch.testing.assert_close(slopes, 2 * (P.T @ by_hand))
    derivative = torch.func.jvp(P.__matmul__, (batch[0],), (tangent,))[1]
    torch.testing.assert_close(derivative, P @ tangent)
    curvature = torch.func.jvp(torch.func.grad(energy), (batch[0],), (tangent,))[1]
    torch.testing.assert_close(curvature, 2 * (P.T @ (P @ tangent)))
    torch.testing.assert_close(torch.func.vmap(P.T.__matmul__)(by_hand), P.T @ by_hand)


def keeps_dtype(P: Projection) -> None:
    """Results have the operand's floating-point dtype and agree with float64.

    The gradient is positive, so that long sums in half precision would stall. The tolerance allows
    for D / d terms added one by one in float32 or wider.

    Args:
        P: the projection.
    """
    omega, g = _vector("omega", P.dim), _vector("gradient", P.D).abs()
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        for product, x in ((P.__matmul__, omega), (P.T.__matmul__, g)):
            rounded = x.to(dtype)
            result, expected = product(rounded), product(rounded.double())
            _require(result.dtype == dtype, f"{dtype} became {result.dtype}")
            size = float(expected.abs().max() + x.norm() / P.D**0.5)
            wide = torch.promote_types(dtype, torch.float32)
            share = torch.finfo(dtype).eps + P.D / P.dim * torch.finfo(wide).eps
            torch.testing.assert_close(result.double(), expected, rtol=0, atol=4 * share * size)
    for product, x in ((P.__matmul__, omega.float()), (P.T.__matmul__, g.float())):
        expected = product(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = product(x)
        _require(result.dtype == torch.float32, f"under autocast float32 became {result.dtype}")
        torch.testing.assert_close(result, expected)


def reproducible(P: Projection) -> None:
    """The recipe gives the same P again: pickled, copied, before and after use, or applied twice.

    Args:
        P: the projection.
    """
    omega = _vector("omega", P.dim)
    early = _reborn(P)
    expected, fingerprint = P @ omega, P.fingerprint()
    tolerance = 0.0 if P.portable else 1e-10
    for other in (early, _reborn(P), copy.deepcopy(P), P):
        torch.testing.assert_close(other @ omega, expected, rtol=0, atol=tolerance)
        _require(other.fingerprint() == fingerprint, "another fingerprint")
    size, enough = len(pickle.dumps(P)), 1000 + 8 * P.D + _given_bytes(P)
    _require(size <= enough, f"pickles to {size} bytes: the recipe and an anchor are enough")


def same_on_any_threads(P: Projection) -> None:
    """P is the same for any number of threads that make it and multiply with it.

    Threads share the work from about 10^5 numbers on, so a small P shows little.

    Args:
        P: the projection.
    """
    omega, g = _vector("omega", P.dim), _vector("gradient", P.D)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            fresh = _reborn(P)
            results.append((fresh @ omega.float(), fresh @ omega, fresh.T @ g))
    finally:
        torch.set_num_threads(threads)
    (single, double, back), others = results
    if P.portable:
        _require(torch.equal(single, others[0]), "other bits in float32")
        _require(torch.equal(double, others[1]), "other bits in float64")
    torch.testing.assert_close(double, others[1], rtol=0, atol=1e-10)
    torch.testing.assert_close(back, others[2], rtol=0, atol=1e-8)


def same_in_any_pieces(P: Projection) -> None:
    """P is the same for any number of words, rows or entries that are computed at a time.

    `bits.pieces_of` makes pieces small, so that even a small P consists of several. A kind with its
    own pieces takes their size from `bits.piece`, so that this law reaches them.

    Args:
        P: the projection.
    """
    omega, g = _vector("omega", P.dim), _vector("gradient", P.D)
    forward, back = P @ omega, P.T @ g
    for size in (16, 64):
        with bits.pieces_of(size):
            fresh = _reborn(P)
            there, and_back = fresh @ omega, fresh.T @ g
        tolerance = 0.0 if P.portable else 1e-10
        torch.testing.assert_close(there, forward, rtol=0, atol=tolerance)
        torch.testing.assert_close(and_back, back, rtol=0, atol=1e-8)


def leaves_generators_alone(P: Projection) -> None:
    """P does not depend on the global random generators, draw from them or seed them.

    Args:
        P: the projection.
    """
    omega, g = _vector("omega", P.dim), _vector("gradient", P.D)
    # The global generators of NumPy are the point here.
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    results = []
    try:
        for seed in (1, 2):
            torch.default_generator.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            states = _generators()
            fresh = _reborn(P)
            results.append((fresh @ omega, fresh.T @ g))
            used = [name for name, state in _generators().items() if state != states[name]]
            _require(not used, f"used or seeded: the global generator of {', '.join(used)}")
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        random.setstate(before[2])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def moves_to_devices(P: Projection) -> None:
    """On an accelerator P is the same and results stay there; afterwards the CPU gives the same.

    Without an accelerator, only the CPU is tested.

    Args:
        P: the projection.
    """
    omega, g = _vector("omega", P.dim).float(), _vector("gradient", P.D).float()
    forward, back = P @ omega, P.T @ g
    tolerance = 0.0 if P.portable else 1e-5
    for device in (*_accelerators(), torch.device("cpu")):
        for other in (P, _reborn(P)):
            there, and_back = other @ omega.to(device), other.T @ g.to(device)
            for result in (there, and_back):
                _require(result.device.type == device.type, f"{device} gave {result.device}")
            size = float(forward.abs().max())
            torch.testing.assert_close(there.cpu(), forward, rtol=0, atol=tolerance * size)
            torch.testing.assert_close(and_back.cpu(), back, rtol=1e-4, atol=1e-4)


def checks_operands(P: Projection) -> None:
    """A wrong shape or dtype raises an InputError that names the expected shape.

    Args:
        P: the projection.
    """
    for product, size in ((P.__matmul__, P.dim), (P.T.__matmul__, P.D)):
        for wrong in (
            torch.zeros(size + 1, device="cpu"),
            torch.zeros(size, dtype=torch.int64, device="cpu"),
            torch.tensor(1.0, device="cpu"),
        ):
            message = _message(product, wrong)
            _require(
                f"(*, {size})" in message,
                f"{wrong.dtype} of shape {tuple(wrong.shape)}: {message}",
            )


#: Every law by its name.
LAWS: dict[str, Law] = {
    law.__name__: law
    for law in (
        adjoint,
        linear,
        isometric,
        covering,
        widening,
        even,
        sliced,
        differentiable,
        transformable,
        keeps_dtype,
        reproducible,
        same_on_any_threads,
        same_in_any_pieces,
        leaves_generators_alone,
        moves_to_devices,
        checks_operands,
    )
}


def _reborn(P: Projection) -> Projection:
    """P from its recipe, with nothing computed."""
    return pickle.loads(pickle.dumps(P))  # noqa: S301  # our own bytes


def _check_golden(P: Projection, expected: Golden) -> None:
    got = golden(P)
    if isinstance(got, str) or isinstance(expected, str):
        _require(got == expected, f"another P: expected {expected!r}, got {got!r}")
    else:
        torch.testing.assert_close(got, tuple(expected), rtol=0, atol=1e-4)


def _given_bytes(P: Projection) -> int:
    """Bytes that a pickle may need for given matrices and for the recipes of parts."""
    if isinstance(P, Dense):
        return Dense(P.matrix).stored_bytes()
    if P.numbers():
        return 1000 + P.stored_bytes()
    if isinstance(P, Combination):
        return sum(1000 + 8 * part.D + _given_bytes(part) for part in P.parts)
    return 0


def _generators() -> dict[str, bytes]:
    """The states of the global generators."""
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "NumPy": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "Python": pickle.dumps(random.getstate()),
    }


def _accelerators() -> list[torch.device]:
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return [] if found is None else [found]


def _message(product: Callable[[Tensor], Tensor], wrong: Tensor) -> str:
    try:
        product(wrong)
    except InputError as error:
        return str(error)
    return "accepted"


# Not `assert`, which python -O leaves out.
def _require(condition: bool, message: str) -> None:  # noqa: FBT001
    if not condition:
        raise AssertionError(message)


def _vector(stream: str, size: int) -> Tensor:
    return bits.normal(0, f"testing/{stream}", 0, size)
