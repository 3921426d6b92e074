"""ω in fewer bytes, against a slow reference of plain Python."""

import math
import struct

import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st

from subspace_nn import InputError
from subspace_nn.format import arithmetic, packing
from tests import second

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


grids = st.tuples(st.integers(2, 256), st.integers(1, 60), st.integers(0x0081, 0x7DFF)).flatmap(
    lambda shape: st.tuples(
        st.just(struct.unpack("<f", struct.pack("<I", shape[2] << 16))[0]),
        st.lists(
            st.integers(-(shape[0] // 2), (shape[0] - 1) // 2), min_size=shape[1], max_size=300
        ),
    )
)


@given(grids)
def test_a_grid_is_coded_exactly_and_in_one_form(found):
    step, codes = found
    omega = torch.tensor(codes, dtype=torch.float64) * step
    assume(omega.abs().max() <= 1e38)
    stored = packing.pack(omega, "coded")
    assert packing.fits("coded", len(codes), stored.dtype, tuple(stored.shape))
    assert packing.is_sound(stored, "coded", len(codes))
    back = packing.unpack(stored, "coded", len(codes))
    assert back.dtype == torch.float32
    assert torch.equal(back.double(), omega)
    assert back.tolist() == second.decoded(bytes(stored.tolist()), len(codes))
    scaled = packing.pack(-omega, "coded")
    assert abs(len(scaled) - len(stored)) <= 2 + len(codes) // 8


@given(vectors)
def test_what_is_on_no_grid_is_rounded_to_255_levels(omega):
    back = packing.unpack(packing.pack(omega, "coded"), "coded", len(omega))
    step = float(omega.abs().max()) / 127
    assert float((back.double() - omega.double()).abs().max()) <= step * 1.02 + 1e-38


@given(st.binary(min_size=3, max_size=40), st.integers(1, 50))
@example(b";!|\x01", 7)  # numbers beyond 1e38
def test_bytes_are_a_code_only_if_they_are_that_of_their_numbers(content, dim):
    stored = torch.tensor(list(content), dtype=torch.uint8)
    if packing.is_sound(stored, "coded", dim):
        again = packing.pack(packing.unpack(stored, "coded", dim), "coded")
        assert torch.equal(again, stored)


@pytest.mark.parametrize("levels", [2, 3, 5, 16, 256])
def test_a_code_takes_its_entropy(levels):
    """The estimator of Krichevsky and Trofimov pays (L - 1)/2 log2 d bits for the shares."""
    shares = torch.tensor([0.5**k for k in range(levels)])
    generator = torch.Generator().manual_seed(levels)
    codes = torch.multinomial(shares, 20_000, replacement=True, generator=generator)
    counts = torch.bincount(codes, minlength=levels).double()
    estimate = torch.lgamma(torch.tensor([levels / 2, levels / 2 + len(codes)]).double())
    terms = torch.lgamma(counts + 0.5) - math.lgamma(0.5)
    bits = float(estimate[1] - estimate[0] - terms.sum()) / math.log(2)
    assert 8 * len(arithmetic.encode(codes.tolist(), levels)) == pytest.approx(
        bits, rel=1e-3, abs=9
    )


def test_what_cannot_be_coded():
    with pytest.raises(InputError, match="at most 262,144 numbers, got 262,145"):
        packing.pack(torch.zeros(2**18 + 1), "coded")
    for bad in (math.nan, math.inf):
        with pytest.raises(InputError, match="not finite"):
            packing.pack(torch.tensor([1.0, bad]), "coded")
