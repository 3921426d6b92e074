"""CartPole by CMA-ES."""

import numpy as np
import pytest
import torch
from torch import nn

from subspace_nn import Subspace
from subspace_nn.common.errors import InputError
from subspace_nn.tasks import cartpole

gymnasium = pytest.importorskip("gymnasium")


def test_some_dimensions_solve_it_and_one_does_not():
    results = [cartpole.train(dim=d, evaluations=200) for d in (1, 15)]
    assert [result["dim"] for result in results] == [1, 15]
    assert results[0]["test_return"] < 300 < results[1]["test_return"]
    assert results[0]["D"] == 562


def test_all_weights():
    arguments = {"dim": "full", "projection": "identity", "width": 3, "evaluations": 30}
    result = cartpole.train(**arguments)
    assert cartpole.train(**arguments) == result
    assert result["dim"] == result["D"] == 4 * 3 + 3 + 3 * 3 + 3 + 3 * 2 + 2
    assert result["evaluations"] >= 30


def test_candidates_play_the_same_episodes():
    module, dim = cartpole._net(5), 4
    net = Subspace(module, dim, seed=0)
    returns = cartpole._play(gymnasium, net, [np.ones(4), np.zeros(4), np.ones(4)], 3, seed=1)
    assert returns[0] == returns[2]
    assert returns == cartpole._play(
        gymnasium, net, [np.ones(4), np.zeros(4), np.ones(4)], 3, seed=1
    )
    assert all(1 <= value <= 500 for value in returns)


def test_one_candidate_plays_as_the_plain_environment():
    module, dim = cartpole._net(5), 4
    net = Subspace(module, dim, seed=0)
    omega = np.array([0.5, -1.0, 2.0, 0.3])
    (got,) = cartpole._play(gymnasium, net, [omega], 1, seed=3)
    games = gymnasium.make_vec("CartPole-v1", num_envs=1, vectorization_mode="sync")
    starts = gymnasium.make_vec(
        "CartPole-v1", num_envs=1, vectorization_mode="vector_entry_point"
    ).reset(seed=3)[0]
    games.reset(seed=3)
    games.envs[0].unwrapped.state = starts[0].astype(np.float64)
    with torch.no_grad():
        net.omega.copy_(torch.tensor(omega))
    policy, state, total = net.merge(), starts, 0.0
    while True:
        x = torch.tensor(state / cartpole._SCALE, dtype=torch.float32)
        state, reward, ended, cut, _ = games.step(policy(x).argmax(1).numpy())
        total += float(reward[0])
        if ended[0] or cut[0]:
            break
    assert got == total
    assert isinstance(policy, nn.Module)


@pytest.mark.parametrize("arguments", [{"width": 0}, {"evaluations": 0}, {"episodes": -1}])
def test_mistakes(arguments):
    with pytest.raises(InputError, match="must be a whole number of at least 1"):
        cartpole.train(dim=2, **arguments)
