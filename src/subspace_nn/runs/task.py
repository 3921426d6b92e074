"""Tasks: what one is, and those that go by a name. None is imported before it is used."""

import functools
import inspect
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from subspace_nn.common.checks import require
from subspace_nn.common.errors import InputError, unknown_name

A = TypeVar("A")
Result = Mapping[str, Any]
Check = Callable[[Mapping[str, Any]], list[str]]

#: Kinds of parameters that stand for any number of arguments.
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Config(Protocol):
    """A frozen dataclass whose fields are the arguments of a task.

    Attributes:
        later: as for `Task`.
    """

    later: ClassVar[Collection[str]]

    def problems(self) -> list[str]:
        """One sentence for each value that is wrong."""
        ...


C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Together(Generic[A]):
    """How a task makes several runs at once that differ in their seeds.

    Attributes:
        function: takes the arguments of each run; returns the result of each, or its error.
        check: takes the arguments of a run, returns one sentence for each that forbids it.
    """

    function: Callable[[Sequence[A]], Sequence[Result | Exception]]
    check: Callable[[A], list[str]]


class Task:
    """A function of keyword arguments that returns its results by name, and a check of them.

    Any function will do as a task; this class adds the check, which runs before anything else.

    Args:
        function: takes keyword arguments with defaults, returns a dictionary that JSON can hold.
        check: takes all arguments, returns one sentence for each that is wrong.
        signature: the arguments; by default those of the function.
        later: names of arguments that are absent from a run at their default, so that the ids of
            runs that are older than the argument stay.
        together: how it makes several runs at once, if it does.

    Example:
        >>> double = Task(lambda *, x=1: {"y": 2 * x}, check=lambda a: ["x?"] if a["x"] < 0 else [])
        >>> double(x=3), double.defaults, double.check({"x": -1})
        ({'y': 6}, {'x': 1}, ['x?'])
    """

    def __init__(
        self,
        function: Callable[..., Result],
        check: Check | None = None,
        signature: inspect.Signature | None = None,
        later: Collection[str] = (),
        together: Together[Mapping[str, Any]] | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.check = check or _accept
        self.later = later
        self.together = together
        self.__signature__ = signature or inspect.signature(function)

    def __call__(self, **arguments: Any) -> Result:
        """Check the arguments and run the function.

        Args:
            **arguments: those of the function.

        Returns:
            The results by name.

        Raises:
            InputError: if the check finds any argument wrong.
        """
        self.__signature__.bind(**arguments)
        require(self.check({**self.defaults, **arguments}))
        return self.function(**arguments)

    @classmethod
    def of(cls, function: Callable[..., Result]) -> "Task":
        """A function as a task; an attribute `check` of the function is its check.

        Args:
            function: a task already, or any function.

        Returns:
            The task.
        """
        if isinstance(function, Task):
            return function
        return cls(function, getattr(function, "check", None))

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """Its arguments by name."""
        return self.__signature__.parameters

    @property
    def defaults(self) -> dict[str, Any]:
        """The values of the arguments that have one."""
        named = self.parameters.items()
        return {name: p.default for name, p in named if p.default is not p.empty}

    @property
    def takes_any(self) -> bool:
        """Whether it takes arguments of any name."""
        return any(p.kind is p.VAR_KEYWORD for p in self.parameters.values())


def checked(check: Check, later: Collection[str] = ()) -> Callable[[Callable[..., Result]], Task]:
    """Make a task of the function below, with a check of its arguments.

    Args:
        check: as for `Task`.
        later: as for `Task`.

    Returns:
        A decorator.
    """
    return lambda function: Task(function, check, later=later)


def configured(
    config: type[C], together: Together[C] | None = None
) -> Callable[[Callable[[C], Result]], Task]:
    """Make a task of the function below, whose arguments are the fields of a dataclass.

    Args:
        config: the dataclass; its `problems` is the check, its `later` as for `Task`.
        together: as for `Task`.

    Returns:
        A decorator of a function that takes the dataclass.
    """

    def make(function: Callable[[C], Result]) -> Task:
        @functools.wraps(function)
        def call(**arguments: Any) -> Result:
            return function(config(**arguments))

        def check(arguments: Mapping[str, Any]) -> list[str]:
            return config(**arguments).problems()

        several: Together[Mapping[str, Any]] | None = None
        if together is not None:
            several = Together(
                lambda runs: together.function([config(**arguments) for arguments in runs]),
                lambda arguments: together.check(config(**arguments)),
            )
        return Task(call, check, inspect.signature(config), config.later, several)

    return make


def importable(name: str) -> str:
    """The name of a task whose file is given as a path in the current folder.

    Args:
        name: of a task, or `folder/file.py:function`.

    Returns:
        That of the function, as in folder.file:function; a name that is no path as it is.

    Raises:
        InputError: if the path names no function, or leads out of the current folder.

    Example:
        >>> importable("./mine.py:digits"), importable("mine:digits")
        ('mine:digits', 'mine:digits')
    """
    file, _, function = name.partition(".py:") if ".py:" in name else (name, "", "")
    if not (function or name.endswith(".py") or "/" in name):
        return name
    path = PurePath(os.path.relpath(file.removesuffix(".py")))
    module = ".".join(path.parts)
    if not all(part.isidentifier() for part in path.parts):
        raise InputError(
            f"The task {name!r} cannot be imported from here: expected folder/file.py:function in "
            "the current folder. Change to the folder of the file."
        )
    if not function:
        raise InputError(f"{name} names no function: expected {module}:FUNCTION.")
    return f"{module}:{function}"


def _accept(_: Mapping[str, Any]) -> list[str]:
    return []


@dataclass(frozen=True)
class Named:
    """A task that goes by a name.

    Attributes:
        title: what it is, in words.
        task: the task of its runs: `package.module:function`, or a key of `PLACES`.
        arguments: those that differ from the task's defaults.
        question: fields of `subspace_nn.dimension.Question` that differ from its defaults, for a
            measurement.
    """

    title: str
    task: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    question: Mapping[str, Any] = field(default_factory=dict)


#: Where a task is that stands in the ids of runs under another name.
PLACES = {"mnist": "subspace_nn.tasks.images:train_mnist"}

#: Functions that this process has defined and no other can import, by the name in their runs.
CARRIED: dict[str, Callable[..., Result]] = {}

#: Trains what a function gives: a module and its data.
OWN = "subspace_nn.tasks.own:train"

_IMAGES, _TABLES = "subspace_nn.tasks.images:train", "subspace_nn.tasks.tabular"

#: The recipe of Li et al. for MNIST, as published: Adam at a constant 0.001 on ω itself, 100
#: epochs, fastfood; batches of 128 are the default of their code. Their weight decay, 1e-4, and
#: their initial weights (normal, after He) are not reproduced.
_RECIPE_2018 = {
    "projection": "fastfood",
    "scale": "none",
    "lr": 0.001,
    "schedule": "constant",
    "batch_size": 128,
    "epochs": 100,
}

#: The recipe of 2017, for its conv net and its fc net ("Optimizing subspaces").
_RECIPE_2017 = {
    "projection": "orthonormal",
    "init": "2017",
    "scale": "none",
    "lr": 0.003,
    "beta2": 0.99,
    "schedule": "constant",
    "epochs": 10,
}

#: Recipes by name, as in `train --recipe 2017`: arguments of the task "mnist".
RECIPES: Mapping[str, Mapping[str, Any]] = {"2017": _RECIPE_2017, "2018": _RECIPE_2018}


def recipe(name: str, model: str) -> dict[str, Any]:
    """The arguments that a recipe stands for.

    Args:
        name: a key of `RECIPES`.
        model: name of the net that is trained: in 2017 conv had dropout, and fc had none.

    Returns:
        The arguments.

    Raises:
        InputError: if there is no such recipe.

    Example:
        >>> recipe("2017", "conv")["dropout"], "dropout" in recipe("2017", "fc")
        (0.5, False)
    """
    if name not in RECIPES:
        raise InputError(unknown_name("recipe", name, RECIPES))
    dropout = {"dropout": 0.5} if (name, model) == ("2017", "conv") else {}
    return {**RECIPES[name], **dropout}


_ABSOLUTE_90 = {"threshold": 90.0, "kind": "absolute"}
_BY_HEART = {"model": "fc", "shuffled": "labels", "images": 5000, "epochs": 100}

#: Every task with a name. To add one, write its file and add its entry here.
NAMED = {
    "mnist": Named("MNIST", "mnist"),
    "toy": Named(
        "ten constraints on 1,000 weights",
        "subspace_nn.tasks.toy:train",
        question={"metric": "performance"},
    ),
    "mnist-fc-2018": Named(
        "MNIST, 784-200-200-10, the recipe of 2018",
        "mnist",
        {"model": "fc", **_RECIPE_2018},
        _ABSOLUTE_90,
    ),
    "mnist-lenet-2018": Named(
        "MNIST, LeNet, the recipe of 2018",
        "mnist",
        {"model": "lenet", **_RECIPE_2018},
        _ABSOLUTE_90,
    ),
    "mnist-fc": Named("MNIST, 784-200-200-10", "mnist", {"model": "fc"}),
    "mnist-lenet": Named("MNIST, LeNet", "mnist", {"model": "lenet"}),
    "mnist-conv": Named("MNIST, the conv net of 2017", "mnist", {"model": "conv"}),
    "mnist-fc-pixels": Named(
        "MNIST with shuffled pixels, 784-200-200-10",
        _IMAGES,
        {"model": "fc", "shuffled": "pixels"},
    ),
    "mnist-lenet-pixels": Named(
        "MNIST with shuffled pixels, LeNet", _IMAGES, {"model": "lenet", "shuffled": "pixels"}
    ),
    "mnist-fc-labels": Named(
        "5,000 images of MNIST with shuffled labels, memorised, 784-200-200-10",
        _IMAGES,
        _BY_HEART,
        {"metric": "train_accuracy"},
    ),
    "fashion-fc": Named(
        "Fashion-MNIST, 784-200-200-10", _IMAGES, {"model": "fc", "data": "fashion-mnist"}
    ),
    "fashion-lenet": Named(
        "Fashion-MNIST, LeNet", _IMAGES, {"model": "lenet", "data": "fashion-mnist"}
    ),
    "digits": Named("digits of 8 × 8 pixels, 64-64-10", OWN, {"problem": f"{_TABLES}:digits"}),
    "breast-cancer": Named(
        "30 properties of tumours, 30-64-32-2", OWN, {"problem": f"{_TABLES}:breast_cancer"}
    ),
    "cartpole": Named(
        "CartPole, 4-20-20-2, by CMA-ES",
        "subspace_nn.tasks.cartpole:train",
        question={"metric": "test_return"},
    ),
}
