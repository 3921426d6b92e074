"""Functions of a notebook as tasks."""

import subprocess
import sys

import pytest

from subspace_nn.common.errors import InputError
from subspace_nn.runs.functions import carried_by, name_of
from subspace_nn.runs.run import Run, find_task, resolve
from subspace_nn.runs.store import Store
from subspace_nn.runs.sweep import sweep


def made(width):
    def train(*, dim, seed=0):
        return {"D": width, "test_accuracy": dim + seed}

    return train


def test_a_function_of_a_function_runs_in_other_processes(tmp_path):
    name = name_of(made(50))
    runs = [Run.of(name, {"dim": dim}) for dim in (3, 10)]
    assert carried_by(runs).keys() == {name}
    records = sweep(runs, Store(tmp_path), jobs=2)
    assert [record["result"]["test_accuracy"] for record in records] == [3, 10]


def test_a_function_without_a_module_is_carried_as_well():
    names = {}
    exec("def train(*, dim, seed=0): return {'D': 50, 'test_accuracy': dim}", names)  # noqa: S102
    assert name_of(names["train"]).startswith("local:train@")


def test_the_name_changes_with_what_the_function_does():
    assert name_of(made(50)) == name_of(made(50))
    assert name_of(made(50)) != name_of(made(60))
    assert name_of(lambda *, dim: {"x": dim}) != name_of(lambda *, dim: {"x": dim + 1})


def test_only_its_own_session_can_run_it():
    with pytest.raises(InputError, match="only the session that defined it"):
        find_task("local:gone@123456789abc")


def test_a_function_that_gives_a_problem_is_one_of_the_sessions_own():
    name = name_of(lambda width=3: width)
    assert resolve(name, {"dim": 3})[1]["problem"] == name


NOTEBOOK = """
SCALE = {scale}
class Helper:
    factor = 1
    def give(self):
        return SCALE * self.factor
def train(*, dim, seed=0):
    return {{"D": 50, "test_accuracy": dim + Helper().give()}}
from subspace_nn.runs.functions import name_of
print(name_of(train))
"""


def test_the_name_is_the_same_in_another_session_unless_a_global_changed():
    names = [
        subprocess.run(
            [sys.executable, "-c", NOTEBOOK.format(scale=scale)],
            capture_output=True, text=True, check=True,
        ).stdout
        for scale in (1, 1, 2)
    ]  # fmt: skip
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("local:train@")
