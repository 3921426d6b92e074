"""The generator against plain Python integers, golden values, and itself in other pieces."""

import hashlib
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from subspace_nn import bits
from subspace_nn.common.errors import InputError
from tests.reference import reference_mix, reference_word

MASK = 2**64 - 1
SEEDS = st.integers(0, MASK)
NAMES = st.text(max_size=20)


def test_reference_is_the_published_splitmix64():
    state = 1234567
    outputs = [reference_mix((state + (i + 1) * 0x9E3779B97F4A7C15) % 2**64) for i in range(3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_fnv_is_the_published_one():
    # FNV-1a of "foobar", from the authors' test suite; with seed 0, mix(0) = 0.
    assert bits.key(0, "foobar") == reference_mix(0x85944171F73967E8)


@given(SEEDS, NAMES, st.integers(0, 2**62), st.integers(0, 20))
@settings(max_examples=200, deadline=None)
def test_words_are_the_reference(seed, stream, start, count):
    expected = [reference_word(seed, stream, start + i) for i in range(count)]
    assert [w % 2**64 for w in bits.words(seed, stream, start, count).tolist()] == expected


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_words_are_the_reference_in_any_pieces(size):
    with bits.pieces_of(size):
        got = bits.words(5, "long", 11, 2500)
    for index in (0, 1, 6, 7, 999, 1000, 2499):
        assert int(got[index]) % 2**64 == reference_word(5, "long", 11 + index)
    assert torch.equal(got, bits.words(5, "long", 11, 2500))


def test_pieces_are_small_in_one_thread_and_until_the_end_only():
    def inside():
        with bits.pieces_of(5), bits.pieces_of(3):
            with ThreadPoolExecutor(1) as threads:
                elsewhere = threads.submit(bits.piece, 10).result()
            raise RuntimeError(bits.piece(10), bits.piece(2), elsewhere)

    with pytest.raises(RuntimeError) as raised:
        inside()
    assert raised.value.args == (3, 2, 10)
    assert bits.piece(10) == 10


GOLDEN = {
    bits.words: "db23b3d5b602f63f",
    bits.signs: "86cb64e79207a166",
    bits.uniform: "d354f66f4d7abccb",
}


@pytest.mark.parametrize(("generator", "golden"), list(GOLDEN.items()))
def test_golden_digest(generator, golden):
    values = generator(2017, "golden", 3, 100_000)
    assert hashlib.sha256(values.numpy().tobytes()).hexdigest()[:16] == golden


def test_golden_normal():
    expected = torch.tensor(
        [0.3177075977124075, -1.4725996739676925, -0.4525198773781726, -0.035791992206754046],
        dtype=torch.float64,
    )
    torch.testing.assert_close(bits.normal(2017, "golden", 3, 4), expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("generator", [*GOLDEN, bits.normal])
@given(start=st.integers(0, 1000), cut=st.integers(0, 300), count=st.integers(0, 300))
@settings(max_examples=30, deadline=None)
def test_pieces_join(generator, start, cut, count):
    whole = generator(1, "pieces", start, cut + count)
    parts = [generator(1, "pieces", start, cut), generator(1, "pieces", start + cut, count)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("environment", [
    {"ATEN_CPU_CAPABILITY": "default"},
    {"OMP_NUM_THREADS": "1"},
    {"OMP_NUM_THREADS": "2"},
], ids=lambda e: "-".join(f"{k}={v}" for k, v in e.items()))  # fmt: skip
def test_same_in_another_process(environment):
    program = """
import hashlib, torch
from subspace_nn import bits, models, Subspace
from subspace_nn.projections import make
net = Subspace(models.build("conv"), 1000)
tensors = [bits.words(2017, "golden", 3, 100_000), net.layout.flatten(net.theta0())]
tensors.append(make("hashed", 5000, 333, 9) @ bits.uniform(0, "w", 0, 333))
print([hashlib.sha256(t.detach().numpy().tobytes()).hexdigest() for t in tensors])
"""
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **extra},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for extra in ({}, environment)
    }
    assert len(outputs) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("generator", list(GOLDEN))
def test_same_on_cuda(generator):
    here, there = (generator(3, "device", 5, 100_000, device) for device in ("cpu", "cuda"))
    assert torch.equal(here, there.cpu())


def test_uniform_is_uniform():
    u = bits.uniform(0, "moments", 0, 1_000_000)
    assert 0 < u.min() < 1e-5
    assert 1 - 1e-5 < u.max() < 1
    # Five standard errors of the mean and of the mean square.
    assert abs(u.mean() - 1 / 2) < 5 * math.sqrt(1 / 12) / 1000
    assert abs(u.square().mean() - 1 / 3) < 5 * math.sqrt(4 / 45) / 1000


def test_normal_is_normal():
    z = bits.normal(0, "moments", 0, 1_000_000)
    # Standard errors of the first four moments of a standard normal: 1, √2, √15, √96 over √n.
    for power, (moment, error) in enumerate([(0, 1), (1, 2), (0, 15), (3, 96)], start=1):
        assert abs(z.pow(power).mean() - moment) < 5 * math.sqrt(error) / 1000
    assert abs(torch.corrcoef(torch.stack((z[::2], z[1::2])))[0, 1]) < 5 / math.sqrt(500_000)


def test_signs_are_fair_and_differ_between_seeds():
    a, b = (bits.signs(seed, "fair", 0, 1_000_000).double() for seed in (0, 1))
    for series in (a, a * b, a[1:] * a[:-1], a * bits.signs(0, "other", 0, 1_000_000)):
        assert abs(series.mean()) < 5 / 1000


def test_permutation_is_the_order_of_the_words():
    order = bits.permutation(4, "order", 1000)
    assert torch.equal(order.sort().values, torch.arange(1000))
    assert bool((bits.words(4, "order", 0, 1000)[order].diff() > 0).all())


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "0", True, None])
def test_seed_is_checked(seed):
    with pytest.raises(InputError, match=r"seed must be a whole number from 0 to"):
        bits.words(seed, "x", 0, 1)


@pytest.mark.parametrize(("start", "count"), [(-1, 1), (0, -1)])
def test_range_is_checked(start, count):
    with pytest.raises(InputError, match="must not be negative"):
        bits.words(0, "x", start, count)
