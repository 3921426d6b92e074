"""Patterns of names: what each parameter becomes."""

import time

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import subspace_nn as sn
from subspace_nn.common.errors import InputError
from subspace_nn.subspace.layout import Layout
from subspace_nn.subspace.selection import Selection
from tests.modules import Frozen, SharedSubmodule, Tied


def net():
    return nn.ModuleDict(
        {
            "body": nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 4)),
            "body2": nn.Linear(4, 4),
            "head": nn.Linear(4, 2),
        }
    )


def names(part, module, **patterns):
    return [name for name, got in Selection.of(**patterns).sort(module).items() if got == part]


@pytest.mark.parametrize(("patterns", "theta", "extra"), [
    ({}, 10, 0),
    ({"include": "body"}, 6, 0),  # a module, and not one whose name begins alike
    ({"include": "body*"}, 8, 0),
    ({"include": "*.weight"}, 5, 0),
    ({"include": ["body.0", "head"]}, 4, 0),
    ({"include": "body", "exclude": "body.1"}, 4, 0),
    ({"exclude": ["*.bias", "head"]}, 4, 0),
    ({"train": "head"}, 8, 2),
    ({"train": ["head", "body.1"], "exclude": "*.bias"}, 3, 4),  # train comes first
    ({"include": "body.[02].weight"}, 2, 0),
    ({"include": "b?dy.0.weight"}, 1, 0),
])  # fmt: skip
def test_parts(patterns, theta, extra):
    found = [len(names(part, net(), **patterns)) for part in ("theta", "extra", "held")]
    assert found == [theta, extra, 10 - theta - extra]


def test_case_matters():
    with pytest.raises(InputError, match="include: 'BODY' matches no parameter"):
        names("theta", net(), include="BODY")


def test_every_name_of_a_tied_parameter_counts():
    assert "encode.weight" in names("held", Tied(), exclude="again.weight")
    assert "again.weight" in names("held", Tied(), exclude="encode")
    shared = names("extra", SharedSubmodule(), train="second")
    paths = ("first", "second", "rest.0")
    assert set(shared) == {f"{path}.{name}" for path in paths for name in ("weight", "bias")}


def test_frozen_parameters_have_no_part():
    assert set(Selection().sort(Frozen())) == {"head.weight", "head.bias"}
    with pytest.raises(InputError, match="train: 'body' matches no parameter with requires_grad"):
        Selection.of(train="body").sort(Frozen())


@pytest.mark.parametrize(("patterns", "messages"), [
    ({"exclude": "haed"}, ["exclude: 'haed' matches no parameter", "Names are such as head"]),
    ({"include": "x", "train": ["y", "z"]}, ["include: 'x'", "train: 'y'", "train: 'z'"]),
    ({"train": [3]}, ["train: a pattern must be a text of at least one character, got 3."]),
    ({"include": ""}, ["include: a pattern must be a text of at least one character, got ''."]),
])  # fmt: skip
def test_bad_patterns(patterns, messages):
    with pytest.raises(InputError) as caught:
        Selection.of(**patterns).sort(net())
    assert all(message in str(caught.value) for message in messages)


def test_many_patterns_that_match_nothing_are_refused_in_time():
    """A file may have as many as this."""
    module = nn.Sequential(*[nn.Linear(1, 1) for _ in range(500)])
    near = [f"{number}.thgiewb" for number in range(64)]
    patterns = {part: [f"{p}{part}" for p in near] for part in ("include", "exclude", "train")}
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        names("theta", module, **patterns)
    assert time.process_time() - began < 2  # 6 with a search for each
    assert len(caught.value.problems) == 192


def test_the_recipe_holds_what_is_not_the_default():
    assert Selection().recipe() == {}
    patterns = {"include": ["a", "b"], "train": ["c"]}
    assert Selection.of(**patterns).recipe() == patterns
    assert Selection.of(**Selection.of(exclude="x").recipe()) == Selection.of(exclude="x")


def test_the_layout_tells_the_parts():
    layout = Layout.of(net(), Selection.of(exclude="body.1", train="head"))
    assert layout.extra == ("head.weight", "head.bias")
    assert layout.held == ("body.1.weight", "body.1.bias")
    assert [e.name for e in layout.entries][:2] == ["body.0.weight", "body.0.bias"]
    assert sum(e.numel for e in layout.entries) == layout.D == 16 + 20 + 20
    assert Layout.of(net()).fingerprint() != layout.fingerprint()


def test_theta_must_not_be_empty():
    with pytest.raises(InputError, match="none that include matches and exclude and train do not"):
        Layout.of(net(), Selection.of(exclude="*"))


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query = nn.Linear(4, 4)
        self.LayerNorm = nn.LayerNorm(4)


class OddRMSNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))


class GroupNorm32(nn.ParameterList):
    """A norm with a number behind its name."""


def encoder():
    layer = nn.ModuleDict({
        "attention": SelfAttention(), "dense": nn.Linear(4, 4), "norm": OddRMSNorm(),
    })  # fmt: skip
    return nn.ModuleDict({
        "embeddings": nn.Embedding(9, 4), "layer": layer,
        "other": nn.TransformerEncoderLayer(4, 2, 8),
        "classifier": nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)),
    })  # fmt: skip


OF = {
    "@norms": {"layer.attention.LayerNorm", "layer.norm", "other.norm1", "other.norm2"},
    "@attention": {"layer.attention.query", "layer.attention.LayerNorm", "other.self_attn"},
    "@head": {"classifier"},
    "@mlp": {"layer.dense", "other.linear1", "other.linear2"},
}


@pytest.mark.parametrize("group", list(OF))
def test_groups_are_parameters_by_what_they_do(group):
    every = dict(encoder().named_parameters())
    expected = [n for n in every if any(n.startswith(f"{part}.") for part in OF[group])]
    assert names("theta", encoder(), include=group) == expected


def test_biases_are_those_of_all_parts():
    found = names("theta", encoder(), include="@biases")
    assert found == [n for n, _ in encoder().named_parameters() if "bias" in n.rpartition(".")[2]]
    assert "other.self_attn.in_proj_bias" in found


def called(name, **parts):
    """A module of a class with this name."""
    module = type(name, (nn.Module,), {})()
    for part, value in {**parts, "head": nn.Linear(4, 2)}.items():
        setattr(module, part, value)
    return module


def block(name):
    """As those of Llama, whose norm after attention is that of the MLP."""
    return called(
        name,
        self_attn=nn.Sequential(nn.Linear(4, 4)),
        post_attention_layernorm=nn.LayerNorm(4),
        mlp=nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4)),
    )


@pytest.mark.parametrize(("module", "group", "part"), [
    (block("Layer"), "@attention", "self_attn"),
    (block("Layer"), "@norms", "post_attention_layernorm"),
    (block("ResidualAttentionBlock"), "@attention", "self_attn"),
    (block("ResidualAttentionBlock"), "@mlp", "mlp"),
    (called("Net", odd=GroupNorm32([torch.ones(4)])), "@norms", "odd"),
    (called("Net", conv=weight_norm(nn.Conv1d(4, 4, 3))), "@mlp", "conv"),
    (called("Net", experts=nn.ParameterList([torch.ones(2, 3, 4)])), "@mlp", "experts"),
])  # fmt: skip
def test_groups_where_names_mislead(module, group, part):
    found = names("theta", module, include=group)
    assert found == [n for n, _ in module.named_parameters() if n.startswith(f"{part}.")]


def test_names_may_look_like_groups():
    module = nn.ModuleDict({"@norms": nn.Linear(3, 4), "@norm": nn.LayerNorm(4)})
    assert set(Selection().sort(module)) == {n for n, _ in module.named_parameters()}
    assert names("theta", module, include="@norms") == ["@norm.weight", "@norm.bias"]
    assert names("theta", module, include="@norms.*") == ["@norms.weight", "@norms.bias"]


def test_a_group_that_a_module_does_not_have():
    with pytest.raises(InputError, match=r"group @attention\. .* has @biases, @head, @mlp, @norms"):
        names("theta", net(), include="@attention")


@pytest.mark.parametrize(("module", "head"), [
    (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.Softmax(1)), "2"),
    (nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))), "0.1"),
    (nn.Linear(3, 4), ""),
])  # fmt: skip
def test_the_head_is_the_last_part(module, head):
    found = names("theta", module, include="@head")
    assert found == [f"{head}.{name}".lstrip(".") for name in ("weight", "bias")]


def test_groups_go_with_patterns_and_files_hold_them(tmp_path):
    patterns = {"include": ["@attention", "@norms"], "exclude": "@biases", "train": "@head"}
    made = sn.Subspace(encoder(), dim=5, **patterns)
    assert {e.name for e in made.layout.entries} == {
        n for n, _ in encoder().named_parameters()
        if any(n.startswith(f"{part}.") for part in OF["@attention"] | OF["@norms"])
        and "bias" not in n
    }  # fmt: skip
    made.save(tmp_path / "net.safetensors")
    assert sn.load(tmp_path / "net.safetensors", encoder()).selection == made.selection


def test_a_group_is_no_name_and_no_name_a_group():
    with pytest.raises(InputError, match=r"'@norm' matches no parameter.*such as @norms"):
        names("theta", net(), include=["@norm", "@norms"])
    with pytest.raises(InputError, match=r"'@nope' .* as @norms, @biases, @attention, @mlp, @head"):
        names("theta", net(), include="@nope")
    with pytest.raises(InputError, match="several, got None"):
        names("theta", net(), include=None)
    with pytest.raises(InputError, match=r"'norms' matches no parameter.* as @norms\."):
        names("theta", net(), include="norms")
    assert len(names("theta", net(), include=["@norms", "*.weight"])) == 6
