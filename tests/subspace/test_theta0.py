"""θ0 from a seed: PyTorch's laws, portable bits, and telling fresh from trained."""

import hashlib
import math

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from subspace_nn import models
from subspace_nn.subspace import theta0
from subspace_nn.subspace.layout import Layout
from tests.modules import CASES, Case
from tests.reference import reference_word

# The tied weight is a draw of another shape, the normed one is computed from two tensors.
FRESH = {name: case for name, case in CASES.items() if name not in {"tied weights", "weight norm"}}
FRESH |= {
    "embedding": Case(lambda: nn.Embedding(200, 16), ()),
    "embedding, padded": Case(lambda: nn.Embedding(300, 8, padding_idx=2), ()),
    "embedding bag": Case(lambda: nn.EmbeddingBag(100, 30), ()),
    "bilinear, prelu": Case(lambda: nn.Sequential(nn.Bilinear(4, 5, 6), nn.PReLU(6, 0.5)), ()),
    "attention with biases": Case(lambda: nn.MultiheadAttention(8, 2, add_bias_kv=True), ()),
    "transformer": Case(lambda: nn.Transformer(8, 2, 1, 1, 12, batch_first=True), ()),
    "transformer inside": Case(
        lambda: nn.ModuleList([nn.Transformer(8, 2, 1, 1, 12, batch_first=True)]), ()
    ),
}


#: Modules that are drawn on either side, where distributions are compared.
SAMPLES = 40


def laws_and_tensors(module):
    layout = Layout.of(module)
    own = dict(module.named_parameters())
    return theta0.laws(module, layout), {e.name: own[e.name] for e in layout.entries}


@pytest.mark.parametrize("name", list(FRESH))
@pytest.mark.parametrize("seed", range(5))
def test_fresh_modules_are_recognised(name, seed):
    torch.manual_seed(seed)
    known, tensors = laws_and_tensors(FRESH[name].make())
    assert theta0.is_fresh(tensors, known)


@pytest.mark.parametrize("name", list(FRESH))
def test_draws_follow_pytorchs_own(name):
    torch.manual_seed(0)
    module = FRESH[name].make()
    layout = Layout.of(module)
    known, tensors = laws_and_tensors(module)
    own = [{n: t.detach().double() for n, t in tensors.items()}]
    own += [laws_and_tensors(FRESH[name].make())[1] for _ in range(SAMPLES - 1)]
    drawn = [theta0.draw(layout, known, seed) for seed in range(SAMPLES)]
    for tensor_name, tensor in tensors.items():
        a, b = (torch.stack([t[tensor_name].detach().double() for t in s]) for s in (drawn, own))
        assert a.shape == b.shape
        assert torch.equal(a == 0, b == 0)  # biases, a row of padding
        # Two mean squares of n draws differ by √(2·2/n) of themselves, if normal; less, if uniform.
        within = 5 * math.sqrt(4 / (SAMPLES * tensor.numel()))
        assert float(a.square().mean()) == pytest.approx(float(b.square().mean()), rel=within)
        assert float(a.abs().max()) == pytest.approx(float(b.abs().max()), rel=0.25)


def _train_a_little(module):
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.05 * torch.randn_like(p))


def _half_as_wide(module):
    with torch.no_grad():
        module[0].weight.mul_(0.5)


def _zero_a_bias(module):
    nn.init.zeros_(module[0].bias)


def _normal(module):
    nn.init.kaiming_normal_(module[0].weight)


@pytest.mark.parametrize("change", [_train_a_little, _half_as_wide, _zero_a_bias, _normal])
def test_changed_weights_are_recognised(change):
    module = nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 3))
    change(module)
    known, tensors = laws_and_tensors(module)
    assert not theta0.is_fresh(tensors, known)


class OwnInit(nn.Linear):
    """A subclass with an initialiser of its own."""

    def reset_parameters(self):
        nn.init.uniform_(self.weight, -1, 1)
        nn.init.zeros_(self.bias)


@pytest.mark.parametrize(("module", "unknown"), [
    (OwnInit(3, 3), {"weight", "bias"}),
    (nn.ParameterList([nn.Parameter(torch.ones(3))]), {"0"}),
    (
        weight_norm(nn.Linear(2, 2)),
        {"bias", "parametrizations.weight.original0", "parametrizations.weight.original1"},
    ),
], ids=["own", "raw", "weight norm"])  # fmt: skip
def test_unknown_initialisers_have_no_law(module, unknown):
    known, tensors = laws_and_tensors(module)
    assert tensors.keys() - known.keys() == unknown
    assert not theta0.is_fresh(tensors, known)


def test_a_padding_row_stays_zero():
    module = nn.Embedding(50, 6, padding_idx=4)
    layout = Layout.of(module)
    known, _ = laws_and_tensors(module)
    drawn = theta0.draw(layout, known, seed=3)["weight"]
    assert not drawn[4].any()
    assert drawn[5].all()
    with torch.no_grad():
        module.weight[4] = 1.0
    assert not theta0.is_fresh(dict(module.named_parameters()), known)


@pytest.mark.parametrize("scale", [
    lambda e: 1.1 * e, lambda e: e + 0.1, lambda e: e.cumsum(0) / e.cumsum(0).std(),
    lambda e: e / e.norm(dim=1, keepdim=True) * math.sqrt(20),
    lambda e: e * torch.linspace(0.5, 1.5, 20),
    lambda e: e * torch.linspace(0.5, 1.5, 300)[:, None],
    lambda e: (e @ torch.ones(20, 20) / 10 + e) / 1.5,
    lambda e: torch.rand_like(e).sub(0.5).mul(math.sqrt(12)),
], ids=["wider", "shifted", "a walk", "rows of one length", "columns differ", "rows differ",
        "columns go together", "uniform"])  # fmt: skip
def test_embeddings_that_were_trained_or_scaled_are_recognised(scale):
    torch.manual_seed(0)
    module = nn.Embedding(300, 20)
    with torch.no_grad():
        module.weight.copy_(scale(module.weight))
    known, tensors = laws_and_tensors(module)
    assert not theta0.is_fresh(tensors, known)


def test_an_empty_parameter_has_no_deviation():
    assert theta0.scales({"a": torch.zeros(0), "b": torch.tensor([-2.0, 2.0])})["a"] == 2


@pytest.mark.parametrize("shape", [(2**20 + 3,), (3, 2**19, 2), (2**20,), (5, 0), (1,)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_what_is_read_in_pieces_is_what_one_reading_gives(shape, dtype):
    tensor = torch.randn(shape, dtype=torch.float64).add_(1000).to(dtype)
    layout = Layout.of(_one(tensor))
    digest = hashlib.sha256(tensor.double().numpy().tobytes()).hexdigest()[:16]
    assert theta0.fingerprint(layout, {"weight": tensor}) == digest
    deviation = tensor.double().std(correction=0) if tensor.numel() else 0.0
    want = pytest.approx(float(deviation) or 1.0, rel=1e-9)
    assert theta0.scales({"weight": tensor}) == {"weight": want}


@pytest.mark.parametrize("last", [1.5, math.nan, math.inf])
def test_every_piece_is_compared_with_its_law(last):
    tensor = torch.rand(2**20 + 3, dtype=torch.float64).mul_(2).sub_(1)
    law = theta0.Law(0.0, 1.0)
    assert law.explains(tensor)
    tensor[-1] = last
    assert not law.explains(tensor)


def test_rows_after_the_first_are_compared_with_their_law():
    tensor = torch.randn(2**15, 64)
    law = theta0.Normal(1.0)
    assert law.explains(tensor)
    tensor[2**14 + 1 :] *= 1.1
    assert not law.explains(tensor)


def _one(tensor):
    module = nn.Module()
    module.weight = nn.Parameter(tensor)
    return module


def test_draw_is_the_specification():
    module = nn.Linear(9, 2)
    layout = Layout.of(module)
    drawn = theta0.draw(layout, theta0.laws(module, layout), seed=11)
    for index, got in enumerate(layout.flatten(drawn).tolist()):
        u = ((reference_word(11, "theta0", index) >> 12) + 0.5) / 2**52
        assert got == (2 * u - 1) * (1 / math.sqrt(9))


@pytest.mark.parametrize(
    ("name", "golden"), [("conv", "a76d20da6a1925e4"), ("fc", "8fdcbb4c193874e8")]
)
def test_golden_fingerprint(name, golden):
    module = models.build(name)
    layout = Layout.of(module)
    drawn = theta0.draw(layout, theta0.laws(module, layout), seed=0)
    single = {tensor_name: t.float() for tensor_name, t in drawn.items()}
    assert theta0.fingerprint(layout, single) == golden
    flat = layout.flatten(single).numpy().astype("<f8").tobytes()
    assert hashlib.sha256(flat).hexdigest()[:16] == golden


def test_scales_are_the_laws_deviations():
    known, tensors = laws_and_tensors(nn.Linear(12, 3))
    sigma = theta0.scales(tensors, known)
    assert sigma == pytest.approx({"weight": 1 / 6, "bias": 1 / 6})


def test_constant_tensors_take_the_others_scale():
    tensors = {"a": torch.tensor([-3.0, 3.0]), "b": torch.tensor([-1.0, 1.0]), "c": torch.ones(5)}
    assert theta0.scales(tensors) == pytest.approx({"a": 3, "b": 1, "c": math.sqrt(5)})
    assert theta0.scales({"c": torch.zeros(3)}) == {"c": 1.0}
