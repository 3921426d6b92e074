"""The laws of a projection: what every kind, also a user's own, must obey.

    from subspace_nn import testing
    testing.check(MyProjection(D=97, dim=31))

Each law is a function of a projection that raises AssertionError; `LAWS` holds them all by name,
for a test to be parametrised with. They compare with the dense form in float64, so D·d should be
at most some 10^5.
"""

import copy
import pickle
from collections.abc import Callable

import torch
from torch import Tensor

from subspace_nn import bits
from subspace_nn.errors import InputError
from subspace_nn.projections import Dense, Projection

Law = Callable[[Projection], None]


def check(projection: Projection) -> None:
    """Hold a projection to all laws.

    Args:
        projection: any projection, of small size.

    Raises:
        AssertionError: if it breaks any; the message names them all.

    Example:
        >>> from subspace_nn.projections import Hashed
        >>> check(Hashed(D=97, dim=31))
    """
    broken = []
    for name, law in LAWS.items():
        try:
            law(projection)
        except Exception as error:  # noqa: BLE001  # a law that cannot be tried is not kept
            broken.append(f"{name}: {str(error).strip() or repr(error)}")
    if broken:
        raise AssertionError(f"{projection} breaks {len(broken)} laws\n" + "\n".join(broken))


def adjoint(P: Projection) -> None:
    """⟨Pω, g⟩ = ⟨ω, Pᵀg⟩.

    Args:
        P: the projection.
    """
    omega, g = _vector("omega", P.dim), _vector("gradient", P.D)
    torch.testing.assert_close((P @ omega) @ g, omega @ (P.T @ g), rtol=1e-10, atol=1e-10)


def linear(P: Projection) -> None:
    """P ω and Pᵀ g are products with one and the same matrix, batch dimensions or not.

    Args:
        P: the projection.
    """
    matrix = P.dense()
    omega, g = _vector("omega", 6 * P.dim).view(2, 3, P.dim), _vector("g", 6 * P.D).view(2, 3, P.D)
    torch.testing.assert_close(P @ omega, omega @ matrix.T)
    torch.testing.assert_close(P.T @ g, g @ matrix)
    torch.testing.assert_close(P @ omega[0, 0], omega[0, 0] @ matrix.T)


def isometric(P: Projection) -> None:
    """‖PᵀP - I‖ is at most what the kind says, in the spectral norm.

    Args:
        P: the projection.
    """
    matrix = P.dense()
    difference = matrix.T @ matrix - torch.eye(P.dim, dtype=matrix.dtype)
    distortion = float(torch.linalg.matrix_norm(difference, ord=2))
    _require(
        distortion <= P.distortion + 1e-12, f"‖PᵀP - I‖ = {distortion:.3g} > {P.distortion:.3g}"
    )


def covering(P: Projection) -> None:
    """No weight is frozen and no ω unused: no row and no column of P is zero.

    Args:
        P: the projection.
    """
    used = P.dense() != 0
    frozen, unused = int((~used.any(1)).sum()), int((~used.any(0)).sum())
    _require(frozen == 0, f"{frozen} of {P.D} weights are frozen")
    _require(unused == 0, f"{unused} of {P.dim} ω are unused")


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
    """`torch.func`'s vmap, grad and jvp go through.

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


def keeps_dtype(P: Projection) -> None:
    """Each floating-point dtype goes in and comes out, and agrees with float64.

    Args:
        P: the projection.
    """
    omega, g = _vector("omega", P.dim), _vector("gradient", P.D)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        for product, x in ((P.__matmul__, omega), (P.T.__matmul__, g)):
            result = product(x.to(dtype))
            _require(result.dtype == dtype, f"{dtype} became {result.dtype}")
            size = float(x.norm())
            torch.testing.assert_close(
                result.double(), product(x), rtol=0, atol=4 * torch.finfo(dtype).eps * size
            )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = P @ omega.float()
    _require(result.dtype == torch.float32, f"under autocast float32 became {result.dtype}")


def reproducible(P: Projection) -> None:
    """The recipe gives the same P again: pickled, copied, on one thread, asked for twice.

    Args:
        P: the projection.
    """
    twin = pickle.loads(pickle.dumps(P))  # noqa: S301  # our own bytes
    omega = _vector("omega", P.dim)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        tolerance = 0.0 if P.portable else 1e-10
        for other in (twin, copy.deepcopy(P), P):
            torch.testing.assert_close(other @ omega, P @ omega, rtol=0, atol=tolerance)
            _require(other.fingerprint() == P.fingerprint(), "another fingerprint")
    finally:
        torch.set_num_threads(threads)
    # A given matrix is its own recipe.
    given = Dense(P.matrix).stored_bytes() if isinstance(P, Dense) else 0
    size, enough = len(pickle.dumps(P)), 1000 + 8 * P.D + given
    _require(size <= enough, f"pickles to {size} bytes: the recipe and an anchor are enough")


def checks_operands(P: Projection) -> None:
    """A wrong shape or dtype is an InputError that tells the right one.

    Args:
        P: the projection.
    """
    for product, size in ((P.__matmul__, P.dim), (P.T.__matmul__, P.D)):
        for wrong in (
            torch.zeros(size + 1),
            torch.zeros(size, dtype=torch.int64),
            torch.tensor(1.0),
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
        differentiable,
        transformable,
        keeps_dtype,
        reproducible,
        checks_operands,
    )
}


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
