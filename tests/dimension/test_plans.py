"""A file of measurements asks what the command line would."""

from pathlib import Path

import pytest

from subspace_nn.common.errors import InputError
from subspace_nn.dimension import answers, question
from subspace_nn.dimension.plans import folder_of, parse
from subspace_nn.runs.store import stores

ROOT = Path(__file__).parents[2]


def test_every_committed_measurement_is_in_a_file():
    files = (ROOT / "experiments/measure").glob("*.toml")
    texts = [path.read_text("utf-8") for path in files if path.stem != "fashion"]
    planned = [one for text in texts for one in parse(text)]
    asked = {(one.folder.as_posix(), one.question.id) for one in planned}
    committed = {
        (store.folder.relative_to(ROOT).as_posix(), answer.question.id)
        for store in stores([ROOT / "results/measure"])
        for answer in answers(store.folder)
    }
    assert asked <= committed
    assert {folder for folder, _ in committed - asked} == {
        f"results/measure/fashion-{net}" for net in ("fc", "lenet")
    }


def test_a_measurement_has_its_options():
    text = """
    [[measure]]
    task = "toy"
    arguments = { projection = "gaussian" }
    threshold = 1
    budget = 9
    out = "mine"
    """
    (one,) = parse(text)
    assert one.question == question("toy", {"projection": "gaussian"}, threshold=1.0)
    assert (one.folder, one.budget) == (Path("mine"), 9)
    assert folder_of("mine:digits") == Path("results/measure/mine-digits")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("[", 1),
        ("", 1),
        ("task = 'toy'", 1),
        ("measure = []", 1),
        ("measure = [3]", 1),
        ("[measure]\ntask = 'toy'", 1),
        ("[[measure]]\nthreshold = 0.5", 1),
        ("[[measure]]\ntask = 'toy'\narguments = 3\nout = 4", 2),
        ("[[measure]]\ntask = 'toy'\nthreshhold = 3\n[[measure]]\ntask = 'tow'", 2),
        ("[[measure]]\ntask = 'toy'\nbudget = 0\nprecision = -1", 2),
        ("[[measure]]\ntask = 'tow'\nbaseline = 'nowhere:probe'\nbudgt = 3", 3),
        ("[[measure]]\ntask = 'tow'\nbaseline = 'dim=1'", 1),
    ],
)
def test_mistakes(text, problems):
    with pytest.raises(InputError) as caught:
        parse(text)
    assert len(caught.value.problems) == problems
