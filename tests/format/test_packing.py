"""ω in fewer bytes, against a slow reference of plain Python."""

import math
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from subspace_nn import InputError
from subspace_nn.format import packing

numbers = st.floats(-(2.0**99), 2.0**99, width=32)
vectors = st.lists(numbers, min_size=1, max_size=150).map(torch.tensor)
packed = st.sampled_from(list(packing.BLOCKS))


def reference(content, dtype, dim):
    """The numbers that docs/format.md says the bytes stand for."""
    block, bits = packing.BLOCKS[dtype]
    blocks = math.ceil(dim / block)
    halves = struct.unpack(f"<{blocks}H", content[: 2 * blocks])
    scales = [struct.unpack("<f", struct.pack("<I", half << 16))[0] for half in halves]
    codes = content[2 * blocks :]
    if bits == 4:
        codes = [half for byte in codes for half in (byte & 15, byte >> 4)]
    signed = [c - 2**bits if c >= 2 ** (bits - 1) else c for c in codes[:dim]]
    return [scales[k // block] * code for k, code in enumerate(signed)]


@given(vectors, packed)
def test_bytes_mean_what_the_specification_says(omega, dtype):
    stored = packing.pack(omega, dtype)
    assert (stored.dtype, tuple(stored.shape)) == packing.stored_shape(dtype, len(omega))
    got = packing.unpack(stored, dtype, len(omega))
    assert got.dtype == torch.float32
    assert got.tolist() == reference(bytes(stored.tolist()), dtype, len(omega))


@given(vectors, packed)
def test_error_is_at_most_a_code(omega, dtype):
    """Half a code, but where the largest number has the sign that has one code less."""
    block, bits = packing.BLOCKS[dtype]
    back = packing.unpack(packing.pack(omega, dtype), dtype, len(omega))
    for one, other in zip(omega.double().split(block), back.double().split(block), strict=True):
        step = float(one.abs().max()) / 2 ** (bits - 1)
        assert float((one - other).abs().max()) <= step * 1.01 + 1e-38


@given(vectors, st.sampled_from(packing.ROUNDED))
def test_rounding_twice_is_rounding_once(omega, dtype):
    bounded = omega.clamp(-6e4, 6e4)
    once = packing.pack(bounded, dtype)
    twice = packing.pack(packing.unpack(once, dtype, len(omega)), dtype)
    assert torch.equal(
        packing.unpack(once, dtype, len(omega)), packing.unpack(twice, dtype, len(omega))
    )


@pytest.mark.parametrize("dtype", packing.BLOCKS)
def test_zeros_stay_zeros(dtype):
    omega = torch.zeros(70)
    assert torch.equal(packing.unpack(packing.pack(omega, dtype), dtype, 70), omega)


@pytest.mark.parametrize(("omega", "dtype"), [
    ([1.0, math.nan], "int8"), ([math.inf, 1.0], "int4"), ([1e6], "float16"), ([1e300], "float32"),
    ([-math.inf], "bfloat16"), ([1e300], "int8"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(omega, dtype):
    with pytest.raises(InputError, match=f"cannot be rounded to {dtype}"):
        packing.pack(torch.tensor(omega, dtype=torch.float64), dtype)


def test_an_unknown_dtype_names_the_known_ones():
    with pytest.raises(InputError, match=r"Unknown dtype 'int16'. Did you mean 'int8'\?"):
        packing.pack(torch.ones(3), "int16")
