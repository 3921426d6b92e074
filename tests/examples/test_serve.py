"""The server answers for each customer, with a tiny encoder in the place of the pretrained one."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import tokenizers
import torch
import transformers

import subspace_nn as sn
from tests.examples.scripts import script

pytest.importorskip("fastapi")
testclient = pytest.importorskip("fastapi.testclient")
minilm = script("minilm")
serve = script("serve")
WORDS = ["[PAD]", "what", "a", "day", "at", "sea"]
TEXTS = ["what a day", "day at sea at day", "sea"]


def encoder():
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=16,
    )  # fmt: skip
    return minilm.Classifier(transformers.BertModel(config, add_pooling_layer=False)).eval()


def tokenizer():
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[PAD]"))  # noqa: S106
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return made


@pytest.fixture
def client(tmp_path):
    for number in range(5):
        net = sn.Subspace(encoder(), 20, theta0="module", train="head")
        torch.manual_seed(number)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn_like(parameter))
        net.save(tmp_path / f"customer-{number}.safetensors", base="a tiny encoder")
    app = serve.make_app(serve.load(tmp_path, encoder()), tokenizer())
    with testclient.TestClient(app) as made:
        yield made


def answer(path, text):
    """From the file alone."""
    ids = torch.tensor([tokenizer().encode(text).ids])
    net = sn.load(path, encoder())
    with torch.no_grad():
        return net(ids, torch.ones_like(ids)).softmax(1)[0].tolist()


def test_threads_answer_for_different_customers(client, tmp_path):
    wanted = [(f"customer-{number}", text) for number in range(5) for text in TEXTS] * 4

    def ask(pair):
        customer, text = pair
        response = client.post(f"/{customer}", json={"texts": [text, "a"]})
        return [*response.json()[0].values()]

    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(ask, wanted))
    expected = {
        (customer, text): answer(tmp_path / f"{customer}.safetensors", text)
        for customer, text in wanted[:15]
    }
    for pair, values in zip(wanted, got, strict=True):
        assert values == pytest.approx(expected[pair], abs=1e-5)
    assert len({tuple(values) for values in expected.values()}) == 15


@pytest.mark.parametrize(("customer", "content", "code"), [
    ("nobody", {"texts": ["a"]}, 404), ("customer-0", {"texts": []}, 422),
    ("customer-0", {}, 422), ("customer-0", {"texts": ["a"] * 65}, 422),
])  # fmt: skip
def test_mistakes_are_told(client, customer, content, code):
    assert client.post(f"/{customer}", json=content).status_code == code
