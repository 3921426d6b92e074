"""Modules and models of every kind, each with an input: the rows of the conformance table."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers as hf
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from subspace_nn import models
from tests import modules


@dataclass(frozen=True)
class Row:
    """A module's maker and an input for it.

    Attributes:
        make: makes the module.
        args: shapes or tensors of its positional arguments.
        kwargs: likewise by name.
        methods: other methods to call, with their keyword arguments.
    """

    make: Callable[[], nn.Module]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)

    def build(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        """The module, always with the same weights."""
        torch.manual_seed(0)
        return self.make().to(dtype)

    def inputs(self, dtype: torch.dtype = torch.float32) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments and keyword arguments, always the same."""
        generator = torch.Generator().manual_seed(1)

        def value(spec: Any) -> Any:
            drawn = torch.randn(spec, generator=generator) if isinstance(spec, tuple) else spec
            is_float = isinstance(drawn, Tensor) and drawn.is_floating_point()
            return drawn.to(dtype) if is_float else drawn

        return tuple(map(value, self.args)), {name: value(v) for name, v in self.kwargs.items()}


# Modules that no class of PyTorch is.


class Heads(nn.Module):
    """Raw parameters in lists and dictionaries; takes keywords, returns a dictionary."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(()))
        self.maps = nn.ParameterDict({n: nn.Parameter(torch.randn(5, 3)) for n in ("a", "b")})
        self.shifts = nn.ParameterList([nn.Parameter(torch.randn(3)) for _ in range(2)])

    def forward(self, *, x, factor=1.0):
        return {n: factor * self.scale * (x @ w) + self.shifts[0] for n, w in self.maps.items()} | {
            "nested": [x @ self.maps["a"] + self.shifts[1]]
        }


@dataclass
class Output:
    """What `Autoencoder` returns."""

    code: Tensor
    copy: Tensor


class Autoencoder(nn.Module):
    """Returns a dataclass, and has methods of its own."""

    def __init__(self):
        super().__init__()
        self.down = nn.Linear(6, 3)
        self.up = nn.Linear(3, 6)

    def encode(self, x):
        return self.down(x).tanh()

    def forward(self, x):
        code = self.encode(x)
        return Output(code, self.up(code))


class Experts(nn.Module):
    """Which weights an input meets depends on the input."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(4, 3)
        self.experts = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])

    def forward(self, x):
        chosen = self.gate(x).softmax(-1)
        best = chosen.argmax(-1)
        rows = [chosen[i, k] * self.experts[int(k)](x[i]) for i, k in enumerate(best)]
        return torch.stack(rows)


class Running(nn.Module):
    """Buffers of its own: one that is saved, one that is not."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.register_buffer("last", torch.zeros(4), persistent=False)

    def forward(self, x):
        if not self.training:
            return self.linear(x)
        self.calls += 1
        self.last = 0.9 * self.last + 0.1 * x.mean(0).detach()
        return self.linear(x) + self.last


class Words(nn.Module):
    """Embeddings, one with a padding row, and a bag of them."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20, 6, padding_idx=0)
        self.bag = nn.EmbeddingBag(20, 6, mode="sum")
        self.out = nn.Linear(12, 4)

    def forward(self, ids):
        return self.out(torch.cat((self.words(ids).mean(1), self.bag(ids)), dim=-1))


class Sequences(nn.Module):
    """A recurrent net and a layer on its last state."""

    def __init__(self, kind, **options):
        super().__init__()
        self.net = kind(4, 6, batch_first=True, **options)
        self.out = nn.Linear(6 * (1 + self.net.bidirectional), 3)

    def forward(self, x):
        return self.out(self.net(x)[0][:, -1])


class Cells(nn.Module):
    """Recurrent cells in a loop."""

    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleList([nn.RNNCell(4, 5), nn.GRUCell(5, 5)])
        self.last = nn.LSTMCell(5, 5)

    def forward(self, x):
        one, two, three = None, None, None
        for step in x.unbind(1):
            one = self.cells[0](step, one)
            two = self.cells[1](one, two)
            three = self.last(two, three)
        return three[0]


class Convolutions(nn.Module):
    """One, two and three dimensions, grouped, dilated and transposed."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv1d(4, 4, 3, groups=2, padding=1)
        self.two = nn.Conv2d(1, 3, 3, dilation=2, padding=2, padding_mode="circular")
        self.back = nn.ConvTranspose2d(3, 1, 2, stride=2)
        self.three = nn.Conv3d(1, 2, 2)

    def forward(self, x):
        image = self.back(self.two(self.one(x)[:, None]))
        return self.three(image[:, None].expand(-1, -1, 2, -1, -1))


def _lazy() -> nn.Module:
    module = nn.Sequential(nn.LazyLinear(5), nn.Tanh(), nn.LazyLinear(2))
    module(torch.zeros(1, 4))
    return module


def _deviating() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8), nn.PReLU(8), nn.RMSNorm(8), nn.Dropout(0.3), nn.Linear(8, 2)
    )


def _images() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
        nn.Dropout2d(0.3), nn.GELU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip


def _half_frozen() -> nn.Module:
    net = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    net[0].weight.requires_grad = False
    net[1].bias.requires_grad = False
    return net


# Models of the library `transformers`, of the smallest sizes, with random weights.

_TEXT = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 24}
_HEADS = {"num_attention_heads": 2, "max_position_embeddings": 16}
_ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
_IDS = (torch.arange(10).view(2, 5) * 7) % 39 + 1
_GENERATE = {"generate": {"input_ids": _IDS[:, :3], "max_new_tokens": 3, "do_sample": False}}
_IMAGE = {"pixel_values": (2, 3, 8, 8)}


def _bert():
    config = hf.BertConfig(**_TEXT, **_HEADS, num_labels=3)
    return hf.BertForSequenceClassification(config)


def _gpt2():
    config = hf.GPT2Config(vocab_size=40, n_positions=16, n_embd=16, n_layer=2, n_head=2, **_ENDS)
    return hf.GPT2LMHeadModel(config)


def _t5():
    config = hf.T5Config(
        vocab_size=40, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2,
        decoder_start_token_id=0, **_ENDS,
    )  # fmt: skip
    return hf.T5ForConditionalGeneration(config)


def _llama():
    return hf.LlamaForCausalLM(hf.LlamaConfig(**_TEXT, **_HEADS, **_ENDS, num_key_value_heads=1))


def _mixtral():
    config = hf.MixtralConfig(
        **_TEXT, **_HEADS, **_ENDS, num_key_value_heads=1, num_local_experts=3
    )
    config._experts_implementation = "eager"  # the others know no float64
    return hf.MixtralForCausalLM(config)


def _mamba():
    config = hf.MambaConfig(
        vocab_size=40, hidden_size=16, state_size=4, num_hidden_layers=2, conv_kernel=2,
        time_step_rank=2, **_ENDS,
    )  # fmt: skip
    return hf.MambaForCausalLM(config)


def _vit():
    config = hf.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        image_size=8, patch_size=4, num_labels=3,
    )  # fmt: skip
    return hf.ViTForImageClassification(config)


def _convnext():
    config = hf.ConvNextConfig(
        patch_size=2, hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, num_labels=3
    )
    return hf.ConvNextForImageClassification(config)


def _resnet():
    config = hf.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=3
    )
    return hf.ResNetForImageClassification(config)


def _whisper():
    config = hf.WhisperConfig(
        vocab_size=40, num_mel_bins=8, d_model=16, encoder_layers=1, encoder_attention_heads=2,
        encoder_ffn_dim=24, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=24,
        max_source_positions=8, max_target_positions=16, decoder_start_token_id=0, **_ENDS,
    )  # fmt: skip
    return hf.WhisperForConditionalGeneration(config)


def _sequence(make: Callable[[], nn.Module]) -> Row:
    return Row(make, ((3, 5, 4),))


ROWS: dict[str, Row] = {
    "Linear": Row(lambda: nn.Linear(6, 5), ((4, 6),)),
    "Linear, Dropout, PReLU, RMSNorm": Row(_deviating, ((4, 6),)),
    "Bilinear": Row(lambda: nn.Bilinear(3, 4, 5), ((4, 3), (4, 4))),
    "Lazy layers after a call": Row(_lazy, ((3, 4),)),
    "Convolutions in 1 to 3 dimensions": Row(Convolutions, ((2, 4, 4),)),
    "Conv2d, BatchNorm": Row(modules._batchnorm, ((4, 2, 6, 6),)),
    "Conv2d, InstanceNorm, Dropout2d": Row(_images, ((4, 2, 6, 6),)),
    "Conv1d, GroupNorm": Row(
        lambda: nn.Sequential(nn.Conv1d(4, 6, 2), nn.GroupNorm(2, 6)), ((4, 4, 5),)
    ),
    "The conv net of 2017": Row(lambda: models.build("conv", dropout=0.5), ((2, 1, 28, 28),)),
    "Embedding, EmbeddingBag": Row(Words, (_IDS % 20,)),
    "RNN": _sequence(lambda: Sequences(nn.RNN, num_layers=2, dropout=0.2)),
    "GRU": _sequence(lambda: Sequences(nn.GRU)),
    "LSTM, bidirectional": _sequence(lambda: Sequences(nn.LSTM, num_layers=2, bidirectional=True)),
    "RNNCell, GRUCell, LSTMCell": _sequence(Cells),
    "MultiheadAttention, LayerNorm": Row(modules.Attention, ((2, 3, 8),)),
    "TransformerEncoder": Row(
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), 2, enable_nested_tensor=False
        ),
        ((2, 3, 8),),
    ),
    "Transformer": Row(
        lambda: nn.Transformer(8, 2, 1, 1, 12, batch_first=True), ((2, 3, 8), (2, 4, 8))
    ),
    "Tied weights": Row(modules.Tied, ((4, 6),)),
    "A submodule under two names": Row(modules.SharedSubmodule, ((4, 5),)),
    "Frozen parameters": Row(_half_frozen, ((4, 5),)),
    "Frozen and tied, a shared BatchNorm": Row(modules.FrozenTied, ((4, 5),)),
    "weight_norm": Row(lambda: weight_norm(nn.Linear(6, 4)), ((4, 6),)),
    "spectral_norm": Row(lambda: spectral_norm(nn.Linear(6, 4)), ((4, 6),)),
    "ParameterDict, ParameterList": Row(Heads, kwargs={"x": (4, 5), "factor": 2.0}),
    "Experts chosen by the input": Row(Experts, ((4, 4),)),
    "Buffers, saved and not": Row(Running, ((4, 4),)),
    "Returns a dataclass": Row(
        Autoencoder, ((4, 6),), methods={"encode": {"x": (4, 6)}, "up.forward": {"input": (2, 3)}}
    ),
    "BERT": Row(_bert, kwargs={"input_ids": _IDS, "attention_mask": torch.ones_like(_IDS)}),
    "GPT-2": Row(_gpt2, kwargs={"input_ids": _IDS, "labels": _IDS}, methods=_GENERATE),
    "T5": Row(_t5, kwargs={"input_ids": _IDS, "labels": _IDS}, methods=_GENERATE),
    "Llama": Row(_llama, kwargs={"input_ids": _IDS}, methods=_GENERATE),
    "Mixtral": Row(_mixtral, kwargs={"input_ids": _IDS}, methods=_GENERATE),
    "Mamba": Row(_mamba, kwargs={"input_ids": _IDS}, methods=_GENERATE),
    "Whisper": Row(
        _whisper,
        kwargs={"input_features": (2, 8, 16), "decoder_input_ids": _IDS},
        methods={"generate": {"input_features": (2, 8, 16), "max_new_tokens": 3}},
    ),
    "ViT": Row(_vit, kwargs=_IMAGE),
    "ConvNeXt": Row(_convnext, kwargs=_IMAGE),
    "ResNet": Row(_resnet, kwargs=_IMAGE),
}
