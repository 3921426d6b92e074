"""MiniLM as one ONNX model with ω as an input: 50 adapters through one session.

    python -m evidence.onnx_adapters results/onnx_adapters.json

The encoder and the head are those of `examples/minilm.py`; ω (d = 1,000) and the heads are random,
θ is the encoder without its embeddings. Each adapter classifies 4 tweets in onnxruntime, from what
its file holds, and in PyTorch.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import onnxruntime
import safetensors.numpy
import torch

import subspace_nn as sn
from benchmarks import output
from examples import minilm
from subspace_nn.checkpoint.export import onnx_bytes

ADAPTERS, DIM = 50, 1000


def main() -> None:
    """Compare, print, and write the JSON named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--packages", type=Path, default=Path("runs/minilm"))
    options = parser.parse_args()
    options.packages.mkdir(parents=True, exist_ok=True)
    encoder, tokenizer = minilm.load_encoder(options.packages)
    texts = minilm.encode(tokenizer, minilm.load_tweets(options.packages)[:4], 40)
    ((ids, mask, _),) = minilm.batches(texts, 4)
    model = minilm.Classifier(encoder).eval()
    net = sn.Subspace(
        model, DIM, theta0="module", exclude="encoder.embeddings.*", train="head"
    ).eval()  # fmt: skip
    content = onnx_bytes(net, {"ids": ids, "mask": mask})
    results = compare(net, content, ids, mask)
    results |= {
        "model_bytes": len(content),
        "merged_bytes": len(onnx_bytes(net.merge(), (ids, mask))),
    }
    print(results)
    command = "python -m evidence.onnx_adapters results/onnx_adapters.json"
    output.write(options.out, command, results=results)


def compare(
    net: sn.Subspace, content: bytes, ids: torch.Tensor, mask: torch.Tensor
) -> dict[str, Any]:
    """The largest difference over all adapters, and the median time of a call."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options)
    generator = torch.Generator().manual_seed(0)
    differences: list[float] = []
    seconds: list[float] = []
    sizes: list[int] = []
    for _ in range(ADAPTERS):
        with torch.inference_mode():
            net.omega.normal_(0, 0.3, generator=generator)
            net.module.get_parameter("head.weight").normal_(0, 0.1, generator=generator)
            expected = net(ids, mask)
        with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
            net.save(file.name, base=minilm.BASE)
            sizes.append(Path(file.name).stat().st_size)
            own = safetensors.numpy.load_file(file.name)
        started = time.process_time()
        (got,) = session.run(None, own | {"ids": ids.numpy(), "mask": mask.numpy()})
        seconds.append(time.process_time() - started)
        apart = torch.from_numpy(cast("Any", got)) - expected
        differences.append(float(apart.abs().max()))
    return {
        "adapters": ADAPTERS,
        "largest_difference": max(differences),
        "cpu_ms": round(1000 * sorted(seconds)[ADAPTERS // 2]),
        "bytes_of_an_adapter": max(sizes),
    }


if __name__ == "__main__":
    main()
