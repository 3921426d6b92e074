"""A module and data of the user's own as a task."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from subspace_nn.common.checks import number, one_of, plain, require, whole
from subspace_nn.common.errors import InputError, problems_of, unknown_name
from subspace_nn.runs.packed import averages
from subspace_nn.runs.run import find_task
from subspace_nn.runs.session import keep
from subspace_nn.runs.task import VARIADIC, checked
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks.config import subspace_problems
from subspace_nn.tasks.loop import find_device, on_cpu, seeded, steps
from subspace_nn.tasks.recipe import Recipe, Schedule, grid_problems, stage_problems

#: A message names the types of at most this many parts.
_FEW = 5

#: Batches of (inputs, targets), such as a `DataLoader` or a list.
Batches = Collection[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Problem:
    """A module, its data, and how to train it. A tuple of the first three will do for a classifier.

    Attributes:
        module: any module, untrained or pretrained; or a `Subspace` of one, whose θ0, scale,
            include and exclude count. Its d, projection and seed do not: they are the run's.
        train: batches to train on, such as a `DataLoader` that shuffles.
        test: batches to test on.
        loss: of outputs and targets, a mean over the batch; by default cross-entropy, which needs
            classes as targets.
        score: of all outputs and targets of the test set, a number; by default the accuracy in
            percent if the loss is cross-entropy, else nothing.
        optimizer: called with the parameters and the run's learning rate; Adam by default. Any of
            `torch.optim` will do, with weight decay as in
            `functools.partial(torch.optim.AdamW, weight_decay=0.01)`, and
            `subspace_nn.tasks.optimise.CMA`.
        schedule: schedule of the learning rate, "one-cycle" or "constant".
        transform: called with the inputs and targets of each training batch, on the device, and
            gives others, as crops, flips and mixup do. PyTorch's generator is seeded.
        autocast: `torch.bfloat16` for training steps in mixed precision; ω stays in float32, and
            the test is in full precision.

    Example:
        >>> x = torch.linspace(-1, 1, 64).view(8, 8)
        >>> def mirror(inputs, targets):
        ...     return inputs.flip(1), targets
        >>> problem = Problem(nn.Linear(8, 2), [(x, x.sum(1) > 0)], [(x, x.sum(1) > 0)],
        ...                   transform=mirror, autocast=torch.bfloat16)
    """

    module: nn.Module
    train: Batches
    test: Batches
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    score: Callable[[Tensor, Tensor], float] | None = None
    optimizer: Callable[[Iterable[Tensor], float], torch.optim.Optimizer] | None = None
    schedule: Schedule = Recipe.schedule
    transform: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    autocast: torch.dtype | None = None


def _check(arguments: Mapping[str, Any]) -> list[str]:
    name = arguments["problem"]
    found = [
        *subspace_problems(arguments),
        *whole("epochs", arguments["epochs"], 1),
        *number("lr", arguments["lr"], above=0),
        *grid_problems(arguments["levels"], arguments["price"]),
        *stage_problems(arguments["stages"], arguments["levels"]),
    ]
    if wrong := problems_of(lambda: find_task(name)):
        return found + wrong
    return found + _option_problems(name, arguments.keys() - train.parameters.keys())


def _option_problems(name: str, given: Iterable[str]) -> list[str]:
    """What is wrong with the arguments of the function itself."""
    function = find_task(name)
    named = {n: p for n, p in function.parameters.items() if p.kind not in VARIADIC}
    valid = [*named, *(n for n, p in train.parameters.items() if p.kind not in VARIADIC)]
    found = [
        unknown_name(f"argument of {name}", option, valid)
        for option in sorted(given)
        if option not in named and not function.takes_any
    ]
    needed = [n for n, p in named.items() if p.default is p.empty and n not in {"seed", *given}]
    if needed:
        found.append(
            f"{name} needs {', '.join(needed)}. Give it, as in {needed[0]}=3; a task of your own "
            "takes dim and seed."
        )
    return found


@checked(_check, later=Recipe.later)
@on_cpu
def train(
    *,
    problem: str,
    dim: int | Literal["full"] = "full",
    projection: str = "hashed",
    epochs: int = Recipe.epochs,
    lr: float = Recipe.lr,
    levels: int = Recipe.levels,
    price: float = Recipe.price,
    stages: int = Recipe.stages,
    device: str = "auto",
    seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Train the module that a function gives, in d free parameters.

    PyTorch's generator is seeded before the function is called, so initial weights of the module's
    own and the order of a shuffling loader depend on the seed; its state is restored afterwards.
    Data that are drawn at random must come from a generator of their own, or each run has its own
    data.

    Args:
        problem: `package.module:function`; it gives a `Problem` or (module, train, test). It is
            called with the seed if it has an argument `seed`.
        dim: number of free parameters d, or "full" for all weights.
        projection: as for `Subspace`.
        epochs: passes over the training batches.
        lr: peak learning rate; with Adam, initial standard deviations per step.
        levels: as for `Recipe`; 0 for no grid.
        price: as for `Recipe`.
        stages: as for `Recipe`.
        device: "auto", "cpu", "cuda", …
        seed: of P, θ0, and PyTorch's generator.
        **options: further arguments of the function.

    Returns:
        `D`, `dim`, `steps`, `train_loss` (mean over the last epoch), `test_loss`,
        `test_accuracy` in percent or `test_score`; `evaluations`, the training loss of each
        epoch, and `loss_curve`, averaged over each hundredth of the steps.

    Raises:
        InputError: if the function does not give a problem, or a `Subspace` with parameters that
            train in addition to ω (they need another learning rate), or the loss is not finite.
    """
    where = find_device(device)
    with seeded(seed, where):
        made = make(problem, seed, options)
        net = _subspace(made.module, dim, projection, seed).to(where)
        grid = {"levels": levels, "price": price}
        recipe = Recipe(epochs, lr=lr, schedule=made.schedule, stages=stages, **grid)
        losses = _fit(net, made, recipe, seed, where)
        outputs, targets = outputs_of(net, made.test, where)
    keep(net)
    each = len(losses) // epochs
    ends = range(each, len(losses) + 1, each)
    course = [
        {"epoch": n, "step": end, "train_loss": sum(losses[end - each : end]) / each}
        for n, end in enumerate(ends, 1)
    ]
    return {
        "D": net.D,
        "dim": net.dim,
        "steps": len(losses),
        "train_loss": course[-1]["train_loss"],
        **judged(made, outputs, targets),
        "evaluations": course,
        "loss_curve": averages(losses, 100),
    }


def judged(made: Problem, outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """The loss and the metric of a problem.

    Args:
        made: the problem.
        outputs: of the whole test set.
        targets: of the whole test set.

    Returns:
        `test_loss`, and `test_accuracy` in percent or `test_score`.
    """
    return {"test_loss": float(_loss(made)(outputs, targets)), **_score(made, outputs, targets)}


def make(problem: str, seed: int = 0, options: Mapping[str, Any] = MappingProxyType({})) -> Problem:
    """Call the function that gives a problem.

    Args:
        problem: `package.module:function`.
        seed: for a function that takes one.
        options: its other arguments.

    Returns:
        The problem.

    Raises:
        InputError: if it gives something else.
    """
    function = find_task(problem)
    seeded = {"seed": seed} if "seed" in function.parameters else {}
    made: Any = function(**seeded, **options)
    if isinstance(made, (tuple, list)) and len(made) == 3 and isinstance(made[0], nn.Module):
        made = Problem(*made)
    if not isinstance(made, Problem):
        hint = " A function that gives results is a task: it takes dim and seed, a baseline seed."
        raise InputError(
            f"{problem} must give a Problem or (module, train, test), got {_kind(made)}."
            f"{hint if isinstance(made, Mapping) else ''}"
        )
    require(
        _data_problems("training", made.train),
        _data_problems("test", made.test),
        one_of("schedule", made.schedule, ("one-cycle", "constant")),
        _autocast_problems(made.autocast),
    )
    return made


def _autocast_problems(dtype: object) -> list[str]:
    wrong = (
        f"autocast must be torch.bfloat16 or None, got {dtype}. For float16, whose gradients need "
        "a scaler, write the whole training as a task."
    )
    return [] if dtype in {None, torch.bfloat16} else [wrong]


def _data_problems(role: str, data: object) -> list[str]:
    if isinstance(data, Sized) and isinstance(data, Iterable):
        return []
    got = f"such as a DataLoader or a list, got {_kind(data)}."
    return [f"The {role} data must be batches that can be counted and iterated again, {got}"]


def _kind(value: object) -> str:
    """A value's type, and those of a few values in a tuple or a list."""
    name = type(value).__name__
    if not isinstance(value, (tuple, list)) or len(value) > _FEW:
        return name
    return f"{name} of {', '.join(type(part).__name__ for part in value)}"


def _pairs(batches: Batches, where: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets on a device."""
    for batch in batches:
        x, y = _pair(batch, "A batch must be")
        yield x.to(where), y.to(where)


def _pair(batch: object, must: str) -> tuple[Tensor, Tensor]:
    match batch:
        case (Tensor() as x, Tensor() as y):
            return x, y
        case _:
            raise InputError(
                f"{must} (inputs, targets), two tensors, got {_kind(batch)}. For other batches "
                "write the whole training as a task."
            )


def _subspace(
    module: nn.Module, dim: int | Literal["full"], projection: str, seed: int
) -> Subspace:
    if not isinstance(module, Subspace):
        return Subspace(module, dim, projection, seed=seed)
    if module.selection.train:
        raise InputError(
            "This loop has one learning rate, and parameters that train in addition to ω need "
            "another. Write the whole training as a task."
        )
    return Subspace(
        module.merge(),
        dim,
        projection,
        seed=seed,
        theta0=module.theta0_from,
        scale=module.scale,
        include=module.selection.include,
        exclude=module.selection.exclude,
    )


def _fit(
    net: Subspace, made: Problem, recipe: Recipe, seed: int, where: torch.device
) -> list[float]:
    """Train; returns the loss of each step."""
    if not len(made.train):
        raise InputError("The training data have no batch.")
    count = recipe.epochs * len(made.train)
    optimizer = _optimizer(net, made, recipe, seed, count)
    scheduler = recipe.scheduler(optimizer, count)
    losses: list[float] = []
    forward, loss = _in_precision(made.autocast, where, net, _loss(made))
    net.train()
    for _ in range(recipe.epochs):
        batches = _transformed(made, where)
        found = torch.stack(list(steps(forward, batches, loss, optimizer, scheduler)))
        if not bool(found.isfinite().all()):
            raise InputError("The loss stopped being a finite number. Try a smaller lr.")
        losses += found.tolist()
    return losses


def _transformed(made: Problem, where: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    for x, y in _pairs(made.train, where):
        yield _pair(made.transform(x, y), "transform must give") if made.transform else (x, y)


def _in_precision(
    dtype: torch.dtype | None, where: torch.device, *functions: Callable[..., Tensor]
) -> list[Callable[..., Tensor]]:
    """Functions that compute in mixed precision, if there is a dtype."""

    def mixed(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*args: Tensor) -> Tensor:
            with torch.autocast(where.type, dtype):
                return function(*args)

        return call

    return [mixed(function) if dtype else function for function in functions]


def _optimizer(
    net: Subspace, made: Problem, recipe: Recipe, seed: int, count: int
) -> torch.optim.Optimizer:
    if made.optimizer is None:
        return recipe.optimizer(net, seed, count)
    if recipe.levels or recipe.stages > 1:
        raise InputError("levels and stages are for Adam: give the Problem no optimizer.")
    try:
        optimizer: Any = made.optimizer(net.parameters(), recipe.lr)
    except TypeError as error:
        raise InputError(
            "The optimizer of a Problem is called with the parameters and the run's lr, as in "
            f"torch.optim.SGD(parameters, lr): {error}."
        ) from None
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InputError(
            "The optimizer of a Problem must be a class such as torch.optim.SGD, or a function "
            f"that gives an optimizer; got one that gives {_kind(optimizer)}."
        )
    return optimizer


def _loss(made: Problem) -> Callable[[Tensor, Tensor], Tensor]:
    return _classify if made.loss is None else made.loss


def _classify(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy, for targets that are classes."""
    if targets.is_floating_point() or targets.is_complex():
        raise InputError(
            f"The targets are numbers of type {targets.dtype}, and the default loss is "
            "cross-entropy, which needs classes (whole numbers). For a regression give the loss: "
            "Problem(module, train, test, loss=torch.nn.functional.mse_loss)."
        )
    return cross_entropy(outputs, targets.long())


def outputs_of(net: nn.Module, test: Batches, where: torch.device) -> tuple[Tensor, Tensor]:
    """What a net computes for the test set.

    Args:
        net: on the device; in evaluation mode afterwards.
        test: batches of (inputs, targets).
        where: the device.

    Returns:
        All outputs, and all targets.

    Raises:
        InputError: if there is no batch.
    """
    net.eval()
    with torch.no_grad():
        pairs = [(net(x), y) for x, y in _pairs(test, where)]
    if not pairs:
        raise InputError("The test data have no batch.")
    outputs, targets = zip(*pairs, strict=True)
    return torch.cat(outputs), torch.cat(targets)


def _score(made: Problem, outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """The test metric: the problem's own, or the accuracy in percent of a classifier."""
    if made.score is not None:
        return {"test_score": float(plain(made.score(outputs, targets)))}
    if made.loss not in {None, cross_entropy}:
        return {}
    classes = targets.argmax(1) if targets.is_floating_point() else targets
    return {"test_accuracy": 100 * float((outputs.argmax(1) == classes).double().mean())}
