"""Functions as tasks: by the name under which a worker imports them, or carried to the worker."""

import functools
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import joblib

from subspace_nn.common.errors import InputError
from subspace_nn.runs.run import Run, find_task
from subspace_nn.runs.task import CARRIED, Result, Task


def name_of(function: Callable[..., Result]) -> str:
    """The name of a function in runs and records.

    Args:
        function: a task, or one that gives a module and its data.

    Returns:
        `package.module:function` if a worker can import it so. A function of a notebook, one that
        another function made, and a lambda are `local:NAME@DIGEST`: the digest is made from the
        code, and from the values outside of it that it uses, so that a change is another task.
        Processes that this one starts get the function itself.

    Raises:
        InputError: if it is no function, or a worker would import another one.

    Example:
        >>> name_of(name_of)
        'subspace_nn.runs.functions:name_of'
        >>> name_of(lambda *, dim, seed: {"D": 10}).startswith("local:lambda@")
        True
    """
    if isinstance(function, Task):
        function = function.function
    if not inspect.isroutine(function):
        raise InputError(
            f"A task is a name or a function, got {type(function).__name__}. Put the code that "
            "creates it into a function, such as one that returns (module, train, test)."
        )
    module, name = function.__module__, function.__qualname__
    main = sys.modules["__main__"]
    if "<" in name or module is None or (module == "__main__" and not hasattr(main, "__file__")):
        return _carried(function)
    path = f"{_script(main) if module == '__main__' else module}:{name}"
    try:
        found = find_task(path)
    except InputError as error:
        raise InputError(
            f"The function {name} cannot be imported as {path}, so that no worker could find it. "
            "Put it at the top level of a file.",
            *error.problems,
        ) from None
    if _file(found) != _file(function):
        raise InputError(
            f"{path}, which is what a worker would import for {name}, is in {_file(found)}, and "
            f"the function in {_file(function)}. Give one of the two files another name."
        )
    return path


def carried_by(runs: Iterable[Run]) -> dict[str, Callable[..., Result]]:
    """The functions that a worker cannot import, and that runs name.

    Args:
        runs: any.

    Returns:
        Functions by name.
    """
    named = {name for run in runs for name in (run.task, str(run.arguments.get("problem")))}
    return {name: function for name, function in CARRIED.items() if name in named}


def _carried(function: Callable[..., Result]) -> str:
    digest = hashlib.sha256(repr(_content(function, {})).encode()).hexdigest()[:12]
    name = f"local:{function.__name__.strip('<>')}@{digest}"
    CARRIED[name] = function
    return name


def _content(value: Any, seen: dict[int, int]) -> Any:
    """What decides what a value does, as values with the same text in every session."""
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, functools.partial):
        return [_content(part, seen) for part in (value.func, value.args, value.keywords)]
    if not isinstance(value, (FunctionType, type)):
        return joblib.hash(value)
    if not (value.__module__ in {"__main__", None} or "<" in value.__qualname__):
        return value.__module__, value.__qualname__
    if id(value) in seen:
        return seen[id(value)]
    seen[id(value)] = len(seen)
    return _of_class(value, seen) if isinstance(value, type) else _of_function(value, seen)


def _of_class(value: type, seen: dict[int, int]) -> Any:
    kinds = (FunctionType, property, staticmethod, classmethod)
    parts = {n: getattr(p, "fget", getattr(p, "__func__", p)) for n, p in vars(value).items()
             if isinstance(p, kinds) or not n.startswith("__")}  # fmt: skip
    return value.__qualname__, _all(parts, seen), [_content(b, seen) for b in value.__bases__]


def _of_function(value: FunctionType, seen: dict[int, int]) -> Any:
    outside = [cell.cell_contents for cell in value.__closure__ or ()]
    outside += [value.__defaults__, value.__kwdefaults__]
    names = set(_names(value.__code__)) & value.__globals__.keys()
    used = {name: value.__globals__[name] for name in names}
    return _code(value.__code__), [_content(part, seen) for part in outside], _all(used, seen)


def _all(values: dict[str, Any], seen: dict[int, int]) -> list[Any]:
    return [(name, _content(value, seen)) for name, value in sorted(values.items())]


def _code(code: CodeType) -> Any:
    """Without its file and lines, which are others after each restart of a notebook."""
    constants = [_code(c) if isinstance(c, CodeType) else c for c in code.co_consts]
    return code.co_code.hex(), code.co_names, code.co_varnames, constants


def _names(code: CodeType) -> list[str]:
    inner = (name for c in code.co_consts if isinstance(c, CodeType) for name in _names(c))
    return [*code.co_names, *inner]


def _script(main: ModuleType) -> str:
    """The name under which others import a script: the argument of `python -m`, or its file's."""
    spec = getattr(main, "__spec__", None)
    return spec.name if spec else Path(getattr(main, "__file__", "")).stem


def _file(function: Callable[..., Result]) -> str | None:
    """Its source file, or that of the function it wraps; None if that is not known."""
    try:
        return inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        return None
