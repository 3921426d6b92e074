"""What a subspace costs on a GPU: products over a copy of θ, and steps over those of plain modules.

    python -m benchmarks.gpu results/gpu-h200.json

Needs CUDA and Triton. Actions that are compared run in turn, round after round; a time is the
median over the rounds, a ratio the median of the ratios within a round. Times of products are the
device's, between two events behind work that keeps it busy while they are launched; times of steps
are wall times with the device waited for. Memory is what PyTorch has allocated: weights, Adam's
numbers and tables, and the most beyond them at one time of a step.

*Place* is θ0 + step · P ω, the forward pass of a subspace; *collect* is step · Pᵀ g, its backward
pass. Each is timed with the kernels, and in plain torch that keeps the indices of `hashed` or
computes them in each product. A copy of θ reads and writes 4 bytes a weight, as place must; collect
must read 4, and `fastfood` its tables, too.
"""

import gc
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks import output, step_time, timing
from subspace_nn import Subspace, models, projections
from subspace_nn.projections import Hashed, kernels
from subspace_nn.projections.base import Kernel

#: D, and the rounds.
PRODUCTS = {10**8: 20, 10**9: 10}
#: Kinds with kernels of their own, and the largest D of plain torch that keeps no index.
KINDS = ("hashed", "hadamard", "fastfood")
PLAIN = 10**8
DIM = 10_000
STEP = 0.37
#: Rounds of steps of the nets, and layers and width of the transformers with their rounds.
NETS = {"conv": 50, "fc": 50}
TRANSFORMERS = {"transformer-6-512": 30, "transformer-24-1024": 10, "transformer-35-1536": 5}


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    chosen = timing.arguments(__doc__)
    device = torch.device("cuda")
    products = [row for D, rounds in PRODUCTS.items() for row in product_rows(D, rounds, device)]
    steps = [row for net, rounds in (NETS | TRANSFORMERS).items() for row in step_rows(net, rounds)]
    output.write(
        chosen.out,
        f"python -m benchmarks.gpu {chosen.out}",
        device,
        triton=version("triton"),
        products=products,
        steps=steps,
    )


def product_rows(D: int, rounds: int, device: torch.device) -> list[dict[str, Any]]:
    """Time place and collect at one D.

    Args:
        D: number of weights.
        rounds: how many.
        device: that computes.

    Returns:
        One dictionary for each product and form.
    """
    theta0, theta, g = (torch.randn(D, device=device) for _ in range(3))
    omega = torch.randn(DIM, device=device)
    actions: dict[tuple[str, str, str], Callable[[], object]] = {
        ("copy", "", ""): lambda: theta.copy_(theta0)
    }
    for kind in KINDS:
        fused = projections.make(f"{kind}:recomputed" if kind == "hashed" else kind, D, DIM)
        kernel = _kernel(fused, omega)
        actions["place", kind, "one kernel"] = lambda kernel=kernel: kernel.place(
            omega, slice(0, D), theta0, STEP
        )
        actions["collect", kind, "one kernel"] = lambda kernel=kernel: kernel.collect(
            g, slice(0, D), STEP
        )
        actions["place", kind, "kernel for P ω"] = lambda P=fused: (
            (P @ omega).mul_(STEP).add_(theta0)
        )
    maps = {("hashed", "torch, stored"): Hashed(D, DIM, store=True)}
    if D <= PLAIN:
        maps["hashed", "torch, recomputed"] = Hashed(D, DIM, store=False)
        maps |= {(kind, "torch"): projections.make(kind, D, DIM) for kind in KINDS[1:]}
    for (kind, form), P in maps.items():
        actions["place", kind, form] = _plain(lambda P=P: (P @ omega).mul_(STEP).add_(theta0))
        actions["collect", kind, form] = _plain(lambda P=P: (P.T @ g).mul_(STEP))
    times = device_times(actions, rounds)
    copy = times.pop(("copy", "", ""))
    print(f"D = {D:,}, d = {DIM:,}: copy {copy.ms:.3f} ms", flush=True)
    rows = []
    for (product, kind, form), own in times.items():
        row = {
            "D": D,
            "dim": DIM,
            "kind": kind,
            "product": product,
            "form": form,
            "rounds": rounds,
            "ms": round(own.ms, 4),
            "copy_ms": round(copy.ms, 4),
            **own.over(copy),
        }
        rows.append(row)
        print(
            f"  {product:8} {kind:9} {form:18} {own.ms:9.3f} ms, {row['ratio']:.2f} copies",
            flush=True,
        )
    return rows


def device_times(
    actions: dict[tuple[str, str, str], Callable[[], object]], rounds: int
) -> dict[tuple[str, str, str], timing.Times]:
    """Time actions in turn on the device, after one round to warm up.

    Args:
        actions: what to time, by name.
        rounds: how often each.

    Returns:
        The times by name.
    """
    times = {name: timing.Times(use_wall=True) for name in actions}
    for round_ in range(rounds + 1):
        for name, action in actions.items():
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda._sleep(2_000_000)  # about a millisecond, in which the action is launched
            begin.record()
            action()
            end.record()
            torch.cuda.synchronize()
            if round_:
                times[name].wall.append(begin.elapsed_time(end) / 1e3)
    return times


def step_rows(name: str, rounds: int) -> list[dict[str, Any]]:
    """Time a whole step of Adam of the plain net, and in a subspace: whole or layer by layer.

    The whole is timed without kernels, too, and small nets in a CUDA graph.

    Args:
        name: of the net.
        rounds: how many.

    Returns:
        One dictionary for each way to train.
    """
    device = torch.device("cuda")
    x, y = batch(name, device)
    with device:
        D = sum(p.numel() for p in build(name).parameters())
    actions: dict[str, Callable[[], None]] = {}
    bytes_: dict[str, dict[str, int]] = {}
    graphs = ("plain, in a graph", "whole, in a graph") if name in NETS else ()
    for form in ("plain", "whole", "layer", "whole, without kernels", *graphs):
        before = _allocated()
        with device:
            net = build(name)
            if not form.startswith("plain"):
                memory = "layer" if form == "layer" else "whole"
                net = Subspace(net, DIM, theta0="module", memory=memory)
        step = step_time.training_step(net, x, y, capturable=form in graphs)
        actions[form] = _plain(step) if form == "whole, without kernels" else step
        if form in graphs:
            actions[form] = captured(step)
        bytes_[form] = _memory(actions[form], before)
    times = timing.in_turn(actions, rounds, device)
    plain = times["plain"]
    rows = []
    for form, own in times.items():
        held, within = (size / 1e9 for size in bytes_[form].values())
        row = {
            "net": name,
            "D": D,
            "dim": D if form.startswith("plain") else DIM,
            "form": form,
            "rounds": rounds,
            "ms": round(own.ms, 3),
            **bytes_[form],
            **own.over(plain),
        }
        rows.append(row)
        print(
            f"{name} ({D:,}), {form}: {own.ms:.2f} ms, ratio {row['ratio']:.3f}, "
            f"{held:.2f} GB held, {within:.2f} in a step",
            flush=True,
        )
    del actions, net, step
    _allocated()
    torch.cuda.empty_cache()
    return rows


def build(name: str) -> nn.Module:
    """A net by its name.

    Args:
        name: as `models.build` knows it, or "transformer-LAYERS-WIDTH".

    Returns:
        The net.
    """
    if not name.startswith("transformer"):
        return models.build(name)
    layers, width = map(int, name.split("-")[1:])
    return step_time.Transformer(width=width, layers=layers)


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """A step in a CUDA graph, after three steps to warm up.

    Args:
        step: whose operands stay where they are.

    Returns:
        A function that starts all of its kernels at once.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    held = graph, step  # for as long as there is the function, its tensors must not be freed
    return lambda: held[0].replay()  # noqa: PLW0108


def batch(name: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Inputs and targets.

    Args:
        name: of the net.
        device: where to.

    Returns:
        256 images and labels, or 8 × 128 tokens and those to predict.
    """
    return step_time.batch("transformer" if name.startswith("transformer") else name, device)


def _kernel(P: projections.Projection, omega: Tensor) -> Kernel:
    """What multiplies on the GPU."""
    kernel = P._kernel_for(omega)
    if kernel is None:
        raise SystemExit("This needs CUDA and Triton.")
    return kernel


def _plain(action: Callable[[], object]) -> Callable[[], None]:
    """The same without kernels."""

    def run() -> None:
        with without_kernels():
            action()

    return run


@contextmanager
def without_kernels() -> Generator[None]:
    """Compute in plain torch.

    Yields:
        Nothing.
    """
    with mock.patch.object(kernels, "usable", return_value=False):
        yield


def _memory(step: Callable[[], None], before: int) -> dict[str, int]:
    """Bytes that a training holds between two steps, and the most beyond them within one."""
    step()
    held = _allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() - held
    return {"held_bytes": held - before, "step_bytes": peak}


def _allocated() -> int:
    """Bytes allocated when all garbage is gone."""
    gc.collect()
    torch.cuda.synchronize()
    return torch.cuda.memory_allocated()


if __name__ == "__main__":
    main()
