"""The loop: what it computes, what it tells, and what it leaves behind when it is stopped."""

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from subspace_nn import Subspace, bits, models
from subspace_nn.common.errors import InputError
from subspace_nn.tasks.classifier import (
    DivergedError,
    History,
    InterruptedTraining,
    Progress,
    as_input,
    count_correct,
    fit,
)
from subspace_nn.tasks.data import Dataset, Split, mnist
from subspace_nn.tasks.loop import DEVICES, find_device
from subspace_nn.tasks.recipe import Recipe

STEPS = 10  # an epoch of the small set, in batches of 60
RECIPE = Recipe(epochs=2, batch_size=60)


def subset(data: Dataset, train: int = 600, test: int = 200) -> Dataset:
    """The first images of a data set."""
    parts = ((data.train, train), (data.test, test))
    first, second = (Split(part.images[:n], part.labels[:n]) for part, n in parts)
    return replace(data, train=first, test=second)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return subset(mnist())


@pytest.fixture(autouse=True)
def one_thread():
    """Sums have one order only on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_net(dropout: float = 0.0, dim: int = 50) -> Subspace:
    return Subspace(models.build("fc", dropout=dropout), dim, seed=0)


class Faulty(nn.Module):
    """Linear; from the backward pass of one step on, a weight is not a number.

    The loss of that step is finite still: the derivative of √ at zero is not.
    """

    def __init__(self, step: int) -> None:
        super().__init__()
        self.linear = nn.Linear(784, 10)
        self.fault = nn.Parameter(torch.zeros(()))
        self.step = step
        self.done = 0

    def forward(self, x):
        self.done += self.training
        fault = self.fault.abs().sqrt() if self.done == self.step else self.fault
        return self.linear(x.flatten(1)) + 0 * fault


def call_at(count: int, act: Callable[[], object]) -> Callable[..., None]:
    """Something to be called often, that acts when it is called for the count-th time."""
    calls = itertools.count(1)

    def called(*_: object) -> None:
        if next(calls) == count:
            act()

    return called


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_history_of_a_whole_training(digits):
    net = make_net()
    history = fit(net, digits, Recipe(epochs=2, batch_size=250))
    assert history.steps == 6
    assert len(history.losses) == 6
    assert history.stopped is None
    assert [(e.epoch, e.step) for e in history.evaluations] == [(1, 3), (2, 6)]
    for evaluation in history.evaluations:
        losses = history.losses[evaluation.step - 3 : evaluation.step]
        assert evaluation.train_loss == pytest.approx(sum(losses) / 3)
        assert evaluation.test_accuracy == evaluation.test_correct / 2
    assert 0 < history.evaluations[0].seconds < history.evaluations[1].seconds


def assert_last_evaluation_is_of(net: nn.Module, history: History, data: Dataset) -> None:
    last = history.evaluations[-1]
    assert (last.test_correct, last.test_loss) == count_correct(net, data.test)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make_net, id="subspace"),
        pytest.param(lambda: make_net(dropout=0.5), id="subspace with dropout"),
        pytest.param(lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), id="any module"),
    ],
)
def test_last_evaluation_is_that_of_the_net_returned(digits, make):
    net = make()
    assert_last_evaluation_is_of(net, fit(net, digits, RECIPE), digits)


def test_the_net_learns(digits):
    history = fit(make_net(dim=500), digits, replace(RECIPE, epochs=10))
    assert sum(history.losses[-STEPS:]) < 0.5 * sum(history.losses[:STEPS])
    assert history.evaluations[-1].test_accuracy > 50


def test_same_seed_same_training(digits):
    nets = [make_net(dropout=0.2) for _ in range(3)]
    losses = [fit(net, digits, RECIPE, seed=s).losses for net, s in zip(nets, (7, 7, 8))]  # noqa: B905
    assert losses[0] == losses[1]
    assert torch.equal(nets[0].omega, nets[1].omega)
    assert losses[0] != losses[2]


@pytest.mark.parametrize("stop", [lambda _: None, interrupt], ids=["whole", "interrupted"])
def test_global_random_state_is_untouched(digits, stop):
    net = make_net(dropout=0.5)
    before = torch.random.get_rng_state()
    with contextlib.suppress(InterruptedTraining):
        fit(net, digits, RECIPE, on_progress=stop)
    assert torch.equal(torch.random.get_rng_state(), before)


def batches_seen(seed: int, epochs: int) -> list[list[int]]:
    """The numbers of the images in each batch of a training; a number is in its first pixels."""
    numbers = torch.arange(600)
    images = torch.zeros(600, 28, 28, dtype=torch.uint8)
    images[:, 0, 0], images[:, 0, 1] = numbers // 256, numbers % 256
    split = Split(images, torch.zeros(600, dtype=torch.uint8))
    seen = []

    def note(module, inputs):
        if module.training:
            high, low = (inputs[0][:, 0, 0, :2] * 255).round().long().T
            seen.append((256 * high + low).tolist())

    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    net.register_forward_pre_hook(note)
    fit(net, Dataset("numbers", split, split, "0"), Recipe(epochs, batch_size=250), seed=seed)
    return seen


def test_an_epoch_uses_every_image_once():
    seen = batches_seen(seed=0, epochs=2)
    assert [len(batch) for batch in seen] == [250, 250, 100] * 2
    for epoch in (seen[:3], seen[3:]):
        assert sorted(itertools.chain(*epoch)) == list(range(600))


def test_order_differs_between_epochs_and_seeds_and_is_a_seeds_own():
    one, again, other = (batches_seen(seed, epochs=2) for seed in (0, 0, 1))
    assert one == again
    assert one[:3] != one[3:]
    assert one[:3] != other[:3]


@pytest.mark.parametrize(("schedule", "first"), [("constant", 1.0), ("one-cycle", 1 / 25)])
def test_first_step_is_as_long_as_the_schedule_says(digits, schedule, first):
    net = make_net()
    before = net.omega.detach().clone()
    fit_steps(net, digits, Recipe(1, 60, lr=0.1, schedule=schedule), steps=1)
    moved = (net.omega - before).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.1 * first), rtol=0.01, atol=0)


def fit_steps(net: nn.Module, data: Dataset, recipe: Recipe, steps: int) -> None:
    """The first steps of a training, as they leave the net."""

    class Enough(Exception):  # noqa: N818
        """One that the loop does not know."""

    def stop() -> None:
        raise Enough

    handle = net.register_forward_pre_hook(call_at(steps + 1, stop))
    with pytest.raises(Enough):
        fit(net, data, recipe)
    handle.remove()


def test_progress_leads_to_the_end(digits):
    reported: list[Progress] = []
    history = fit(make_net(), digits, Recipe(epochs=3, batch_size=25), on_progress=reported.append)
    assert [now.step for now in reported] == sorted(now.step for now in reported)
    assert {now.steps for now in reported} == {72}
    assert [now.step for now in reported if now.epoch == 1] == [10, 20, 24, 24]
    assert reported[0].evaluation is None
    assert (reported[-1].step, reported[-1].evaluation) == (72, history.evaluations[-1])
    assert reported[-1].loss == pytest.approx(sum(history.losses[-50:]) / 50)


@pytest.mark.parametrize(
    ("call", "step"),
    [
        pytest.param(1, STEPS, id="in the first epoch"),
        pytest.param(3, STEPS, id="after an evaluation"),
        pytest.param(4, 2 * STEPS, id="in the second epoch"),
    ],
)
def test_interrupted_while_telling(digits, call, step):
    net = make_net()
    with pytest.raises(InterruptedTraining) as caught:
        fit(net, digits, RECIPE, on_progress=call_at(call, interrupt))
    history = caught.value.history
    assert isinstance(caught.value, KeyboardInterrupt)
    assert history.stopped == f"interrupted after step {step}"
    assert len(history.losses) == history.evaluations[-1].step == step
    assert_last_evaluation_is_of(net, history, digits)


@pytest.mark.parametrize(
    ("training", "call", "step"),
    [
        pytest.param(True, 1, 0, id="before the first step"),
        pytest.param(True, STEPS // 2, 0, id="before the first look at the losses"),
        pytest.param(True, STEPS + 5, STEPS, id="in the second epoch"),
        pytest.param(False, 1, STEPS, id="in the first evaluation"),
        pytest.param(False, 2, 2 * STEPS, id="in the last evaluation"),
    ],
)
def test_interrupted_while_computing(digits, training, call, step):
    net = make_net()
    stop = call_at(call, interrupt)
    net.register_forward_pre_hook(lambda m, _: stop() if m.training is training else None)
    with pytest.raises(InterruptedTraining) as caught:
        fit(net, digits, RECIPE)
    history = caught.value.history
    assert len(history.losses) == history.evaluations[-1].step == step
    assert (history.evaluations[-1].train_loss is None) is (step == 0)
    assert_last_evaluation_is_of(net, history, digits)


def test_stopped_net_holds_the_best_weights_rather_than_the_last(digits):
    net = make_net()
    states: dict[int, tuple[float, torch.Tensor]] = {}

    def note(now: Progress) -> None:
        states[now.step] = now.loss, net.omega.detach().clone()
        if now.step == 5 * STEPS:
            interrupt()

    rising = replace(RECIPE, epochs=100, lr=50.0)  # so long a step, and ever longer
    with pytest.raises(InterruptedTraining):
        fit(net, digits, rising, on_progress=note)
    best, omega = min(states.values(), key=lambda state: state[0])
    assert best < states[5 * STEPS][0]
    assert torch.equal(net.omega, omega)
    assert not torch.equal(net.omega, states[5 * STEPS][1])


def with_bad_image(data: Dataset, number: int) -> Dataset:
    """The same with one training image that is not a number."""
    images = data.train.images.float()
    images[number] = float("nan")
    return replace(data, train=Split(images, data.train.labels))


def assert_kept(caught: pytest.ExceptionInfo[DivergedError], net: nn.Module, data: Dataset) -> None:
    history = caught.value.history
    assert all(parameter.isfinite().all() for parameter in net.parameters())
    assert all(loss < float("inf") for loss in history.losses)
    assert history.evaluations[-1].step == len(history.losses)
    assert_last_evaluation_is_of(net, history, data)


@pytest.mark.parametrize("lr", [1e20, 1e30])
def test_diverged_by_a_learning_rate(digits, lr):
    net = make_net()
    with pytest.raises(DivergedError, match="Try a smaller lr") as caught:
        fit(net, digits, replace(RECIPE, lr=lr))
    assert caught.value.history.stopped == f"the loss became nan at step 2 of 20, lr {lr:g}"
    assert_kept(caught, net, digits)


@pytest.mark.parametrize("batch_size", [600, 60, 7], ids=["at once", "in a while", "late"])
def test_diverged_by_an_image(digits, batch_size):
    net = make_net()
    data = with_bad_image(digits, number=0)
    position = bits.permutation(0, "shuffle/0", 600).tolist().index(0)
    with pytest.raises(DivergedError) as caught:
        fit(net, data, Recipe(epochs=2, batch_size=batch_size))
    history = caught.value.history
    step = len(history.losses) + 1
    assert f"the loss became nan at step {step} of {history.steps}, lr 0.4" in str(caught.value)
    assert step == position // batch_size + 1
    assert_kept(caught, net, data)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(5, id="between two looks at the losses"),
        pytest.param(STEPS, id="just before a look at the losses"),
        pytest.param(2 * STEPS, id="at the very end"),
    ],
)
def test_diverged_by_a_gradient(digits, step):
    net = Faulty(step)
    with pytest.raises(DivergedError) as caught:
        fit(net, digits, RECIPE)
    assert_kept(caught, net, digits)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_count_correct_leaves_the_mode_as_it_was(digits, training):
    net = make_net(dropout=0.5).train(training)
    count_correct(net, digits.test)
    assert {module.training for module in net.modules()} == {training}


def test_count_correct_counts(digits):
    net = make_net(dropout=0.5).eval()
    with torch.no_grad():
        logits = net(as_input(digits.test.images))
    labels = digits.test.labels.long()
    expected = (
        int((logits.argmax(1) == labels).sum()),
        float(nn.functional.cross_entropy(logits, labels)),
    )
    net.train()
    for batch_size in (1000, 200, 33):
        correct, loss = count_correct(net, digits.test, batch_size)
        assert (correct, loss) == (expected[0], pytest.approx(expected[1], rel=1e-5))
    assert net.omega.grad is None


def test_dropout_acts_in_training_only(digits):
    still = replace(RECIPE, lr=1e-20)  # the weights stay where they are
    without, with_ = (fit(make_net(p), digits, still) for p in (0.0, 0.5))
    assert all(a != b for a, b in zip(without.losses, with_.losses, strict=True))
    assert [e.test_loss for e in without.evaluations] == [e.test_loss for e in with_.evaluations]


def test_as_input_scales_and_adds_a_channel():
    images = torch.arange(2 * 784).remainder(256).to(torch.uint8).view(2, 28, 28)
    x = as_input(images)
    assert (x.shape, x.dtype) == ((2, 1, 28, 28), torch.float32)
    torch.testing.assert_close(x.squeeze(1), images / 255)


def test_auto_is_cuda_where_there_is_one():
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
no_mps = pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an MPS device")
CANNOT = "Device {!r} cannot be used here: "


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cud", "Unknown device 'cud'. Did you mean 'cuda'? Valid: auto, cpu, cuda, mps."),
        ("", f"Unknown device ''. Valid: {', '.join(DEVICES)}."),
        ("gpu:0", "Unknown device 'gpu:0'."),
        ("cuda:x", CANNOT.format("cuda:x")),
        ("cuda:99", CANNOT.format("cuda:99")),
        pytest.param("cuda", CANNOT.format("cuda"), marks=no_cuda),
        pytest.param("mps", CANNOT.format("mps"), marks=no_mps),
        ("auto:1", "'auto:1'"),
    ],
)
def test_device_that_is_not_there(name, says):
    with pytest.raises(InputError) as caught:
        find_device(name)
    (problem,) = caught.value.problems
    assert says in problem
    assert "\n" not in problem
    assert len(problem) < 200  # PyTorch's own explanations can be a screen long


def test_net_is_moved_and_trained_in_place(digits):
    net = make_net()
    omega = net.omega
    fit(net, digits, RECIPE, device="cpu")
    assert net.omega is omega
    assert omega.abs().min() > 0
