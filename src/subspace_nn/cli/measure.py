"""`measure`: how many parameters a model needs."""

import functools
import inspect
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from subspace_nn.cli import display
from subspace_nn.cli import measure_view as view
from subspace_nn.cli._app import Terminal, gather, interruptible, show_next, show_problems
from subspace_nn.cli.workers import RecipeName, Workers, both, logging, with_recipe
from subspace_nn.common.atomic import try_writing, write_atomically
from subspace_nn.common.checks import require, whole
from subspace_nn.common.errors import InputError, problems_of
from subspace_nn.dimension import BUDGET, KNOWN, Question, check, label, question
from subspace_nn.dimension import measure as run
from subspace_nn.dimension import title as known_title
from subspace_nn.dimension.plans import Planned, folder_of, parse
from subspace_nn.dimension.question import Better, Threshold
from subspace_nn.dimension.words import summary
from subspace_nn.report import draw, measured, png
from subspace_nn.runs.grid import axis
from subspace_nn.runs.store import ANSWERS, Store
from subspace_nn.runs.sweep import parse_assignments

_Task = Annotated[
    str,
    Parameter(
        help="Your own package.module:function, a file of measurements (.toml), or one of "
        f"{', '.join(KNOWN)}."
    ),
]
_LOCAL = Workers()


def measure(
    task: _Task,
    *words: Annotated[str, Parameter(help="name=value, for the task's other arguments.")],
    threshold: Annotated[
        float | None, Parameter(help="Value that the mean has to reach; 0.9 for most tasks.")
    ] = None,
    kind: Annotated[
        Threshold | None,
        Parameter(
            help="relative (a share of the full model's mean), gain (of its gain over --baseline "
            "or --probe) or absolute (the metric)."
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        Parameter(
            help="For the kind gain, which it turns on: a task, such as a linear probe, that is "
            "run with several seeds, as in mine:probe or 'mine:probe epochs=3'. Only name=value: "
            "the measured task with other arguments."
        ),
    ] = None,
    probe: Annotated[
        float | None,
        Parameter(help="The same with a value that is known, and taken as exact."),
    ] = None,
    metric: Annotated[str | None, Parameter(help="Which value of the task's result.")] = None,
    better: Annotated[
        Better | None, Parameter(help="Whether higher or lower values are better.")
    ] = None,
    precision: Annotated[
        float, Parameter(help="Stop when the interval's ends differ by this share of the lower.")
    ] = 0.2,
    confidence: Annotated[float, Parameter(help="Confidence of the interval.")] = 0.95,
    budget: Annotated[int, Parameter(help="Maximum number of new runs.")] = BUDGET,
    batch: Annotated[
        int, Parameter(help="Number of runs planned together, which may run in parallel.")
    ] = 4,
    seed: Annotated[int, Parameter(help="Seed of the seeds of all runs.")] = 0,
    least: Annotated[int, Parameter(help="Smallest dimension to try.")] = 1,
    most: Annotated[
        int | None, Parameter(help="Largest dimension to try, except for the full model.")
    ] = None,
    dim: Annotated[str | None, Parameter(help="Dimensions to try first, as in 10,30,100.")] = None,
    recipe: RecipeName = None,
    out: Annotated[
        Path | None, Parameter(help="Folder of the records; results/measure/TASK by default.")
    ] = None,
    workers: Workers = _LOCAL,
) -> None:
    """Measure how many free parameters a task needs, with a confidence interval.

    Examples: measure toy, or measure mnist-fc --epochs 2 --precision 0.1, or measure mine.toml
    """
    fields = {
        "threshold": threshold,
        "kind": kind,
        "baseline": baseline,
        "probe": probe,
        "metric": metric,
        "better": better,
        "precision": precision,
        "confidence": confidence,
        "batch": batch,
        "seed": seed,
        "least": least,
        "most": most,
    }

    def planned() -> list[Planned]:
        if task.endswith(".toml"):
            return _file(Path(task), [*words, *_given({**fields, "recipe": recipe}, budget, out)])
        assigned, rest = _assigned(words)
        arguments = with_recipe(recipe, task, assigned)
        asked = _question(task, arguments, fields, budget)
        if dim is not None:
            rest = parse_assignments([f"dim={dim}"])["dim"]
        first = _dims(rest, asked)
        return [Planned(asked, out or folder_of(task), budget, first)]

    checked = gather(planned=planned, workers=workers.arguments)
    require(*(problems_of(functools.partial(try_writing, _answer(p))) for p in checked["planned"]))
    for one in checked["planned"]:
        _run(one, checked["workers"], workers.log)


def _answer(one: Planned) -> Path:
    """The file of the answer: a folder that takes none is refused before the first measurement."""
    return one.folder / ANSWERS / f"{one.question.name}.json"


def _run(one: Planned, workers: Mapping[str, Any], log: str | None) -> None:
    show_problems(Store(one.folder).read().problems)
    console, asked = Terminal(), one.question
    title = known_title(asked) or label(asked)
    heading = f"{title}: how many free parameters?"
    with logging(log, one.folder) as logger, view.progress(console, heading) as show:
        answer = run(
            asked,
            one.folder,
            budget=one.budget,
            first=one.first,
            on_progress=both(interruptible(show), logger),
            **workers,
        )
    place = _answer(one)
    picture = draw(measured.chart(answer, title), measured.SIZE)
    write_atomically(place.with_suffix(".png"), png(picture))
    files = f"{place} and .png"
    display.facts(console, summary(answer) | {"answer": files})
    show_next(console, f"report {shlex.quote(str(one.folder))}")


def _file(path: Path, words: Sequence[str]) -> list[Planned]:
    """The measurements of a file, which says everything about them itself."""
    if words:
        raise InputError(f"{path} holds all options of its measurements; got {', '.join(words)}.")
    try:
        return parse(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}.") from None


def _given(fields: Mapping[str, Any], budget: int, out: Path | None) -> list[str]:
    """The options that have another value than by default."""
    usual = inspect.signature(measure).parameters
    every = {**fields, "budget": budget, "out": out}
    return [f"--{name}" for name, value in every.items() if value != usual[name].default]


def _assigned(words: Sequence[str]) -> tuple[dict[str, Any], Any]:
    """The arguments of the task, and dim, which the measurement sets itself."""
    assigned = parse_assignments(words)
    return assigned, assigned.pop("dim", None)


def _dims(value: Any, asked: Question) -> list[int]:
    """The dimensions to try first."""
    dims: list[Any] = [] if value is None else list(axis(value))
    require(*(whole("dim", dim, asked.least, asked.most) for dim in dims))
    return dims


def _question(
    task: str, arguments: Mapping[str, Any], fields: Mapping[str, Any], budget: int
) -> Question:
    """The question, checked; a field that is not given keeps the task's own."""
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        asked = question(task, arguments, **given)
    except InputError as error:  # the rest would be wrong for any other task, too
        base = given.keys() & {"baseline"}
        fine: dict[str, Any] = {**given, **dict.fromkeys(base, "mnist")}
        rest = problems_of(lambda: check(question("toy", **fine), budget))
        raise InputError(*dict.fromkeys((*error.problems, *rest))) from None
    check(asked, budget)
    return asked
