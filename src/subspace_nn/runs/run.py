"""A run: one task with all its arguments, and the record it leaves."""

import functools
import inspect
import reprlib
import time
import traceback
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from subspace_nn.common import environment, strict_json
from subspace_nn.common.checks import plain, require
from subspace_nn.common.errors import InputError, problems_of, unknown_name
from subspace_nn.common.modules import import_named, share_current_folder
from subspace_nn.runs import session
from subspace_nn.runs.record import (
    DONE,
    FAILED,
    Record,
    argument_problems,
    result_problems,
    run_id,
)
from subspace_nn.runs.task import CARRIED, NAMED, OWN, PLACES, VARIADIC, Task, Together, importable

#: The task that is being imported.
_IMPORTED: ContextVar[str | None] = ContextVar("_IMPORTED", default=None)


@dataclass(frozen=True)
class Run:
    """A task and its arguments, defaults filled in.

    Attributes:
        task: a built-in name, or `package.module:function`.
        arguments: passed to the function; values of JSON.

    Example:
        >>> run = Run.of("mnist", {"model": "fc", "dim": 10})
        >>> run.arguments["epochs"], len(run.id)
        (5, 16)
    """

    task: str
    arguments: Mapping[str, Any]

    @classmethod
    def of(cls, task: str, arguments: Mapping[str, Any]) -> "Run":
        """Check the arguments of a run, and add the defaults of those not given.

        Args:
            task: as for `resolve`.
            arguments: some or all of the task's.

        Returns:
            The run.

        Raises:
            InputError: if the task or an argument is not known, or one is missing or wrong.
        """
        task, arguments = resolve(task, arguments)
        found = find_task(task)
        named = [n for n, p in found.parameters.items() if p.kind not in VARIADIC]
        problems = [
            unknown_name(f"argument of {task}", name, named)
            for name in arguments
            if name not in named and not found.takes_any
        ]
        defaults = found.defaults
        full = {**defaults, **arguments}
        problems += [
            f"{task} needs {name}, which is not given." for name in named if name not in full
        ]
        values: dict[str, Any] = {}
        for name, value in full.items():
            try:
                values[name] = _like(defaults.get(name), _as_read(value))
            except ValueError as error:
                problems.append(
                    f"{name} of {task} must be a value of JSON (a number, a text, true, false, a "
                    f"list of these), which its record can hold; got {reprlib.repr(value)} "
                    f"({error})."
                )
        problems += [f"{task}: {problem}." for problem in argument_problems(values)]
        if not problems:
            problems += found.check(values)
        if problems:
            raise InputError(*problems)
        return cls(task, {n: v for n, v in values.items() if not _is_old(found, n, v)})

    @functools.cached_property
    def id(self) -> str:
        """16 hexadecimal digits made from the task and all arguments."""
        return run_id(self.task, self.arguments)

    def execute(self, command: str = "") -> Record:
        """Run the task; if it fails, the record says why.

        Args:
            command: the command line that makes the run, for the record.

        Returns:
            The record, ready for JSON.

        Raises:
            KeyboardInterrupt: if the run is interrupted.
        """
        started, clock = datetime.now(UTC), time.perf_counter()
        record = self._record(started, command)
        try:
            task = find_task(self.task)
            share_current_folder(PLACES.get(self.task, self.task))
            record["result"] = _checked(task(**self.arguments))
            record["environment"] |= environment.describe(session.used())
            if source := _source(self):
                record["environment"] |= environment.commit_of(Path(source))
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001  # whatever it is, the other runs go on
            record["status"], record["error"] = FAILED, _printable(traceback.format_exc())
        record["seconds"] = round(time.perf_counter() - clock, 3)
        return record

    def done(
        self,
        result: Mapping[str, Any],
        started: datetime,
        seconds: float,
        device: str,
        command: str,
    ) -> Record:
        """Make the record of a run that was made in another way than by `execute`.

        Args:
            result: what the task would have returned.
            started: when it began, UTC.
            seconds: wall time.
            device: that computed.
            command: as for `execute`.

        Returns:
            The record.
        """
        record = self._record(started, command)
        record["result"], record["seconds"] = _checked(result), round(seconds, 3)
        record["environment"] |= environment.describe(device)
        return record

    def failed(self, error: str, command: str = "") -> Record:
        """Make the record of a run that died without writing its own.

        Args:
            error: the reason, as far as it is known.
            command: as for `execute`.

        Returns:
            The record.
        """
        record = self._record(datetime.now(UTC), command)
        record["status"], record["error"] = FAILED, _printable(error)
        return record

    def _record(self, started: datetime, command: str) -> Record:
        record: Record = {
            "id": self.id,
            "task": self.task,
            "arguments": dict(self.arguments),
            "status": DONE,
            "result": {},
            "seconds": 0.0,
            "started": started.isoformat(timespec="seconds"),
            "environment": environment.describe() | environment.commit(),
        }
        if command:
            record["command"] = command
        return record


def together_problems(run: Run) -> list[str]:
    """Why a run cannot be made at once with others that differ in their seeds.

    Args:
        run: any.

    Returns:
        One sentence for each reason.
    """
    return problems_of(lambda: require(_together(run.task).check(run.arguments)))


def execute_together(runs: Sequence[Run], command: str = "") -> list[Record]:
    """Make runs that differ in their seeds as one training; one alone as `Run.execute` does.

    Args:
        runs: of a task that makes several at once.
        command: as for `Run.execute`.

    Returns:
        Their records. Each says of how many runs it is one, `batched` in its environment, and has
        an equal share of the seconds.

    Raises:
        KeyboardInterrupt: if the training is interrupted.
    """
    if len(runs) == 1:
        return [runs[0].execute(command)]
    started, clock = datetime.now(UTC), time.perf_counter()
    try:
        arguments = [run.arguments for run in runs]
        outcomes = _together(runs[0].task).function(arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # as in `execute`
        outcomes = [error] * len(runs)
    seconds = (time.perf_counter() - clock) / len(runs)
    records = []
    for run, outcome in zip(runs, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            record = run.failed("".join(traceback.format_exception(outcome)), command)
            record["seconds"] = round(seconds, 3)
        else:
            record = run.done(outcome, started, seconds, session.used(), command)
        record["environment"]["batched"] = len(runs)
        records.append(record)
    return records


def _together(task: str) -> Together[Mapping[str, Any]]:
    together = find_task(task).together
    if together is None:
        raise InputError(
            f"{task} makes one run at a time: only tasks on images, such as mnist-fc, make several "
            "seeds at once. Leave out --batched."
        )
    return together


def _source(run: Run) -> str | None:
    """The file of the task, or of the function that gives its module and data, if it is known."""
    task = find_task(str(run.arguments["problem"]) if run.task == OWN else run.task)
    try:
        return inspect.getsourcefile(inspect.unwrap(task))
    except TypeError:  # such as one with arguments filled in
        return None


def _is_old(task: Task, name: str, value: Any) -> bool:
    """Whether an argument says what runs meant that are older than the argument."""
    return name in task.later and value == task.defaults[name]


def _checked(result: Any) -> dict[str, Any]:
    """Check that a record can hold the result of a task."""
    if not isinstance(result, Mapping):
        raise InputError(
            "A task returns values by name, as in {'D': 199210, 'test_accuracy': 97.5}, "
            f"got {type(result).__name__}."
        )
    values: dict[str, Any] = {}
    wrong = []
    for name, value in result.items():
        try:
            values[str(name)] = _as_read(value)
        except ValueError as error:
            wrong.append(f"{name!r}: {reprlib.repr(value)} ({error})")
    if wrong:
        raise InputError(
            "A result holds finite numbers, texts, and lists and mappings of them; got "
            f"{', '.join(wrong)}."
        )
    if problems := result_problems(values):
        raise InputError(*(f"{problem}." for problem in problems))
    return values


def _as_read(value: object) -> Any:
    """A value as its record will have it."""
    try:
        return strict_json.round_trip(plain(value))
    except RecursionError:
        raise ValueError("nested too deep") from None


def _printable(text: str) -> str:
    """A text that has UTF-8, and says something."""
    return text.encode(errors="backslashreplace").decode() or "no message"


def _like(default: Any, value: Any) -> Any:
    """1 where 1.0 is meant is the same run."""
    return float(value) if isinstance(default, float) and type(value) is int else value


def being_imported() -> str | None:
    """The task that `find_task` is importing, if any.

    Returns:
        Its name, or None.
    """
    return _IMPORTED.get()


def resolve(name: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The task and the arguments that a name stands for.

    Args:
        name: one of `NAMED`; or `package.module:function`, which is a task or gives a module and
            its data (`subspace_nn.tasks.own`). It gives them if it has no argument `dim` and is
            given one, or another of that task's.
        arguments: given by the caller; they override those that the name implies.

    Returns:
        The task as runs name it, and all arguments that were given or implied.

    Raises:
        InputError: if there is no such task.

    Example:
        >>> resolve("mnist-fc", {"dim": 10})
        ('mnist', {'model': 'fc', 'dim': 10})
        >>> resolve("subspace_nn.tasks.tabular:digits", {"dim": 10})[0]
        'subspace_nn.tasks.own:train'
    """
    name = importable(name)
    if named := NAMED.get(name):
        return named.task, {**named.arguments, **arguments}
    found = find_task(name)
    others = arguments.keys() - found.parameters.keys()
    is_task = "dim" in found.parameters or found.takes_any or not others
    if is_task or others.isdisjoint(find_task(OWN).parameters):
        return name, dict(arguments)
    return OWN, {"problem": name, **arguments}


def find_task(name: str) -> Task:
    """The task that runs name so.

    Args:
        name: `package.module:function`, or one of `PLACES`.

    Returns:
        The task.

    Raises:
        InputError: if there is none.

    Example:
        >>> find_task("subspace_nn.tasks.toy:train").defaults["dim"]
        10
    """
    if name in CARRIED:
        return Task.of(CARRIED[name])
    if name.startswith("local:"):
        raise InputError(
            f"The task {name} is a function of a notebook, or one that another function made: only "
            "the session that defined it can run it. Define and give it again."
        )
    module, colon, function = PLACES.get(name, name).partition(":")
    if not colon:
        raise InputError(
            f"{unknown_name('task', name, NAMED)} A task of your own is package.module:function."
        )
    found = _imported(name, module, function)
    if not _is_python_function(found):
        raise InputError(
            f"The task {name!r} is not a function written in Python, whose arguments can be read. "
            "Wrap it in one."
        )
    return Task.of(found)


def _imported(name: str, module: str, function: str) -> Any:
    before = _IMPORTED.set(name)
    try:
        return getattr(import_named(module), function)
    except InputError:
        raise
    except (ImportError, AttributeError) as error:
        raise InputError(f"The task {name!r} cannot be imported: {error}.") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # a user's file can raise anything
        why = f"{type(error).__name__}: {error}"
        raise InputError(f"The task {name!r} cannot be imported: {why}.") from None
    finally:
        _IMPORTED.reset(before)


def _is_python_function(found: Any) -> bool:
    """Whether it is a function of Python's own, or calls one: not os.system, and no class."""
    if not callable(found):
        return False
    while isinstance(found, functools.partial):
        found = found.func
    found = inspect.unwrap(found)
    return any(inspect.isfunction(f) or inspect.ismethod(f) for f in (found, found.__call__))
