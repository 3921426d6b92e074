"""Step time of the plain conv net with contiguous images and with channels_last ones.

    python -m benchmarks.memory_format

One thread, batch 256, the two interleaved; the ratio is the median over the rounds.
"""

import statistics
import time

import torch

from benchmarks.step_time import training_step
from subspace_nn import models
from subspace_nn.tasks.classifier import as_input
from subspace_nn.tasks.data import mnist


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    train = mnist().train
    last, y = as_input(train.images[:256]), train.labels[:256].long()
    # One channel: `contiguous` sees no difference between the two and would keep the strides.
    first = torch.empty(last.shape).copy_(last)
    steps = {
        name: training_step(models.build("conv"), x, y)
        for name, x in (("contiguous", first), ("channels_last", last))
    }
    times = {name: [] for name in steps}
    for round_ in range(41):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if round_:  # the first warms up
                times[name].append(time.perf_counter() - start)
    ratio = statistics.median(
        a / b for a, b in zip(times["channels_last"], times["contiguous"], strict=True)
    )
    for name, values in times.items():
        print(f"{name:14} {statistics.median(values) * 1e3:6.2f} ms")
    print(f"ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
