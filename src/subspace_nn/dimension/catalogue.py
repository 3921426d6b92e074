"""Named tasks, and published values of their intrinsic dimensions."""

import dataclasses
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.dimension.baseline import FULL, Baseline
from subspace_nn.dimension.question import Question
from subspace_nn.runs.functions import name_of
from subspace_nn.runs.run import resolve
from subspace_nn.runs.sweep import as_word
from subspace_nn.runs.task import NAMED, OWN, Result

LI = "Li et al. 2018"


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
        title: a description.
        question: the question, unless the caller changes it.
        published: values from the literature.
    """

    title: str
    question: Question
    published: tuple[Published, ...] = ()


_FIRST = "the first of a grid at 0.9 absolute"
_OTHER_RECIPE = f"{_FIRST}; another recipe"

#: Arguments that tell one task from another; in the others, the recipe, a task may differ from the
#: one whose name it goes by.
_SUBJECT = {"model", "problem", "data", "shuffled", "images"}

#: Values of Li et al. (2018), by the name of the task.
_PUBLISHED = {
    "toy": Published(LI, 10, "exact"),
    "mnist-fc-2018": Published(LI, 750, _FIRST),
    "mnist-lenet-2018": Published(LI, 290, _FIRST),
    "mnist-fc": Published(LI, 750, _OTHER_RECIPE),
    "mnist-lenet": Published(LI, 290, _OTHER_RECIPE),
    "mnist-fc-pixels": Published(LI, 750, _OTHER_RECIPE),
    "mnist-lenet-pixels": Published(LI, 1400, _OTHER_RECIPE),
    "mnist-fc-labels": Published(
        LI, 90_000, "784-400-400-400-400-400-10, at 0.89 absolute; another recipe"
    ),
    "cartpole": Published(LI, 25, "DQN, 200 steps; some runs solve it from d = 10 on"),
}

#: Every task with a name, as a measurement asks of it: `subspace-nn measure NAME`.
KNOWN = {
    name: Known(
        named.title,
        Question(named.task, named.arguments, **named.question),
        (_PUBLISHED[name],) if name in _PUBLISHED else (),
    )
    for name, named in NAMED.items()
}


def question(
    task: str | Callable[..., Result], arguments: Mapping[str, Any] | None = None, **definition: Any
) -> Question:
    """What to ask of a task.

    Args:
        task: a name of `KNOWN`; a task of `subspace_nn.runs`, which takes `dim` and `seed`; or a
            function without an argument `dim`, which gives a module and its data
            (`subspace_nn.tasks.own`). A function of the user's own is named
            `package.module:function`, or given itself.
        arguments: of the task, except for `dim` and `seed`; others keep their defaults.
        **definition: further fields of `Question`, such as threshold. `baseline` may also be words,
            as in "mine:probe epochs=3"; without a task, as in "epochs=3 dim=1", they are arguments
            of the measured one. `baseline` and `probe` imply the kind gain.

    Returns:
        The question, not yet checked.

    Raises:
        InputError: if there is no such task, baseline or field; all of them are named.

    Example:
        >>> question("mnist-fc", {"epochs": 3}, precision=0.1).arguments
        {'model': 'fc', 'epochs': 3}
    """
    problems = [unknown_name("option", n, _FLAGS) for n in definition if n not in _FLAGS]
    base, full = KNOWN["toy"].question, arguments or {}  # for what is wrong besides the task
    try:
        base = _base(task if isinstance(task, str) else name_of(task))
        full = {**base.arguments, **full}
    except InputError as error:
        problems += error.problems
    if (given := definition.get("baseline")) is not None:
        try:
            definition["baseline"] = Baseline.of(given, base.task, full)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    if definition.keys() & {"baseline", "probe"}:
        definition.setdefault("kind", "gain")
    return dataclasses.replace(base, arguments=full, **definition)


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
        'MNIST, 784-200-200-10, 20 epochs'
    """
    if not (name := _nearest(asked)):
        return ""
    known = KNOWN[name]
    return ", ".join([known.title, *_in_words(asked, known.question)])


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
    """The arguments of a question that differ from those of another."""
    return [
        f"{name}={as_word(value)}"
        for name, value in asked.arguments.items()
        if base.arguments.get(name) != value
    ]


#: Arguments as a reader says them.
_PHRASES = {
    "epochs": "{} epochs", "projection": "{} projection", "lr": "learning rate {}",
    "scale": "scale {}", "schedule": "{} schedule",
}  # fmt: skip


def _in_words(asked: Question, base: Question) -> list[str]:
    """The same in words."""
    pairs = (word.partition("=") for word in _words(asked, base))
    return [_PHRASES.get(name, f"{name} {{}}").format(value) for name, _, value in pairs]


def _named(asked: Question) -> tuple[str, Question]:
    """The name of a task on the command line, and the question that this name stands for."""
    if name := _nearest(asked):
        return name, KNOWN[name].question
    if asked.task == OWN and isinstance(problem := asked.arguments.get("problem"), str):
        return problem, Question(OWN, {"problem": problem})
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
    name, arguments = resolve(task, {"dim": FULL})
    del arguments["dim"]
    return Question(name, arguments)
