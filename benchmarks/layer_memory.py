"""Peak memory and seconds of a training step of a large model, one process for each way to train.

    python -m benchmarks.layer_memory results/layer_memory.json

`blocks` has 302 million weights of float32: 24 blocks of width 1024 with three linear maps each,
a batch of 2 × 64 tokens. `llama` has 1.1 billion weights of bfloat16, as TinyLlama has them, and a
batch of 1 × 32. The ways:

- `frozen`: no weight is trained; the gradient of the input alone is asked for. LoRA needs at least
  this, so it is the limit.
- `layer`: in a subspace, `memory="layer"`, d = 10,000.
- `whole`: in a subspace, `memory="whole"`: all weights are made once in each call.
- `full`: all weights are trained, with Adam (`blocks` alone).

Memory is the largest resident size of the process less that after the imports; the model counts.
Seconds are the median of the steps after the first. Ratios are to `frozen` for memory, and
`layer` to `whole` for seconds.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import output, timing
from subspace_nn import Subspace
from subspace_nn.projections import kernels

COMMAND = "python -m benchmarks.layer_memory results/layer_memory.json"
DIM = 10_000
WAYS = {"blocks": ("frozen", "layer", "whole", "full"), "llama": ("frozen", "layer", "whole")}
STEPS = {"blocks": 4, "llama": 3}


_ONE = """
import json, sys
from benchmarks import layer_memory
print(json.dumps(layer_memory.one(*sys.argv[1:])))
"""


class Block(nn.Module):
    """x + W₃ (silu(W₁ x) ⊙ W₂ x): three maps of 4.2 million weights each."""

    def __init__(self, width: int = 1024) -> None:
        super().__init__()
        self.gate = nn.Linear(width, 4 * width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """As above; shape (n, length, width) to the same."""
        return x + self.down(functional.silu(self.gate(x)) * self.up(x))


def build(model: str) -> tuple[nn.Module, Tensor]:
    """A model with random weights, and its input of embeddings.

    Args:
        model: "blocks" or "llama".

    Returns:
        The module, and a batch that a gradient may be asked for.
    """
    torch.manual_seed(0)
    if model == "blocks":
        return nn.Sequential(*(Block() for _ in range(24))), torch.randn(2, 64, 1024)
    from transformers import LlamaConfig, LlamaModel  # noqa: PLC0415  # counts as an import of llama

    config = LlamaConfig(
        vocab_size=32_000, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22,
        num_attention_heads=32, num_key_value_heads=4, dtype="bfloat16",
    )  # fmt: skip
    torch.set_default_dtype(torch.bfloat16)
    module = LlamaModel(config)
    torch.set_default_dtype(torch.float32)
    return module, torch.randn(1, 32, 2048, dtype=torch.bfloat16)


def step_of(model: str, way: str) -> Callable[[], None]:
    """One training step.

    Args:
        model: as for `build`.
        way: as above.

    Returns:
        What makes a step.
    """
    module, x = build(model)
    if way in {"layer", "whole"}:
        net: nn.Module = Subspace(module, DIM, theta0="module", memory=way, copy=False)
    else:
        net = module.requires_grad_(way == "full")
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-3) if trained else None
    x.requires_grad_(way == "frozen")

    def step() -> None:
        out = net(x) if model == "blocks" else net(inputs_embeds=x).last_hidden_state
        out.float().square().mean().backward()
        if optimizer:
            optimizer.step()
            optimizer.zero_grad()

    return step


def one(model: str, way: str) -> dict[str, Any]:
    """Measure one way in this process, which has done nothing else.

    Args:
        model: as for `build`.
        way: as above.

    Returns:
        A row of the results.
    """
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # imports more, as does the next line
    kernels.usable(torch.device("cpu"))
    if model == "llama":
        import transformers.models.llama.modeling_llama  # noqa: F401, PLC0415
    before = _peak()
    step = step_of(model, way)
    made = _peak()
    seconds = []
    for _ in range(STEPS[model]):
        start = time.process_time()
        step()
        seconds.append(time.process_time() - start)
    return {
        "model": model,
        "way": way,
        "bytes": _peak() - before,
        "bytes_to_make": made - before,
        "seconds": statistics.median(seconds[1:]),
    }


def main() -> None:
    """Measure every way of every model; print and write the results."""
    given = timing.arguments(__doc__)
    rows = []
    for model, ways in WAYS.items():
        of_model = {}
        for way in ways:
            done = subprocess.run(
                [sys.executable, "-c", _ONE, model, way], capture_output=True, text=True,
                check=True, cwd=Path(__file__).parents[1],
            )  # fmt: skip
            row = of_model[way] = json.loads(done.stdout.splitlines()[-1])
            row["bytes_over_frozen"] = row["bytes"] / of_model["frozen"]["bytes"]
            print(
                f"{model:7} {way:7} {row['bytes'] / 1e9:6.2f} GB, "
                f"{row['bytes_over_frozen']:.2f} of frozen; {row['seconds']:.2f} s a step"
            )
            rows.append(row)
        ratio = of_model["layer"]["seconds"] / of_model["whole"]["seconds"]
        print(f"{model:7} layer takes {ratio:.2f} times the seconds of whole")
    output.write(
        given.out,
        "python -m benchmarks.layer_memory results/layer_memory.json",
        torch.device("cpu"),
        results=rows,
    )


def _peak() -> int:
    """The largest resident size of this process until now, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
