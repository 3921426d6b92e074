"""The task of which tensors to adapt, with a tiny encoder; its texts; its table."""

import copy
import itertools
from datetime import UTC, datetime

import pytest
import torch
import transformers

from evidence.tensors import table
from experiments import tensors, texts
from subspace_nn.runs.packed import encode
from subspace_nn.runs.run import Run

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


@pytest.fixture
def encoder(monkeypatch):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=6, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=16,
    )  # fmt: skip
    made = transformers.BertModel(config, add_pooling_layer=False).eval()
    rows = [([1 + n % 39, 1 + n % 7, 1 + n % 5][: 2 + n % 2], n % 3) for n in range(60)]
    encoded = {part: rows[20 * n :][:20] for n, part in enumerate(texts.SIZES)}
    monkeypatch.setattr(tensors, "_prepared", lambda _: (made, encoded, "a1b2"))
    tensors._probe.cache_clear()
    yield made
    tensors._probe.cache_clear()


LAYER = 4 * (16 * 16 + 16) + 2 * 16 * 24 + 24 + 16 + 4 * 16
WEIGHTS = {
    "all": (40 + 16 + 2 + 2) * 16 + 6 * LAYER,
    "attention": 6 * 4 * (16 * 16 + 16),
    "mlp": 6 * (2 * 16 * 24 + 24 + 16),
    "norms and biases": 2 * 16 + 6 * (4 * 16 + 24 + 16 + 4 * 16),
    "last two layers": 2 * LAYER,
    "lora": 6 * 4 * (4 * 2 * 16 + 2 * (16 + 24)),
}


@pytest.mark.parametrize("dim", [0, 20])
@pytest.mark.parametrize("part", WEIGHTS)
def test_a_part_is_what_trains(encoder, part, dim):
    before = copy.deepcopy(encoder.state_dict())
    result = tensors.adapt(part=part, dim=dim, epochs=1)
    assert result["D"] == WEIGHTS[part]
    assert result["free"] == (dim or WEIGHTS[part]) + 3 * 16 + 3
    assert result == tensors.adapt(part=part, dim=dim, epochs=1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())


@pytest.mark.usefixtures("encoder")
def test_training_starts_from_the_probe():
    probe = tensors.adapt(part="head", dim=0)
    assert probe["free"] == 3 * 16 + 3
    assert "D" not in probe
    still = tensors.adapt(part="all", dim=20, lr=1e-12, epochs=1)
    assert abs(still["test_accuracy"] - probe["test_accuracy"]) <= 5  # the head trains


def test_an_unknown_part_is_refused():
    assert len(tensors.adapt.check({"data": "tweet", "part": "heads"})) == 2


def test_no_file_has_docstrings_in_two_parts(monkeypatch):
    monkeypatch.setattr(texts, "PACKAGES", ("joblib",))
    monkeypatch.setattr(texts, "SIZES", {"test": 7, "train": 12})
    found = texts.docstrings(None)
    assert {part: len(some) for part, some in found.items()} == {"test": 6, "train": 12}
    for some in found.values():
        assert sorted(label for _, label in some) == sorted([0, 1, 2] * (len(some) // 3))
    files = {text: path for path in texts._files("joblib") for text, _ in texts._paragraphs(path)}
    test, train = ({files[text] for text, _ in some} for some in found.values())
    assert not test & train
    assert texts.digest(found) == texts.digest(texts.docstrings(None))


def test_the_table_has_the_best_setting_of_each_row(tmp_path):
    records = []
    accuracies = {"head": (0, 80.0), "all": (0, 90.0), "lora": (100, 88.0)}
    for (part, (dim, accuracy)), lr, seed in itertools.product(
        accuracies.items(), (0.1, 0.3), range(2)
    ):
        worse = 5 if lr == 0.3 else 0  # on the validation texts, and better on the test's
        run = Run.of(
            "experiments.tensors:adapt", {"part": part, "dim": dim, "lr": lr, "seed": seed}
        )
        result = {
            "D": 7, "validation_accuracy": 70.0 - worse, "test_accuracy": accuracy + worse + seed,
        }  # fmt: skip
        records.append(run.done(result, datetime.now(UTC), 1.0, "cpu", ""))
    (tmp_path / "tensors.jsonl").write_bytes(encode(records))
    found = table("tweets", tmp_path)
    assert found is not None
    assert [row[0] for row in found.rows] == [
        "none: the linear probe", "LoRA's factors, r = 4", "all",
    ]  # fmt: skip
    assert found.rows[1][2:] == ["100", "0.1", "4", "88.50 ± 0.71", "80 ± 7", "2"]
    assert table("docstrings", tmp_path) is None
