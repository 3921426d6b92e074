"""The training loop: one step per batch, whatever the model, data, loss and optimiser are."""

import contextlib
import functools
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.runs import session

P = ParamSpec("P")
R = TypeVar("R")

DEVICES = ("auto", "cpu", "cuda", "mps")

#: What people call a device elsewhere.
_OTHER_NAMES = {"gpu": "cuda", "nvidia": "cuda", "rocm": "cuda", "metal": "mps"}


def steps(
    net: Callable[[Any], Any],
    batches: Iterable[tuple[Any, Any]],
    loss: Callable[[Any, Any], Tensor],
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> Iterator[Tensor]:
    """Train a net as far as the batches go.

    Each step calls `optimizer.step(closure)`, which every optimiser of PyTorch has. The closure
    computes the loss at the present parameters, and its gradient if gradients are enabled.

    Args:
        net: a module, trained in place, in the mode it is in; or a function that calls it.
        batches: inputs and targets.
        loss: of outputs and targets.
        optimizer: of the net's parameters.
        scheduler: called after each step.

    Yields:
        The loss of each step, on the net's device and without a graph.

    Example:
        >>> net = torch.nn.Linear(3, 1)
        >>> batches = [(torch.ones(5, 3), torch.zeros(5, 1))] * 10
        >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> losses = list(steps(net, batches, torch.nn.functional.mse_loss, optimizer))
        >>> len(losses), bool(losses[-1] < losses[0])
        (10, True)
    """
    for inputs, targets in batches:

        def closure(inputs: Any = inputs, targets: Any = targets) -> Tensor:
            optimizer.zero_grad()
            value = loss(net(inputs), targets)
            if torch.is_grad_enabled():
                value.backward()
            return value

        value: Any = optimizer.step(closure)  # pyrefly: ignore  # typed as returning a float
        if scheduler is not None:
            scheduler.step()
        yield value.detach()


def on_cpu(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function with the CPU as PyTorch's default device, whatever the user has set.

    Args:
        function: moves what it makes to the device that it is given.

    Returns:
        The same function.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.device("cpu"):
            return function(*args, **kwargs)

    return call


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Generator[None]:
    """PyTorch's generators of the CPU and of one device start from a seed, and are put back after.

    `torch.manual_seed` would seed those of all other devices, too.

    Args:
        seed: of dropout, and of whatever else a stranger's code draws.
        device: that trains.

    Yields:
        Nothing.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield


def find_device(name: str) -> torch.device:
    """The device of a name.

    Args:
        name: "auto", "cpu", "cuda", "cuda:1", "mps".

    Returns:
        The device; for "auto" that of the sweep, or CUDA if available, else the CPU.

    Raises:
        InputError: if the name is unknown or the machine has no such device.
    """
    name = session.device() if name == "auto" else name
    kind = name.partition(":")[0]
    if kind not in DEVICES or name.startswith("auto:"):
        raise InputError(unknown_name("device", name, DEVICES, _OTHER_NAMES.get(kind.lower())))
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        # PyTorch's reasons can be a screen long; the first sentence says what is wrong.
        reason = reason.partition(". ")[0][:120].rstrip(".")
        raise InputError(
            f"Device {name!r} cannot be used here: {reason}. Use auto or cpu."
        ) from None
    session.computes_on(name)
    return device
