"""The file of a measurement: what is written is read, and what a stranger wrote is checked."""

import copy
import dataclasses
import json
import random
import shutil

import pytest

from subspace_nn.cli import measure_view as view
from subspace_nn.common.errors import InputError
from subspace_nn.dimension import Question, answers, command, label, measure, title
from subspace_nn.dimension.answer import Notes, place, read
from subspace_nn.dimension.words import summary
from subspace_nn.runs.store import Store
from tests.dimension import hostile

SYNTHETIC = "tests.dimension.synthetic:train"
ASKED = Question(SYNTHETIC, {"answer": 300})


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    return folder, measure(ASKED, folder, engine="serial")


def put(folder, content, name=ASKED.name):
    path = folder / "measurements" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_an_answer_is_read_back(measured):
    folder, found = measured
    read_back = answers(folder)
    assert list(read_back) == [found]
    assert read_back.problems == []
    assert answers(folder / "nothing") == []


def test_a_packed_answer_is_read_and_gone_on_from(measured, tmp_path):
    folder, found = measured
    shutil.copytree(folder, tmp_path / "mine")
    Store(tmp_path / "mine").pack()
    shutil.rmtree(tmp_path / "mine")
    assert list(answers(tmp_path / "mine")) == [found]
    content = json.loads(place(folder, ASKED).read_bytes())
    head = json.loads(Store(tmp_path / "mine").packed.read_bytes().splitlines()[0])
    assert head["measurements"] == {ASKED.name: content}
    assert measure(ASKED, tmp_path / "mine", engine="serial") == found
    assert not list((tmp_path / "mine").glob("*.json"))  # no run was made again


def test_a_file_counts_more_than_a_packed_answer(measured, tmp_path):
    folder, found = measured
    shutil.copytree(folder, tmp_path / "mine")
    Store(tmp_path / "mine").pack()
    changed = dataclasses.replace(found, seconds=1.0)
    Notes(ASKED, answer=changed).write(tmp_path / "mine")
    assert list(answers(tmp_path / "mine")) == [changed]
    put(tmp_path / "mine", b"{")
    assert list(answers(tmp_path / "mine")) == []
    with pytest.raises(InputError, match=f"{ASKED.name}.json is no answer"):
        Store(tmp_path / "mine").pack()


@pytest.mark.parametrize("answers_of", ["[]", '{"x": 3}', '{"x": {}}', "null"])
def test_a_packed_file_with_other_answers_gives_none(answers_of, measured, tmp_path):
    store = Store(shutil.copytree(measured[0], tmp_path / "mine"))
    store.pack()
    head, *lines = store.packed.read_text().splitlines()
    shutil.rmtree(store.folder)
    changed = json.dumps(json.loads(head) | {"measurements": json.loads(answers_of)})
    store.packed.write_text("\n".join([changed, *lines]))
    assert list(answers(store.folder)) == []
    assert store.read()


def test_the_file_of_an_earlier_version_is_read(measured, tmp_path):
    folder, found = measured
    content = json.loads(place(folder, ASKED).read_bytes())
    del content["made"], content["planned"]
    del content["answer"]["doubts"], content["answer"]["left_out"]
    content["reused"] = found.runs[:3]
    put(tmp_path, json.dumps(content).encode())
    assert list(read(tmp_path, ASKED).made) == found.runs[3:]
    assert answers(tmp_path)[0].dim == found.dim


@pytest.mark.parametrize(("key", "value"), [
    *((name, value) for name in ("dim", "low", "high", "D", "full_n") for value in (-1, 1.5, "3")),
    *((name, value) for name in ("threshold", "full", "seconds") for value in (None, "x", True)),
    ("stopped", "never"), ("stopped", []), ("points", {}), ("points", [{"dim": 3}]),
    ("runs", ["../../x"]), ("runs", None), ("reused", 10_000), ("doubts", ["sure"]),
    ("left_out", {"x": -1}), ("low", 10**30), ("D", 2), ("dim", None), ("full_std", -1.0),
])  # fmt: skip
def test_a_value_that_makes_no_sense_is_named(key, value, measured, tmp_path):
    content = json.loads(place(measured[0], ASKED).read_bytes())
    content["answer"][key] = value
    path = put(tmp_path, json.dumps(content).encode())
    found = answers(tmp_path)
    assert list(found) == []
    assert len(found.problems) == 1
    assert str(path) in found.problems[0]


def test_a_plan_of_more_than_a_batch_is_refused(measured, tmp_path):
    content = json.loads(place(measured[0], ASKED).read_bytes())
    content["planned"] = [[dim, 0] for dim in range(1, 7)]
    put(tmp_path, json.dumps(content).encode())
    assert "planned has 6 runs" in answers(tmp_path).problems[0]


def test_a_file_under_another_name_is_named(measured, tmp_path):
    put(tmp_path, place(measured[0], ASKED).read_bytes(), "other")
    assert f"its name must be {ASKED.name}.json" in answers(tmp_path).problems[0]


def test_a_task_that_cannot_be_imported_is_read(measured, tmp_path):
    content = json.loads(place(measured[0], ASKED).read_bytes())
    asked = Question("nowhere.at_all:train", {"answer": 300})
    content["question"]["task"] = asked.task
    put(tmp_path, json.dumps(content).encode(), asked.name)
    (found,) = answers(tmp_path)
    assert found.question == asked


@pytest.mark.parametrize("content", [
    b"", b"[]", b"{}", b"null", b"\x00", b"\xff\xfe", b"[" * 100_000, b'{"question": {"tsk": 1}}',
    b'{"question": {"task": "toy"}, "reused": null, "answer": null}', b'{"a": NaN}',
], ids=lambda content: repr(content[:20]))  # fmt: skip
def test_what_is_no_measurement_is_left_out_and_measured_again(content, tmp_path):
    path = put(tmp_path, content)
    assert str(path) in answers(tmp_path).problems[0]
    with pytest.raises(InputError):
        read(tmp_path, ASKED)
    measure(ASKED, tmp_path, engine="serial", budget=5)
    assert len(answers(tmp_path)) == 1


@pytest.mark.parametrize("block", range(10))
def test_two_hundred_hostile_files(block, measured, tmp_path):
    valid = json.loads(place(measured[0], ASKED).read_bytes())
    dice = random.Random(block)  # noqa: S311  # no secret
    for index in range(20):
        name, text = hostile.damaged(copy.deepcopy(valid), dice)
        put(tmp_path / str(index), text, name)
    found = [answers(tmp_path / str(index)) for index in range(20)]
    assert all(len(one) + len(one.problems) <= 1 for one in found)
    assert sum(len(one.problems) for one in found) >= 10
    for answer in (answer for one in found for answer in one):  # what the views call
        words = [label(answer.question), title(answer.question), command(answer.question, "x")]
        words += [
            *summary(answer).values(),
            view.axis(answer.low, answer.low, answer.high, answer.D),
        ]
        assert all(isinstance(word, str) for word in words)
