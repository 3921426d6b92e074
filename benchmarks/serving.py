"""The load test of `examples/serve.py`: one MiniLM, 1, 10 and 100 adapters, 8 clients.

    python -m benchmarks.serving results/serving.json

The server runs in a process of its own. Each client sends one request after the other, of one
tweet for an adapter drawn at random, and compares the answer with that of the file alone: a net
without adapters, which takes over what the file holds. The adapters have random ω and heads, in
d = 1,000; θ is the encoder without its embeddings. Of each number of adapters are measured
requests a second, the latency that 50 % and 99 % of the requests keep to, the server's CPU time
for a request, wrong answers, and the server's resident memory. Needs Linux, the packages of the
example, and `httpx2`.
"""

import argparse
import functools
import itertools
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import torch

import subspace_nn as sn
from benchmarks import output
from examples import minilm
from subspace_nn.format import container
from subspace_nn.format.container import Checkpoint

COUNTS, CLIENTS, REQUESTS, DIM = (1, 10, 100), 8, 160, 1000
SERVER = Path("examples/serve.py")
TOLERANCE = 1e-5

#: The answers by customer and text.
Answers = dict[str, list[list[float]]]


def write_adapters(folder: Path, model: minilm.Classifier, texts: list[Any]) -> Answers:
    """Write an adapter for each customer, and compute its answers from the file."""
    net = sn.Subspace(
        model, DIM, theta0="module", exclude="encoder.embeddings.*", train="head"
    ).eval()  # fmt: skip
    saved = net.to_checkpoint(minilm.BASE)
    generator = torch.Generator().manual_seed(0)
    answers: Answers = {}
    for number in range(max(COUNTS)):
        omega = torch.randn(DIM, generator=generator) * 0.3
        weight = torch.randn(model.head.weight.shape, generator=generator) * 0.1
        tensors = {**saved.tensors, "omega": omega, "module.head.weight": weight}
        path = folder / f"{number:03}.safetensors"
        container.write(Checkpoint(saved.spec, tensors), path)
        net.load_values(container.read(path).tensors)
        with torch.inference_mode():
            answers[path.stem] = [net(*text).softmax(1)[0].tolist() for text in texts]
    return answers


@contextmanager
def served(folder: Path, packages: Path) -> Generator[tuple[str, int]]:
    """The server of a folder: where it is, and the number of its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(SERVER), str(folder), "--port", str(port)]
    process = subprocess.Popen([*command, "--packages", str(packages)])
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                httpx.get(url)
                break
            except httpx.TransportError:
                time.sleep(0.5)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def client(
    url: str, number: int, *, customers: list[str], tweets: list[str], answers: Answers
) -> list[tuple[float, bool]]:
    """Seconds of each request of one client, and whether its answer is right."""
    draw = random.Random(number)  # noqa: S311  # nothing secret
    outcomes: list[tuple[float, bool]] = []
    with httpx.Client(timeout=120) as http:
        for _ in range(REQUESTS // CLIENTS):
            customer, which = draw.choice(customers), draw.randrange(len(tweets))
            started = time.perf_counter()
            response = http.post(f"{url}/{customer}", json={"texts": [tweets[which]]})
            seconds = time.perf_counter() - started
            (row,) = response.json()
            pairs = zip(row.values(), answers[customer][which], strict=True)
            outcomes.append((seconds, all(abs(a - b) < TOLERANCE for a, b in pairs)))
    return outcomes


def measure(
    url: str, server: int, customers: list[str], tweets: list[str], answers: Answers
) -> dict[str, Any]:
    """The numbers for some customers."""
    one = functools.partial(client, url, customers=customers, tweets=tweets, answers=answers)
    started, used = time.perf_counter(), cpu_seconds(server)
    with ThreadPoolExecutor(CLIENTS) as pool:
        outcomes = [*itertools.chain.from_iterable(pool.map(one, range(CLIENTS)))]
    wall = time.perf_counter() - started
    seconds = sorted(second for second, _ in outcomes)
    return {
        "adapters": len(customers),
        "requests": len(outcomes),
        "requests_per_second": round(len(outcomes) / wall, 1),
        "p50_ms": round(1000 * seconds[len(seconds) // 2]),
        "p99_ms": round(1000 * seconds[len(seconds) * 99 // 100]),
        "server_cpu_ms": round(1000 * (cpu_seconds(server) - used) / len(outcomes)),
        "wrong": sum(not right for _, right in outcomes),
        "server_MB": resident(server) // 1_000_000,
    }


def resident(process: int) -> int:
    """Bytes of a process in memory, as Linux counts them."""
    pages = int(Path(f"/proc/{process}/statm").read_text("utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(process: int) -> float:
    """CPU time of a process, in all threads."""
    after_name = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    return sum(map(int, after_name[11:13])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--packages", type=Path, default=Path("runs/minilm"))
    options = parser.parse_args()
    options.packages.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    encoder, tokenizer = minilm.load_encoder(options.packages)
    model = minilm.Classifier(encoder).eval()
    chosen = minilm.load_tweets(options.packages)[:4]
    tweets = [text for text, _ in chosen]
    encoded = [torch.tensor([ids]) for ids, _ in minilm.encode(tokenizer, chosen, 128)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        answers = write_adapters(folder, model, [(ids, torch.ones_like(ids)) for ids in encoded])
        sizes = [path.stat().st_size for path in folder.iterdir()]
        with served(folder, options.packages) as (url, server):
            rows = [
                measure(url, server, [*answers][:count], tweets, answers) for count in COUNTS
            ]  # fmt: skip
    for row in rows:
        print(row)
    load = os.getloadavg()[0]
    output.write(
        options.out,
        "python -m benchmarks.serving results/serving.json",
        clients=CLIENTS, bytes_of_an_adapter=max(sizes), load_average=load, results=rows,
    )  # fmt: skip


if __name__ == "__main__":
    main()
