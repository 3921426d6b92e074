"""Fine-tune MiniLM in 1,000 free parameters with `AutoModel` and `Trainer`: a file of 9 kB.

    pip install transformers accelerate
    python examples/minilm_trainer.py sentence-transformers/all-MiniLM-L6-v2 tweets.csv

The model is a name or a folder; the table has the columns `text` and `label` (0, 1, 2).
"""

import csv
import sys
from pathlib import Path

import torch
import transformers as hf

import subspace_nn as sn


def main(base: str, table: str) -> None:
    tokenizer = hf.AutoTokenizer.from_pretrained(base)
    model = hf.AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    net = sn.Subspace(model, dim=1000, theta0="module", exclude="*embeddings*", train="classifier")
    rows = list(csv.DictReader(Path(table).read_text("utf-8").splitlines()))
    data = [tokenizer(r["text"], truncation=True) | {"labels": int(r["label"])} for r in rows]
    test, data = data[: len(data) // 5], data[len(data) // 5 :]
    groups = [
        {"params": [net.omega], "lr": 0.01},  # in standard deviations of the weights per step
        {"params": net.module.classifier.parameters(), "lr": 1e-3},
    ]
    trainer = hf.Trainer(
        net.module,
        hf.TrainingArguments("runs/trainer", num_train_epochs=2, per_device_train_batch_size=16),
        train_dataset=data,
        eval_dataset=test,
        data_collator=hf.DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda p: {"accuracy": float((p[0].argmax(-1) == p[1]).mean())},
        optimizers=(torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=0.0), None),
    )
    trainer.train()
    print(trainer.evaluate())
    net.save("tweets.safetensors", base=base)


if __name__ == "__main__":
    main(*sys.argv[1:])
