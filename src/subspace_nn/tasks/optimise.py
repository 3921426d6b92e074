"""Other optimisers than Adam, for few free parameters: L-BFGS and CMA-ES."""

import dataclasses
import importlib
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own spelling
from torch import Tensor

from subspace_nn import bits
from subspace_nn.common.errors import InputError
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks import train
from subspace_nn.tasks.data import Dataset
from subspace_nn.tasks.train import (
    DivergedError,
    Evaluation,
    History,
    Progress,
    Recipe,
    as_input,
    count_correct,
    find_device,
)

#: CMA-ES holds a d × d matrix, and needs about 10 d evaluations or more to learn it.
CMAES_MOST = 1000
#: L-BFGS looks at the clock once in so many iterations.
_CHUNK = 5


@dataclass(frozen=True)
class LBFGS:
    """How to train by L-BFGS: rounds of iterations, each on one large sample of the images.

    (Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989. Within
    a round the loss is one fixed function, as the method needs; a new round begins without memory.)

    Attributes:
        rounds: samples of images, one after the other.
        images: images in each, without replacement within it.
        iterations: of L-BFGS in each round.
        history: number of past steps that approximate the curvature.
        seconds: no iteration begins after so long; no limit by default.
    """

    rounds: int = 4
    images: int = 8192
    iterations: int = 25
    history: int = 20
    seconds: float = math.inf


@dataclass(frozen=True)
class CMAES:
    """How to train by CMA-ES, without gradients: generations of candidates for ω.

    (Hansen and Ostermeier, "Completely derandomized self-adaptation in evolution strategies",
    2001; the package `cma`.)

    Attributes:
        generations: number of them.
        images: images on which the candidates of a generation are compared; the same for all.
        population: candidates in a generation; 0, the default, is 4 + 3 ln d.
        sigma: initial step, in standard deviations of the initial weights.
        seconds: no generation begins after so long; no limit by default.
    """

    generations: int = 200
    images: int = 1024
    population: int = 0
    sigma: float = 0.5
    seconds: float = math.inf


def fit(
    net: Subspace,
    data: Dataset,
    recipe: Recipe | LBFGS | CMAES,
    *,
    seed: int = 0,
    device: str = "auto",
    clock: Callable[[], float] = time.perf_counter,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> History:
    """Train a classifier by the optimiser that the recipe is for.

    Args:
        net: a subspace, moved to the device and trained in place.
        data: training and test set.
        recipe: of Adam, L-BFGS or CMA-ES.
        seed: of the samples of images, of dropout, and of CMA-ES.
        device: as for `subspace_nn.tasks.train.fit`.
        clock: what the limit in seconds is compared with, for optimisers other than Adam; wall
            time by default.
        on_progress: called after each evaluation.

    Returns:
        The history. For L-BFGS a step is five iterations, its loss that of the sample before
        them, and an epoch of the evaluations is a round. For CMA-ES a step is a generation, its
        loss the candidates' mean; its favourite is evaluated ten times in all.

    Raises:
        InputError: if a value is out of range, or CMA-ES gets more than 1,000 free parameters.
        DivergedError: if the loss is no longer finite.
    """
    if isinstance(recipe, Recipe):
        return train.fit(net, data, recipe, seed=seed, device=device, on_progress=on_progress)
    if problems := _problems(recipe, net):
        raise InputError(*problems)
    where = find_device(device)
    there = dataclasses.replace(data, train=data.train.to(where), test=data.test.to(where))
    loop = _Loop(net.to(where), there, seed, clock, on_progress)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        loop.run(_lbfgs(loop, recipe) if isinstance(recipe, LBFGS) else _cma_es(loop, recipe))
    return loop.history


class _Loop:
    """What both optimisers need: samples of images, the loss, evaluations."""

    def __init__(
        self,
        net: Subspace,
        data: Dataset,
        seed: int,
        clock: Callable[[], float],
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.net, self.data, self.seed = net, data, seed
        self.clock, self.on_progress = clock, on_progress
        self.history = History(steps=0)
        self.start = clock()

    @property
    def seconds(self) -> float:
        return self.clock() - self.start

    def run(self, rounds: Iterator[int]) -> None:
        """Go through the rounds, evaluating after each."""
        self.net.train()
        for steps in rounds:
            self._evaluate()
            if not math.isfinite(self.history.losses[-1]):
                self.history.stopped = f"the loss became {self.history.losses[-1]}"
                raise DivergedError(f"Stopped: {self.history.stopped}.", self.history)
            self._tell(steps)
        self.history.steps = len(self.history.losses)

    def sample(self, count: int, index: int) -> tuple[Tensor, Tensor]:
        """The index-th sample of training images and labels."""
        images, labels = self.data.train.images, self.data.train.labels
        order = bits.permutation(self.seed, f"sample/{index}", len(labels), labels.device)
        rows = order[: min(count, len(labels))]
        return as_input(images[rows]), labels[rows].long()

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.net(x), y)

    def _evaluate(self) -> None:
        history, test = self.history, self.data.test
        correct, test_loss = count_correct(self.net, test)
        history.evaluations.append(
            Evaluation(
                epoch=len(history.evaluations) + 1,
                step=len(history.losses),
                train_loss=history.losses[-1],
                test_loss=test_loss,
                test_correct=correct,
                test_accuracy=100 * correct / len(test.labels),
                seconds=self.seconds,
            )
        )

    def _tell(self, steps: int) -> None:
        last = self.history.evaluations[-1]
        done = len(self.history.losses)
        self.on_progress(Progress(last.epoch, done, steps, self.history.losses[-1], last))


def _lbfgs(loop: _Loop, recipe: LBFGS) -> Iterator[int]:
    """Rounds of L-BFGS; gives the number of iterations there will be, after each."""
    for number in range(recipe.rounds):
        x, y = loop.sample(recipe.images, number)
        optimizer = torch.optim.LBFGS(
            loop.net.parameters(),
            max_iter=_CHUNK,
            history_size=recipe.history,
            line_search_fn="strong_wolfe",
        )

        def closure(
            x: Tensor = x, y: Tensor = y, optimizer: torch.optim.Optimizer = optimizer
        ) -> Tensor:
            optimizer.zero_grad()
            loss = loop.loss(x, y)
            loss.backward()
            return loss

        for _ in range(-(-recipe.iterations // _CHUNK)):
            if loop.seconds > recipe.seconds:
                break
            loop.history.losses.append(float(optimizer.step(closure).detach()))
        yield recipe.rounds * -(-recipe.iterations // _CHUNK)
        if loop.seconds > recipe.seconds:
            return


def _cma_es(loop: _Loop, recipe: CMAES) -> Iterator[int]:
    """Generations of CMA-ES; gives their number ten times in all, with its mean as ω."""
    cma = _cma()
    omega = loop.net.omega
    generator = np.random.default_rng(loop.seed)

    def draw(*shape: int) -> Any:
        return generator.standard_normal(shape)

    options = {
        "seed": math.nan,  # NumPy's global generator is left alone
        "randn": draw,
        "verbose": -9,
        **({"popsize": recipe.population} if recipe.population else {}),
    }
    start = omega.detach().cpu().double().numpy()
    strategy = cma.CMAEvolutionStrategy(start, recipe.sigma, options)
    often = max(1, recipe.generations // 10)
    for number in itertools.count():
        if number == recipe.generations or loop.seconds > recipe.seconds:
            _set(omega, strategy.result.xfavorite)
            yield recipe.generations
            return
        x, y = loop.sample(recipe.images, number)
        candidates = strategy.ask()
        losses = [_loss_at(loop, candidate, x, y) for candidate in candidates]
        strategy.tell(candidates, losses)
        loop.history.losses.append(sum(losses) / len(losses))
        if (number + 1) % often == 0 and number + 1 < recipe.generations:
            _set(omega, strategy.result.xfavorite)
            yield recipe.generations


def _loss_at(loop: _Loop, candidate: Any, x: Tensor, y: Tensor) -> float:
    _set(loop.net.omega, candidate)
    with torch.no_grad():
        return float(loop.loss(x, y))


def _set(omega: Tensor, values: Any) -> None:
    with torch.no_grad():
        omega.copy_(torch.as_tensor(np.asarray(values)))


def _cma() -> Any:
    try:
        return importlib.import_module("cma")
    except ImportError:
        raise InputError(
            "CMA-ES needs the package cma: pip install 'subspace-nn[tasks]'."
        ) from None


def _problems(recipe: LBFGS | CMAES, net: Subspace) -> list[str]:
    found = [
        f"{name} must be above 0, got {value!r}."
        for name, value in dataclasses.asdict(recipe).items()
        if value <= 0 and name != "population"
    ]
    if isinstance(recipe, CMAES) and net.dim > CMAES_MOST:
        found.append(
            f"CMA-ES is for at most {CMAES_MOST:,} free parameters, got {net.dim:,}. "
            "Use L-BFGS or Adam."
        )
    return found
