"""Names of tasks, the user's own functions, and what was published."""

import shlex
import subprocess
import sys

import pytest

from subspace_nn.cli import app
from subspace_nn.common.errors import InputError
from subspace_nn.dimension import KNOWN, Question, command, label, published, question, title
from subspace_nn.runs.sweep import parse_assignments
from tests.dimension import synthetic

SYNTHETIC = "tests.dimension.synthetic:train"
OWN = "tests.dimension.problems"


@pytest.mark.parametrize("name", KNOWN)
def test_what_has_a_name_can_be_asked(name):
    # Clothes need files that are not everywhere; all else is ready anywhere.
    missing = [p for p in question(name).problems() if "dataset-fashion-mnist" not in p]
    assert missing == []
    assert KNOWN[name].title


@pytest.mark.parametrize(("asked", "expected"), [
    (question("mnist"), Question("mnist")),
    (question("mnist-fc", {"epochs": 1}, threshold=0.5),
     Question("mnist", {"model": "fc", "epochs": 1}, threshold=0.5)),
    (question(SYNTHETIC, {"answer": 7}), Question(SYNTHETIC, {"answer": 7})),
    (question(synthetic.train), Question(SYNTHETIC)),
    (question("tests.dimension.problems:digits", {"epochs": 3}),
     Question("subspace_nn.tasks.own:train",
              {"problem": "tests.dimension.problems:digits", "epochs": 3})),
])  # fmt: skip
def test_questions(asked, expected):
    assert asked == expected


@pytest.mark.parametrize(("call", "message"), [
    (lambda: question("tyo"), "Unknown task 'tyo'. Did you mean 'toy'?"),
    (lambda: question("nowhere:train"), "cannot be imported"),
    (lambda: question("toy", thresh=1), "Unknown option 'thresh'. Did you mean 'threshold'?"),
    (lambda: question(object()), "A task is a name or a function, got object"),
])  # fmt: skip
def test_mistakes(call, message):
    with pytest.raises(InputError) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize(("asked", "dims"), [
    (question("toy"), [10]),
    (question("mnist-fc", {"epochs": 9}, threshold=0.8), [750]),
    (question("mnist", {"model": "fc"}), [750]),
    (question("mnist", {"model": "conv"}), []),
    (question("mnist-fc-labels", {"epochs": 9}), [90_000]),
    (question("mnist-fc-labels", {"model": "lenet"}), []),
    (question("mnist-fc-pixels", {"data": "fashion-mnist"}), []),
    (question(SYNTHETIC), []),
])  # fmt: skip
def test_published(asked, dims):
    assert [value.dim for value in published(asked)] == dims


@pytest.mark.parametrize("asked", [
    *(question(name) for name in KNOWN),
    question("mnist-fc", {"epochs": 20, "projection": "gaussian"}, threshold=0.95, batch=8),
    question("mnist-fc-2018", threshold=0.9, kind="relative"),
    question("mnist-fc-2018", {"epochs": 20}),
    question("mnist-fc-labels", {"model": "lenet", "epochs": 9}),
    Question(SYNTHETIC, {"answer": 7}, metric="test_error", better="lower", seed=3),
    question("tests.dimension.problems:digits", {"epochs": 3}),
    question(f"{OWN}:digits", baseline="tests.dimension.problems:digits epochs=1"),
    question("mnist-lenet", threshold=0.8, baseline="dim=3 epochs=1"),
    Question("tests.dimension.synthetic:open_to_all", {
        "flag": True, "rate": 1e-5, "several": [1, 2], "single": [1], "inside": [[1, 2], [3]],
        "number": "5", "text": "a b", "words": "a,b", "said": 'he "said"', "names": ["x", "true"],
    }, least=3, most=9),
], ids=lambda asked: f"{asked.task} {asked.id[:4]}")  # fmt: skip
def test_the_command_asks_the_same_again(asked):
    words = shlex.split(command(asked, "records"))
    assert words[-2:] == ["--out", "records"]
    _, bound, ignored = app.parse_args(words[1:], exit_on_error=False, print_error=False)
    assert not ignored
    given = {name: value for name, value in bound.arguments.items() if name != "words"}
    fields = {name: given[name] for name in given if name in Question.__dataclass_fields__}
    fields.pop("task")
    again = question(bound.arguments["task"], parse_assignments(bound.args[1:]), **fields)
    assert again == asked


@pytest.mark.parametrize(("asked", "expected"), [
    (question("mnist-lenet"), "MNIST, LeNet"),
    (question("mnist-lenet", {"epochs": 9}), "MNIST, LeNet, 9 epochs"),
    (question("mnist-lenet-2018"), "MNIST, LeNet, the recipe of 2018"),
    (question("mnist", {"model": "lasagne-fc"}), "MNIST, model lasagne-fc"),
    (Question(SYNTHETIC), ""),
])  # fmt: skip
def test_titles(asked, expected):
    assert title(asked) == expected


@pytest.mark.parametrize(("asked", "expected"), [
    (question("toy"), "toy"),
    (question("mnist", {"model": "fc", "epochs": 9}), "mnist-fc epochs=9"),
    (question("mnist-fc-2018", {"epochs": 20}), "mnist-fc-2018 epochs=20"),
    (question("mnist-fc-2018", {"epochs": 20, "lr": 0.4, "scale": "init", "batch_size": 256,
                                "schedule": "one-cycle"}),
     "mnist-fc-2018 scale=init lr=0.4 schedule=one-cycle batch_size=256 epochs=20"),
    (question("mnist-fc", {"lr": 0.001, "projection": "fastfood"}),
     "mnist-fc lr=0.001 projection=fastfood"),
    (question(SYNTHETIC, {"answer": 7}), f"{SYNTHETIC} answer=7"),
    (question(f"{OWN}:digits", {"lr": 0.1}), f"{OWN}:digits lr=0.1"),
    (question("digits"), "digits"),
])  # fmt: skip
def test_labels(asked, expected):
    assert label(asked) == expected


SCRIPT = (
    "from subspace_nn.dimension import measure, question\n"
    "def train(*, dim, seed): return {'D': 50, 'test_accuracy': 90.0}\n"
)


def python(*arguments, cwd):
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["mine.py"], "mine:train"),
        (["-m", "mine"], "mine:train"),
        (["-m", "own.mine"], "own.mine:train"),
    ],
)
def test_a_function_of_a_script_goes_by_the_name_of_its_file(arguments, name, tmp_path):
    (tmp_path / "own").mkdir()
    for place in (tmp_path, tmp_path / "own"):
        (place / "mine.py").write_text(
            SCRIPT + "if __name__ == '__main__': print(question(train).task)\n"
        )
    done = python(*arguments, cwd=tmp_path)
    assert done.stdout.strip() == name


def test_a_script_that_hides_another_file_of_its_name_is_told(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "mine.py").write_text(SCRIPT)
    (tmp_path / "own" / "mine.py").write_text(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{SCRIPT}print(question(train).task)\n"
    )
    done = python("own/mine.py", cwd=tmp_path)
    assert "Give one of the two files another name" in done.stderr


def test_a_script_that_measures_when_imported_is_told(tmp_path):
    (tmp_path / "mine.py").write_text(SCRIPT + "print(measure(train, 'records').dim)\n")
    done = python("mine.py", cwd=tmp_path)
    assert done.returncode
    assert "Put that call under if __name__ == '__main__'" in done.stderr
    assert not list((tmp_path / "records").glob("*.json"))
