"""Federated averaging in a shared subspace: each client sends d numbers a round.

Ten clients have 5,500 images of MNIST each, two shards of images sorted by label, so that none has
seen more than four digits (McMahan et al., "Communication-efficient learning of deep networks from
decentralized data", 2017). In each round all take the server's numbers, train on images of their
own for ten steps, and send theirs back; the server takes the mean. All know θ0 and P, which are
from a seed: with d = 1,000 a client takes and sends 4,000 bytes, and 796,840 where all 199,210
weights of the net are averaged. From the root of the repository:

    python examples/federated.py --quick         # some seconds, to see that it works
    python examples/federated.py                 # the numbers of docs/examples/federated.md

Compared are averaging in the subspace, averaging of all weights, and a subspace trained centrally
with as many steps, on images of all clients. Learning rates are chosen by accuracy on 5,000 images
that nobody trains on; the test images count once, at the end. Finished runs are kept in --out.
"""

import argparse
import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import subspace_nn as sn
from subspace_nn import bits, models
from subspace_nn.common import environment
from subspace_nn.common.atomic import write_atomically
from subspace_nn.tasks import data

Images = tuple[Tensor, Tensor]  # (n, 1, 28, 28) in [0, 1], and n labels


@dataclass(frozen=True)
class Settings:
    """Settings of every run."""

    dim: int = 1000
    clients: int = 10
    rounds: int = 25
    tuning_rounds: int = 6
    steps: int = 10
    batch: int = 32
    train: int = 55_000


@dataclass(frozen=True)
class Plan:
    """One training."""

    way: str
    method: str
    rounds: int
    lr: float
    seed: int


#: Learning rates of Adam: for ω in standard deviations per step, for weights in their units.
RATES = {"subspace": (0.1, 0.3, 1.0), "all weights": (0.001, 0.003, 0.01)}
QUICK = Settings(dim=50, rounds=2, tuning_rounds=1, train=2000)


def make(method: str, s: Settings, seed: int) -> nn.Module:
    """A net at θ0; its trainable parameters are what is sent."""
    net = sn.Subspace(models.build("fc"), s.dim, seed=seed)
    return net if method == "subspace" else net.merge()


def sent(net: nn.Module) -> list[nn.Parameter]:
    return [p for p in net.parameters() if p.requires_grad]


def share_out(labels: Tensor, clients: int) -> list[Tensor]:
    """Two shards of images, sorted by label, for each client: numbers of its images."""
    shards = labels.argsort(stable=True).chunk(2 * clients)
    order = bits.permutation(0, "shards", len(shards)).tolist()
    return [torch.cat([shards[a], shards[b]]) for a, b in zip(order[::2], order[1::2], strict=True)]


def fit(net: nn.Module, images: Images, lr: float, order: Tensor, batch: int) -> None:
    """Adam on some images in an order, once."""
    optimizer = torch.optim.Adam(sent(net), lr=lr, betas=(0.9, 0.99))
    for chosen in order.split(batch):
        loss = nn.functional.cross_entropy(net(images[0][chosen]), images[1][chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def accuracy(net: nn.Module, images: Images) -> float:
    """In %, over all images."""
    parts = zip(images[0].split(1000), images[1].split(1000), strict=True)
    return 100 * sum(int((net(x).argmax(1) == y).sum()) for x, y in parts) / len(images[1])


def federate(net: nn.Module, images: Images, s: Settings, plan: Plan) -> int:
    """Average what clients send, round after round; the net ends with the server's numbers.

    Returns the bytes that all clients took and sent.
    """
    own = share_out(images[1], s.clients)
    server = [p.detach().clone() for p in sent(net)]
    moved = 0
    for number in range(plan.rounds):
        sums = [torch.zeros_like(p) for p in server]
        for client, images_of in enumerate(own):
            with torch.no_grad():
                for p, value in zip(sent(net), server, strict=True):
                    p.copy_(value)
            mixed = bits.permutation(plan.seed, f"images/{number}/{client}", len(images_of))
            fit(net, images, plan.lr, images_of[mixed][: s.steps * s.batch], s.batch)
            for so_far, p in zip(sums, sent(net), strict=True):
                so_far.add_(p.detach(), alpha=len(images_of) / len(images[1]))
            moved += 2 * sum(p.detach().nbytes for p in sent(net))
        server = sums
    with torch.no_grad():
        for p, value in zip(sent(net), server, strict=True):
            p.copy_(value)
    return moved


def centralise(net: nn.Module, images: Images, s: Settings, plan: Plan) -> int:
    """As many steps with images of all clients, one optimiser throughout."""
    needed, count = plan.rounds * s.clients * s.steps * s.batch, len(images[1])
    epochs = range(-(-needed // count))
    orders = [bits.permutation(plan.seed, f"all/{epoch}", count) for epoch in epochs]
    fit(net, images, plan.lr, torch.cat(orders)[:needed], s.batch)
    return 0


WAYS = {"federated": federate, "central": centralise}
COMPARED = (("federated", "subspace"), ("federated", "all weights"), ("central", "subspace"))


def run(plan: Plan, s: Settings, train: Images, test: Images) -> dict[str, Any]:
    net = make(plan.method, s, plan.seed)
    moved = WAYS[plan.way](net, train, s, plan)
    numbers = sum(p.numel() for p in sent(net))
    return asdict(plan) | {"sent": numbers, "bytes": moved, "accuracy": accuracy(net, test)}


def table(runs: list[dict[str, Any]]) -> str:
    """Numbers sent, bytes taken and sent by all clients in all rounds, mean and deviation."""
    lines = ["training    of            numbers               bytes   n   test accuracy, %"]
    for way, method in COMPARED:
        found = [r for r in runs if (r["way"], r["method"]) == (way, method)]
        values = [r["accuracy"] for r in found]
        spread = statistics.stdev(values) if len(values) > 1 else float("nan")
        lines.append(
            f"{way:12}{method:12}{found[0]['sent']:>9,}{found[0]['bytes']:>20,}{len(found):>4}"
            f"{statistics.mean(values):>12.2f} ± {spread:.2f}"
        )
    return "\n".join(lines)


def split(digits: data.Dataset, s: Settings) -> tuple[Images, Images, Images]:
    """Training, validation and test images; the first two are in random order."""
    order = bits.permutation(0, "federated", len(digits.train.images))
    parts = [order[: s.train], order[55_000:]]
    whole = [(digits.train.images[i], digits.train.labels[i]) for i in parts]
    whole.append((digits.test.images, digits.test.labels))
    train, validation, test = [(x[:, None].float() / 255, y) for x, y in whole]
    return train, validation, test


def main() -> None:
    """Choose learning rates, run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results/federated.json"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny; writes runs/federated.json")
    options = parser.parse_args()
    s, out = (QUICK, Path("runs/federated.json")) if options.quick else (Settings(), options.out)
    out.parent.mkdir(exist_ok=True)
    train, validation, test = split(data.mnist(), s)
    done = json.loads(out.read_text("utf-8")) if out.exists() else {"tuning": [], "runs": []}
    if done.get("settings", asdict(s)) != asdict(s):
        raise SystemExit(f"{out} was made with other settings: remove it, or give another --out.")

    def once(kind: str, plan: Plan) -> dict[str, Any]:
        for found in done[kind]:
            if asdict(plan).items() <= found.items():
                return found
        made = run(plan, s, train, validation if kind == "tuning" else test)
        done[kind].append(made)
        about = {"command": "python examples/federated.py", "settings": asdict(s)}
        about["environment"] = environment.describe() | environment.commit()
        write_atomically(out, (json.dumps(done | about, indent=1) + "\n").encode())
        return made

    for way, method in COMPARED:
        plans = [Plan(way, method, s.tuning_rounds, lr, seed=1000) for lr in RATES[method]]
        tried = [once("tuning", plan) for plan in plans]
        best = max(tried, key=lambda found: found["accuracy"])["lr"]
        for seed in range(options.seeds):
            once("runs", Plan(way, method, s.rounds, best, seed))
    print(table(done["runs"]))


if __name__ == "__main__":
    main()
