"""Inference in a subspace over that of the plain module, interleaved in one run.

    python -m benchmarks.inference results/inference.json    # about two minutes

Evaluation mode, under `no_grad`, ω as it was: θ is kept between calls. `plain` calls the module
that `merge` gives, `module` the live one, `net` the `Subspace`. One thread, random images. Each
round calls each as often as 1,000 images take; what is reported is the median over the rounds of
the ratio to the plain module of the same round, with its quartiles.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import output, timing
from subspace_nn import Subspace, models

MODELS, DIM = ("conv", "fc"), 1000
#: Images in a call, and rounds.
BATCHES, ROUNDS = (1, 100, 1000), 100


def main() -> None:
    """Measure, print, and write the JSON named on the command line."""
    chosen = timing.arguments(__doc__)
    rows = [row for model in MODELS for n in BATCHES for row in measure(model, n, chosen.device)]
    output.write(chosen.out, "python -m benchmarks.inference", chosen.device, results=rows)


def measure(model: str, n: int, device: torch.device) -> list[dict[str, Any]]:
    """Time calls of the plain module, the live module and the net in turn.

    Args:
        model: name of the net.
        n: number of images in a call.
        device: that computes.

    Returns:
        One dictionary for each of the two that are in a subspace.
    """
    net = Subspace(models.build(model), DIM).eval().to(device)
    with torch.no_grad():
        net.omega.normal_(generator=torch.Generator(device).manual_seed(0))
    x = torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(0)).to(device)
    called = {"plain": net.merge(), "module": net.module, "net": net}
    calls = max(1, 1000 // n)
    times = timing.in_turn(
        {name: _calls(part, x, calls) for name, part in called.items()}, ROUNDS, device
    )
    plain = times.pop("plain")
    rows: list[dict[str, Any]] = []
    for name, own in times.items():
        ratios = own.over(plain)
        us = {key: round(each.ms * 1e3 / calls, 1) for key, each in (("plain", plain), (name, own))}
        low, high = ratios["ratio_quartiles"]
        print(
            f"{model:5} {name:7} {n:5,} images  plain {us['plain']:9.1f} us  {us[name]:9.1f} us  "
            f"ratio {ratios['ratio']:.3f} (quartiles {low:.3f} to {high:.3f})",
            flush=True,
        )
        row = {"model": model, "called": name, "images": n, "rounds": len(own.wall)}
        rows.append(row | {"plain_us": us["plain"], "us": us[name]} | ratios)
    return rows


def _calls(part: nn.Module, x: Tensor, calls: int) -> Callable[[], None]:
    @torch.no_grad()
    def action() -> None:
        for _ in range(calls):
            part(x)

    return action


if __name__ == "__main__":
    main()
