"""One of two processes that train the same net in several ways; run by torchrun.

    torchrun --nproc-per-node=2 -m tests.frameworks.worker [cuda]

The first prints, as JSON, how far each way ends from a training in one process. On a CPU they use
gloo, and what is refused is printed, too; on CUDA devices they use NCCL.
"""

import json
import os
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import subspace_nn as sn
from subspace_nn import sources
from tests.frameworks import pages


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 3))


def data():
    """Of the pages, on the device of new tensors."""
    with torch.device("cpu"):
        tensors = pages.data()
    return [tensor.to(torch.get_default_device()) for tensor in tensors]


def train(model, part):
    """Three steps on a part of the data."""
    x, y = data()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[part]), y[part]).backward()
        optimizer.step()


def layers_and_whole(net):
    for layer in net.module:
        fully_shard(layer)
    return fully_shard(net)


def adapter(net):
    net.add_adapter("a")
    net.set_adapter("a")
    return DistributedDataParallel(net)


WAYS = {
    "DDP of the net": (DistributedDataParallel, {}),
    "DDP of an adapter": (adapter, {}),
    "DDP of the module": (lambda net: DistributedDataParallel(net.module), {}),
    "FSDP2 outside": (fully_shard, {}),
    "FSDP2 of the module": (lambda net: fully_shard(net.module), {}),
    "FSDP2 inside and outside": (layers_and_whole, {}),
    "FSDP2, layer by layer": (layers_and_whole, {"memory": "layer"}),
    "FSDP2, learned factors": (fully_shard, {"scale": "learned"}),
    "FSDP2 with a base and frozen parts": (fully_shard, {"include": "0.*", "theta0": "module"}),
}


def distance(wrap, options):
    """How far two processes that save, and one that loads, end from one process."""
    alone, net = (sn.Subspace(make_model(), 40, train="3", **options) for _ in range(2))
    train(alone, slice(None))
    train(wrap(net), slice(dist.get_rank(), None, dist.get_world_size()))
    path = f"{dist.get_rank()}.safetensors"
    net.save(path, base="base" if "theta0" in options else None)
    loaded = sn.load(path, make_model())
    x, _ = data()
    return float((loaded(x) - alone.eval()(x)).abs().max())


def refusals():
    """The errors of what cannot be sharded, and of what a sharded net cannot do."""
    nets = [sn.Subspace(make_model(), 40, train="3") for _ in range(5)]
    net, again, other, called, head = nets
    plain = net.merge()
    net.add_adapter("a")
    again.add_adapter("a")
    again.set_adapter("a")
    fully_shard([other.module[1], other.module[3]])
    fully_shard(called)
    with torch.no_grad():
        called(pages.data()[0])  # makes its parameters whole
    fully_shard(head.module[3])
    return {
        "sharded before": error(lambda: sn.Subspace(fully_shard(make_model()), 40, copy=False)),
        "with adapters": error(lambda: fully_shard(net)),
        "of the module, with adapters": error(lambda: fully_shard(again.module)),
        "add_adapter": error(lambda: other.add_adapter("a")),
        "add_adapter to a head": error(lambda: head.add_adapter("a")),
        "add_adapter after a call": error(lambda: called.add_adapter("a")),
        "next_stage": error(called.next_stage),
        "merge": error(called.merge),
        "release": error(called.release),
        "unmerge": error(lambda: called.unmerge(plain)),
    }


def error(action):
    """What an action is refused with."""
    try:
        action()
    except sn.InputError as refused:
        return str(refused)
    return ""


def outside():
    """What a sharded net is outside of a call: its text, its θ, and the device of a weight."""
    net = fully_shard(sn.Subspace(make_model(), 40, train="3"))
    alone = sn.Subspace(make_model(), 40, train="3")
    same = torch.equal(net.theta(), alone.theta())
    return [repr(net.module) == repr(make_model()), same, net.module[0].weight.device.type]


def another_adapter():
    """The error for an adapter that was chosen after DDP was made, and whether the first trains."""
    net = sn.Subspace(make_model(), 40, train="3")
    wrapped = adapter(net)
    net.add_adapter("b")
    x, _ = pages.data()
    try:
        with net.adapter("b"):
            wrapped(x)
    except sn.InputError as error:
        wrapped(x).sum().backward()
        return str(error)
    return ""


def apart():
    """The errors where the processes have another P or θ0, from the start or from a stage on."""
    rank = dist.get_rank()
    model = make_model()
    nn.init.normal_(model[0].weight, generator=torch.Generator().manual_seed(rank))
    nets = [sn.Subspace(make_model(), 40, seed=rank), sn.Subspace(model, 40, theta0="module")]
    vector = torch.randn(nets[0].D, generator=torch.Generator().manual_seed(rank))
    nets.append(sn.Subspace(make_model(), 40, sources.lottery(vector, 40)))
    staged = sn.Subspace(make_model(), 40)
    x, _ = pages.data()
    with torch.no_grad():  # by any process alone
        nets[0](x)
    wrapped = [DistributedDataParallel(net) for net in (*nets, staged)]
    wrapped[-1](x).sum().backward()
    staged.next_stage(1)
    wrapped[-1](x).sum().backward()
    staged.next_stage(rank)
    return [error(lambda net=net: net(x)) for net in wrapped]


def page():
    """The distance of the page's example, whose processes write one file."""
    x, y = pages.data()
    pages.run("distributed", make_model=make_model, x=x, y=y)
    alone = sn.Subspace(make_model(), 40, train="3")
    train(alone, slice(None))
    dist.barrier()
    loaded = sn.load("omega.safetensors", make_model())
    return float((loaded(x) - alone.eval()(x)).abs().max())


def main():
    if cuda := "cuda" in sys.argv:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        torch.set_default_device("cuda")
    dist.init_process_group("nccl" if cuda else "gloo")
    results = {"distances": {name: distance(*way) for name, way in WAYS.items()}}
    if not cuda:
        results["distances"]["page"] = page()
        results |= {"refusals": refusals(), "another": another_adapter(), "outside": outside()}
        results["apart"] = apart()
    if dist.get_rank() == 0:
        sys.stdout.write(json.dumps(results) + "\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
