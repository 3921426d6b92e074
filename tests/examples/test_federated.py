"""The example's parts: what clients have, what the server takes, the bytes."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from subspace_nn import bits
from tests.examples.scripts import script

federated = script("federated")
SETTINGS = federated.Settings(dim=6, clients=2, rounds=2, steps=3, batch=8, train=64)
PLAN = federated.Plan("federated", "subspace", rounds=1, lr=0.1, seed=3)


@pytest.fixture(scope="module")
def images():
    labels = bits.permutation(0, "labels", 64) % 10
    pixels = bits.uniform(0, "pixels", 0, 64 * 784).view(64, 1, 28, 28).float()
    return pixels, labels


def sent(net):
    return [p.detach().clone() for p in federated.sent(net)]


def test_every_image_is_one_clients_and_clients_have_few_digits():
    labels = bits.permutation(0, "labels", 6000) % 10
    own = federated.share_out(labels, 10)
    assert sorted(torch.cat(own).tolist()) == list(range(6000))
    digits = [len(labels[chosen].unique()) for chosen in own]
    assert max(digits) <= 4
    assert sum(digits) / 10 < 4


@pytest.mark.parametrize("method", ["subspace", "all weights"])
def test_the_server_takes_the_mean_of_what_clients_send(method, images):
    s, plan = SETTINGS, replace(PLAN, method=method)
    net = federated.make(method, s, seed=3)
    moved = federated.federate(net, images, s, plan)
    numbers = 6 if method == "subspace" else 199_210
    assert moved == 2 * 2 * 4 * numbers  # to and from two clients, 4 bytes each
    own = federated.share_out(images[1], s.clients)
    means = 0
    for client in range(s.clients):
        alone = federated.make(method, s, seed=3)
        order = own[client][bits.permutation(3, f"images/0/{client}", len(own[client]))]
        federated.fit(alone, images, plan.lr, order[:24], s.batch)
        means = [a + b / 2 for a, b in zip(means or [0] * 99, sent(alone), strict=False)]
    torch.testing.assert_close(sent(net), means)


def test_a_central_training_takes_as_many_steps(images, monkeypatch):
    steps = []
    monkeypatch.setattr(federated, "fit", lambda *args: steps.append(len(args[3].split(args[4]))))
    for way in federated.WAYS:
        steps.append(0)
        federated.WAYS[way](federated.make("subspace", SETTINGS, 0), images, SETTINGS, PLAN)
    assert sum(steps[: steps.index(0, 1)]) == sum(steps[steps.index(0, 1) :]) == 6


def test_the_page_has_the_records():
    root = Path(__file__).parents[2]
    content = json.loads((root / "results/federated.json").read_text())
    assert content["settings"] == asdict(federated.Settings())
    for run in content["runs"]:
        tried = [
            r for r in content["tuning"] if (r["way"], r["method"]) == (run["way"], run["method"])
        ]
        assert run["lr"] == max(tried, key=lambda r: r["accuracy"])["lr"]
    table = federated.table(content["runs"])
    assert table in (root / "docs/examples/federated.md").read_text()
