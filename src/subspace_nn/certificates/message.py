"""The message: a prefix code from which someone without the data rebuilds the net, bit by bit.

It has every choice that can have been made with a look at the data: ω, its step and its levels; d;
the seed; the net, the projection and all else that the file says. `docs/certificates.md` has the
code. How the net was trained (epochs, learning rate, batches, price) is not in it: no reader needs
that, and any training may end in any ω, which is paid for.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from subspace_nn.common.errors import InputError
from subspace_nn.format.container import Checkpoint

#: Bits of the name of a net: one of the package's, of which there may be 31, or one's own.
NET = 5

#: Fields that need no bits: they follow from others, or have terms of their own.
_OTHERWISE = {
    "D", "P", "architecture", "base", "dim", "frozen", "model", "seed", "sketch", "theta0",
}  # fmt: skip

#: Fields that are left out of the recipe where they have these values.
_USUAL = {"omega": "coded", "projection": "hashed/1", "theta0_from": "seed/1"}


def gamma(number: int) -> int:
    """The length of Elias' gamma code of a whole number from 1 on: 2 ⌊log2 number⌋ + 1.

    Args:
        number: at least 1.

    Returns:
        Bits.

    Example:
        >>> [gamma(number) for number in (1, 2, 3, 4, 1000)]
        [1, 3, 3, 5, 19]
    """
    return 2 * (number.bit_length() - 1) + 1


def terms(
    saved: Checkpoint, among: Mapping[str, int], *, is_prior: bool = False
) -> dict[str, float]:
    """The lengths of the parts of the message, in bits.

    Args:
        saved: the content of a file.
        among: choices that no file holds, each by the number of possibilities it was one of.
        is_prior: whether θ0, and all tensors but those of ω and of earlier stages, were fixed
            without these data.

    Returns:
        Bits by name. Their sum is the length of the message.

    Raises:
        InputError: if a number of possibilities is no whole number of at least 1.
    """
    spec = saved.spec
    size = saved.tensors["omega"].nbytes
    bits: dict[str, float] = {
        "net": NET,
        "dim": gamma(spec["dim"]),
        "seed": gamma(spec["seed"] + 1),
        "recipe": _recipe(spec, is_prior=is_prior),
        "length of omega": gamma(size),
        "omega": 8 * size,
    }
    counted = saved.tensors.keys() - {"omega"}
    if is_prior:  # earlier stages may have seen the data
        counted &= {"stages"}
    if others := sum(saved.tensors[name].nbytes for name in counted):
        bits["other tensors"] = gamma(others + 1) + 8 * others
    for name, count in among.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise InputError(
                f"{name} must be one of a whole number of possibilities, at least 1, got {count!r}."
            )
        bits[f"among {name}"] = math.log2(count)
    return bits


def _recipe(spec: Mapping[str, Any], *, is_prior: bool) -> int:
    """One bit if all is as usual; else the text of what is not, a byte for each character."""
    own = {
        name: value
        for name, value in spec.items()
        if name not in _OTHERWISE and _USUAL.get(name) != value
    }
    if is_prior:
        own.pop("theta0_from", None)
    if not own:
        return 1
    text = json.dumps(own, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return 1 + gamma(len(text)) + 8 * len(text)
