"""A module and data of the user's own as a task: one loop over data loaders."""

import inspect
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from subspace_nn.common.errors import InputError, problems_of
from subspace_nn.projections import parse
from subspace_nn.runs.run import find_task
from subspace_nn.runs.task import VARIADIC, checked
from subspace_nn.subspace.layout import Layout
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks.train import find_device

#: So many types are told in a message.
_FEW = 5

#: Batches of (inputs, targets), such as a `DataLoader` or a list.
Batches = Collection[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Problem:
    """What is trained on what. A tuple of the first three will do for a classifier.

    Attributes:
        module: any module, untrained or pretrained; or a `Subspace` of one, whose θ0, scale,
            include and exclude count. Its d, projection and seed do not: they are the run's.
        train: batches to train on, such as a `DataLoader` that shuffles.
        test: batches to test on.
        loss: of outputs and targets, a mean over the batch; cross-entropy by default.
        score: of all outputs and targets of the test set, a number; by default the accuracy in
            percent if the loss is cross-entropy, and nothing else.
    """

    module: nn.Module
    train: Batches
    test: Batches
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy
    score: Callable[[Tensor, Tensor], float] | None = None


def _check(arguments: Mapping[str, Any]) -> list[str]:
    epochs, lr, name = (arguments[name] for name in ("epochs", "lr", "problem"))
    found = []
    if not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 1:
        found.append(f"epochs must be a whole number of at least 1, got {epochs!r}.")
    if not isinstance(lr, int | float) or isinstance(lr, bool) or not 0 < lr < math.inf:
        found.append(f"lr must be a number above 0, got {lr!r}.")
    found += problems_of(lambda: parse(arguments["projection"]))
    if wrong := problems_of(lambda: find_task(name)):
        return found + wrong
    parameters = inspect.signature(find_task(name)).parameters
    needed = [n for n, p in parameters.items() if p.default is p.empty and n != "seed"]
    needed = [n for n in needed if parameters[n].kind not in VARIADIC]
    if needed:
        found.append(
            f"{name} needs {', '.join(needed)}. A function that gives a module and data takes "
            "nothing, or the seed; a task of your own takes dim and seed."
        )
    return found


@checked(_check)
def train(
    *,
    problem: str,
    dim: int | Literal["full"] = "full",
    projection: str = "hashed",
    epochs: int = 5,
    lr: float = 0.4,
    device: str = "auto",
    seed: int = 0,
) -> dict[str, Any]:
    """Train the module that a function gives, in d free parameters.

    Adam with a one-cycle schedule, as for the built-in nets. PyTorch's generator is
    seeded before the function is called, so that initial weights of the module's own and the
    order of a shuffling loader depend on the seed; it is put back afterwards. Data that are
    drawn at random must come from a generator of their own, or each run has its own data.

    Args:
        problem: `package.module:function`; it gives a `Problem` or (module, train, test). It is
            called with the seed if it has an argument `seed`.
        dim: number of free parameters d, or "full" for all weights.
        projection: as for `Subspace`.
        epochs: passes over the training batches.
        lr: peak learning rate, in standard deviations of the initial weights per step.
        device: "auto", "cpu", "cuda", …
        seed: of P, θ0, and PyTorch's generator.

    Returns:
        `D`, `dim`, `steps`, `train_loss` (mean of the last epoch), `test_loss`, and
        `test_accuracy` in percent or `test_score`.

    Raises:
        InputError: if the function does not give a problem, or a `Subspace` with parameters that
            train beside ω (their learning rate would be another), or the loss is not finite.
    """
    where = find_device(device)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = _make(problem, seed)
        net = _subspace(made.module, dim, projection, seed)
        losses = _fit(net.to(where), made, epochs, lr, where)
        outputs, targets = _outputs(net, made.test, where)
    last = losses[-(len(losses) // epochs) :]
    result = {
        "D": net.D,
        "dim": net.dim,
        "steps": len(losses),
        "train_loss": sum(last) / len(last),
        "test_loss": float(made.loss(outputs, targets)),
    }
    if made.score is not None:
        result["test_score"] = float(made.score(outputs, targets))
    elif made.loss is cross_entropy:
        right = (outputs.argmax(1) == targets).double().mean()
        result["test_accuracy"] = 100 * float(right)
    return result


def _make(problem: str, seed: int) -> Problem:
    function = find_task(problem)
    takes_seed = "seed" in inspect.signature(function).parameters
    made: Any = function(seed=seed) if takes_seed else function()
    if isinstance(made, (tuple, list)) and len(made) == 3 and isinstance(made[0], nn.Module):
        made = Problem(*made)
    if not isinstance(made, Problem):
        raise InputError(
            f"{problem} must give a Problem or (module, train, test), got {_kind(made)}."
        )
    if odd := [
        f"The {role} data must be batches that can be counted and gone through again, such as a "
        f"DataLoader or a list, got {_kind(data)}."
        for role, data in (("training", made.train), ("test", made.test))
        if not isinstance(data, Sized) or not isinstance(data, Iterable)
    ]:
        raise InputError(*odd)
    return made


def _kind(value: object) -> str:
    """A value's type, and those of a few values in a tuple or a list."""
    name = type(value).__name__
    if not isinstance(value, (tuple, list)) or len(value) > _FEW:
        return name
    return f"{name} of {', '.join(type(part).__name__ for part in value)}"


def _pairs(batches: Batches, where: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets on a device."""
    for batch in batches:
        match batch:
            case (Tensor() as x, Tensor() as y):
                yield x.to(where), y.to(where)
            case _:
                raise InputError(
                    f"A batch must be (inputs, targets), two tensors, got {_kind(batch)}. For "
                    "other batches write the whole training as a task."
                )


def _subspace(
    module: nn.Module, dim: int | Literal["full"], projection: str, seed: int
) -> Subspace:
    if not isinstance(module, Subspace):
        D = Layout.of(module).D
        return Subspace(module, D if dim == "full" else dim, projection, seed=seed)
    if module.selection.train:
        raise InputError(
            "This loop has one learning rate, and parameters that train beside ω need another. "
            "Write the whole training as a task."
        )
    return Subspace(
        module.merge(),
        module.D if dim == "full" else dim,
        projection,
        seed=seed,
        theta0=module.theta0_from,
        scale=module.scale,
        include=module.selection.include,
        exclude=module.selection.exclude,
    )


def _fit(net: Subspace, made: Problem, epochs: int, lr: float, where: torch.device) -> list[float]:
    """Train; returns the loss of each step."""
    steps = epochs * len(made.train)
    if not steps:
        raise InputError("The training data have no batch.")
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=lr, total_steps=steps, cycle_momentum=False
    )
    losses: list[Tensor] = []
    net.train()
    for _ in range(epochs):
        for x, y in _pairs(made.train, where):
            loss = made.loss(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
    values = torch.stack(losses)
    if not bool(values.isfinite().all()):
        raise InputError("The loss stopped being a finite number. Try a smaller lr.")
    return values.tolist()


def _outputs(net: Subspace, test: Batches, where: torch.device) -> tuple[Tensor, Tensor]:
    net.eval()
    with torch.no_grad():
        pairs = [(net(x), y) for x, y in _pairs(test, where)]
    if not pairs:
        raise InputError("The test data have no batch.")
    outputs, targets = zip(*pairs, strict=True)
    return torch.cat(outputs), torch.cat(targets)
