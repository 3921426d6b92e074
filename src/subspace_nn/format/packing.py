"""ω in fewer bytes: rounded to a shorter dtype, or to integers with a scale for each block."""

import torch
from torch import Tensor

from subspace_nn.common.errors import InputError, unknown_name

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
ROUNDED = ("float32", "float16", "bfloat16", "int8", "int4")


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

    Args:
        omega: shape (d,), of any floating-point dtype.
        dtype: one of `ROUNDED`.

    Returns:
        Of the dtype, shape (d,); for a packed form its bytes, uint8 of the shape that
        `stored_shape` gives.

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
        stored: of the dtype and shape that `stored_shape` gives.
        dtype: one of `ROUNDED`.
        dim: number of free parameters d.

    Returns:
        True if they are.
    """
    tail = dtype == "int4" and dim % 2 == 1 and int(stored[-1]) >> 4
    return not tail and bool(unpack(stored, dtype, dim).isfinite().all())


def stored_shape(dtype: str, dim: int) -> tuple[torch.dtype, tuple[int]]:
    """Dtype and shape of the result of `pack`.

    Args:
        dtype: one of `ROUNDED`.
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


__all__ = ["BLOCKS", "FLOATS", "ROUNDED", "is_sound", "pack", "stored_shape", "unpack"]
