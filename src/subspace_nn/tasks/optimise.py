"""Optimisers for few free parameters, other than Adam: L-BFGS, CMA-ES and SPSA."""

import contextlib
import importlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from subspace_nn import bits
from subspace_nn.common.checks import number, plain, require, whole
from subspace_nn.common.errors import InputError
from subspace_nn.tasks.compared import Compared
from subspace_nn.tasks.recipe import Method, Recipe

#: CMA-ES holds a d × d matrix, and needs about 10 d evaluations or more to learn it.
CMAES_MOST = 1000
#: Number of iterations of L-BFGS in a step: the time is checked between steps.
_CHUNK = 5
#: Decay per step of the mean square of SPSA's slopes, and the least that it is divided by.
_DECAY, _TINY = 0.99, 1e-30
#: Number of evaluations in a training with CMA-ES.
_EVALUATIONS = 10


@dataclass(frozen=True)
class LBFGS(Method):
    """How to train with L-BFGS: rounds of iterations, each on one large sample of the images.

    (Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989. Within
    a round the loss is one fixed function, as the method needs; each round starts without memory.)
    A step is five iterations, its loss that before them; an epoch is a round.

    Attributes:
        rounds: number of samples of images.
        images: images per sample, drawn without replacement.
        iterations: of L-BFGS per round.
        history: number of past steps that approximate the curvature.
        seconds: no step begins after this time; no limit by default.
    """

    rounds: int = 4
    images: int = 8192
    iterations: int = 25
    history: int = 20
    seconds: float = math.inf

    averages: ClassVar[bool] = False
    remedy: ClassVar[str] = "Try fewer iterations, or Adam."

    def problems(self) -> list[str]:
        """As `Method` says."""
        names = ("rounds", "images", "iterations", "history")
        found = [problem for name in names for problem in whole(name, getattr(self, name), 1)]
        return found + _time(self.seconds)

    def lengths(self, count: int) -> list[int]:  # noqa: ARG002
        """As `Method` says."""
        return [-(-self.iterations // _CHUNK)] * self.rounds

    def rows(self, epoch: int, count: int, seed: int, device: torch.device) -> Iterator[Tensor]:
        """One sample, for all steps of the round."""
        sample = _sample(epoch, self.images, count, seed, device)
        for _ in range(self.lengths(count)[epoch]):
            yield sample

    def optimizer(self, net: nn.Module, seed: int, steps: int) -> torch.optim.Optimizer:  # noqa: ARG002
        """L-BFGS that forgets after each round."""
        return _Rounds(
            net.parameters(), every=-(-self.iterations // _CHUNK), history_size=self.history
        )


@dataclass(frozen=True)
class CMAES(Method):
    """How to train with CMA-ES, without gradients: generations of candidates for ω.

    A step is a generation, its loss the candidates' mean; the favourite is evaluated about ten
    times. `CMA` is the optimiser.

    Attributes:
        generations: number of generations.
        images: images on which the candidates of a generation are compared.
        population: candidates per generation; 0, the default, is 4 + 3 ln d.
        sigma: initial step, in standard deviations of the initial weights.
        seconds: no generation begins after this time; no limit by default.
    """

    generations: int = 200
    images: int = 1024
    population: int = 0
    sigma: float = 0.5
    seconds: float = math.inf

    averages: ClassVar[bool] = False
    remedy: ClassVar[str] = "Try a smaller sigma."

    def problems(self) -> list[str]:
        """As `Method` says."""
        return [
            *whole("generations", self.generations, 1),
            *whole("images", self.images, 1),
            *_population(self.population),
            *number("sigma", self.sigma, above=0),
            *_time(self.seconds),
        ]

    def lengths(self, count: int) -> list[int]:  # noqa: ARG002
        """As `Method` says."""
        often = max(1, self.generations // _EVALUATIONS)
        whole_ones, rest = divmod(self.generations, often)
        return [often] * whole_ones + [rest] * bool(rest)

    def rows(self, epoch: int, count: int, seed: int, device: torch.device) -> Iterator[Tensor]:
        """A sample for each generation."""
        lengths = self.lengths(count)
        first = sum(lengths[:epoch])
        for generation in range(first, first + lengths[epoch]):
            yield _sample(generation, self.images, count, seed, device)

    def optimizer(self, net: nn.Module, seed: int, steps: int) -> torch.optim.Optimizer:  # noqa: ARG002
        """CMA-ES."""
        return CMA(
            net.parameters(), self.sigma, population=self.population, generator=_generator(seed)
        )


@dataclass(frozen=True)
class Zeroth(Method):
    """How to train with `SPSA`: two forward passes a step, and no gradient.

    Attributes:
        epochs: passes over the training examples.
        batch_size: examples per step.
        lr: step, in standard deviations of the initial weights; it falls to 0 along a cosine.
        epsilon: distance at which losses are compared, in the same unit.
    """

    epochs: int = 5
    batch_size: int = 256
    lr: float = 0.1
    epsilon: float = 0.05

    remedy: ClassVar[str] = "Try a smaller lr."

    def problems(self) -> list[str]:
        """As `Method` says."""
        sizes = Recipe(self.epochs, self.batch_size, self.lr).problems()
        return [*sizes, *number("epsilon", self.epsilon, above=0)]

    def lengths(self, count: int) -> list[int]:
        """As `Method` says."""
        return Recipe(self.epochs, self.batch_size).lengths(count)

    def rows(self, epoch: int, count: int, seed: int, device: torch.device) -> Iterator[Tensor]:
        """As those of `Recipe`."""
        return Recipe(self.epochs, self.batch_size).rows(epoch, count, seed, device)

    def optimizer(self, net: nn.Module, seed: int, steps: int) -> torch.optim.Optimizer:  # noqa: ARG002
        """SPSA."""
        return SPSA(net.parameters(), self.lr, epsilon=self.epsilon, seed=seed)

    def scheduler(self, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler | None:
        """As `Method` says."""
        return CosineAnnealingLR(optimizer, steps)


class SPSA(Compared):
    """Simultaneous perturbation: the loss at two points gives the slope in a random direction.

        g = (L(ω + ε z) - L(ω - ε z)) / 2 ε,    ω ← ω - lr g z / √v

    v is the mean of g² over the last hundred steps or so, so that lr means what it means for Adam.

    (Spall, "Multivariate stochastic approximation using a simultaneous perturbation gradient
    approximation", 1992; on whole models, Malladi et al., "Fine-tuning language models with just
    forward passes", 2023.) The signs z = ±1 are drawn from the seed and the number of the step, so
    a training is the seed and one number per step, `slopes`: `replay` repeats it. No gradient is
    computed, and nothing of the size of the model is kept. PyTorch's generators are at the same
    state for both losses, so that dropout drops the same. In training mode the statistics of
    normalisations move twice a step. Where a loss is not finite the parameters stay as they are.

    Args:
        params: the parameters; those with `requires_grad=False` stay as they are.
        lr: step of each parameter; in a `Subspace`, in standard deviations of the initial weights.
        epsilon: distance ε at which the losses are compared.
        seed: of the directions.

    Attributes:
        slopes: lr · g / √v of each step.

    Raises:
        InputError: if lr or epsilon is not above 0, the seed is none, or the parameters are none
            that can be trained, or come in several groups.

    Example:
        >>> import torch
        >>> x = torch.nn.Parameter(torch.ones(3))
        >>> optimizer = SPSA([x], 0.05)
        >>> losses = [float(optimizer.step(lambda: x.square().sum())) for _ in range(100)]
        >>> y = torch.nn.Parameter(torch.ones(3))
        >>> SPSA([y]).replay(optimizer.slopes)
        >>> losses[-1] < 0.1, torch.equal(x, y)
        (True, True)
    """

    kept = ("slopes", "_square", "_compared")

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.1, *, epsilon: float = 0.05, seed: int = 0
    ) -> None:
        require(number("lr", lr, above=0), number("epsilon", epsilon, above=0))
        # All of them are in its state: another seed would go on in other directions.
        super().__init__(params, {"lr": lr, "epsilon": epsilon, "seed": bits.check_seed(seed)})
        self.slopes: list[float] = []
        self._square, self._compared = 0.0, 0  # a replayed step is not compared

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Compare two points, and move.

        Args:
            closure: computes the loss at the present parameters.

        Returns:
            The mean of the two losses.

        Raises:
            InputError: if there is no closure, or it does not return a loss.
        """
        (group,), parameters = self.param_groups, self.trained
        before = [p.clone() for p in parameters]
        cards = {p.device for p in parameters if p.device.type == "cuda"}
        same: contextlib.AbstractContextManager[None] = torch.random.fork_rng([*cards])
        signs: list[Tensor] = self._signs()
        losses: list[Tensor] = []
        for side, generators in ((1, same), (-1, contextlib.nullcontext())):
            self._move(signs, side * group["epsilon"])
            try:
                with generators:
                    losses.append(self.evaluate(closure))
            finally:  # an interrupt leaves no point that was only tried
                for p, value in zip(parameters, before, strict=True):
                    p.copy_(value)
        slope = float(losses[0] - losses[1]) / (2 * group["epsilon"])
        if math.isfinite(slope * slope):
            self._compared += 1
            self._square = _DECAY * self._square + (1 - _DECAY) * slope * slope
            mean = self._square / (1 - _DECAY**self._compared)
            self.slopes.append(group["lr"] * slope / max(math.sqrt(mean), _TINY))
            self._move(signs, -self.slopes[-1])
        else:
            self.slopes.append(0.0)  # the loss tells whoever trains
        return (losses[0] + losses[1]) / 2

    @torch.no_grad()
    def replay(self, slopes: Iterable[float]) -> None:
        """Repeat the steps of another training, from its first parameters on.

        Args:
            slopes: of that training, with the same seed.

        Raises:
            InputError: if one is not a finite number; then nothing is repeated.
        """
        steps = [plain(slope) for slope in slopes]
        require(*(number(f"slope {n}", slope) for n, slope in enumerate(steps)))
        for slope in steps:
            signs = self._signs()
            self.slopes.append(slope)
            self._move(signs, -slope)

    def _signs(self) -> list[Tensor]:
        """The direction of this step, parameter by parameter."""
        parameters, seed = self.trained, self.param_groups[0]["seed"]
        sizes = [p.numel() for p in parameters]
        pieces = bits.signs(seed, f"spsa/{len(self.slopes)}", 0, sum(sizes)).split(sizes)
        return [z.to(p).view_as(p) for z, p in zip(pieces, parameters, strict=True)]

    def _move(self, signs: list[Tensor], by: float) -> None:
        for p, z in zip(self.trained, signs, strict=True):
            p.add_(z, alpha=by)


class CMA(Compared):
    """CMA-ES as an optimiser of PyTorch: a step is a generation of candidates.

    (Hansen and Ostermeier, "Completely derandomized self-adaptation in evolution strategies",
    2001; the package `cma`.) After a step the parameters are the favourite, the mean of the search
    distribution. No gradient is computed.

    Args:
        params: the parameters; those with `requires_grad=False` stay as they are.
        lr: initial step σ; in a `Subspace`, in standard deviations of the initial weights.
        population: candidates per generation, at least 2; 0 is 4 + 3 ln d.
        generator: of the candidates; by default one seeded with PyTorch's initial seed.
        most: largest number of parameters; CMA-ES holds a matrix of its square.

    Raises:
        InputError: if the parameters are too many, none that can be trained or in several groups,
            lr or population is wrong, or the package `cma` is not installed.

    Example:
        >>> import torch
        >>> x = torch.nn.Parameter(torch.ones(3))
        >>> optimizer = CMA([x], 0.5, generator=np.random.default_rng(0))
        >>> losses = [float(optimizer.step(lambda: x.square().sum())) for _ in range(30)]
        >>> losses[-1] < 0.1
        True
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.5,
        *,
        population: int = 0,
        generator: np.random.Generator | None = None,
        most: int = CMAES_MOST,
    ) -> None:
        require(number("lr", lr, above=0), _population(population))
        super().__init__(params, {"lr": lr})
        if (count := sum(p.numel() for p in self.trained)) > most:
            raise InputError(
                f"CMA-ES is for at most {most:,} free parameters, got {count:,}. "
                "Use L-BFGS or Adam."
            )
        generator = generator or _generator(torch.initial_seed())

        def draw(*shape: int) -> Any:
            return generator.standard_normal(shape)

        options = {
            "seed": math.nan,  # NumPy's global generator is left alone
            "randn": draw,
            "verbose": -9,
            **({"popsize": population} if population else {}),
        }
        start = parameters_to_vector(self.trained).detach().cpu().double().numpy()
        self._strategy = _cma().CMAEvolutionStrategy(start, lr, options)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Compare the candidates of one generation.

        Args:
            closure: computes the loss at the present parameters.

        Returns:
            The candidates' mean loss, a float64 tensor.

        Raises:
            InputError: if there is no closure, or it does not return a loss.
        """

        def loss_at(candidate: Any) -> float:
            self.put(candidate)
            return float(self.evaluate(closure))

        with torch.no_grad():
            losses = self.generation(lambda candidates: [loss_at(one) for one in candidates])
        return torch.tensor(sum(losses) / len(losses), dtype=torch.float64, device="cpu")

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Refused: the search distribution is in memory alone.

        Args:
            state_dict: any.

        Raises:
            InputError: always.
        """
        raise InputError(
            "CMA cannot go on from a state, which does not hold its search distribution: make a "
            "new one, which starts at the present parameters."
        )

    def generation(self, losses_of: Callable[[Sequence[Any]], Sequence[float]]) -> list[float]:
        """Compare the candidates of one generation, all at once.

        Args:
            losses_of: takes the candidates, arrays of shape (d,), and returns their losses.

        Returns:
            Their losses.
        """
        candidates = self._strategy.ask()
        try:
            losses = list(losses_of(candidates))
            self._strategy.tell(candidates, losses)
        finally:  # an interrupt leaves no candidate that was only tried
            self.put(self.favourite)
        return losses

    @property
    def favourite(self) -> Any:
        """The mean of the search distribution, an array of shape (d,)."""
        return self._strategy.result.xfavorite

    @torch.no_grad()
    def put(self, values: Any) -> None:
        """Set the parameters.

        Args:
            values: array of shape (d,).
        """
        pieces = torch.as_tensor(np.asarray(values), device="cpu").split(
            [p.numel() for p in self.trained]
        )
        for parameter, piece in zip(self.trained, pieces, strict=True):
            parameter.copy_(piece.view_as(parameter))


class _Rounds(torch.optim.LBFGS):
    """L-BFGS that starts without memory every n steps."""

    def __init__(self, params: Iterable[Tensor], *, every: int, history_size: int) -> None:
        super().__init__(
            params, max_iter=_CHUNK, history_size=history_size, line_search_fn="strong_wolfe"
        )
        self._every, self._done = every, 0

    def step(self, closure: Callable[[], Any]) -> Any:
        if self._done % self._every == 0:
            self.state.clear()
        self._done += 1
        return super().step(closure)


def _sample(index: int, images: int, count: int, seed: int, device: torch.device) -> Tensor:
    """The row numbers of the index-th sample."""
    return bits.permutation(seed, f"sample/{index}", count, device)[: min(images, count)]


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _population(size: object) -> list[str]:
    return whole("population", size, 0) if size == 0 else whole("population", size, 2)


def _time(seconds: float) -> list[str]:
    return [] if seconds == math.inf else number("seconds", seconds, above=0)


def _cma() -> Any:
    try:
        return importlib.import_module("cma")
    except ImportError:
        raise InputError(
            "CMA-ES needs the package cma: pip install 'subspace-nn[tasks]'."
        ) from None
