"""Numbers of every make, and what is not a number."""

import json
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from subspace_nn import Subspace, bits, models
from subspace_nn.common.checks import number, one_of, plain, require, whole
from subspace_nn.common.errors import InputError
from subspace_nn.dimension import Question
from subspace_nn.projections import KINDS, make
from subspace_nn.runs.run import Run

WHOLE = [
    3, np.int8(3), np.uint64(3), np.int64(3), np.array(3), torch.tensor(3), torch.tensor(3).byte(),
]  # fmt: skip
REAL = [0.5, np.float16(0.5), np.float32(0.5), np.float64(0.5), np.array(0.5), torch.tensor(0.5)]
NEITHER = [
    True, np.bool_(1), torch.tensor(1) > 0, None, "3", [3], np.array([3]), torch.tensor([3]), 3j,
    Decimal(3), Fraction(3), float("nan"), float("inf"), np.float32("nan"), torch.tensor(torch.inf),
]  # fmt: skip


def names(value):
    return f"{type(value).__name__} {value}"


@pytest.mark.parametrize("value", WHOLE, ids=names)
def test_whole_numbers(value):
    assert whole("n", value, 3, 3) == number("n", value, least=3, most=3) == []
    assert len(whole("n", value, 4)) == len(number("n", value, above=3)) == 1
    assert type(plain(value)) is int


@pytest.mark.parametrize("value", REAL, ids=names)
def test_numbers(value):
    assert number("x", value) == number("x", value, above=0, below=1) == []
    assert len(whole("x", value, 0)) == len(number("x", value, below=0.5)) == 1
    assert type(plain(value)) is float


@pytest.mark.parametrize("value", NEITHER, ids=names)
def test_what_is_neither(value):
    assert len(whole("n", value, 0)) == len(number("n", value)) == 1


@pytest.mark.parametrize(("limits", "words"), [
    ({}, "a number,"), ({"above": 0, "most": 1000}, "a number above 0 and at most 1,000,"),
    ({"least": 0, "below": 1}, "a number of at least 0 and below 1,"),
])  # fmt: skip
def test_the_limits_are_named(limits, words):
    assert number("x", "y", **limits) == [f"x must be {words} got 'y'."]


def test_several_mistakes_together():
    with pytest.raises(InputError) as caught:
        require(whole("a", 0, 1), number("b", 1), one_of("c", "d", ["e"]))
    assert [problem[:9] for problem in caught.value.problems] == ["a must be", "Unknown c"]


def test_values_inside_of_others():
    value = {"a": (np.int64(1), [torch.tensor(2.0)]), "b": np.arange(2), "c": "text"}
    assert plain(value)["a"] == (1, [2.0])
    assert plain(value)["b"] is value["b"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_projection_takes_numbers_of_every_make(kind):
    D = dim = 12
    options = {"tensors": {"a": 5, "b": 7}} if KINDS[kind].takes_tensors else {}
    expected = make(kind, D, dim, 3, **options)
    for convert in (np.int64, np.array, torch.tensor):
        made = make(kind, convert(D), convert(dim), convert(3), **options)
        assert (made.D, made.dim, made.seed) == (D, dim, 3)
        assert type(made.D) is type(made.dim) is type(made.seed) is int
        assert made.fingerprint() == expected.fingerprint()


def test_a_subspace_and_the_bits_take_numbers_of_every_make(tmp_path):
    net = Subspace(models.build("fc-16"), np.int64(5), seed=torch.tensor(7))
    assert (net.dim, type(net.dim)) == (5, int)
    net.save(tmp_path / "a")
    assert bits.key(np.uint8(3), "a") == bits.key(3, "a")
    with pytest.raises(InputError, match="seed must be a whole number"):
        bits.key(np.bool_(1), "a")


def test_a_question_takes_numbers_of_every_make():
    given = {
        "precision": np.float64(0.25),
        "batch": np.int64(3),
        "arguments": {"width": np.int64(2)},
    }
    asked, same = (Question("toy", **{**given, **more}) for more in ({}, {"batch": 3}))
    assert (asked.id, type(asked.batch)) == (same.id, int)


def test_checks_import_no_torch():
    code = "import sys, subspace_nn.common.checks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def numbers(*, seed: int = 0, dim: int = 1) -> dict[str, object]:
    """A task whose results are of every make."""
    return {
        "a": np.float32(0.5),
        "b": torch.tensor(3),
        "c": [np.int64(seed + dim), {"d": torch.ones(())}],
    }


def test_a_run_takes_and_gives_numbers_of_every_make():
    name = f"{__name__}:numbers"
    given = Run.of(name, {"seed": np.int64(3), "dim": torch.tensor(2)})
    assert given.id == Run.of(name, {"seed": 3, "dim": 2}).id
    record = given.execute()
    assert record["result"] == {"a": 0.5, "b": 3, "c": [5, {"d": 1.0}]}
    assert json.loads(json.dumps(record)) == record
