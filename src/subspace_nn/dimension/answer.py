"""The answer of a measurement, and its file: written atomically, checked when it is read."""

import dataclasses
import importlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import TYPE_CHECKING, Any, Literal, get_args

from subspace_nn.common.atomic import write_atomically
from subspace_nn.common.checks import is_number, is_whole
from subspace_nn.common.errors import InputError
from subspace_nn.common.numbers import counted
from subspace_nn.dimension.baseline import FULL
from subspace_nn.dimension.catalogue import label
from subspace_nn.dimension.doubts import Doubt
from subspace_nn.dimension.plan import FULL_RUNS, Dim
from subspace_nn.dimension.question import BASELINE, Question
from subspace_nn.runs.store import ANSWERS, Store

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Why a measurement ended: the interval is as narrow as asked; it is so, but the results show why
#: it cannot be trusted; the budget is exhausted; the full model itself does not reach an absolute
#: threshold; the largest dimension to try falls short.
Stop = Literal["tight", "doubtful", "budget", "unreachable", "beyond"]


@dataclass(frozen=True, repr=False)
class Answer:
    """The answer of a measurement.

    Attributes:
        question: the question.
        stopped: why it ended: "tight", "doubtful", "budget", "unreachable" or "beyond".
        D: number of weights.
        dim: d_int; None if unreachable, beyond the largest dimension to try, or if the budget was
            spent on the full model.
        low: lower end of the interval.
        high: upper end.
        threshold: the value that the mean has to reach.
        full: mean of the full model's metric.
        full_std: its standard deviation; None for a single run.
        full_n: number of its runs.
        baseline: mean of the baseline's metric; None if no baseline was run.
        baseline_std: its standard deviation.
        baseline_n: number of its runs.
        points: the curve: `dim`, `n`, `mean`, `std` and the monotone fit `fitted`, by dimension.
        runs: ids of all records that the answer rests on; those not made for it come first.
        reused: how many were not made for it.
        seconds: wall time of all these runs in total.
        doubts: why the interval cannot be trusted: "falls" if the mean falls as d grows, by more
            than noise; "kinds" if results are of two kinds; "gain" if the full model's gain over
            the baseline may be noise.
        left_out: number of finished records of the same task that do not fit, by the reason.
    """

    question: Question
    stopped: Stop
    D: int
    dim: int | None
    low: int
    high: int
    threshold: float
    full: float
    full_std: float | None
    full_n: int
    points: Sequence[Mapping[str, Any]]
    runs: Sequence[str]
    reused: int
    seconds: float
    doubts: Sequence[Doubt] = ()
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    baseline: float | None = None
    baseline_std: float | None = None
    baseline_n: int = 0

    @property
    def made(self) -> int:
        """Number of runs that were made for it, which the budget limits."""
        return len(self.runs) - self.reused

    @property
    def made_of(self) -> str:
        """The number of runs, in words."""
        return counted(len(self.runs), "runs")

    @property
    def bloat(self) -> float | None:
        """How many times more weights the model has than it needs: D / d_int."""
        return None if self.dim is None else self.D / self.dim

    def __repr__(self) -> str:
        """One line: what was asked, d_int with its interval, and on how many runs it rests."""
        share = f"{100 * self.question.confidence:g} %"
        found = "no d_int" if self.dim is None else f"d_int {self.dim:,}"
        interval = f"({self.low:,} to {self.high:,}, {share})"
        return f"Answer({label(self.question)}: {found} {interval}, {self.made_of}, {self.stopped})"

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the results against d, the threshold and the interval.

        Args:
            ax: matplotlib's axes to draw on; those of a new figure by default.

        Returns:
            The axes.
        """
        # The layer of figures is above this one.
        return importlib.import_module("subspace_nn.report.measured").plot(self, ax)

    def _repr_html_(self) -> str:
        """The answer below a notebook's cell: its words and its figure."""
        return importlib.import_module("subspace_nn.report.measured").html(self)


@dataclass(frozen=True)
class Notes:
    """The file of a measurement.

    Attributes:
        question: the question.
        made: ids of the runs that were made for it.
        planned: dimension and seed of each run of the batch under way.
        answer: None as long as it goes on.
    """

    question: Question
    made: tuple[str, ...] = ()
    planned: tuple[tuple[Dim, int], ...] = ()
    answer: Answer | None = None

    def write(self, folder: Path) -> None:
        """Write the file, in place of an earlier one.

        Args:
            folder: of the records.

        Raises:
            InputError: if it cannot be written.
        """
        path = place(folder, self.question)
        content = dataclasses.asdict(self)
        if self.answer is not None:
            del content["answer"]["question"]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}.") from None


class Answers(list[Answer]):
    """Answers that were read, and why other files were left out.

    Attributes:
        problems: one sentence for each file that was left out.
    """

    def __init__(self, answers: Iterable[Answer] = (), problems: Iterable[str] = ()) -> None:
        super().__init__(answers)
        self.problems = list(problems)


def place(folder: Path, question: Question) -> Path:
    """Where the answer to a question is.

    Args:
        folder: of the records.
        question: the question.

    Returns:
        The path of the file; it need not exist.
    """
    return folder / ANSWERS / f"{question.name}.json"


def answers(folder: str | os.PathLike[str]) -> Answers:
    """Read the answers in a folder; a measurement that is not finished has none.

    Nothing that a file names is imported or built. A file that is not that of a measurement is
    left out, and named in `problems`.

    Args:
        folder: of the records.

    Returns:
        The answers, ordered by the names of their files.
    """
    contents, problems = Store(folder).answers()
    found = Answers(problems=problems)
    for name, content in contents.items():
        try:
            notes = _named(name, content)
        except InputError as error:
            path = Path(folder) / ANSWERS / f"{name}.json"
            found.problems.append(f"{path} is not the file of a measurement: {_joined(error)}.")
        else:
            found += [] if notes.answer is None else [notes.answer]
    return found


def read(folder: Path, question: Question) -> Notes:
    """Read the notes on a question, in a folder or its packed file, which may be anyone's.

    Args:
        folder: of the records.
        question: the question.

    Returns:
        The notes.

    Raises:
        InputError: if there are none, or they are not those of a measurement; the message names
            every key that is wrong.
    """
    contents, problems = Store(folder).answers()
    if question.name not in contents:
        raise InputError(*problems, f"there is no {place(folder, question)}")
    return _named(question.name, contents[question.name])


def _named(name: str, content: Any) -> Notes:
    notes = _notes(content)
    if name != notes.question.name:
        raise InputError(f"its name must be {notes.question.name}.json for this question")
    return notes


def _joined(error: InputError) -> str:
    return "; ".join(problem.rstrip(".") for problem in error.problems)


def _notes(content: Any) -> Notes:
    if not isinstance(content, dict):
        raise InputError(f"expected an object, got {short(content)}")
    _require(content, _NOTES)
    names = {field.name for field in dataclasses.fields(Question)}
    if odd := sorted(content["question"].keys() - names):
        raise InputError(f"question has no {short(odd[0])}")
    if "task" not in content["question"]:
        raise InputError("task of the question is missing")
    question = Question(**content["question"])
    if problems := question.value_problems():
        raise InputError(*problems)
    answer = content["answer"]
    if answer is not None:
        _require(answer, _ANSWER)
        answer = Answer(question=question, **{name: answer[name] for name in _ANSWER})
        _require_sense(answer)
    planned = tuple((dim, seed) for dim, seed in content["planned"])
    if len(planned) > (most := max(question.batch, FULL_RUNS)):
        raise InputError(f"planned has {len(planned):,} runs, expected at most {most}")
    return Notes(question, tuple(content["made"]), planned, answer)


def _require(content: dict[str, Any], fields: Mapping[str, "_Field"]) -> None:
    """Refuse a missing or ill-typed key; one that came later gets its default."""
    for name, default in _LATER.items():
        if name in fields:
            content.setdefault(name, default(content))
    problems = [f"{name} is missing" for name in sorted(fields.keys() - content.keys())]
    problems += [
        f"{name} must be {words}, got {short(content[name])}"
        for name, (words, fits) in fields.items()
        if name in content and not fits(content[name])
    ]
    if problems:
        raise InputError(*problems)


def _require_sense(answer: Answer) -> None:
    """Refuse numbers that contradict each other."""
    dims = [point["dim"] for point in answer.points]
    sense = {
        "low ≤ d_int ≤ high ≤ D": answer.low <= (answer.dim or answer.low) <= answer.high
        and (answer.dim or answer.low) <= answer.high <= answer.D,
        "dimensions of points ascend, and are below D": dims == sorted(set(dims))
        and all(dim < answer.D for dim in dims),
        "baseline is there if it was run": (answer.baseline is None) == (answer.baseline_n == 0),
        "reused is at most the number of runs": answer.reused <= len(answer.runs),
        "d_int is there if it was found": answer.dim is not None
        or answer.stopped not in {"tight", "doubtful"},
    }
    if wrong := [f"expected that {words}" for words, holds in sense.items() if not holds]:
        raise InputError(*wrong)


_Field = tuple[str, Callable[[Any], bool]]


def _is_count(least: int) -> Callable[[Any], bool]:
    return lambda value: is_whole(value) and least <= value < 2**63


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _is_list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _is_spread(value: Any) -> bool:
    return is_number(value) and value >= 0


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{16}", value))


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"dim", "n", "mean", "std", "fitted"}
        and _is_count(1)(value["dim"])
        and _is_count(1)(value["n"])
        and is_number(value["mean"])
        and is_number(value["fitted"])
        and _or_none(_is_spread)(value["std"])
    )


def _is_planned(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and (value[0] in (FULL, BASELINE) or _is_count(1)(value[0]))
        and _is_count(0)(value[1])
    )


_NOTES: dict[str, _Field] = {
    "question": ("values by name", lambda v: isinstance(v, dict)),
    "made": ("a list of ids", _is_list_of(_is_id)),
    "planned": ("a list of dimensions with seeds", _is_list_of(_is_planned)),
    "answer": ("values by name, or null", _or_none(lambda v: isinstance(v, dict))),
}
_ANSWER: dict[str, _Field] = {
    "stopped": (f"one of {', '.join(get_args(Stop))}", lambda v: v in get_args(Stop)),
    "D": ("a whole number of at least 2", _is_count(2)),
    "dim": ("a whole number of at least 1, or null", _or_none(_is_count(1))),
    "low": ("a whole number of at least 1", _is_count(1)),
    "high": ("a whole number of at least 1", _is_count(1)),
    "threshold": ("a number", is_number),
    "full": ("a number", is_number),
    "full_std": ("a number of at least 0, or null", _or_none(_is_spread)),
    "full_n": ("a whole number of at least 1", _is_count(1)),
    "points": ("a list of dim, n, mean, std, fitted", _is_list_of(_is_point)),
    "runs": ("a list of ids", _is_list_of(_is_id)),
    "reused": ("a whole number of at least 0", _is_count(0)),
    "seconds": ("a number of at least 0", _is_spread),
    "baseline": ("a number, or null", _or_none(is_number)),
    "baseline_std": ("a number of at least 0, or null", _or_none(_is_spread)),
    "baseline_n": ("a whole number of at least 0", _is_count(0)),
    "doubts": ("a list of doubts", _is_list_of(lambda v: v in get_args(Doubt))),
    "left_out": (
        "numbers by reason",
        lambda v: isinstance(v, dict) and all(map(_is_count(1), v.values())),
    ),
}


def _made_before(content: dict[str, Any]) -> Any:
    """The value for a file of an earlier version, which listed the other runs."""
    answer, reused = content.get("answer"), content.get("reused")
    runs = answer.get("runs", []) if isinstance(answer, dict) else []
    both = isinstance(runs, list) and isinstance(reused, list)
    return [run for run in runs if run not in reused] if both else []


#: Defaults of keys that came later.
_LATER: dict[str, Callable[[dict[str, Any]], Any]] = {
    "made": _made_before,
    "planned": lambda _: [],
    "doubts": lambda _: [],
    "left_out": lambda _: {},
    "baseline": lambda _: None,
    "baseline_std": lambda _: None,
    "baseline_n": lambda _: 0,
}
