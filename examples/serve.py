"""Serve many adapters of one MiniLM: the base is in memory once, an adapter is a few kB.

The classifier of tweets is that of `examples/minilm.py`. A folder holds a file for each customer,
which `net.save(path, base=…)` wrote. Each request names its customer, and threads answer for
different ones at once. From the root of the repository:

    pip install fastapi uvicorn transformers
    python examples/serve.py FOLDER
    curl -X POST localhost:8000/acme -H 'Content-Type: application/json' \
        -d '{"texts": ["what a day"]}'
"""

import argparse
from pathlib import Path
from typing import Annotated

import minilm
import tokenizers
import torch
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

import subspace_nn as sn


class Texts(BaseModel):
    """What is to be classified."""

    texts: Annotated[list[str], Field(min_length=1, max_length=64)]


def load(folder: Path, model: torch.nn.Module) -> sn.Subspace:
    """All adapters of a folder on one base; each is verified to be of it."""
    paths = sorted(folder.glob("*.safetensors"))
    net = sn.load(paths[0], model)
    for path in paths:
        net.load_adapter(path.stem, path)
    return net


def make_app(net: sn.Subspace, tokenizer: tokenizers.Tokenizer) -> FastAPI:
    app = FastAPI()
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding()

    @app.post("/{customer}")  # no `async def`: each request gets a thread
    def classify(customer: str, request: Texts) -> list[dict[str, float]]:
        if customer not in net.adapters:
            raise HTTPException(404, f"There is no adapter {customer!r}.")
        encoded = tokenizer.encode_batch(request.texts)
        ids = torch.tensor([text.ids for text in encoded])
        mask = torch.tensor([text.attention_mask for text in encoded])
        with torch.inference_mode(), net.adapter(customer):  # in this thread only
            found = net(ids, mask).softmax(1)
        return [dict(zip(minilm.LABELS, row, strict=True)) for row in found.tolist()]

    return app


def main() -> None:
    import uvicorn  # noqa: PLC0415  # the app itself runs in any server

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packages", type=Path, default=Path("runs/minilm"))
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    torch.set_num_threads(1)  # of each request
    encoder, tokenizer = minilm.load_encoder(options.packages)
    net = load(options.folder, minilm.Classifier(encoder).eval())
    uvicorn.run(make_app(net, tokenizer), port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
