"""A module and data of the user's own."""

import pytest
import torch

from subspace_nn.common.errors import InputError
from subspace_nn.runs.run import Run
from subspace_nn.tasks.own import train

PROBLEMS = "tests.dimension.problems:"


def run(problem, **arguments):
    return train(problem=PROBLEMS + problem, **{"dim": 40, "epochs": 3, **arguments})


def test_a_classifier():
    result = run("digits")
    assert result["D"] == 8 * 16 + 16 + 16 * 3 + 3
    assert result["dim"] == 40
    assert result["steps"] == 3 * 8
    assert result["test_accuracy"] > 60
    assert run("digits") == result
    assert run("digits", seed=1)["test_loss"] != result["test_loss"]


def test_a_result_has_the_course_of_the_training():
    result = run("digits")
    assert [(one["epoch"], one["step"]) for one in result["evaluations"]] == [
        (1, 8),
        (2, 16),
        (3, 24),
    ]
    losses = [one["train_loss"] for one in result["evaluations"]]
    assert losses[0] > losses[-1] == result["train_loss"]
    assert len(result["loss_curve"]) == 24
    assert sum(result["loss_curve"][-8:]) / 8 == pytest.approx(losses[-1])


def test_all_weights():
    result = run("digits", dim="full", projection="identity")
    assert result["dim"] == result["D"]
    assert result["test_accuracy"] > run("digits", dim=3)["test_accuracy"]


def test_a_wrapped_module_is_measured_in_its_own_weights():
    result = run("wrapped", dim=30)
    assert (result["D"], result["dim"]) == (8 * 16 + 16, 30)
    assert result["test_accuracy"] > 60
    assert run("wrapped", dim="full", projection="identity")["dim"] == 8 * 16 + 16
    assert run("wrapped", dim=30, seed=1) != result


def test_a_loss_and_a_score_of_its_own():
    result = run("regression", dim=9)
    assert result["test_score"] < 0
    assert "test_accuracy" not in result
    assert "test_score" not in run("plain_loss", dim=9)


def test_targets_of_other_types():
    assert run("small_integers") == run("digits")
    assert run("soft", dim=20)["test_accuracy"] > 50


@pytest.mark.parametrize(
    ("name", "lr"), [("SGD", 2.0), ("AdamW", 0.4), ("LBFGS", 0.2), ("CMA", 0.5)]
)
def test_other_optimisers(name, lr):
    result = run("optimised", dim=10, lr=lr, name=name, schedule="constant", epochs=4)
    start = run("optimised", dim=10, lr=1e-9, name="SGD", schedule="constant", epochs=1)
    assert result["train_loss"] < start["train_loss"]
    assert result["test_accuracy"] > 40


def test_weight_decay_and_schedule_count():
    losses = {
        run("optimised", name="AdamW", epochs=1, **more)["train_loss"]
        for more in ({}, {"decay": 0.5}, {"schedule": "constant"})
    }
    assert len(losses) == 3


def test_a_transform_is_for_training_batches_alone():
    assert run("transformed")["test_accuracy"] < 25


def test_mixed_precision_is_for_training_steps_alone():
    result = run("mixed")
    assert result["test_score"] > 0.6
    assert result["train_loss"] != run("digits")["train_loss"]
    assert result["train_loss"] == pytest.approx(run("digits")["train_loss"], rel=0.05)


def test_other_initial_weights_depend_on_the_seed():
    losses = {run("seeded", dim=5, lr=1e-9, seed=seed)["test_loss"] for seed in (0, 1)}
    assert len(losses) == 2


def test_the_generator_is_put_back():
    before = torch.random.get_rng_state()
    run("digits", epochs=1)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("problem", "more", "message"), [
    ("wrong", {}, "must give a Problem or .module, train, test., got Linear"),
    ("tensors", {"dim": 9}, "two tensors, got Tensor"),
    ("scored", {}, "got dict. A function that gives results is a task: it takes dim and seed"),
    ("pair", {}, "must give .* got list of Linear, list"),
    ("drawn", {}, "training data must be batches that can be counted .* got generator"),
    ("named", {"dim": 9}, r"A batch must be .inputs, targets., two tensors, got dict"),
    ("triples", {"dim": 9}, "two tensors, got tuple of Tensor, Tensor, Tensor"),
    ("empty", {"dim": 9}, "have no batch"),
    ("untested", {"dim": 9}, "test data have no batch"),
    ("digits", {"lr": 1e30}, "smaller lr"),
    ("wrapped_with_a_head", {"dim": 9}, "one learning rate"),
    ("floats", {"dim": 9}, "default loss is cross-entropy.* loss=torch.nn.functional.mse_loss"),
    ("bound_lr", {}, "called with the parameters and the run's lr"),
    ("no_optimizer", {}, "must be a class such as torch.optim.SGD, .* got .*tuple"),
    ("transformed", {"cut": True}, "transform must give .inputs, targets., .* got Tensor"),
    ("mixed", {"dtype": "float16"}, "autocast must be torch.bfloat16 or None, got torch.float16"),
    ("optimised", {"schedule": "cosine"}, "Unknown schedule 'cosine'"),
    ("digits", {"width": 3}, "Unknown argument of tests.dimension.problems:digits 'width'"),
    ("digits", {"dim": 0}, "dim must be a whole number"),
])  # fmt: skip
def test_mistakes_in_a_run(problem, more, message):
    with pytest.raises(InputError, match=message):
        run(problem, **more)


def test_mistakes_are_told_before_it():
    with pytest.raises(InputError) as caught:
        Run.of("subspace_nn.tasks.own:train", {"problem": "nowhere:at_all", "epochs": 0})
    assert "epochs must be" in str(caught.value)
    assert "'nowhere:at_all' cannot be imported" in str(caught.value)
