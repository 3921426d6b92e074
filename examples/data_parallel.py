"""Data-parallel training: processes exchange the gradient of ω only, d numbers per step.

The conv net of `subspace_nn.models` learns MNIST in 1,000 free parameters, on one global batch that
the processes of torchrun share. From the root of the repository:

    python examples/data_parallel.py                             # one process
    torchrun --standalone --nproc-per-node 2 examples/data_parallel.py

Both print the same losses. A step of the plain net sends the gradients of 21,840 weights, 87,360
bytes; this one sends 4,000.
"""

import argparse
import json
import os
import sys

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import subspace_nn as sn
from subspace_nn import bits, models
from subspace_nn.tasks import data
from subspace_nn.tasks.recipe import Recipe


def average(sent: list[int], bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
    """Average gradients over the processes as DDP does, and note the bytes that each sends."""
    gradient = bucket.buffer().div_(dist.get_world_size())
    sent.append(gradient.nbytes)
    work = dist.all_reduce(gradient, async_op=True)
    return work.get_future().then(lambda future: future.value()[0])


def train(steps: int, batch: int, dim: int) -> dict[str, object]:
    """Train for some steps; every process computes its share of each batch."""
    rank, size = dist.get_rank(), dist.get_world_size()
    digits = data.mnist().train
    net = sn.Subspace(models.build("conv"), dim)  # the same in every process: θ0 is from a seed
    parallel = DistributedDataParallel(net)
    sent: list[int] = []
    parallel.register_comm_hook(sent, average)
    optimizer = torch.optim.Adam(net.parameters(), lr=Recipe.lr)
    order = bits.permutation(0, "order", len(digits.images))
    losses = []
    for step in range(steps):
        chosen = order[step * batch : (step + 1) * batch][rank::size]
        images = digits.images[chosen, None].float() / 255
        loss = nn.functional.cross_entropy(parallel(images), digits.labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mean = loss.detach() / size  # for the eye: it is no part of training
        dist.all_reduce(mean)
        losses.append(float(mean))
    return {"processes": size, "bytes_per_step": sum(sent) / steps, "losses": losses}


def main() -> None:
    """Parse the command line, train, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--dim", type=int, default=1000)
    options = parser.parse_args()
    if "RANK" in os.environ:  # torchrun's
        dist.init_process_group("gloo")
    else:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    result = train(options.steps, options.batch, options.dim)
    if dist.get_rank() == 0:
        sys.stdout.write(json.dumps(result) + "\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
