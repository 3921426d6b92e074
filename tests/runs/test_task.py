"""Tasks, their names, and the ids of the runs that exist."""

import json
import re
from pathlib import Path

import pytest

from subspace_nn.common.errors import InputError
from subspace_nn.dimension import KNOWN
from subspace_nn.runs.run import Run, find_task, resolve
from subspace_nn.runs.task import NAMED, OWN, Task, importable
from tests import toy

ROOT = Path(__file__).resolve().parents[2]
PROBLEM = "tests.dimension.problems:digits"


def records():
    for path in ROOT.glob("results/**/*.json*"):
        text = path.read_text(encoding="utf-8")
        for content in map(json.loads, text.splitlines() if path.suffix == ".jsonl" else [text]):
            if isinstance(content, dict) and content.keys() >= {"id", "task", "arguments"}:
                yield content


def test_the_ids_of_all_committed_records_stay():
    found = list(records())
    assert len(found) > 1500
    wrong = [r["id"] for r in found if Run(r["task"], r["arguments"]).id != r["id"]]
    assert wrong == []
    # Every task still takes these arguments, and adds none to them.
    here = [r for r in found if r["arguments"].get("data") != "fashion-mnist"]
    shapes = {(r["task"], *sorted(r["arguments"])): r for r in here}
    assert len(shapes) >= 5
    for record in shapes.values():
        assert Run.of(record["task"], record["arguments"]).id == record["id"]


@pytest.mark.parametrize("name", [name for name in NAMED if not name.startswith("fashion")])
def test_a_name_is_the_run_that_its_task_and_arguments_are(name):
    named = NAMED[name]
    run = Run.of(name, {"seed": 3})
    assert run == Run.of(named.task, {**named.arguments, "seed": 3})
    assert run.task == named.task
    assert KNOWN[name].question.task == named.task


@pytest.mark.parametrize(("name", "arguments", "expected"), [
    ("mnist-fc", {"dim": 10, "model": "conv"}, ("mnist", {"model": "conv", "dim": 10})),
    (PROBLEM, {"dim": 10}, (OWN, {"problem": PROBLEM, "dim": 10})),
    (PROBLEM, {"projection": "sparse"}, (OWN, {"problem": PROBLEM, "projection": "sparse"})),
    (PROBLEM, {}, (PROBLEM, {})),
    ("tests.toy:failing", {"seed": 1}, ("tests.toy:failing", {"seed": 1})),
    ("tests.toy:quick", {"dim": 1, "lr": 1}, ("tests.toy:quick", {"dim": 1, "lr": 1})),
    ("tests.dimension.synthetic:open_to_all", {"lr": 1},
     ("tests.dimension.synthetic:open_to_all", {"lr": 1})),
])  # fmt: skip
def test_what_a_name_stands_for(name, arguments, expected):
    assert resolve(name, arguments) == expected


def test_any_function_is_a_task():
    task = find_task("tests.toy:choosy")
    assert isinstance(task, Task)
    assert task(dim=3) == toy.choosy(dim=3)
    assert task.check({"dim": 0}) == ["dim must be positive."]
    assert find_task("tests.toy:failing").check({"seed": 1}) == []
    assert find_task("mnist").defaults["lr"] == find_task(OWN).defaults["lr"]


@pytest.mark.parametrize("name", ["mnis", "tyo", ""])
def test_an_unknown_name_is_told_the_valid_ones(name):
    with pytest.raises(InputError) as caught:
        Run.of(name, {})
    assert "toy" in str(caught.value)


def test_the_page_names_every_task():
    page = (ROOT / "docs" / "measure.md").read_text(encoding="utf-8").split("## Names")[1]
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row.split("|")[1])} == {
        *NAMED
    }


@pytest.mark.parametrize(("name", "expected"), [
    ("./mine.py:digits", "mine:digits"), ("mine.py:digits", "mine:digits"),
    ("folder/mine.py:digits", "folder.mine:digits"), ("a/../mine.py:digits", "mine:digits"),
    ("package.mine:digits", "package.mine:digits"), ("mnist", "mnist"), ("toy", "toy"),
])  # fmt: skip
def test_a_path_is_the_module_that_it_is_in_the_current_folder(name, expected):
    assert importable(name) == expected


@pytest.mark.parametrize(("name", "message"), [
    ("mine.py", "names no function: expected mine:FUNCTION"), ("./mine.py", "mine:FUNCTION"),
    ("../mine.py:digits", "Change to the folder of the file"),
    ("/elsewhere/mine.py:digits", "Change to the folder"), ("./my-file.py:f", "cannot be imported"),
])  # fmt: skip
def test_a_path_that_is_no_module_is_refused(name, message):
    with pytest.raises(InputError) as caught:
        resolve(name, {"dim": 3})
    assert message in str(caught.value)
