"""A language model trained on Python's documentation, then adapted to Python's code in d numbers.

    python examples/language.py results/language.json      # ten minutes of one core

A GPT-2 of 0.4 million weights that reads bytes. Both texts come with Python: the topics of `help()`
and the standard library. No topic or module of the test is in a training text.
"""

import inspect
import json
import pydoc_data.topics
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import torch
import transformers as hf

import subspace_nn as sn
from subspace_nn.common import environment

TOPICS = [text for _, text in sorted(pydoc_data.topics.topics.items())]
TRAIN = "ast bdb calendar cmd configparser csv difflib gettext inspect logging optparse pdb pickle"
TEST = "shlex string textwrap"
SIZES = {"vocab_size": 128, "n_positions": 128, "n_embd": 96, "n_layer": 3, "n_head": 4}
LR = {"d": 0.03, "all": 2e-3}  # the best of three each, on `pickle`, held out for that
OTHERS = dict.fromkeys(
    ("resid_pdrop", "embd_pdrop", "attn_pdrop", "bos_token_id", "eos_token_id"), 0
)


def windows(texts: Iterable[str]) -> torch.Tensor:
    data = torch.tensor([*"\n".join(texts).encode("ascii", "replace")])
    return data[: len(data) // 128 * 128].view(-1, 128)


def code(names: str) -> torch.Tensor:
    return windows(inspect.getsource(import_module(name)) for name in names.split())


def train(model: hf.GPT2LMHeadModel, x: torch.Tensor, steps: int, lr: float, seed: int) -> None:
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    torch.manual_seed(seed)
    for _ in range(steps):
        rows = x[torch.randint(len(x), (8,))]
        optimizer.zero_grad()
        model(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def perplexity(model: hf.GPT2LMHeadModel, x: torch.Tensor) -> float:
    """Of a byte: e to the mean loss."""
    losses = [len(rows) * model(input_ids=rows, labels=rows).loss for rows in x.split(64)]
    return float((sum(losses) / len(x)).exp())


def say(model: hf.GPT2LMHeadModel) -> str:
    start = torch.tensor([[*b"    def "]])
    how = {"max_new_tokens": 112, "do_sample": True, "temperature": 0.6}
    torch.manual_seed(0)
    said = model.generate(start, attention_mask=torch.ones_like(start), **how)
    return bytes(said[0].tolist()).decode()


def main(out: str, steps: int = 4000, seeds: int = 3) -> None:
    torch.manual_seed(0)
    base = hf.GPT2LMHeadModel(hf.GPT2Config(**SIZES, **OTHERS))
    train(base, windows(text for n, text in enumerate(TOPICS) if n % 8), steps, 3e-3, 0)
    tests = {"code": code(TEST), "documentation": windows(TOPICS[::8])}
    runs, D = [], base.num_parameters()
    for dim, seed in [(0, 0), *((d, seed) for d in (1000, D) for seed in range(seeds))]:
        options = {"projection": "identity", "scale": "none"} if dim == D else {}
        net = sn.Subspace(base, dim or 1, seed=seed, theta0="module", **options).eval()
        if dim:
            train(net.module, code(TRAIN), steps // 4, LR["all" if dim == D else "d"], seed)
        found = {name: perplexity(net.module, x) for name, x in tests.items()}
        runs.append({"dim": dim, "seed": seed, **found, "says": say(net.module)})
    content = {"D": D, "environment": environment.describe(), "runs": runs}
    Path(out).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
