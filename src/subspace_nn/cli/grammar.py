"""One grammar for the verbs that train and evaluate: `--dim 10,30` and `dim=10,30` are the same."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cyclopts import App

from subspace_nn.common.errors import InputError
from subspace_nn.runs.grid import is_axis
from subspace_nn.runs.task import NAMED, importable

#: The task of the verb `train`.
TRAINED = "mnist"

#: Verbs that take `name=value` for what is not an option.
_WITH_WORDS = ("sweep", "measure", "evaluate", "show")

#: An unknown option that is so like a known one is a misspelling, and no argument of a task.
_ALIKE = 0.8


class _Part(NamedTuple):
    """An option with its value; or a word, with an empty name."""

    name: str
    value: str | None

    def token(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value}".lstrip("=")

    def word(self) -> str:
        return f"{self.name.removeprefix('--').replace('-', '_')}={self.value}"


def normal(app: App, tokens: Sequence[str]) -> list[str]:
    """The words of a command as its verb takes them.

    Args:
        app: the command.
        tokens: as typed, the verb first.

    Returns:
        Options where the verb has an option, and `name=value` where it takes arguments of a task.
        A `train` of several values, or of another task than MNIST, is a `sweep` that keeps weights.

    Raises:
        InputError: if an option of `train` makes no sense for several trainings.
    """
    verb, *rest = tokens or [""]
    if verb not in {"train", *_WITH_WORDS} or not rest or {"--help", "-h"} & {*rest}:
        return list(tokens)
    options = options_of(app, verb)
    parts = list(_parts(rest, options))
    if verb == "train":
        parts = [_as_option(part, options) for part in parts]
        if task := _swept(parts):
            verb, parts = "sweep", list(_as_sweep(parts, task, options_of(app, "sweep")))
    else:
        parts = [_as_word(part, options) for part in parts]
    return [verb, *(part.token() for part in parts)]


def value_of(tokens: Sequence[str], name: str) -> str | None:
    """The value of an option among words, as `--model fc` or `--model=fc`."""
    for token, after in zip(tokens, [*tokens[1:], ""], strict=True):
        if token == name:
            return after
        if token.startswith(f"{name}="):
            return token.partition("=")[2]
    return None


def options_of(app: App, verb: str) -> dict[str, bool]:
    """The options of a verb, and whether each takes a value.

    Args:
        app: the command.
        verb: its name.

    Returns:
        A truth value by the option, as in {"--save": False, "--out": True}.
    """
    arguments = app[verb].assemble_argument_collection()
    return {name: argument.hint is not bool for argument in arguments for name in argument.names}


def _parts(tokens: Sequence[str], options: Mapping[str, bool]) -> Iterator[_Part]:
    waiting = list(tokens)
    while waiting:
        token = waiting.pop(0)
        name, equals, value = token.partition("=")
        if not name.startswith("--"):
            yield _Part("", token)
        elif equals:
            yield _Part(name, value)
        elif options.get(name, True) and waiting and not waiting[0].startswith("--"):
            yield _Part(name, waiting.pop(0))
        else:
            yield _Part(name, None)


def _as_option(part: _Part, options: Mapping[str, bool]) -> _Part:
    name, equals, value = (part.value or "").partition("=")
    option = f"--{name.replace('_', '-')}"
    return _Part(option, value) if not part.name and equals and option in options else part


def _as_word(part: _Part, options: Mapping[str, bool]) -> _Part:
    unknown = part.name and part.name not in options and part.value is not None
    if not unknown or difflib.get_close_matches(part.name, options, 1, _ALIKE):
        return part
    return _Part("", part.word()) if re.fullmatch(r"--[a-z]\w*(-\w+)*", part.name) else part


def _swept(parts: Sequence[_Part]) -> str | None:
    """The task, if a training is a sweep: of several values, or of another task than MNIST."""
    tasks = [part.value for part in parts if not part.name and "=" not in (part.value or "")]
    task = tasks[0] if tasks else None
    if task and (task not in NAMED or NAMED[task].task != TRAINED):
        return task
    several = any(part.name not in {"--out", "--data"} and is_axis(part.value) for part in parts)
    return (task or TRAINED) if several else None


def _as_sweep(parts: Sequence[_Part], task: str, options: Mapping[str, bool]) -> Iterator[_Part]:
    if odd := [part.name for part in parts if part.name in {"--data", "--dtype", "--force"}]:
        raise InputError(
            f"{', '.join(odd)}: for one training of a net on MNIST only; several trainings, and "
            "those of other tasks, are a sweep. Leave it out."
        )
    given: dict[str, Any] = {part.name: part.value for part in parts}
    if not [part for part in parts if part.value == task]:
        yield _Part("", task)
    for part in parts:
        yield part if part.name in options or not part.name else _Part("", part.word())
    if "--out" not in given:
        name = given.get("--model") or re.sub(r"[^\w.]+", "-", importable(task))
        yield _Part("--out", f"runs/{name}")
    if "--save" not in given:
        yield _Part("--save", None)
