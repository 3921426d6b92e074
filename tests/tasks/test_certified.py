"""Training on a grid with a certificate, as a task of sweeps."""

import hashlib

import pytest

import subspace_nn as sn
from subspace_nn.runs.run import Run
from subspace_nn.tasks import certified
from subspace_nn.tasks.classifier import count_correct
from subspace_nn.tasks.data import mnist

TASK = "subspace_nn.tasks.certified:train"
SMALL = {"model": "conv-6-6", "dim": 40, "epochs": 1, "images": 600, "batch_size": 60}


@pytest.fixture(autouse=True)
def small_test_set(monkeypatch):
    whole = certified.prepared

    def prepared(*arguments):
        found = whole(*arguments)
        few = certified.Split(found.test.images[:100], found.test.labels[:100])
        return certified.Dataset(found.name, found.train, few, found.digest)

    monkeypatch.setattr(certified, "prepared", prepared)


def test_a_run_has_the_certificate_and_the_file_that_it_is_about(tmp_path):
    found = certified.train(**SMALL)
    content = bytes.fromhex(found["file"])
    assert len(content) == found["checkpoint_bytes"] == found["certificate"]["file"]["bytes"]
    assert hashlib.sha256(content).hexdigest() == found["certificate"]["file"]["sha256"]
    (tmp_path / "net.snn").write_bytes(content)
    net = sn.load(tmp_path / "net.snn")
    train = certified.Split(*(t[:600] for t in vars(mnist().train).values()))
    errors = 600 - count_correct(net, train)[0]
    assert found["train_error"] == errors / 600 < found["bound"] <= 1
    again = sn.certify(net, certified.batches(train), prepare=certified.as_input)
    assert again.bound == found["bound"]
    images = train.images.numpy().tobytes()
    assert found["certificate"]["data"]["inputs"] == hashlib.sha256(images).hexdigest()


def test_refined_codes_are_at_the_price_of_the_training():
    plain = certified.train(**SMALL, price=1e-4)
    refined = certified.train(**SMALL, price=1e-4, refine=2)
    assert refined["steps"] == plain["steps"]
    assert refined["file"] != plain["file"]


def test_a_learnt_prior_is_free_and_its_images_do_not_count():
    found = certified.train(**SMALL, first=400, first_epochs=2, levels=3)
    assert found["n"] == 200
    assert found["certificate"]["prior"] == "θ0 was trained on the images 0 to 399"
    assert found["bits"] < 200
    assert found["file"] is None
    assert found["checkpoint_bytes"] > 4 * 3369


def test_shuffled_labels_certify_nothing():
    found = certified.train(**SMALL, shuffled="labels")
    assert found["bound"] > 0.85
    assert found["train_error"] > 0.7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": 0}, "levels must be from 2 to 256: a certificate is for an ω on a grid."),
        ({"first": 600}, "first must be a whole number from 0 to 599, got 600."),
        ({"delta": 1.0}, "delta must be a number above 0 and below 1, got 1.0."),
        ({"first_epochs": 0}, "first_epochs must be"),
        ({"refine": -1}, "refine must be"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(sn.InputError) as caught:
        Run.of(TASK, {**SMALL, **arguments})
    assert message in str(caught.value)


def test_runs_leave_out_the_levels_that_are_the_default():
    assert Run.of(TASK, {"levels": 5}).id == Run.of(TASK, {}).id != Run.of(TASK, {"levels": 3}).id
