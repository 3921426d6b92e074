"""CartPole by CMA-ES: reinforcement learning in d free parameters, without a gradient."""

import importlib
import math
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from subspace_nn.common.errors import InputError
from subspace_nn.subspace.wrapper import Subspace

#: What a state's entries are divided by: about what they come to.
_SCALE = np.array((2.4, 3.0, 0.21, 3.0), dtype=np.float32)


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
    pole falls or after 500. Candidates of a generation play the same episodes. (CMA-ES: Hansen
    and Ostermeier, 2001. Li et al., 2018, have the same net, D = 562, on the older environment of
    200 steps, by deep Q-learning.)

    Args:
        dim: number of free parameters d, or "full" for all weights.
        projection: as for `Subspace`.
        width: of both hidden layers.
        evaluations: candidates in all, whatever d is.
        episodes: that each candidate plays.
        sigma: initial step of CMA-ES, in standard deviations of the initial weights.
        seed: of P, θ0, CMA-ES and the episodes.

    Returns:
        `D`, `dim`, `evaluations`, and `test_return`, the mean return of 100 new episodes by the
        final mean of CMA-ES.

    Raises:
        InputError: if gymnasium or cma is not installed, or a number is below 1.
    """
    if wrong := [v for v in (width, evaluations, episodes) if v < 1]:
        raise InputError(f"width, evaluations and episodes must be at least 1, got {wrong[0]}.")
    cma, gymnasium = _require("cma"), _require("gymnasium")
    net = Subspace(*_sized(width, dim), projection, seed=seed)
    generator = np.random.default_rng(seed)

    def draw(*shape: int) -> Any:
        return generator.standard_normal(shape)

    options = {
        "seed": math.nan,  # NumPy's global generator is left alone
        "randn": draw,
        "verbose": -9,
        "maxfevals": evaluations,
    }
    start = net.omega.detach().double().numpy()
    strategy = cma.CMAEvolutionStrategy(start, sigma, options)
    done = 0
    while done < evaluations:
        candidates = strategy.ask()
        returns = _play(gymnasium, net, candidates, episodes, int(generator.integers(2**31)))
        strategy.tell(candidates, [-value for value in returns])
        done += len(candidates)
    final = strategy.result.xfavorite
    (value,) = _play(gymnasium, net, [final], 100, int(generator.integers(2**31)))
    return {"D": net.D, "dim": net.dim, "evaluations": done, "test_return": value}


def _sized(width: int, dim: int | Literal["full"]) -> tuple[nn.Module, int]:
    module = nn.Sequential(
        nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
    )
    D = sum(p.numel() for p in module.parameters())
    return module, D if dim == "full" else dim


def _play(
    gymnasium: Any, net: Subspace, candidates: list[Any], episodes: int, seed: int
) -> list[float]:
    """Mean return of each candidate for ω; all play the same episodes."""
    count = len(candidates)
    layers = _layers(net, candidates)
    games = gymnasium.make_vec(
        "CartPole-v1", num_envs=count * episodes, vectorization_mode="vector_entry_point"
    )
    states, _ = games.reset(seed=seed)
    # The same beginnings for all: what follows is deterministic.
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


def _layers(net: Subspace, candidates: list[Any]) -> list[tuple[Any, Any]]:
    """Weights (count, in, out) and biases (count, 1, out) of each layer, for all candidates."""
    sets = []
    for candidate in candidates:
        with torch.no_grad():
            net.omega.copy_(torch.as_tensor(np.asarray(candidate)))
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


def _require(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(f"CartPole needs {module}: pip install 'subspace-nn[tasks]'.") from None
