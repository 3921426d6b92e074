"""The graphics cards of a machine, shared out among the workers of a sweep."""

import itertools
import os
import re
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from subspace_nn.common import process
from subspace_nn.common.claims import claim

#: Names of a device that leave the choice of the card open.
_ANY = ("auto", "cuda")

#: Engines whose workers are processes of this machine that see all of its cards.
_HERE = ("loky", "dask")


def workers(jobs: int, device: str, engine: str, address: str | None = None) -> int:
    """The number of workers that `jobs` means.

    Args:
        jobs: as asked for; -1 leaves it open.
        device: of the runs.
        engine: that runs them.
        address: of its cluster.

    Returns:
        One for each card if `jobs` leaves it open and the runs compute on cards of this machine;
        else `jobs`.
    """
    if jobs != -1 or engine not in _HERE or address is not None:
        return jobs
    if device in _ANY:
        return _count() or jobs
    return 1 if device.startswith("cuda:") else jobs


@contextmanager
def taken(device: str, folder: Path) -> Generator[str]:
    """Take the card of this machine that the fewest runs are on, for the duration of a block.

    Args:
        device: of the run; "auto" and "cuda" leave the card open.
        folder: of the claims, which all workers of a sweep share.

    Yields:
        The device: "cuda:0", "cuda:1", … if there are several cards, else what was given.
    """
    cards = _names() if device in _ANY else []
    if len(cards) < 2:
        yield device
        return
    machine = re.sub(r"\W", "-", process.me().machine)
    places = ((place, card) for place in itertools.count() for card in enumerate(cards))
    with ExitStack() as stack:
        for place, (number, name) in places:
            if stack.enter_context(claim(folder / f"card-{machine}-{name}-{place}")):
                yield f"cuda:{number}"
                return


def _count() -> int:
    import torch  # noqa: PLC0415  # readers of records need none

    return torch.cuda.device_count()


def _names() -> list[str]:
    """What tells the cards apart that this process sees: another may see others, as number 0."""
    listed = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    numbers = [str(number) for number in range(_count())]
    names = listed if len(listed) >= len(numbers) else numbers
    return [re.sub(r"\W", "-", name) for name in names[: len(numbers)]]
