"""A subspace as a method of PEFT, and a subspace of PEFT's LoRA factors."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model, inject_adapter_in_model
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parametrize

import subspace_nn as sn
from subspace_nn import CheckpointError, InputError
from subspace_nn.integrations.peft import SubspaceConfig
from tests.frameworks import pages

#: Of transformers, which PEFT asks.
CHECKPOINTING = "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
X = torch.randn(6, 20, generator=torch.Generator().manual_seed(0))
TARGETS = ["0", "2", "3"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make(seed=0, width=30):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(20, width), nn.ReLU(), nn.Linear(width, 30), nn.LayerNorm(30), nn.Linear(30, 2)
    ).eval()


def adapted(**options):
    options = {"dim": 40, "target_modules": TARGETS, "init_weights": False} | options
    return get_peft_model(make(), SubspaceConfig(**options)).eval()


def omega(model, adapter="default"):
    return model.base_model.subspace_omega[adapter]


@pytest.mark.parametrize("options", [
    {}, {"seed": 7}, {"scale": "none"}, {"projection": "layerwise:hashed"},
    {"projection": "gaussian"}, {"projection": "orthonormal:plain"},
], ids=str)  # fmt: skip
def test_the_map_is_that_of_a_subspace(options):
    model = adapted(**options, modules_to_save=["4"])
    net = sn.Subspace(make(), 40, theta0="module", include=TARGETS, train="4", **options)
    with torch.no_grad():
        net.omega.copy_(omega(model))
    outputs = model(X), net(X)
    if net.projection.portable:
        assert torch.equal(*outputs)
    torch.testing.assert_close(*outputs)
    gradients = []
    for output, free in zip(outputs, (omega(model), net.omega), strict=True):
        gradients += torch.autograd.grad(output.square().sum(), [free])
    torch.testing.assert_close(*gradients)


def test_only_omega_and_what_is_saved_trains():
    model = adapted(init_weights=True, modules_to_save=["4"])
    assert torch.equal(model(X), make()(X))
    trainable = [p for p in model.parameters() if p.requires_grad]
    assert sorted(p.numel() for p in trainable) == [2, 40, 60]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.Adam(trainable, lr=0.1)
    model(X).square().sum().backward()
    optimizer.step()
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert {n.rpartition("model.")[2].partition(".default")[0] for n in changed} == {
        "0.subspace_omega", "4.modules_to_save",
    }  # fmt: skip


def test_a_folder_holds_a_few_numbers_and_gives_the_same_back():
    model = adapted(modules_to_save=["4"])
    model.save_pretrained("acme")
    tensors = load_file("acme/adapter_model.safetensors")
    sizes = {name.rpartition("model.")[2]: t.numel() for name, t in tensors.items()}
    assert sizes == {
        "subspace_omega": 40, "subspace_sigma": 6, "subspace_sizes": 6, "subspace_recipe": 8,
        "4.weight": 60, "4.bias": 2,
    }  # fmt: skip
    again = PeftModel.from_pretrained(make(), "acme").eval()
    assert torch.equal(again(X), model(X))
    for low in (False, True):
        again.load_adapter("acme", f"low {low}", low_cpu_mem_usage=low)
        again.set_adapter(f"low {low}")
        assert torch.equal(again(X), model(X))


def test_adapters_are_chosen_disabled_added_up_and_deleted():
    model, base = adapted(), make()
    model.add_adapter("other", SubspaceConfig(
        dim=30, target_modules=["2", "4"], seed=3, init_weights=False,
    ))  # fmt: skip
    first = model(X)
    model.set_adapter("other")
    second = model(X)
    with model.disable_adapter():
        assert torch.equal(model(X), base(X))
    assert not torch.equal(first, second)
    model.base_model.set_adapter(["default", "other"])
    both = model(X)
    merged = copy.deepcopy(model).merge_and_unload()
    assert type(merged[0]) is nn.Linear
    torch.testing.assert_close(merged(X), both)
    model.delete_adapter("other")
    assert torch.equal(model(X), first)


def test_what_is_merged_comes_out_to_the_bit():
    model = adapted()
    before = {name: p.clone() for name, p in make().named_parameters()}
    outputs = model(X)
    for _ in range(3):
        model.merge_adapter(safe_merge=True)
        assert torch.equal(model(X), outputs)
        model.unmerge_adapter()
    for name, parameter in model.unload().named_parameters():
        assert torch.equal(parameter, before[name])
    broken = adapted()
    omega(broken).data[0] = torch.nan
    with pytest.raises(ValueError, match="NaNs detected"):
        broken.merge_adapter(safe_merge=True)


def test_another_dtype_of_the_base_gets_the_same_steps():
    model = adapted()
    model.save_pretrained("acme")
    with pytest.warns(UserWarning, match="or another dtype: σ of its tensors differs by up to 0.0"):
        half = PeftModel.from_pretrained(make().bfloat16(), "acme")
    layers = [m.base_model.model[0] for m in (model, half)]
    deltas = [layer.get_delta_weight("default").double() for layer in layers]
    torch.testing.assert_close(*deltas, rtol=2**-8, atol=0)
    assert half(X.bfloat16()).dtype == torch.bfloat16


def test_another_base_is_told_and_another_architecture_refused():
    adapted().save_pretrained("acme")
    with pytest.warns(UserWarning, match="The base has other weights"):
        PeftModel.from_pretrained(make(seed=1), "acme")
    with pytest.raises(InputError, match=r"expected 6 tensors of 1,620 weights, got 6 of 1,671"):
        PeftModel.from_pretrained(make(width=31), "acme")


@pytest.mark.parametrize("options", [{"seed": 1}, {"projection": "sparse"}, {"scale": "none"},
                                     {"dim": 41}], ids=str)  # fmt: skip
def test_omega_of_another_subspace_is_refused(options):
    adapted().save_pretrained("acme")
    model = adapted(**options)
    before = omega(model).detach().clone()
    with pytest.raises(CheckpointError, match="Another seed, projection, dim or scale"):
        model.load_adapter("acme", "default")  # as a Trainer does that resumes
    assert torch.equal(omega(model), before)


def test_an_older_file_still_loads():
    model = adapted()
    model.save_pretrained("acme")
    tensors = load_file("acme/adapter_model.safetensors")
    del tensors["base_model.subspace_recipe"]
    save_file(tensors, "acme/adapter_model.safetensors")
    assert torch.equal(PeftModel.from_pretrained(make(), "acme")(X), model(X))


@pytest.mark.parametrize("damage", [lambda s: s[:2].clone(), lambda s: s * torch.nan, torch.neg])
def test_a_damaged_sigma_is_refused(damage):
    adapted().save_pretrained("acme")
    tensors = load_file("acme/adapter_model.safetensors")
    name = "base_model.subspace_sigma"
    save_file(tensors | {name: damage(tensors[name])}, "acme/adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="expected one σ above 0 for each tensor"):
        PeftModel.from_pretrained(make(), "acme")


def test_a_dim_of_a_stranger_takes_no_memory():
    with pytest.raises(InputError, match=r"number of weights, 1,620; got 1000000000000000\."):
        adapted(dim=10**15)


def test_another_adapter_for_each_row_is_refused():
    model = adapted()
    with pytest.raises(InputError, match=r"all rows have the adapter of set_adapter"):
        model(X, adapter_names=["default"] * len(X))


def test_a_tie_to_what_is_not_targeted():
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match=r"Tied to a tensor that is not in θ: 0\.weight\."):
        model = get_peft_model(
            Tied(), SubspaceConfig(dim=5, target_modules=["0"], init_weights=False)
        )
    x = torch.rand(3, 4)
    outputs = model(x)
    model.merge_adapter()
    assert torch.equal(model(x), outputs)
    model.unmerge_adapter()
    assert model.base_model.model[0].base_layer.weight is model.base_model.model[1].weight
    assert torch.equal(model.merge_and_unload()(x), outputs)


class Tied(nn.Sequential):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__(nn.Linear(4, 4), nn.Linear(4, 4))
        self[1].weight = self[0].weight


def weight_norm():
    return nn.Sequential(parametrize.register_parametrization(nn.Linear(4, 4), "weight", nn.Tanh()))


@pytest.mark.parametrize(("make_one", "options", "message"), [
    (lambda: nn.Sequential(nn.LSTM(4, 4)), {}, r"0 \(LSTM\) is recurrent. Use Subspace\("),
    (lambda: nn.Sequential(nn.ReLU()), {}, r"0 \(ReLU\) has no floating-point parameters"),
    (lambda: nn.Sequential(nn.MultiheadAttention(4, 2)), {}, "has submodules: name those"),
    (weight_norm, {}, "has submodules: name those"),
    (lambda: nn.TransformerEncoderLayer(4, 2, 8), {"target_modules": "all-linear"},
     r"out_proj .* is not called: its MultiheadAttention .* exclude_modules=\['out_proj'\]"),
    (Tied, {"target_modules": ["0", "1"]}, "Tied to a tensor that is in θ, too: 0.weight"),
    (lambda: nn.Sequential(nn.Linear(4, 4)), {"dim": 21}, "number of weights, 20; got 21"),
])  # fmt: skip
def test_what_cannot_be_in_a_subspace_is_refused_and_left_as_it_was(make_one, options, message):
    module = make_one()
    kinds = [type(part) for part in module.modules()]
    with pytest.raises(InputError, match=message):
        get_peft_model(module, SubspaceConfig(**({"dim": 5, "target_modules": ["0"]} | options)))
    assert [type(part) for part in module.modules()] == kinds


def test_a_second_adapter_that_is_refused_changes_nothing():
    model = adapted()
    outputs = model(X)
    with pytest.raises(InputError, match="number of weights, 62; got 100"):
        model.add_adapter("other", SubspaceConfig(dim=100, target_modules=["4"]))
    assert [*model.peft_config] == model.active_adapters == ["default"]
    assert torch.equal(model(X), outputs)
    assert omega(model).requires_grad


def test_a_second_adapter_of_all_linear_layers():
    model = adapted(target_modules="all-linear")
    model.add_adapter("other", SubspaceConfig(dim=30, seed=1, init_weights=False))
    targets = [config.target_modules for config in model.peft_config.values()]
    assert targets[0] == targets[1] == {"0", "2", "4"}
    model.set_adapter("other")
    net = sn.Subspace(make(), 30, theta0="module", seed=1, include=["0", "2", "4"])
    net.omega.data.copy_(omega(model, "other"))
    assert torch.equal(model(X), net(X))


class Counting(nn.Linear):
    """Keeps something of each call."""

    calls = 0

    def forward(self, x):
        self.calls, self.last = self.calls + 1, x
        return super().forward(x)


def test_what_a_layer_keeps_of_its_calls_stays():
    model = get_peft_model(
        nn.Sequential(Counting(20, 3)),
        SubspaceConfig(dim=5, target_modules=["0"], init_weights=False),
    )
    outputs = [model(X) for _ in range(3)]
    layer = model.base_model.model[0].base_layer
    assert (layer.calls, layer.last is X) == (3, True)
    assert torch.equal(outputs[0], outputs[2])
    assert "weight" not in layer.__dict__


def test_mistakes_in_a_configuration_are_told_together():
    with pytest.raises(InputError) as caught:
        SubspaceConfig(dim=0, projection="hash", scale="no", seed=-1)
    assert len(caught.value.problems) == 4
    with pytest.raises(InputError, match="does not pass through the base"):
        SubspaceConfig(projection="orthonormal")


def test_injection_without_a_peft_model_is_refused():
    with pytest.raises(ValueError, match="shared state"):
        inject_adapter_in_model(SubspaceConfig(dim=5, target_modules=["0"]), make())


@pytest.mark.filterwarnings(CHECKPOINTING)
def test_the_methods_of_transformers_are_refused():
    config = SubspaceConfig(dim=20, init_weights=False)
    get_peft_model(make_bert(), config).save_pretrained("acme")
    with pytest.raises(ValueError, match=r"SUBSPACE.* use `get_peft_model` instead"):
        make_bert().add_adapter(config)
    model = make_bert()
    with pytest.raises(ValueError, match=r"SUBSPACE.* use `get_peft_model` instead"):
        model.load_adapter("acme")
    again = PeftModel.from_pretrained(model, "acme")
    assert torch.equal(again.unload()(IDS).logits, make_bert()(IDS).logits)


def test_threads_copies_and_the_compiler():
    model = adapted()
    expected = model(X)
    assert torch.equal(copy.deepcopy(model)(X), expected)
    assert torch.equal(pickle.loads(pickle.dumps(model))(X), expected)
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(lambda _: model(X), range(200)))
    assert all(torch.equal(output, expected) for output in outputs)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(X), expected)


IDS = torch.arange(8).reshape(2, 4)


def make_bert():
    torch.manual_seed(0)
    return transformers.BertForSequenceClassification(transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=16,
    )).eval()  # fmt: skip


def train(model):
    free = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(free, lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        model(IDS, labels=torch.tensor([0, 1])).loss.backward()
        optimizer.step()


@pytest.mark.filterwarnings(CHECKPOINTING)
def test_the_page():
    left = pages.run("peft", make_bert=make_bert, train=train)
    model, plain, net = left["model"], left["plain"], left["net"]
    with torch.no_grad():
        assert not torch.equal(plain(IDS).logits, make_bert()(IDS).logits)
    assert [*model.peft_config] == ["default", "globex"]
    size = (pages.Path("acme") / "adapter_model.safetensors").stat().st_size
    assert size < 4 * (1000 + 34) + 4_000
    # Only LoRA's factors are θ; the file holds no weights.
    assert all("lora_" in entry.name for entry in net.layout.entries)
    factors = get_peft_model(make_bert(), LoraConfig(r=4, target_modules="all-linear"))
    factors.load_state_dict({n: t for n, t in net.theta0().items()}, strict=False)  # noqa: C416
    again = sn.load("factors.safetensors", factors)
    with torch.no_grad():
        assert torch.equal(again(IDS).logits, net.eval()(IDS).logits)
    assert pages.Path("factors.safetensors").stat().st_size < 3_000
