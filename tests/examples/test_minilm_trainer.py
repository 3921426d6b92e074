"""The script trains a tiny encoder from a folder on a table, and its file gives the same back."""

import csv
from pathlib import Path

import pytest
import torch
import transformers

import subspace_nn as sn
from tests.examples.scripts import script

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "day"]


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning")
def test_the_script(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=16,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained("base")
    Path("base/vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizer("base/vocab.txt").save_pretrained("base")
    rows = [{"text": f"{word} day", "label": label} for label, word in enumerate(WORDS[5:])]
    with Path("tweets.csv").open("w") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(rows * 20)
    script("minilm_trainer").main("base", "tweets.csv")
    assert "'eval_accuracy': " in capsys.readouterr().out
    model = transformers.AutoModelForSequenceClassification.from_pretrained("base", num_labels=3)
    net = sn.load("tweets.safetensors", model)
    assert (net.dim, net.selection.train) == (1000, ("classifier",))
    assert net.omega.abs().max() > 0
