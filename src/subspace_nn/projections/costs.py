"""Measure the cost and quality of projections at given sizes."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

from subspace_nn import bits, projections
from subspace_nn.common.errors import InputError
from subspace_nn.projections import Projection

#: Number of times that each product is timed; fewer for slow kinds.
ROUNDS = 15

#: Steps of the estimate of ‖PᵀP - I‖, and the fewest for which one is made.
STEPS, FEWEST_STEPS = 32, 8


@dataclass(frozen=True)
class Cost:
    """Measurements of one projection, in float32 and with the current number of threads.

    Attributes:
        name: the name that was given.
        reason: why nothing was measured; None if it was, and then all other fields are set.
        label: kind and version.
        fingerprint: of P.
        distortion: bound on ‖PᵀP - I‖ that the kind states.
        isometry_error: estimate of ‖PᵀP - I‖ in the spectral norm; None if it would take too long.
        coverage: share of the weights that some ω moves.
        stored_bytes: bytes held between products.
        setup_ms: time of the first products beyond the median, in milliseconds.
        forward_ms: median time of P ω, in milliseconds.
        adjoint_ms: median time of Pᵀ g, in milliseconds.
        rounds: number of times that each product was timed.
    """

    name: str
    reason: str | None = None
    label: str | None = None
    fingerprint: str | None = None
    distortion: float | None = None
    isometry_error: float | None = None
    coverage: float | None = None
    stored_bytes: int | None = None
    setup_ms: float | None = None
    forward_ms: float | None = None
    adjoint_ms: float | None = None
    rounds: int = 0


@dataclass(frozen=True)
class Costs:
    """Measurements of projections of one size, with a copy of θ for comparison.

    Attributes:
        D: number of weights.
        dim: number of free parameters d.
        copy_ms: median time of a copy of D numbers in float32, in milliseconds.
        kinds: measurements of each projection.
    """

    D: int
    dim: int
    copy_ms: float
    kinds: tuple[Cost, ...]


def measure(
    names: Sequence[str],
    D: int,
    dim: int,
    *,
    seed: int = 0,
    tensors: Mapping[str, int] | None = None,
    memory: float = 4e9,
    seconds: float = 30.0,
) -> Costs:
    """Measure projections in interleaved rounds, so that their times are comparable.

    A projection that needs too much memory or time is skipped, with the reason.

    Args:
        names: as `projections.make` takes them.
        D: number of weights.
        dim: number of free parameters d.
        seed: any integer from 0 to 2^64 - 1.
        tensors: the number of weights of each tensor of θ by name, for `layerwise`.
        memory: limit in bytes for all projections together.
        seconds: approximate limit for all measurements of one projection.

    Returns:
        The costs, in the order of the names.

    Raises:
        InputError: if D, dim or seed is out of range, or a name is unknown.

    Example:
        >>> for cost in measure(["hashed", "identity"], D=1000, dim=10).kinds:
        ...     print(cost.name, cost.coverage, cost.reason)
        hashed 1.0 None
        identity None identity is the full space: dim must be 1,000, got 10.
    """
    D, dim = projections.check_sizes(D, dim)
    bits.check_seed(seed)
    for name in names:
        projections.parse(name)
    left = memory - 2 * 4 * D
    if left < 0:
        raise InputError(f"θ and a copy take {8 * D:,} bytes, more than the {memory:,.0f} allowed.")
    theta, copy = torch.ones(D, device="cpu"), torch.empty(D, device="cpu")
    trials: dict[str, _Trial] = {}
    reasons: dict[str, str] = {}
    for name in dict.fromkeys(names):
        try:
            P = projections.make(name, D, dim, seed, tensors=tensors)
            _check_affordable(P, left, seconds)
        except InputError as error:
            reasons[name] = " ".join(error.problems)
            continue
        trials[name] = _Trial(P, theta, seconds)
        left -= trials[name].stored
    copies = []
    for _ in range(ROUNDS):
        copies.append(_seconds(lambda: copy.copy_(theta)))
        for trial in trials.values():
            trial.run()
    kinds = (
        trials[name].cost(name) if name in trials else Cost(name, reasons[name])
        for name in dict.fromkeys(names)
    )
    return Costs(D, dim, 1e3 * statistics.median(copies), tuple(kinds))


def isometry_error(P: Projection, steps: int = STEPS) -> float | None:
    """‖PᵀP - I‖ in the spectral norm, by the method of Lanczos (1950), as ARPACK implements it.

    (Lehoucq, Sorensen and Yang, "ARPACK users' guide", 1998, through `scipy.sparse.linalg.eigsh`.)
    A step costs P ω and Pᵀ g once, in float32. The extreme eigenvalues converge first, and from
    below: 32 steps come within a few per cent.

    Args:
        P: the projection.
        steps: number of steps before a restart; d are enough for any P.

    Returns:
        The estimate; for an exact isometry the rounding, about 1e-7. None if it has not converged
        to 3 % after two restarts.

    Example:
        >>> from subspace_nn.projections import Dense
        >>> P = Dense(torch.diag(torch.tensor([1.0, 1.0, 2.0])), distortion=3)
        >>> round(isometry_error(P), 4)
        3.0
    """

    def difference(x: np.ndarray) -> np.ndarray:
        omega = torch.from_numpy(x.ravel())
        return ((P.T @ (P @ omega.float())).double() - omega).numpy()

    if P.dim == 1:  # ARPACK needs two
        return abs(float(difference(np.ones(1))[0]))
    operator = LinearOperator((P.dim, P.dim), matvec=difference, dtype=np.float64)
    start = bits.normal(0, "isometry", 0, P.dim).numpy()
    try:
        (extreme,) = eigsh(
            operator,
            k=1,
            v0=start,
            ncv=min(steps, P.dim),
            tol=0.03,
            maxiter=3,
            return_eigenvectors=False,
        )
    except ArpackNoConvergence:
        return None
    return abs(float(extreme))


def coverage(P: Projection) -> float:
    """The share of weights that some ω moves: those whose row of P is not zero.

    A non-zero row gives 0 for two random ω with probability 0, and hardly ever through rounding.

    Args:
        P: the projection.

    Returns:
        From 0 to 1.

    Example:
        >>> from subspace_nn.projections import Dense
        >>> coverage(Dense(torch.tensor([[1.0], [0.0], [0.0], [0.0]])))
        0.25
    """
    one, two = bits.normal(0, "coverage", 0, 2 * P.dim).float().view(2, P.dim)
    moved = ((P @ one) != 0) | ((P @ two) != 0)
    return int(moved.sum()) / P.D


def _check_affordable(P: Projection, memory: float, seconds: float) -> None:
    needs = P.needs()
    problems = []
    if needs.bytes > memory:
        gigabytes = needs.bytes / 1e9
        problems.append(f"It needs up to {gigabytes:,.1f} GB; {memory / 1e9:,.1f} are left.")
    if needs.seconds > seconds:
        problems.append(f"It needs about {needs.seconds:,.0f} s; {seconds:,.0f} are allowed.")
    if problems:
        raise InputError(*problems)


class _Trial:
    """A projection during its measurement."""

    def __init__(self, P: Projection, theta: Tensor, seconds: float) -> None:
        self.P, self.theta = P, theta
        self.omega = bits.normal(0, "costs", 0, P.dim).float()
        self.times: list[tuple[float, float]] = []
        self.first = sum(self._pair())
        self.stored = P.stored_bytes()
        again = sum(self._pair())
        # Half of the remaining time is for timing, half for the isometry.
        pairs = int(max(0.0, seconds - self.first - again) / again) // 2
        self.rounds, self.steps = min(max(pairs, 1), ROUNDS), min(pairs, STEPS)

    def run(self) -> None:
        """Time both products, unless all rounds are done."""
        if len(self.times) < self.rounds:
            self.times.append(self._pair())

    def cost(self, name: str) -> Cost:
        """The timings and all other measurements."""
        P, enough = self.P, self.steps >= min(FEWEST_STEPS, self.P.dim)
        forward, adjoint = (1e3 * statistics.median(t) for t in zip(*self.times, strict=True))
        return Cost(
            name,
            label=P.label,
            fingerprint=P.fingerprint(),
            distortion=P.distortion,
            isometry_error=isometry_error(P, self.steps) if enough else None,
            coverage=coverage(P),
            stored_bytes=self.stored,
            setup_ms=max(0.0, 1e3 * self.first - forward - adjoint),
            forward_ms=forward,
            adjoint_ms=adjoint,
            rounds=self.rounds,
        )

    def _pair(self) -> tuple[float, float]:
        """Seconds of P ω and of Pᵀ g."""
        forward = _seconds(lambda: self.P @ self.omega)
        return forward, _seconds(lambda: self.P.T @ self.theta)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


__all__ = [
    "Cost",
    "Costs",
    "coverage",
    "isometry_error",
    "measure",
]
