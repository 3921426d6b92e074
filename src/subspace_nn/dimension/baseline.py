"""The baseline of a gain: a task that is run with several seeds, as the measured one is."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from subspace_nn.common.checks import plain
from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.runs.functions import name_of
from subspace_nn.runs.grid import as_word, parse_assignments
from subspace_nn.runs.run import Run, find_task, resolve
from subspace_nn.runs.task import NAMED, OWN, VARIADIC, Result, Task, importable

#: The dim of a run that trains all weights, and its projection.
FULL, IDENTITY = "full", "identity"


@dataclass(frozen=True)
class Baseline:
    """A task and its arguments, except for the seed.

    Attributes:
        task: as runs name it.
        arguments: of the task, `dim` included if it takes one.
    """

    task: str
    arguments: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        given: "str | Mapping[str, Any] | Callable[..., Result] | Baseline",
        task: str,
        arguments: Mapping[str, Any],
    ) -> "Baseline":
        """The baseline that somebody names.

        With dim=full its projection is the identity unless another is named, as that of the full
        model is. A function with an argument `seed` is a task, unless `dim` is given.

        Args:
            given: words, as a sweep takes them: a task, then name=value for its arguments; without
                a task, the measured one with other arguments. Or a mapping of `task` and
                `arguments`, each of which may be missing; or a function.
            task: that is measured.
            arguments: of that task.

        Returns:
            The baseline, not yet checked.

        Raises:
            InputError: if there is no such task, or the words are none.

        Example:
            >>> Baseline.of("mnist-fc dim=1", "mnist", {})
            Baseline(task='mnist', arguments={'model': 'fc', 'dim': 1})
            >>> Baseline.of("dim=1", "mnist", {"model": "lenet"}).arguments
            {'model': 'lenet', 'dim': 1}
        """
        if isinstance(given, Baseline):
            return given
        if callable(given):
            given = {"task": name_of(given)}
        name, own = _parts(given)
        if name is None:
            return cls(task, {**arguments, **own, **_identity(task, own)})
        name = importable(name)
        if name not in NAMED and "dim" not in own and "seed" in find_task(name).parameters:
            return cls(name, {**own, **_identity(name, own)})
        resolved, full = resolve(name, {**own, "seed": 0})
        if "seed" not in own:
            del full["seed"]
        return cls(resolved, {**full, **_identity(resolved, full)})

    def __str__(self) -> str:
        """The baseline in words, as `of` takes them."""
        arguments = dict(self.arguments)
        task = str(arguments.pop("problem", self.task)) if self.task == OWN else self.task
        words = [f"{name}={as_word(value)}" for name, value in arguments.items()]
        return shlex.join([task, *words])

    def run(self, seed: int) -> Run:
        """One run of it.

        Args:
            seed: of the run.

        Returns:
            The run.

        Raises:
            InputError: if an argument is wrong.
        """
        return Run.of(self.task, {**self.arguments, "seed": seed})

    def problems(self) -> list[str]:
        """Check the task and its arguments.

        Returns:
            One sentence for each that is wrong.
        """
        try:
            found = find_task(self.task)
            if "seed" not in found.parameters:
                return [
                    f"The baseline {self.task} has no argument 'seed', which a measurement sets."
                ]
            if "seed" in self.arguments:
                return ["seed of the baseline is set by the measurement itself: leave it out."]
            if self.run(0).task != self.task and "dim" not in self.arguments:
                return self._other(found)
        except InputError as error:
            return [f"Baseline: {problem}" for problem in error.problems]
        return []

    def _other(self, task: Task) -> list[str]:
        """Arguments that the task does not take, but the training of what it gives would."""
        given = " ".join(f"{name}={as_word(value)}" for name, value in self.arguments.items())
        unknown = [name for name in self.arguments if name not in task.parameters]
        named = [name for name, p in task.parameters.items() if p.kind not in VARIADIC]
        wrong = [unknown_name(f"argument of {self.task}", name, named) for name in unknown]
        how = f"to train a module that {self.task} gives, with data, name the dim, as in "
        return [f"Baseline: {words}" for words in (*wrong, f"{how}'{self.task} dim=full {given}'.")]


def _identity(task: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The projection of all weights, each by itself, where they train and no other is named."""
    found = find_task(task)
    dim = given.get("dim", found.defaults.get("dim"))
    is_open = "projection" in found.parameters and "projection" not in given
    return {"projection": IDENTITY} if dim == FULL and is_open else {}


def _parts(given: Any) -> tuple[str | None, dict[str, Any]]:
    """The task, if one is named, and the arguments."""
    if isinstance(given, Mapping):
        name, arguments = given.get("task"), given.get("arguments", {})
        known = given.keys() <= {"task", "arguments"} and isinstance(arguments, Mapping)
        if given and known and isinstance(name, str | None):
            return name, {key: plain(value) for key, value in arguments.items()}
    elif isinstance(given, str) and given.strip():
        words = _split(given)
        name = None if "=" in words[0] else words.pop(0)
        return name, parse_assignments(words)
    raise InputError(
        "baseline must name a task, as in 'mine:probe' or 'mine:probe epochs=3', or arguments of "
        f"the measured one, as in 'epochs=3 dim=1'; got {given!r}."
    )


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InputError(f"baseline {text!r} cannot be split into words: {error}.") from None
