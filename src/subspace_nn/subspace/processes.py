"""Whether processes that exchange gradients of ω train in one subspace."""

import hashlib

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from subspace_nn.common.errors import InputError
from subspace_nn.subspace.theta import Theta


def check(wrapper: DistributedDataParallel, owner: nn.Module, theta: Theta) -> bool:
    """Refuse to train if another process has another θ0 or P, which nothing would show.

    `DistributedDataParallel` gives all processes the parameters of the first one when it is made,
    but θ0 is no parameter.

    Args:
        wrapper: what exchanges the gradients, and is being called in every process.
        owner: the module that holds ω.
        theta: the map from ω to the weights.

    Returns:
        Whether it could be checked: not if the module is a part, which may run in one process only.

    Raises:
        InputError: if the processes differ, in all of them.
    """
    if owner is not wrapper.module and owner not in wrapper.module.children():
        return False
    digest = _digest(theta)
    ends = torch.tensor([digest, -digest], device=wrapper.device)
    distributed.all_reduce(ends, distributed.ReduceOp.MAX, wrapper.process_group)
    most, least = ends.tolist()
    if most != -least:
        raise InputError(
            "The processes are in different subspaces: they exchange ω, but θ0, P or scale differ. "
            "Make the module with the same weights in each, as by torch.manual_seed before it is "
            "made, and the Subspace with the same arguments: where P was learned, with that of one "
            "process."
        )
    return True


def _digest(theta: Theta) -> int:
    """Of P and of the deviations of θ0, which other weights would not have."""
    # Rounded, for processors differ in their last bits.
    sigma = [f"{deviation:.5g}" for deviation in theta.sigma.values()]
    seeds = [seed for _, seed in theta.stages]
    text = repr((theta.projection._identity(), theta.scale, sigma, seeds))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


__all__ = ["check"]
