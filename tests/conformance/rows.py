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
        needs: a package that is no requirement of the tests.
        large: whether only `python -m tests.conformance.table` tries it, for it takes seconds.
    """

    make: Callable[[], nn.Module]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    needs: str = "torch"
    large: bool = False

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


class Folding(nn.Module):
    """Folds a product into a frozen matrix in evaluation, as low-rank adapters do."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 4), requires_grad=False)
        self.a, self.b = nn.Parameter(torch.randn(6, 2)), nn.Parameter(torch.randn(2, 4))
        self.out = nn.Linear(4, 3)
        self.folded = False

    def train(self, mode=True):
        if mode == self.folded:
            self.weight.data += (self.a @ self.b) * (-1 if self.folded else 1)
            self.folded = not mode
        return super().train(mode)

    def forward(self, x):
        return self.out(x @ (self.weight if self.folded else self.weight + self.a @ self.b))


class _Fused(torch.autograd.Function):
    """x · W + b and its tanh in one operation, with a derivative of its own."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, weight, bias):
        return torch.tanh(x @ weight.mT + bias)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2], output)

    @staticmethod
    def backward(ctx, gradient):
        x, weight, output = ctx.saved_tensors
        inner = gradient * (1 - output**2)
        return inner @ weight, inner.mT @ x, inner.sum(0)


class Fused(nn.Module):
    """A layer whose weights go into an operation of its own."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(5, 4)), nn.Parameter(torch.randn(5))

    def forward(self, x):
        return _Fused.apply(x, self.weight, self.bias)


def _rename(_, state, *__):
    for name in [n for n in state if "running" in n]:
        state[name.replace("running", "moving")] = state.pop(name)


def _restore(_, state, *__):
    for name in [n for n in state if "moving" in n]:
        state[name.replace("moving", "running")] = state.pop(name)


def _renaming() -> nn.Module:
    net = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
    net._register_state_dict_hook(_rename)
    net.register_load_state_dict_pre_hook(_restore)
    return net


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


def _distilbert():
    config = hf.DistilBertConfig(
        vocab_size=40, dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=16,
        num_labels=3,
    )  # fmt: skip
    return hf.DistilBertForSequenceClassification(config)


def _albert():
    config = hf.AlbertConfig(**_TEXT, **_HEADS, embedding_size=8, num_labels=3)
    return hf.AlbertForSequenceClassification(config)


def _clip():
    vision = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 24, "image_size": 8, "patch_size": 4,
    }  # fmt: skip
    text = {**_TEXT, **_HEADS, "num_hidden_layers": 1, "eos_token_id": 39, "bos_token_id": 0}
    return hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))


def _qwen_moe():
    config = hf.Qwen2MoeConfig(
        **_TEXT, **_HEADS, num_key_value_heads=1, num_experts=3, num_experts_per_tok=2,
        moe_intermediate_size=8, shared_expert_intermediate_size=8, bos_token_id=0,
        eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    config._experts_implementation = "eager"  # the others know no float64
    return hf.Qwen2MoeForCausalLM(config)


def _unet():
    from diffusers import UNet2DModel  # noqa: PLC0415

    return UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, norm_num_groups=4,
        block_out_channels=(8, 8), down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"), attention_head_dim=4,
    )  # fmt: skip


class Graphs(nn.Module):
    """Two layers of a graph network."""

    def __init__(self):
        super().__init__()
        from torch_geometric.nn import GATConv, GCNConv  # noqa: PLC0415

        self.one, self.two = GCNConv(4, 6), GATConv(6, 3, heads=2)

    def forward(self, x, edges):
        return self.two(self.one(x, edges).relu(), edges)


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
    "Folds weights in evaluation": Row(Folding, ((3, 6),)),
    "Weights in an operation of its own": Row(Fused, ((3, 4),)),
    "Hooks that rename its state": Row(_renaming, ((4, 5),)),
    "Buffers, saved and not": Row(Running, ((4, 4),)),
    "Returns a dataclass": Row(
        Autoencoder, ((4, 6),), methods={"encode": {"x": (4, 6)}, "up.forward": {"input": (2, 3)}}
    ),
    "BERT": Row(_bert, kwargs={"input_ids": _IDS, "attention_mask": torch.ones_like(_IDS)}),
    "DistilBERT": Row(_distilbert, kwargs={"input_ids": _IDS}, large=True),
    "ALBERT": Row(_albert, kwargs={"input_ids": _IDS}, large=True),
    "CLIP": Row(_clip, kwargs={"input_ids": _IDS, "pixel_values": (2, 3, 8, 8)}, large=True),
    "GPT-2": Row(_gpt2, kwargs={"input_ids": _IDS, "labels": _IDS}, methods=_GENERATE),
    "T5": Row(_t5, kwargs={"input_ids": _IDS, "labels": _IDS}, methods=_GENERATE, large=True),
    "Llama": Row(_llama, kwargs={"input_ids": _IDS}, methods=_GENERATE, large=True),
    "Mixtral": Row(_mixtral, kwargs={"input_ids": _IDS}, methods=_GENERATE, large=True),
    "Qwen2-MoE": Row(_qwen_moe, kwargs={"input_ids": _IDS}, methods=_GENERATE, large=True),
    "Mamba": Row(_mamba, kwargs={"input_ids": _IDS}, methods=_GENERATE, large=True),
    "Whisper": Row(
        _whisper,
        kwargs={"input_features": (2, 8, 16), "decoder_input_ids": _IDS},
        methods={"generate": {"input_features": (2, 8, 16), "max_new_tokens": 3}},
        large=True,
    ),
    "ViT": Row(_vit, kwargs=_IMAGE, large=True),
    "ConvNeXt": Row(_convnext, kwargs=_IMAGE, large=True),
    "ResNet": Row(_resnet, kwargs=_IMAGE, large=True),
    "Diffusion UNet": Row(_unet, ((2, 1, 8, 8), torch.tensor(3)), needs="diffusers", large=True),
    "Graph network": Row(
        Graphs,
        ((4, 4), torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 0, 2]])),
        needs="torch_geometric",
        large=True,
    ),
}
