"""The schema of a record: what fits is read, what does not is named."""

import json
import math

import numpy as np
import pytest
import torch

from subspace_nn.common import strict_json
from subspace_nn.common.errors import InputError
from subspace_nn.runs import record as schema
from subspace_nn.runs.run import Run


@pytest.fixture(scope="module")
def honest():
    return Run.of("tests.toy:quick", {"dim": 3}).execute("subspace-nn sweep dim=3")


def text(value):
    return json.dumps(value).encode()


def test_what_a_run_leaves_is_read_as_it_is(honest):
    assert schema.decode(text(honest)) == honest
    failed = Run.of("tests.toy:failing", {"seed": 1}).execute()
    assert schema.decode(text(failed)) == failed


@pytest.mark.parametrize("name", ["id", "task", "arguments", "status", "seconds", "started",
                                  "environment", "result"])  # fmt: skip
@pytest.mark.parametrize("value", [None, [], [1], -1, "", "no such thing", {"a": []}, "missing"])
def test_an_odd_value_is_named(honest, name, value):
    changed = {**honest, name: value}
    if value == "missing":
        del changed[name]
    if name in {"result", "arguments"} and value == {"a": []}:
        return  # values by name, as a task of one's own may have them
    with pytest.raises(InputError) as caught:
        schema.decode(text(changed))
    assert any(problem.startswith(name) for problem in caught.value.problems) or name == "task"


@pytest.mark.parametrize(("part", "name", "values"), [
    ("arguments", "dim", [[3], {}, True]),
    ("arguments", "projection", [3, [], False]),
    ("result", "D", [0, -1, 1.5, "1", None, True, 2**63]),
    ("result", "checkpoint_bytes", [-1, 1.5, "1", 2**63, [1]]),
])  # fmt: skip
def test_the_words_of_the_package_have_their_types(honest, part, name, values):
    for value in values:
        changed = {**honest, part: {**honest[part], name: value}}
        changed["id"] = schema.run_id(changed["task"], changed["arguments"])
        with pytest.raises(InputError, match=name):
            schema.decode(text(changed))


def test_a_record_under_another_id_is_told(honest):
    changed = {**honest, "arguments": {**honest["arguments"], "seed": 9}}
    with pytest.raises(InputError, match="for these arguments"):
        schema.decode(text(changed))


@pytest.mark.parametrize("content", [
    b"", b"{", b"\xff\xfe{", b"[" * 100_000, b'{"a":' * 50_000, b"1" * 5000, b'{"a": NaN}',
    b"-1e999", b"18446744073709551617", b'{"a": "\\ud800"}', b"[" * 33 + b"]" * 33,
], ids=range(11))  # fmt: skip
def test_json_that_is_not_read(content):
    with pytest.raises(ValueError, match=r".+"):
        strict_json.loads(content)


def test_json_that_is_read():
    for value in (2**64, -(2**64), 1e308, -0.0, "\U0001f600", [[[]]], {"a": {"b": None}}):
        assert strict_json.loads(text(value)) == value


def numbers(*, value, seed=0):
    """Returns numbers of libraries."""
    return {
        "a": np.float32(0.5), "b": np.int64(3), "c": torch.tensor(1.5), "d": [np.float64(2.0)],
        "e": (1, 2), "f": np.bool_(True), "seed": seed + value,
    }  # fmt: skip


def test_numbers_of_numpy_and_of_tensors_are_numbers():
    run = Run.of("tests.runs.test_record:numbers", {"value": np.int64(1), "seed": torch.tensor(2)})
    assert run.arguments == {"value": 1, "seed": 2}
    assert run.id == Run.of("tests.runs.test_record:numbers", {"value": 1, "seed": 2}).id
    assert run.execute()["result"] == {
        "a": 0.5, "b": 3, "c": 1.5, "d": [2.0], "e": [1, 2], "f": True, "seed": 3,
    }  # fmt: skip


def odd(*, kind):
    """Returns what no record can hold."""
    deep = []
    for _ in range(100):
        deep = [deep]
    return {
        "deep": {"x": deep}, "D": {"D": 1.5}, "nan": {"x": math.nan}, "huge": {"x": 2**70},
        "surrogate": {"x": "\ud800"}, "list": [1], "tensor": {"x": torch.zeros(2)},
    }[kind]  # fmt: skip


@pytest.mark.parametrize("kind", ["deep", "D", "nan", "huge", "surrogate", "list", "tensor"])
def test_what_would_not_be_read_is_not_written(kind):
    record = Run.of("tests.runs.test_record:odd", {"kind": kind}).execute()
    assert record["status"] == "failed"
    assert "InputError" in record["error"]
    assert schema.decode(text(record)) == record


@pytest.mark.parametrize("value", [2**70, "\ud800", [[[[3]]]] * 2, math.inf, {1}])
def test_arguments_that_no_record_can_hold_are_refused(value):
    if value == [[[[3]]]] * 2:
        assert Run.of("tests.toy:quick", {"dim": 1, "seed": value}).arguments["seed"] == value
        with pytest.raises(InputError, match="dim must be a number"):
            Run.of("tests.toy:quick", {"dim": value})
        return
    with pytest.raises(InputError, match=r"seed of tests\.toy:quick must be a value of JSON"):
        Run.of("tests.toy:quick", {"dim": 1, "seed": value})
