"""The example's parts, with a tiny encoder in the place of the pretrained one."""

import json
from pathlib import Path

import pytest
import torch
import transformers

import subspace_nn as sn
from tests.examples.scripts import script

minilm = script("minilm")
SETTINGS = minilm.Settings(train=24, test=12, epochs=1, batch=8)


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=16,
    )  # fmt: skip
    return minilm.Classifier(transformers.BertModel(config, add_pooling_layer=False)).eval()


def texts(n):
    generator = torch.Generator().manual_seed(n)
    lengths = torch.randint(2, 9, (n,), generator=generator).tolist()
    return [(torch.randint(1, 40, (k,), generator=generator).tolist(), k % 3) for k in lengths]


@pytest.mark.parametrize("seed", [None, 3])
def test_batches_hold_every_text_once(seed):
    given = texts(50)
    got = [
        (ids[mask.bool()].tolist(), int(label))
        for batch in minilm.batches(given, 4, seed)
        for ids, mask, label in zip(*batch, strict=True)
    ]
    assert sorted(got) == sorted(given)
    assert seed is None or got != list(given)


def test_the_mean_is_over_tokens_and_not_over_padding(model):
    ids = torch.tensor([[5, 6, 7, 0, 0]])
    short = model.embed(ids[:, :3], torch.ones(1, 3, dtype=torch.long))
    torch.testing.assert_close(model.embed(ids, (ids != 0).long()), short)


@pytest.mark.parametrize(("method", "free"), [("probe", 51), ("full", 2971), ("20", 71)])
def test_a_run_leaves_the_model_alone(model, method, free, tmp_path):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    result = minilm.run(
        method, 1, model, {"train": texts(24), "test": texts(12)}, s=SETTINGS, folder=tmp_path
    )
    assert result["free"] == free
    assert 0 <= result["accuracy"] <= 100
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    if method == "20":
        path = tmp_path / "20-1.safetensors"
        assert path.stat().st_size == result["bytes"] < 1500
        assert sn.load(path, model).dim == 20


def test_the_head_fits_its_features(model):
    features = torch.randn(60, 16, generator=torch.Generator().manual_seed(0))
    labels = (features[:, 0] > 0).long()
    minilm.fit_head(model, features, labels, seed=0)
    assert float((model.head(features).argmax(1) == labels).double().mean()) > 0.95


def test_the_table_has_shares_of_the_gain_on_the_probe():
    records = [
        {"method": m, "seed": s, "free": 7, "accuracy": a}
        for m, a in (("full", 80.0), ("100", 65.0), ("probe", 60.0))
        for s in range(2)
    ]
    rows = {row.split()[0]: row.split() for row in minilm.table(records).splitlines()[1:]}
    assert rows["100"] == ["100", "7", "0", "2", "65.00", "±", "0.00", "25"]
    assert (rows["probe"][-1], rows["full"][-1]) == ("0", "100")


def test_the_page_has_the_records():
    root = Path(__file__).parents[2]
    runs = json.loads((root / "results/minilm.json").read_text())["runs"]
    assert minilm.table(runs) in (root / "docs/examples/minilm.md").read_text()
