"""A run: one task with all its arguments, an id made from them, and the record it leaves."""

import hashlib
import importlib
import inspect
import json
import time
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from subspace_nn.common import environment
from subspace_nn.common.checks import plain
from subspace_nn.common.errors import InputError, unknown_name

Task = Callable[..., Mapping[str, Any]]

#: Tasks that go by a short name.
BUILT_IN = {"mnist": "subspace_nn.tasks.run:train_mnist"}

#: Changed when the same arguments come to mean another run.
VERSION = 1

DONE, FAILED = "done", "failed"

#: Kinds of parameters that stand for any number of arguments.
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

#: The task that is being imported.
_IMPORTED: ContextVar[str | None] = ContextVar("_IMPORTED", default=None)


@dataclass(frozen=True)
class Run:
    """A task and its arguments, defaults filled in.

    Attributes:
        task: a built-in name, or `package.module:function`.
        arguments: what the function is called with; values are those of JSON.

    Example:
        >>> run = Run.of("mnist", {"model": "fc", "dim": 10})
        >>> run.arguments["epochs"], len(run.id)
        (5, 16)
    """

    task: str
    arguments: Mapping[str, Any]

    @classmethod
    def of(cls, task: str, arguments: Mapping[str, Any]) -> "Run":
        """A run with its arguments checked, and the defaults of those not given.

        A task function may have an attribute `check`, which takes the arguments and returns a
        list of sentences, one for each that is wrong.

        Args:
            task: a built-in name, or `package.module:function`.
            arguments: some or all of the function's.

        Returns:
            The run.

        Raises:
            InputError: if the task or an argument is not known, or one is missing or wrong.
        """
        function = find_task(task)
        parameters = inspect.signature(function).parameters
        named = {n: p for n, p in parameters.items() if p.kind not in VARIADIC}
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        problems = [
            unknown_name(f"argument of {task}", name, named)
            for name in arguments
            if name not in named and not takes_any
        ]
        full = {n: p.default for n, p in named.items() if p.default is not p.empty}
        full |= {n: _like(full.get(n), plain(v)) for n, v in arguments.items()}
        problems += [
            f"{task} needs {name}, which is not given." for name in named if name not in full
        ]
        problems += [
            f"{name} of {task} must be a value of JSON (a number, a text, true, false, a list of "
            f"these), for a record keeps it; got {value!r}."
            for name, value in full.items()
            if not _fits(value)
        ]
        if not problems and hasattr(function, "check"):
            problems += function.check(full)
        if problems:
            raise InputError(*problems)
        return cls(task, full)

    @property
    def id(self) -> str:
        """16 hexadecimal digits made from the task and all arguments."""
        content = {"task": self.task, "arguments": dict(self.arguments), "version": VERSION}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def execute(self) -> dict[str, Any]:
        """Run the task; a failure is told in the record.

        Returns:
            The record: `id`, `task`, `arguments`, `status` ("done" or "failed"), `result` or
            `error`, `seconds`, `started` (UTC), `environment`; ready for JSON.
        """
        started, clock = datetime.now(UTC), time.perf_counter()
        outcome: dict[str, Any]
        try:
            result = _checked(find_task(self.task)(**self.arguments))
            outcome = {"status": DONE, "result": result}
        except (Exception, SystemExit):  # noqa: BLE001  # whatever it is, the other runs go on
            outcome = {"status": FAILED, "error": traceback.format_exc()}
        return self._record(started, time.perf_counter() - clock) | outcome

    def failed(self, error: str) -> dict[str, Any]:
        """The record of a run that could not tell itself how it failed.

        Args:
            error: what is known.

        Returns:
            The record.
        """
        return self._record(datetime.now(UTC), 0.0) | {"status": FAILED, "error": error}

    def _record(self, started: datetime, seconds: float) -> dict[str, Any]:
        return {
            "id": self.id,
            "task": self.task,
            "arguments": dict(self.arguments),
            "seconds": round(seconds, 3),
            "started": started.isoformat(timespec="seconds"),
            "environment": environment.describe() | environment.commit(),
        }


def _checked(result: Any) -> dict[str, Any]:
    """What a task returned, if JSON can hold it."""
    if not isinstance(result, Mapping):
        raise InputError(
            "A task returns figures by name, as in {'D': 199210, 'test_accuracy': 97.5}, "
            f"got {type(result).__name__}."
        )
    found = plain(dict(result))
    if wrong := [f"{name!r}: {value!r}" for name, value in found.items() if not _fits(value)]:
        raise InputError(
            "A result holds finite numbers, texts, and lists of them (of a tensor, its .item()); "
            f"got {', '.join(wrong)}."
        )
    return found


def _fits(value: object) -> bool:
    """Whether JSON can hold it."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _like(default: Any, value: Any) -> Any:
    """1 where 1.0 is meant is the same run."""
    return float(value) if isinstance(default, float) and type(value) is int else value


def being_imported() -> str | None:
    """The task whose file this code is a part of, if `find_task` is importing that just now.

    Returns:
        Its name, or None.
    """
    return _IMPORTED.get()


def find_task(name: str) -> Task:
    """The function of a task.

    Args:
        name: a built-in name, or `package.module:function`.

    Returns:
        The function.

    Raises:
        InputError: if there is none.

    Example:
        >>> find_task("statistics:mean")([1, 2, 3])
        2
    """
    module, colon, function = BUILT_IN.get(name, name).partition(":")
    if not colon:
        raise InputError(
            f"{unknown_name('task', name, BUILT_IN)} A task of your own is package.module:function."
        )
    before = _IMPORTED.set(name)
    try:
        found = getattr(importlib.import_module(module), function)
    except InputError:
        raise
    except (ImportError, AttributeError) as error:
        raise InputError(f"The task {name!r} cannot be imported: {error}.") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a user's file can raise anything
        told = f"{type(error).__name__}: {error}"
        raise InputError(f"The task {name!r} cannot be imported: {told}.") from None
    finally:
        _IMPORTED.reset(before)
    if not callable(found):
        raise InputError(f"The task {name!r} is not a function.")
    try:
        inspect.signature(found)
    except ValueError:
        raise InputError(f"The task {name!r} does not tell its arguments; wrap it.") from None
    return found
