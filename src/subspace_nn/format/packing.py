"""ω in fewer bytes: rounded to a shorter dtype, or to integers with a scale for each block.

On a grid of few levels, ω is an arithmetic code of its codes and one scale.
"""

import torch
from torch import Tensor

from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.format import arithmetic

#: The floating-point dtypes that ω can be stored in.
FLOATS = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}

#: Numbers that share a scale, and bits of a code, of the packed forms.
BLOCKS = {"int8": (64, 8), "int4": (32, 4)}

#: The forms that ω can be rounded to.
ROUNDED = ("float32", "float16", "bfloat16", "int8", "int4", "coded")

#: An arithmetic code on a grid: one byte for the number of levels, two for the step, the code.
CODED = "coded"
_HEAD = 3

#: The most levels of a grid, and those that an ω which lies on none is rounded to.
MOST_LEVELS, _ROUNDED_LEVELS = 256, 255

#: The most numbers under an arithmetic code, which a few bytes can state and one reads one by one.
MOST_CODED = 2**18


def pack(
    omega: Tensor,  # (d,)
    dtype: str,
) -> Tensor:
    """Round ω.

    In the packed forms each block of numbers has one scale s, of bfloat16, and each number a
    signed code c of few bits:

        ω_k ≈ s c_k,    s = -m / 2^(bits - 1)

    with m the number that is farthest from zero, which so has the lowest code of all. Scales of
    blocks are those of Dettmers et al., "8-bit optimizers via block-wise quantization" (2022).

    In the form "coded" all numbers have one step s, of bfloat16, and codes under an adaptive
    arithmetic code. It is exact for an ω that lies on a grid of at most 256 levels, as after a
    training with `levels`; any other ω is rounded to 255 levels.

    Args:
        omega: shape (d,), of any floating-point dtype.
        dtype: one of `ROUNDED`.

    Returns:
        Of the dtype, shape (d,); for a packed form its bytes, uint8, of a number that `fits`.

    Raises:
        InputError: if the dtype is unknown, or ω is not finite or too large for it.

    Example:
        >>> pack(torch.tensor([1.0, -0.5, 0.25]), "int4")
        tensor([  0, 190,  72,  14], dtype=torch.uint8)
        >>> unpack(pack(torch.tensor([1.0, -0.5, 0.25]), "int4"), "int4", 3)
        tensor([ 1.0000, -0.5000,  0.2500])
    """
    if dtype not in ROUNDED:
        raise InputError(unknown_name("dtype", dtype, ROUNDED))
    omega = omega.detach().cpu()
    if dtype == CODED and (problem := _uncodable(omega)):
        raise InputError(problem)
    if dtype == CODED:
        return _encode(*(grid(omega) or _nearest(omega)))
    rounded = _pack(omega, *BLOCKS[dtype]) if dtype in BLOCKS else omega.to(FLOATS[dtype])
    if not is_sound(rounded, dtype, omega.numel()):
        raise InputError(
            f"ω cannot be rounded to {dtype}: it is not finite, or too large. Its largest number "
            f"is {float(omega.abs().max()):.4g}."
        )
    return rounded


def unpack(
    stored: Tensor,
    dtype: str,
    dim: int,
) -> Tensor:  # (d,)
    """ω as it was rounded.

    Args:
        stored: what `pack` returned.
        dtype: what it was rounded to.
        dim: number of free parameters d.

    Returns:
        Shape (d,), of float32, which holds every value of the packed forms exactly; so a module's
        ω has the same bits everywhere.
    """
    if dtype == CODED:
        step, codes = _decode(stored, dim)
        return step * codes
    if dtype not in BLOCKS:
        return stored.float()
    block, bits = BLOCKS[dtype]
    blocks = -(-dim // block)
    content = stored.contiguous()
    scales = content[: 2 * blocks].clone().view(torch.bfloat16).float()
    codes = content[2 * blocks :].view(torch.int8)
    if bits == 4:
        # Shifted up and down again, a half takes its sign along.
        codes = torch.stack(((codes << 4) >> 4, codes >> 4), dim=1).flatten()[:dim]
    return scales.repeat_interleave(block)[:dim] * codes


def is_sound(stored: Tensor, dtype: str, dim: int) -> bool:
    """Whether bytes are those of finite numbers, with nothing between or behind them.

    Args:
        stored: of a dtype and a shape that `fits`.
        dtype: one of `ROUNDED`.
        dim: number of free parameters d.

    Returns:
        True if they are.
    """
    if dtype == CODED:  # one code for each ω: what is encoded again is the same bytes
        step, codes = _decode(stored, dim)
        omega = step * codes
        if not 0 < step < float("inf") or _uncodable(omega):
            return False
        return torch.equal(_encode(*(grid(omega) or (1.0, codes))), stored.cpu())
    tail = dtype == "int4" and dim % 2 == 1 and int(stored[-1]) >> 4
    return not tail and bool(unpack(stored, dtype, dim).isfinite().all())


def fits(dtype: str, dim: int, stored: torch.dtype, shape: tuple[int, ...]) -> bool:
    """Whether a tensor may be a result of `pack`, by its dtype and shape.

    Args:
        dtype: one of `ROUNDED`.
        dim: number of free parameters d.
        stored: dtype of the tensor.
        shape: of the tensor.

    Returns:
        True if it may.

    Example:
        >>> fits("int4", 1000, torch.uint8, (564,))
        True
    """
    if dtype == CODED:
        small = dim <= MOST_CODED and len(shape) == 1 and _HEAD <= shape[0] <= 2 * dim + 8
        return stored == torch.uint8 and small
    return (stored, shape) == stored_shape(dtype, dim)


def stored_shape(dtype: str, dim: int) -> tuple[torch.dtype, tuple[int]]:
    """Dtype and shape of the result of `pack`.

    Args:
        dtype: one of `ROUNDED`, but "coded", whose length depends on the numbers.
        dim: number of free parameters d.

    Returns:
        Its dtype and shape.

    Example:
        >>> stored_shape("int4", 1000)
        (torch.uint8, (564,))
    """
    if dtype not in BLOCKS:
        return FLOATS[dtype], (dim,)
    block, bits = BLOCKS[dtype]
    return torch.uint8, (2 * -(-dim // block) + -(-dim * bits // 8),)


def _pack(omega: Tensor, block: int, bits: int) -> Tensor:
    low = -(1 << bits - 1)
    short = -omega.numel() % block
    rows = torch.nn.functional.pad(omega.double(), (0, short)).view(-1, block)
    farthest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    scales = (farthest / low).to(torch.bfloat16)
    divisor = torch.where(scales == 0, 1, scales.double())
    codes = (rows / divisor).round().clamp(low, -low - 1).to(torch.int8)
    codes = codes.flatten()[: omega.numel()]
    if bits == 4:
        pairs = torch.nn.functional.pad(codes, (0, len(codes) % 2)).view(-1, 2)
        codes = (pairs[:, 0] & 15) | (pairs[:, 1] << 4)
    return torch.cat((scales.flatten().view(torch.uint8), codes.view(torch.uint8)))


def lowest(levels: int) -> int:
    """The lowest code of a grid: -2 of 5 levels, -8 of 16.

    Args:
        levels: of the grid.

    Returns:
        The code.
    """
    return -(levels // 2)


def grid(
    omega: Tensor,  # (d,)
) -> tuple[float, Tensor] | None:
    """The grid that ω lies on, with the largest step.

    Args:
        omega: shape (d,).

    Returns:
        The step s, a number of bfloat16, and the codes, shape (d,), with ω = s c exactly; None if
        there is no such grid of at most 256 levels.

    Example:
        >>> grid(torch.tensor([0.5, -1.0, 0.0, 1.5]))
        (0.5, tensor([ 1., -2.,  0.,  3.]))
    """
    values = omega.detach().cpu().double()
    sizes = values.abs().unique()
    sizes = sizes[sizes > 0]
    if not len(sizes):
        return 1.0, torch.zeros(len(values))
    if len(sizes) > MOST_LEVELS // 2:
        return None
    for part in range(1, MOST_LEVELS // 2 + 1):
        step = float(sizes[0]) / part
        if float(torch.tensor(step).bfloat16()) == step and bool((sizes % step == 0).all()):
            codes = (values / step).float()
            most = MOST_LEVELS // 2
            inside = float(codes.max()) < most and float(codes.min()) >= -most
            return (step, codes) if inside else None
    return None


def _nearest(omega: Tensor) -> tuple[float, Tensor]:
    """ω rounded to the grid of the most levels that are alike on both sides of zero."""
    high = _ROUNDED_LEVELS // 2
    step = float((omega.double().abs().max() / high).bfloat16())
    if step == 0:  # smaller than any number of bfloat16
        return 1.0, torch.zeros(len(omega))
    codes = (omega.double() / step).round().clamp(-high, high).float()
    return grid(step * codes) or (step, codes)


def _uncodable(omega: Tensor) -> str | None:
    if len(omega) > MOST_CODED:
        return f"dtype coded is for at most {MOST_CODED:,} numbers, got {len(omega):,}. Use int8."
    if not bool(omega.isfinite().all()) or float(omega.abs().max()) > 1e38:
        return "ω cannot be coded: it is not finite, or too large."
    return None


def _encode(step: float, codes: Tensor) -> Tensor:
    low, high = int(codes.min()), int(codes.max())
    half = max(-low, high, 1)
    levels = 2 * half + (high == half)
    symbols = (codes.to(torch.int64) - lowest(levels)).tolist()
    head = bytes([levels - 1]) + torch.tensor([step]).bfloat16().view(torch.uint8).numpy().tobytes()
    content = head + arithmetic.encode(symbols, levels)
    return torch.tensor(list(content), dtype=torch.uint8)


def _decode(stored: Tensor, dim: int) -> tuple[float, Tensor]:
    """The step and the codes."""
    content = bytes(stored.tolist())
    levels = content[0] + 1
    step = float(stored[1:_HEAD].clone().cpu().view(torch.bfloat16))
    symbols = arithmetic.decode(content[_HEAD:], dim, levels)
    return step, torch.tensor(list(symbols), dtype=torch.float32, device="cpu") + lowest(levels)


__all__ = [
    "BLOCKS", "CODED", "FLOATS", "MOST_CODED", "MOST_LEVELS", "ROUNDED", "fits", "grid", "is_sound",
    "lowest", "pack", "stored_shape", "unpack",
]  # fmt: skip
