"""Tasks that go by a name, and what was published about them."""

import dataclasses
import inspect
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.measure.question import Question
from subspace_nn.runs.run import BUILT_IN, Task, find_task
from subspace_nn.runs.sweep import as_word

LI = "Li et al. 2018"

#: The task that trains what a function gives: a module and its data.
_OWN = "subspace_nn.tasks.own:train"


@dataclass(frozen=True)
class Published:
    """A value from the literature.

    Attributes:
        source: who and when.
        dim: the intrinsic dimension that they state.
        note: how their definition differs from the one here.
    """

    source: str
    dim: int
    note: str = ""


@dataclass(frozen=True)
class Known:
    """A task with a name.

    Attributes:
        title: what it is.
        question: what is asked of it, unless the caller says otherwise.
        published: values from the literature.
    """

    title: str
    question: Question
    published: tuple[Published, ...] = ()


_FIRST = "the first of a grid at 0.9 absolute"
_OTHER_RECIPE = f"{_FIRST}; another recipe"

#: What is published of the recipe of Li et al. for MNIST: Adam at a constant 0.001 on ω itself, 100
#: epochs, fastfood; batches of 128 are that code's default. Their decay of the weights, 1e-4, and
#: their initial weights (normal, after He) are not here.
_RECIPE_OF_LI = {
    "projection": "fastfood",
    "scale": "none",
    "lr": 0.001,
    "schedule": "constant",
    "batch_size": 128,
    "epochs": 100,
}

#: Arguments that tell one task from another; in the others, the recipe, a task may differ from the
#: one whose name it goes by.
_SUBJECT = {"model", "problem", "data", "shuffled", "images"}

_IMAGES, _TABLES = "subspace_nn.tasks.images:train", "subspace_nn.tasks.tabular"


def _li(dim: int, note: str) -> tuple[Published, ...]:
    return (Published(LI, dim, note),)


def _mnist(model: str) -> Question:
    return Question("mnist", {"model": model})


def _mnist_of_li(model: str) -> Question:
    return Question("mnist", {"model": model, **_RECIPE_OF_LI}, threshold=90.0, kind="absolute")


def _images(model: str, **arguments: Any) -> Question:
    return Question(_IMAGES, {"model": model, **arguments})


#: Tasks by name, for `subspace-nn measure NAME`.
KNOWN = {
    "toy": Known(
        "ten constraints on 1,000 weights",
        Question("subspace_nn.tasks.toy:train", metric="performance"),
        _li(10, "exact"),
    ),
    "mnist-fc-2018": Known(
        "MNIST, 784-200-200-10, the recipe of 2018", _mnist_of_li("fc"), _li(750, _FIRST)
    ),
    "mnist-lenet-2018": Known(
        "MNIST, LeNet, the recipe of 2018", _mnist_of_li("lenet"), _li(290, _FIRST)
    ),
    "mnist-fc": Known("MNIST, 784-200-200-10", _mnist("fc"), _li(750, _OTHER_RECIPE)),
    "mnist-lenet": Known("MNIST, LeNet", _mnist("lenet"), _li(290, _OTHER_RECIPE)),
    "mnist-conv": Known("MNIST, the conv net of 2017", _mnist("conv")),
    "mnist-fc-pixels": Known(
        "MNIST with shuffled pixels, 784-200-200-10",
        _images("fc", shuffled="pixels"),
        _li(750, _OTHER_RECIPE),
    ),
    "mnist-lenet-pixels": Known(
        "MNIST with shuffled pixels, LeNet",
        _images("lenet", shuffled="pixels"),
        _li(1400, _OTHER_RECIPE),
    ),
    "mnist-fc-labels": Known(
        "5,000 images of MNIST with shuffled labels, learned by heart, 784-200-200-10",
        dataclasses.replace(
            _images("fc", shuffled="labels", images=5000, epochs=100), metric="train_accuracy"
        ),
        _li(90_000, "784-400-400-400-400-400-10, at 0.89 absolute; another recipe"),
    ),
    "fashion-fc": Known("Fashion-MNIST, 784-200-200-10", _images("fc", data="fashion-mnist")),
    "fashion-lenet": Known("Fashion-MNIST, LeNet", _images("lenet", data="fashion-mnist")),
    "digits": Known(
        "digits of 8 × 8 pixels, 64-64-10", Question(_OWN, {"problem": f"{_TABLES}:digits"})
    ),
    "breast-cancer": Known(
        "30 properties of tumours, 30-64-32-2",
        Question(_OWN, {"problem": f"{_TABLES}:breast_cancer"}),
    ),
    "cartpole": Known(
        "CartPole, 4-20-20-2, by CMA-ES",
        Question("subspace_nn.tasks.cartpole:train", metric="test_return"),
        _li(25, "DQN, 200 steps; some runs solve it from d = 10 on"),
    ),
}


def question(
    task: str | Task, arguments: Mapping[str, Any] | None = None, **definition: Any
) -> Question:
    """What to ask of a task.

    Args:
        task: a name of `KNOWN`; a task of `subspace_nn.runs`, which takes `dim` and `seed`; or a
            function without an argument `dim`, which gives a module and its data
            (`subspace_nn.tasks.own`). A function of the user's own is named
            `package.module:function`, or given itself if it can be imported under its name.
        arguments: of the task, beside `dim` and `seed`; others keep their defaults.
        **definition: further fields of `Question`, such as threshold.

    Returns:
        The question, not yet checked.

    Raises:
        InputError: if there is no such task, or no such field.

    Example:
        >>> question("mnist-fc", {"epochs": 3}, precision=0.1).arguments
        {'model': 'fc', 'epochs': 3}
    """
    if odd := [name for name in definition if name not in _FLAGS]:
        raise InputError(*(unknown_name("option", name, _FLAGS) for name in odd))
    base = _base(task if isinstance(task, str) else _name_of(task))
    return dataclasses.replace(
        base, arguments={**base.arguments, **(arguments or {})}, **definition
    )


def published(asked: Question) -> tuple[Published, ...]:
    """What the literature says to a question.

    Args:
        asked: the question.

    Returns:
        The values that belong to its task and arguments; none if nothing is known.

    Example:
        >>> [value.dim for value in published(question("mnist-fc"))]
        [750]
    """
    if not (name := _nearest(asked)):
        return ()
    known = KNOWN[name]
    further = asked.arguments.keys() - known.question.arguments.keys()
    same = (asked.metric, asked.better) == (known.question.metric, known.question.better)
    return known.published if same and not further & _SUBJECT else ()


def title(asked: Question) -> str:
    """What a question is about, in words.

    Args:
        asked: the question.

    Returns:
        The title of the task with a name that it is, with further arguments; or an empty text.

    Example:
        >>> title(question("mnist-fc", {"epochs": 20}))
        'MNIST, 784-200-200-10; epochs=20'
    """
    if not (name := _nearest(asked)):
        return ""
    known = KNOWN[name]
    return "; ".join([known.title, *_words(asked, known.question)])


def label(asked: Question) -> str:
    """A question's task and arguments, in the words of the command line.

    Args:
        asked: the question.

    Returns:
        The shortest name of the task, and the arguments that this does not imply.

    Example:
        >>> label(question("mnist-fc", {"epochs": 20}))
        'mnist-fc epochs=20'
    """
    name, base = _named(asked)
    return " ".join([name, *_words(asked, base)])


def command(asked: Question, folder: str, budget: int | None = None) -> str:
    """The command that asks a question.

    Args:
        asked: the question.
        folder: of the records.
        budget: number of new runs, if it is not that of the command itself.

    Returns:
        One line for a shell.

    Example:
        >>> command(question("mnist-fc", {"epochs": 20}, threshold=0.95), "results/fc")
        'subspace-nn measure mnist-fc epochs=20 --threshold 0.95 --out results/fc'
    """
    name, base = _named(asked)
    words = ["subspace-nn", "measure", name, *_words(asked, base)]
    for field, flag in _FLAGS.items():
        if (value := getattr(asked, field)) != getattr(base, field):
            words += [flag, str(value)]
    if budget is not None:
        words += ["--budget", str(budget)]
    return shlex.join([*words, "--out", folder])


#: Options of the command line, by the fields that they set.
_FLAGS = {
    field.name: f"--{field.name}"
    for field in dataclasses.fields(Question)
    if field.name not in {"task", "arguments"}
}


def _words(asked: Question, base: Question) -> list[str]:
    """The arguments that a question has beside those of another."""
    return [
        f"{name}={as_word(value)}"
        for name, value in asked.arguments.items()
        if base.arguments.get(name) != value
    ]


def _named(asked: Question) -> tuple[str, Question]:
    """What the command line calls a task, and what that asks."""
    if name := _nearest(asked):
        return name, KNOWN[name].question
    if asked.task == _OWN and isinstance(problem := asked.arguments.get("problem"), str):
        return problem, Question(_OWN, {"problem": problem})
    return asked.task, Question(asked.task)


def _nearest(asked: Question) -> str | None:
    """The name from which the fewest words lead to the question."""
    fits = {
        name: len(_words(asked, known.question))
        for name, known in KNOWN.items()
        if known.question.task == asked.task
        and known.question.arguments.keys() <= asked.arguments.keys()
        and all(
            asked.arguments[argument] == value
            for argument, value in known.question.arguments.items()
            if argument in _SUBJECT
        )
    }
    return min(fits, key=lambda name: fits[name], default=None)


def _base(task: str) -> Question:
    if task in KNOWN:
        return KNOWN[task].question
    if task not in BUILT_IN and ":" not in task:
        names = [*KNOWN, *BUILT_IN]
        raise InputError(
            f"{unknown_name('task', task, names)} A task of your own is package.module:function."
        )
    if "dim" not in inspect.signature(find_task(task)).parameters:
        return Question(_OWN, {"problem": task})
    return Question(task)


def _name_of(function: Task) -> str:
    """The name under which a worker can import a function."""
    if not inspect.isroutine(function):
        raise InputError(
            "A task is a name or a function at the top level of a file, for workers import it; got "
            f"{type(function).__name__}. Put what makes it into a function, such as one that gives "
            "(module, train, test)."
        )
    module, name = function.__module__, function.__qualname__
    if module == "__main__":
        module = _script()
    path = f"{module}:{name}"
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


def _script() -> str:
    """The module that a script is to others: as `python -m` was told it, or its file's name."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    return spec.name if spec else Path(getattr(main, "__file__", "")).stem


def _file(function: Task) -> str | None:
    """Where it is written; of a decorated one, what it wraps. None if that is not known."""
    try:
        return inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:
        return None
