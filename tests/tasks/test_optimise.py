"""L-BFGS, CMA-ES and SPSA."""

import collections
import contextlib
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from subspace_nn import Subspace, bits, models
from subspace_nn.common.errors import InputError
from subspace_nn.tasks.classifier import DivergedError, as_input, count_correct, fit
from subspace_nn.tasks.data import Split, mnist
from subspace_nn.tasks.loop import steps
from subspace_nn.tasks.optimise import CMA, CMAES, LBFGS, SPSA, Zeroth

RECIPES = [
    pytest.param(LBFGS(rounds=2, images=300, iterations=10), id="l-bfgs"),
    pytest.param(CMAES(generations=20, images=100), id="cma-es"),
    pytest.param(Zeroth(epochs=20, batch_size=100, lr=0.3), id="spsa"),
]


@pytest.fixture(scope="module")
def digits():
    whole = mnist()
    first, second = Split(whole.train.images[:600], whole.train.labels[:600]), whole.test
    return replace(whole, train=first, test=Split(second.images[:200], second.labels[:200]))


def net(dim=10):
    return Subspace(models.build("fc-16"), dim, seed=0)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_loss_falls_and_the_history_tells(recipe, digits):
    subspace, seen = net(), []
    history = fit(subspace, digits, recipe, on_progress=seen.append)
    assert history.losses[-1] < history.losses[0]
    assert history.steps == len(history.losses)
    last = history.evaluations[-1]
    assert (last.test_correct, last.test_loss) == count_correct(subspace, digits.test)
    assert last.step == history.steps
    assert [e.epoch for e in history.evaluations] == list(range(1, len(history.evaluations) + 1))
    reported = dict.fromkeys(now.evaluation for now in seen if now.evaluation)
    assert list(reported) == history.evaluations
    assert seen[-1].step == seen[-1].steps == history.steps


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_same_seed_gives_the_same_and_no_global_generator_is_used(recipe, digits):
    nets = [net() for _ in range(3)]  # a constructor draws from PyTorch's generator
    states = torch.random.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    outcomes = []
    for subspace, seed in zip(nets, (0, 0, 1), strict=True):
        fit(subspace, digits, recipe, seed=seed)
        outcomes.append(subspace.omega.detach().clone())
    assert torch.equal(outcomes[0], outcomes[1])
    assert not torch.equal(outcomes[0], outcomes[2])
    assert torch.equal(states[0], torch.random.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002


def test_l_bfgs_finds_the_minimum_of_a_convex_loss(digits):
    """Logistic regression on the sample: the gradient vanishes."""
    subspace = Subspace(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), 5, seed=0)
    fit(subspace, digits, LBFGS(rounds=1, images=600, iterations=60))
    x, y = as_input(digits.train.images), digits.train.labels.long()
    loss = nn.functional.cross_entropy(subspace(x), y)
    (gradient,) = torch.autograd.grad(loss, subspace.omega)
    assert gradient.abs().max() < 1e-4


@pytest.mark.parametrize(("recipe", "least"), [
    (LBFGS(rounds=1000, images=100, iterations=1000), 1),
    (CMAES(generations=1000, images=10), 1),
])  # fmt: skip
def test_the_clock_ends_it(recipe, least, digits):
    ticks = itertools.count()
    history = fit(net(), digits, replace(recipe, seconds=5), clock=lambda: float(next(ticks)))
    assert least <= history.steps <= 6
    assert history.evaluations


def test_a_loss_that_is_not_finite(digits):
    broken = net()
    with torch.no_grad():
        broken.omega.fill_(float("inf"))
    with pytest.raises(DivergedError):
        fit(broken, digits, LBFGS(rounds=2, images=50, iterations=5))


@pytest.mark.parametrize(("recipe", "dim", "messages"), [
    (LBFGS(rounds=0, images=-1), 10, ["rounds must be a whole number", "images must be"]),
    (CMAES(sigma=0, population=1), 10, ["sigma must be a number above 0", "population must be"]),
    (CMAES(), 1001, ["at most 1,000 free parameters, got 1,001"]),
])  # fmt: skip
def test_mistakes(recipe, dim, messages, digits):
    with pytest.raises(InputError) as caught:
        fit(net(dim), digits, recipe)
    for message in messages:
        assert message in str(caught.value)


def test_cma_takes_several_parameters_and_leaves_gradients_alone():
    parameters = [nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(4, dtype=torch.float64))]
    optimizer = CMA(parameters, 0.3, generator=np.random.default_rng(0))

    def loss():
        assert not torch.is_grad_enabled()
        return sum(p.square().sum().item() for p in parameters)

    values = [float(optimizer.step(loss)) for _ in range(60)]
    assert values[0] > 5
    assert values[-1] < 0.05
    assert all(p.grad is None for p in parameters)
    with pytest.raises(InputError, match=r"step\(closure\)"):
        optimizer.step()


def test_cma_is_for_few_parameters():
    with pytest.raises(InputError, match="at most 1,000 free parameters, got 1,001"):
        CMA([nn.Parameter(torch.ones(1001))])


def test_l_bfgs_of_each_round_starts_without_memory(digits):
    """Two rounds are one round, and then another on its result."""
    together, apart = net(), net()
    recipe = LBFGS(rounds=2, images=300, iterations=10)
    fit(together, digits, recipe)
    for sample in range(2):
        rows = bits.permutation(0, f"sample/{sample}", 600)[:300]
        x, y = as_input(digits.train.images[rows]), digits.train.labels[rows].long()
        optimizer = torch.optim.LBFGS(
            apart.parameters(), max_iter=5, history_size=20, line_search_fn="strong_wolfe"
        )
        for _ in range(2):
            collections.deque(
                steps(apart, [(x, y)], nn.functional.cross_entropy, optimizer), maxlen=0
            )
    assert torch.equal(together.omega, apart.omega)


def test_spsa_is_the_seed_and_a_number_per_step(digits):
    subspace = net()
    x, y = as_input(digits.train.images[:100]), digits.train.labels[:100].long()
    calls = []

    def closure():
        calls.append(torch.is_grad_enabled())
        return nn.functional.cross_entropy(subspace(x), y)

    optimizer = SPSA([subspace.omega], 0.1, seed=3)
    for _ in range(15):
        optimizer.step(closure)
    assert calls == [False] * 30  # two forward passes, and no graph
    again = net()
    SPSA([again.omega], seed=3).replay(optimizer.slopes)
    assert torch.equal(again.omega, subspace.omega)
    with pytest.raises(InputError, match="SPSA needs"):
        optimizer.step()


def test_after_a_replay_steps_are_as_long_as_at_the_start():
    x = nn.Parameter(torch.tensor([200.0], dtype=torch.float64))
    optimizer = SPSA([x], 0.1)
    optimizer.replay([0.0] * 500)
    optimizer.step(lambda: 3 * x.sum())
    assert x.item() == pytest.approx(199.9)


@pytest.mark.parametrize("make", [SPSA, CMA], ids=["spsa", "cma"])
def test_an_interrupt_leaves_no_point_that_was_only_tried(make):
    x = nn.Parameter(torch.ones(4))
    optimizer = make([x], 0.5)
    left = iter(range(12))

    def closure():
        if next(left, None) is None:
            raise KeyboardInterrupt
        return float(x.square().sum())  # a number will do

    with contextlib.suppress(KeyboardInterrupt):
        while True:
            good = x.detach().clone()
            optimizer.step(closure)
    assert torch.equal(x, good)


COMPARED = pytest.mark.parametrize("make", [SPSA, CMA], ids=["spsa", "cma"])


@COMPARED
def test_what_a_subspace_holds_is_not_moved(make):
    subspace = Subspace(models.build("fc-16"), 10, exclude="*.bias")
    held = {n: p.clone() for n, p in subspace.named_parameters() if not p.requires_grad}
    assert any(p.numel() for p in held.values())
    make(subspace.parameters(), 0.5).step(lambda: subspace(torch.ones(2, 1, 28, 28)).sum())
    assert subspace.omega.any()
    assert all(torch.equal(p, subspace.get_parameter(n)) for n, p in held.items())


@COMPARED
@pytest.mark.parametrize(("params", "message"), [
    ([{"params": [nn.Parameter(torch.ones(2))], "lr": lr} for lr in (1.0, 0.1)], "as one group"),
    ([nn.Parameter(torch.ones(2), requires_grad=False)], "with requires_grad=True"),
    ([nn.Parameter(torch.ones(2, dtype=torch.complex64))], "real floating-point"),
], ids=["groups", "frozen", "complex"])  # fmt: skip
def test_parameters_that_cannot_be_trained(make, params, message):
    with pytest.raises(InputError, match=message):
        make(params, 0.5)


@COMPARED
def test_groups_cannot_be_added(make):
    optimizer = make([nn.Parameter(torch.ones(2))], 0.5)
    with pytest.raises(InputError, match="as one group"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))]})


@COMPARED
@pytest.mark.parametrize(("of", "message"), [
    (lambda _: None, "must return the loss, one number; got None"),
    (lambda x: 2 * x, r"one number; got Tensor of shape \(3,\)"),
    (lambda _: "0.3", "one number; got str"),
    (lambda x: x.sum().backward(), r"computes no gradient: leave backward\(\) out"),
], ids=["nothing", "several", "text", "backward"])  # fmt: skip
def test_closures_that_give_no_loss(make, of, message):
    x = nn.Parameter(torch.ones(3))
    optimizer = make([x], 0.5)
    with pytest.raises(InputError, match=message):
        optimizer.step(lambda: of(x))
    assert torch.equal(x, torch.ones(3))


@COMPARED
def test_another_error_of_a_closure_is_its_own(make):
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        make([nn.Parameter(torch.ones(3))], 0.5).step(lambda: torch.ones(2, 3) @ torch.ones(2, 3))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_moves_nothing(bad):
    x, again = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = SPSA([x], 0.1)
    optimizer.step(lambda: x.square().sum())
    good = x.detach().clone()
    assert not optimizer.step(lambda: bad * x.sum()).isfinite()
    assert torch.equal(x, good)
    optimizer.step(lambda: x.square().sum())
    assert x.isfinite().all()
    SPSA([again]).replay(optimizer.slopes)
    assert torch.equal(again, x)


def test_both_losses_of_a_step_drop_the_same():
    x, dropped = nn.Parameter(torch.ones(2)), []

    def closure():
        dropped.append(nn.functional.dropout(torch.ones(64)))
        return x.sum()

    optimizer = SPSA([x], 0.1)
    for _ in range(2):
        optimizer.step(closure)
    assert torch.equal(dropped[0], dropped[1])
    assert not torch.equal(dropped[1], dropped[2])
    assert torch.equal(dropped[2], dropped[3])


@pytest.mark.parametrize("slopes", [[0.1, float("nan")], [0.1, "0.2"]])
def test_a_replay_of_no_numbers_repeats_nothing(slopes):
    x = nn.Parameter(torch.ones(2))
    with pytest.raises(InputError, match="slope 1 must be a number"):
        SPSA([x]).replay(slopes)
    assert torch.equal(x, torch.ones(2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_replay_in_any_dtype(dtype):
    x, again = (nn.Parameter(torch.ones(30, dtype=dtype)) for _ in range(2))
    optimizer = SPSA([x], 0.1, seed=4)
    losses = [float(optimizer.step(lambda: x.double().square().sum())) for _ in range(40)]
    assert losses[-1] < losses[0]
    SPSA([again], seed=4).replay(optimizer.slopes)
    assert torch.equal(x, again)


def test_a_state_has_its_seed_and_distance():
    x, y = (nn.Parameter(torch.ones(40)) for _ in range(2))
    one, other = SPSA([x], 0.1, epsilon=0.3, seed=3), SPSA([y], seed=4)
    one.step(lambda: x.square().sum())
    y.data.copy_(x)
    other.load_state_dict(one.state_dict())
    for optimizer, z in ((one, x), (other, y)):
        optimizer.step(z.exp().sum)
    assert torch.equal(x, y)


def test_cma_cannot_go_on_from_a_state():
    optimizer = CMA([nn.Parameter(torch.ones(2))])
    with pytest.raises(InputError, match="make a new one, which starts at the present"):
        optimizer.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": 0}, "lr must be a number above 0"), ({"population": 1}, "population must be.* 2, got"),
])  # fmt: skip
def test_settings_of_cma(options, message):
    with pytest.raises(InputError, match=message):
        CMA([nn.Parameter(torch.ones(2))], **options)


def test_spsa_goes_along_the_slope():
    """One direction: the step is lr, against the sign of the derivative."""
    x = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = SPSA([x], 0.1)
    assert float(optimizer.step(lambda: x.square().sum())) == pytest.approx(4 + 0.05**2)
    assert x.item() == pytest.approx(1.9)


def test_zeroth_says_what_is_wrong():
    found = " ".join(Zeroth(epochs=0, lr=-1, epsilon=0).problems())
    assert all(name in found for name in ("epochs", "lr", "epsilon"))
