"""CartPole by CMA-ES: reinforcement learning in d free parameters, without a gradient."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from subspace_nn.common.checks import number, whole
from subspace_nn.common.errors import InputError
from subspace_nn.runs.task import checked
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks.config import subspace_problems
from subspace_nn.tasks.loop import on_cpu
from subspace_nn.tasks.optimise import CMA

#: A state's entries are divided by these, which are about their largest values.
_SCALE = np.array((2.4, 3.0, 0.21, 3.0), dtype=np.float32)
#: More weights than this would make CMA-ES hold a matrix of gigabytes.
_MOST = 10_000


def _check(arguments: Mapping[str, Any]) -> list[str]:
    counts = ("width", "evaluations", "episodes")
    return [
        *subspace_problems(arguments),
        *(problem for name in counts for problem in whole(name, arguments[name], 1)),
        *number("sigma", arguments["sigma"], above=0),
    ]


@checked(_check)
@on_cpu
def train(
    *,
    dim: int | Literal["full"] = 25,
    projection: str = "hashed",
    width: int = 20,
    evaluations: int = 800,
    episodes: int = 2,
    sigma: float = 1.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Balance a pole with a net 4-width-width-2 whose weights CMA-ES finds.

    The environment is gymnasium's CartPole-v1: a step is worth 1, and an episode ends when the
    pole falls or after 500 steps. All candidates of a generation play the same episodes. (CMA-ES:
    Hansen and Ostermeier, 2001. Li et al., 2018, use the same net, D = 562, on the older
    environment of 200 steps, with deep Q-learning.)

    Args:
        dim: number of free parameters d, or "full" for all weights.
        projection: as for `Subspace`.
        width: units in each of the two hidden layers.
        evaluations: least number of candidates in total, for any d.
        episodes: number of episodes per candidate.
        sigma: initial step of CMA-ES, in standard deviations of the initial weights.
        seed: of P, θ0, CMA-ES and the episodes.

    Returns:
        `D`, `dim`, `evaluations`, and `test_return`, the mean return of 100 new episodes with
        the final mean of CMA-ES.

    Raises:
        InputError: if gymnasium or cma is not installed, or a number is out of range.
    """
    gymnasium = _gymnasium()
    net = Subspace(_net(width), dim, projection, seed=seed)
    generator = np.random.default_rng(seed)
    optimizer = CMA(net.parameters(), sigma, generator=generator, most=_MOST)

    def play(candidates: Sequence[Any], episodes: int = episodes) -> list[float]:
        return _play(gymnasium, net, candidates, episodes, int(generator.integers(2**31)))

    done = 0
    while done < evaluations:
        done += len(optimizer.generation(lambda found: [-value for value in play(found)]))
    (value,) = play([optimizer.favourite], 100)
    return {"D": net.D, "dim": net.dim, "evaluations": done, "test_return": value}


def _net(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
    )


def _play(
    gymnasium: Any, net: Subspace, candidates: Sequence[Any], episodes: int, seed: int
) -> list[float]:
    """Mean return of each candidate for ω; all play the same episodes."""
    count = len(candidates)
    layers = _layers(net, candidates)
    games = gymnasium.make_vec(
        "CartPole-v1", num_envs=count * episodes, vectorization_mode="vector_entry_point"
    )
    states, _ = games.reset(seed=seed)
    # All start from the same states; the rest is deterministic.
    first = states.reshape(count, episodes, 4)[:1].repeat(count, 0)
    games.unwrapped.state = first.reshape(-1, 4).T.astype(games.unwrapped.state.dtype)
    states = first.reshape(-1, 4)
    alive, total = np.ones(count * episodes, dtype=bool), np.zeros(count * episodes)
    while alive.any():
        states, rewards, ended, cut, _ = games.step(_actions(layers, states, count))
        total += rewards * alive
        alive &= ~(ended | cut)
    games.close()
    return total.reshape(count, episodes).mean(1).tolist()


def _layers(net: Subspace, candidates: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Weights (count, in, out) and biases (count, 1, out) of each layer, for all candidates."""
    sets = []
    for candidate in candidates:
        with torch.no_grad():
            net.omega.copy_(torch.as_tensor(np.asarray(candidate), device="cpu"))
        plain = net.merge()
        linear = [module for module in plain.modules() if isinstance(module, nn.Linear)]
        sets.append([(m.weight.detach().numpy().T, m.bias.detach().numpy()) for m in linear])
    return [
        (np.stack([weight for weight, _ in layer]), np.stack([[bias] for _, bias in layer]))
        for layer in zip(*sets, strict=True)
    ]


def _actions(layers: list[tuple[Any, Any]], states: Any, count: int) -> Any:
    x = (states / _SCALE).reshape(count, -1, 4)
    for weight, bias in layers[:-1]:
        x = np.maximum(x @ weight + bias, 0)
    weight, bias = layers[-1]
    return (x @ weight + bias).argmax(2).ravel()


def _gymnasium() -> Any:
    try:
        return importlib.import_module("gymnasium")
    except ImportError:
        raise InputError("CartPole needs gymnasium: pip install 'subspace-nn[tasks]'.") from None
