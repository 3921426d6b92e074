"""Folders of records become one table, with the answers of measurements."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from subspace_nn.common.errors import InputError
from subspace_nn.dimension import Answer, answers
from subspace_nn.report import frame
from subspace_nn.report.frame import Choice, Runs
from subspace_nn.report.text import slug, unique
from subspace_nn.runs import grid
from subspace_nn.runs.store import HISTORY, Store, stores


@dataclass(frozen=True)
class Sweep:
    """A folder of records.

    Attributes:
        name: slug of the folder's name, unique in a report.
        title: the folder's name.
        folder: its path.
        answers: of measurements that some of the records were made for.
        text: the opening comment of its sweep file.
    """

    name: str
    title: str
    folder: str = ""
    answers: Sequence[Answer] = ()
    text: str = ""


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything that some folders hold.

    Attributes:
        sweeps: the folders, by name.
        runs: one row a record, see `frame.runs`; `sweep` is the name of its folder, and `measured`
            is true if a measurement made it for itself.
        problems: why files were left out, a sentence each.
        metrics: by which runs are judged, if their results have them; before those of
            measurements and the usual names.
    """

    sweeps: Sequence[Sweep]
    runs: Runs
    problems: Sequence[str] = ()
    metrics: Sequence[str] = ()

    @classmethod
    def of(cls, found: Sequence[tuple[Sweep, Sequence[frame.Record]]]) -> "Findings":
        """Put records together.

        Args:
            found: sweeps with their records.

        Returns:
            The findings, the sweeps ordered by name.
        """
        found = sorted(found, key=lambda one: one[0].title)
        names = unique(slug(sweep.title) for sweep, _ in found)
        sweeps = [replace(sweep, name=name) for (sweep, _), name in zip(found, names, strict=True)]
        runs = frame.runs(
            (sweep.name, record)
            for sweep, (_, records) in zip(sweeps, found, strict=True)
            for record in records
        )
        measured = {
            (sweep.name, run)
            for sweep in sweeps
            for answer in sweep.answers
            for run in answer.runs[answer.reused :]
        }
        own = [key in measured for key in zip(runs.sweep, runs.id, strict=True)]
        return cls(sweeps, runs.assign(measured=np.array(own, dtype=bool)))

    def chosen(self, rows: Choice) -> "Findings":
        """The findings of some rows alone."""
        return replace(self, runs=self.runs[rows])


def read(folders: Sequence[Path], metrics: Sequence[str] = ()) -> Findings:
    """Read the records of some folders, and what measurements in them found.

    Args:
        folders: of records, or of such folders at any depth.
        metrics: by which runs are judged, if their results have them.

    Returns:
        The findings.

    Raises:
        InputError: if a folder does not exist, holds no records, or cannot be read.
    """
    if not folders:
        raise InputError("Name at least one folder of records, such as results/fc-2017.")
    read_ = _together([_read(store) for store in stores(folders)])
    found = Findings.of([(sweep, records) for sweep, records, _ in read_])
    problems = [text for *_, problems in read_ for text in problems]
    return replace(found, problems=problems, metrics=metrics)


_Read = tuple[Sweep, Sequence[frame.Record], Sequence[str]]


def _together(found: Sequence[_Read]) -> list[_Read]:
    """Nets that `train` left in folders next to each other become one sweep."""

    def place(one: _Read) -> Path:
        folder = Path(one[0].folder)
        return folder.parent if (folder / HISTORY).is_file() else folder

    groups = frame.grouped(found, place)
    return [_joined(place, same) if len(same) > 1 else same[0] for place, same in groups.items()]


def _joined(place: Path, found: Sequence[_Read]) -> _Read:
    name = place.resolve().name
    records = [record for _, records, _ in found for record in records]
    problems = [problem for *_, problems in found for problem in problems]
    return Sweep(name, name, place.as_posix()), records, problems


def _read(store: Store) -> _Read:
    records = store.read()
    name = store.folder.resolve().name
    text = _comment(name, {record.get("command") for record in records})
    found = answers(store.folder)
    sweep = Sweep(name, name, store.folder.as_posix(), found, text)
    return sweep, records, [*records.problems, *found.problems]


def _comment(name: str, commands: Collection[str | None]) -> str:
    """The comment that a sweep file opens with, if the records name that file."""
    (command,) = commands if len(commands) == 1 else (None,)
    if command not in {f"subspace-nn sweep experiments/{name}.toml", f"subspace-nn sweep {name}"}:
        return ""
    try:
        return grid.opening(grid.read(Path("experiments") / f"{name}.toml"))
    except InputError:
        return ""
