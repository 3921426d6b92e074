"""`transformers.Trainer` trains, saves and resumes a module in a subspace."""

import re

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

import subspace_nn as sn
from tests.frameworks import pages

# The Trainer's default, where no GPU exists.
pytestmark = pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning")

BASE = "my-lab/encoder"


@pytest.fixture(autouse=True)
def _encoder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=16,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(BASE)


def pretrained():
    return AutoModelForSequenceClassification.from_pretrained(BASE)


def texts(n=32):
    tokens = torch.randint(40, (n, 8), generator=torch.Generator().manual_seed(1))
    return [{"input_ids": row, "labels": int(row[0]) % 2} for row in tokens]


def logits(model):
    with torch.no_grad():
        return model.eval()(torch.stack([text["input_ids"] for text in texts()])).logits


def state(net):
    return {name: p.detach().clone() for name, p in net.module.named_parameters()}


def assert_equal(left, right):
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_the_page():
    left = pages.run("transformers", data=texts())
    trainer, net, best = left["trainer"], left["net"], left["best"]
    assert torch.equal(logits(best), logits(net.module))  # load_best_model_at_end
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert min(losses) == pytest.approx(trainer.evaluate()["eval_loss"], rel=1e-6)
    assert len(losses) == 4
    for step in range(1, 5):
        loaded = sn.load(f"out/checkpoint-{step}/subspace.safetensors", pretrained())
        own = load_file(f"out/checkpoint-{step}/model.safetensors")
        assert torch.equal(loaded.omega, own["subspace_omega"])
        assert torch.equal(loaded.module.classifier.weight, own["classifier.weight"])


def trainer_of(folder, **options):
    torch.manual_seed(3)  # the head is new
    net = sn.Subspace(pretrained(), 100, train="classifier")
    arguments = TrainingArguments(folder, **options)
    return net, Trainer(net.module, arguments, train_dataset=texts(), eval_dataset=texts())


def test_default_arguments():
    net, trainer = trainer_of("out")
    before = state(net)
    trainer.train()
    assert trainer.state.global_step == 12
    after = state(net)
    assert not any(torch.equal(before[name], after[name]) for name in after if after[name].numel())
    assert trainer.evaluate()["eval_loss"] > 0
    assert trainer.predict(texts()).predictions.shape == (32, 2)


def test_a_resumed_training_has_the_same_bits():
    options = {"max_steps": 4, "save_steps": 1, "learning_rate": 0.01}
    net, trainer = trainer_of("out", **options)
    trainer.train()
    other, trainer = trainer_of("out", **options)
    trainer.train(resume_from_checkpoint="out/checkpoint-2")
    assert_equal(state(other), state(net))


def test_a_checkpoint_of_another_subspace_is_refused():
    _, trainer = trainer_of("out", max_steps=1)
    trainer.train()
    other = sn.Subspace(pretrained(), 100, train="classifier", seed=1)
    trainer = Trainer(other.module, TrainingArguments("out", max_steps=2), train_dataset=texts())
    with pytest.raises(Exception, match="another subspace"):
        trainer.train(resume_from_checkpoint=True)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing. is deprecated:FutureWarning")  # 5.23
@pytest.mark.parametrize("memory", ["whole", "layer"])
def test_checkpointed_activations_have_the_same_bits(memory):
    omegas = []
    for checkpointing in (False, True):
        torch.manual_seed(3)
        net = sn.Subspace(pretrained(), 100, memory=memory)
        arguments = TrainingArguments(
            "out", max_steps=2, learning_rate=0.01, gradient_checkpointing=checkpointing
        )
        Trainer(net.module, arguments, train_dataset=texts()).train()
        assert net.module.is_gradient_checkpointing == checkpointing
        omegas.append(net.omega.detach())
    assert torch.equal(*omegas)


def test_a_language_model_generates_after_training():
    config = transformers.GPT2Config(
        vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=32, bos_token_id=0,
        eos_token_id=39, pad_token_id=39,
    )  # fmt: skip
    net = sn.Subspace(transformers.GPT2LMHeadModel(config), 100)
    data = [{"input_ids": t["input_ids"], "labels": t["input_ids"]} for t in texts()]
    arguments = TrainingArguments("out", max_steps=4, learning_rate=0.1)
    Trainer(net.module, arguments, train_dataset=data).train()
    prompt = data[0]["input_ids"][None]
    options = {"max_new_tokens": 8, "do_sample": False, "attention_mask": torch.ones_like(prompt)}
    got = net.generate(prompt, **options)
    assert torch.equal(got, net.merge().eval().generate(prompt, **options))


def test_the_ten_lines_of_adapters():
    (block,) = pages.blocks(pages.ROOT / "docs" / "adapters.md")
    assert len(block.splitlines()) <= 10
    left = {"data": texts()}
    exec(block, left)  # noqa: S102
    assert torch.equal(logits(left["again"]), logits(left["net"].module))
    assert len(re.findall(r"sn\.load", block)) == 1
