"""From errors on n examples and a probability to a bound on the true error; nothing but `math`.

A net h that is chosen after a look at the data is covered by a union bound over all nets. Net h
gets the share 2^-L(h) of δ, with L(h) the length of its message in a prefix code; by Kraft's
inequality these shares sum to at most 1 (Occam's razor bound: Langford, "Tutorial on practical
prediction theory for classification", 2005). All logarithms here are natural, `log_share` is
ln(δ 2^-L).
"""

import math
from collections.abc import Callable


def binomial(errors: int, n: int, log_share: float) -> float:
    """The largest error rate q at which so few errors have at least the probability e^log_share.

        P(Binomial(n, q) ≤ errors) ≥ δ 2^-L

    No bound of one fixed net can be tighter (Langford, 2005, theorem 3.3).

    Args:
        errors: number of examples that are wrong, k.
        n: number of examples.
        log_share: ln(δ 2^-L), below 0.

    Returns:
        The rate, from errors/n to 1.

    Example:
        >>> round(binomial(0, 100, math.log(0.05)), 6)  # 1 - 0.05^(1/100)
        0.029513
    """

    def fits(q: float) -> bool:
        return log_tail(errors, n, q) >= log_share

    return 1.0 if errors == n else _largest(fits, errors / n)


def log_tail(errors: int, n: int, q: float) -> float:
    """The natural logarithm of P(Binomial(n, q) ≤ errors), for q ≥ errors/n.

    Args:
        errors: number of errors, below n.
        n: number of examples.
        q: error rate, from errors/n to 1.

    Returns:
        The logarithm.
    """
    if q in {0.0, 1.0}:
        return 0.0 if q == 0.0 else -math.inf
    last = math.lgamma(n + 1) - math.lgamma(errors + 1) - math.lgamma(n - errors + 1)
    last += errors * math.log(q) + (n - errors) * math.log1p(-q)
    total = term = 1.0
    for count in range(errors, 0, -1):  # from the largest term down, each as a share of it
        term *= count * (1 - q) / ((n - count + 1) * q)
        total += term
        if term < 1e-18 * total:
            break
    return last + math.log(total)


def chernoff(errors: int, n: int, log_share: float) -> float:
    """The largest q with kl(errors/n ‖ q) ≤ -log_share / n.

    Args:
        errors: as for `binomial`.
        n: as for `binomial`.
        log_share: as for `binomial`.

    Returns:
        The rate; never below that of `binomial`, by Chernoff's bound of the tail.
    """
    return inverse_kl(errors / n, -log_share / n)


def maurer(errors: int, n: int, log_share: float) -> float:
    """The PAC-Bayes-kl bound: the largest q with kl(errors/n ‖ q) ≤ (ln(2√n) - log_share) / n.

    (Maurer, "A note on the PAC Bayesian theorem", 2004.) It is for random nets, too, and pays
    ln(2√n) for that.

    Args:
        errors: as for `binomial`.
        n: as for `binomial`.
        log_share: as for `binomial`.

    Returns:
        The rate.
    """
    return inverse_kl(errors / n, (math.log(2 * math.sqrt(n)) - log_share) / n)


def hoeffding(errors: int, n: int, log_share: float) -> float:
    """A closed form: errors/n + √(-log_share / 2n).

    Args:
        errors: as for `binomial`.
        n: as for `binomial`.
        log_share: as for `binomial`.

    Returns:
        The rate, at most 1.
    """
    return min(1.0, errors / n + math.sqrt(-log_share / (2 * n)))


def bernstein(errors: int, n: int, log_share: float) -> float:
    """A closed form for small rates p = errors/n: p + √(2 p c) + 2 c, with c = -log_share / n.

    It follows from kl(p ‖ q) ≥ (q - p)² / 2q.

    Args:
        errors: as for `binomial`.
        n: as for `binomial`.
        log_share: as for `binomial`.

    Returns:
        The rate, at most 1.
    """
    rate, c = errors / n, -log_share / n
    return min(1.0, rate + math.sqrt(2 * rate * c) + 2 * c)


#: Each bound by its name; the first is the one that counts.
BOUNDS: dict[str, Callable[[int, int, float], float]] = {
    "binomial": binomial,
    "chernoff": chernoff,
    "maurer": maurer,
    "bernstein": bernstein,
    "hoeffding": hoeffding,
}


def inverse_kl(p: float, most: float) -> float:
    """The largest q ≥ p with kl(p ‖ q) = p ln(p/q) + (1 - p) ln((1 - p)/(1 - q)) at most so large.

    Args:
        p: a rate, from 0 to 1.
        most: in nats, at least 0.

    Returns:
        The rate, from p to 1.

    Example:
        >>> round(inverse_kl(0.0, 0.1), 6)  # 1 - exp(-0.1)
        0.095163
    """

    def fits(q: float) -> bool:
        divergence = 0.0 if p == 0 else p * math.log(p / q)
        if p < 1:
            divergence += math.inf if q == 1 else (1 - p) * math.log((1 - p) / (1 - q))
        return divergence <= most

    return _largest(fits, p)


def _largest(fits: Callable[[float], bool], low: float) -> float:
    """The largest number from `low` to 1 that fits, of those below which all fit."""
    high = 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if fits(middle) else (low, middle)
    return high
