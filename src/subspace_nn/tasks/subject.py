"""A trained net together with the data that it is tested on, whoever made both."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from subspace_nn.checkpoint.loading import MAX_ENTRIES, load
from subspace_nn.common.checks import require
from subspace_nn.common.errors import InputError
from subspace_nn.runs.run import find_task, resolve
from subspace_nn.runs.session import WEIGHTS
from subspace_nn.runs.store import Store
from subspace_nn.runs.task import OWN
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks import own
from subspace_nn.tasks.classifier import as_input
from subspace_nn.tasks.data import Split, mnist
from subspace_nn.tasks.images import ImagesConfig, prepared
from subspace_nn.tasks.own import Batches, Problem


@dataclass(frozen=True)
class Subject:
    """A net and its test set.

    Attributes:
        net: in evaluation mode, on the device.
        problem: its test set, loss and score.
        device: that computes.
    """

    net: Subspace
    problem: Problem
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def to(self, device: torch.device) -> "Subject":
        """The same on a device.

        Args:
            device: that is to compute.

        Returns:
            The subject; its net is moved.
        """
        return Subject(self.net.to(device), self.problem, device)

    def outputs(self) -> tuple[Tensor, Tensor]:
        """Outputs and targets of the whole test set."""
        return own.outputs_of(self.net, self.problem.test, self.device)


def batches(split: Split, size: int = 1000) -> Batches:
    """Images as nets take them.

    Args:
        split: images and labels.
        size: images per batch.

    Returns:
        Batches of (inputs, labels).
    """
    parts = zip(split.images.split(size), split.labels.split(size), strict=True)
    return [(as_input(images), labels.long()) for images, labels in parts]


def subject(
    path: Path,
    task: str | None,
    *,
    data: Path | None = None,
    trust: bool = False,
) -> Subject:
    """Load a checkpoint, and the data of the task that it was trained on.

    Args:
        path: of the checkpoint; of one that a sweep kept, the record tells the task's arguments.
        task: name of a task on images, or of a function that gives a module and its data; MNIST by
            default, for the packaged nets.
        data: folder with MNIST's files.
        trust: whether the checkpoint may take any time and memory.

    Returns:
        Both, on the CPU.

    Raises:
        InputError: if the task has no test set that can be had, or the file does not fit.
    """
    most = None if trust else MAX_ENTRIES
    name, given = resolve(task or "mnist", {"dim": 1})
    if name == OWN:
        options = options_of(path, given["problem"])
        made = own.make(given["problem"], options.pop("seed", 0), options)
        module = made.module.merge() if isinstance(made.module, Subspace) else made.module
        return Subject(load(path, module, max_entries=most).eval(), made)
    given = {**_recorded(path, name), **given}
    problems: list[str] = []
    found: dict[str, Any] = {}
    for part, attempt in (
        ("net", lambda: load(path, max_entries=most).eval()),
        ("test", lambda: _images(name, given, data)),
    ):
        try:
            found[part] = attempt()
        except InputError as error:
            problems += error.problems
    require(problems)
    return Subject(found["net"], Problem(found["net"], [], found["test"]))


def options_of(path: Path, problem: str) -> dict[str, Any]:
    """The arguments with which a sweep called the function that gives a net's module and data.

    Args:
        path: of a checkpoint.
        problem: `package.module:function`.

    Returns:
        Those in the record, if that lies where a sweep has it and names the function; and its seed.
    """
    recorded = _recorded(path, OWN)
    if recorded.get("problem") != problem:
        return {}
    return {n: v for n, v in recorded.items() if n == "seed" or n not in own.train.parameters}


def _recorded(path: Path, task: str) -> dict[str, Any]:
    """The arguments of the run whose weights these are, if its record lies where a sweep has it."""
    if path.parent.name != WEIGHTS:
        return {}
    record = Store(path.parent.parent).get(path.stem)
    return dict(record["arguments"]) if record and record["task"] == task else {}


def _images(name: str, given: Mapping[str, Any], data: Path | None) -> Batches:
    if name == "mnist":
        return batches(mnist(data).test)
    names = {field.name for field in fields(ImagesConfig)}
    if not names <= find_task(name).parameters.keys():
        raise InputError(
            f"{name} is a task that trains and tests by itself: expected a task on images, such as "
            "fashion-fc, or a function that gives a module and its data, as mine:digits."
        )
    config = ImagesConfig(**{n: v for n, v in given.items() if n in names})
    return batches(prepared(config.data, config.shuffled, config.images).test)
