"""Names of tasks, the user's own functions, and what was published."""

import subprocess
import sys

import pytest

from subspace_nn.errors import InputError
from subspace_nn.measure import KNOWN, Question, published, question
from tests.measure import synthetic

SYNTHETIC = "tests.measure.synthetic:train"


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
    (question("tests.measure.problems:digits", {"epochs": 3}),
     Question("subspace_nn.tasks.own:train",
              {"problem": "tests.measure.problems:digits", "epochs": 3})),
])  # fmt: skip
def test_questions(asked, expected):
    assert asked == expected


@pytest.mark.parametrize(("call", "message"), [
    (lambda: question("tyo"), "Unknown task 'tyo'. Did you mean 'toy'?"),
    (lambda: question("nowhere:train"), "cannot be imported"),
    (lambda: question("toy", thresh=1), "Unknown option 'thresh'. Did you mean 'threshold'?"),
    (lambda: question(lambda dim, seed: dim + seed), "cannot be imported as"),
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
    (question(SYNTHETIC), []),
])  # fmt: skip
def test_published(asked, dims):
    assert [value.dim for value in published(asked)] == dims


def test_a_function_of_a_script_goes_by_the_name_of_its_file(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        "from subspace_nn.measure import question\n"
        "def train(*, dim, seed): return {}\n"
        "if __name__ == '__main__': print(question(train).task)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "mine:train"
