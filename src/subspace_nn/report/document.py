"""What a report is made of, before it becomes a page or Markdown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from subspace_nn.measure import Answer
from subspace_nn.report.groups import Group


@dataclass(frozen=True)
class Sweep:
    """Records that were made together.

    Attributes:
        name: that of their folder.
        records: finished and failed ones.
        description: what was asked, in a sentence or two; the opening comment of the sweep file.
        commands: that make the records again.
        answers: of the measurements that some of the records were made for.
        folder: where they are.
    """

    name: str
    records: Sequence[Mapping[str, Any]]
    description: str = ""
    commands: Sequence[str] = ()
    answers: Sequence[Answer] = ()
    folder: str = ""

    @property
    def measured(self) -> frozenset[str]:
        """Ids of the records that a measurement made for itself."""
        return frozenset(i for answer in self.answers for i in answer.runs[answer.reused :])


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        columns: headings.
        rows: each as long as the headings.
        words: number of leading columns that are words; the others are numbers, set to the right.
        strong: indices of the columns that matter most.
        caption: what it shows.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    strong: Sequence[int] = ()
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure that is drawn when it is needed.

    Attributes:
        name: of its files, without ending.
        caption: what it shows.
        draw: makes the figure.
        narrow: makes it for a narrow screen, if that is another.
    """

    name: str
    caption: str
    draw: Callable[[], Figure]
    narrow: Callable[[], Figure] | None = None


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        name: to link to.
        title: heading.
        text: a paragraph to begin with.
        pictures: figures; two neighbours stand side by side where there is room.
        tables: tables.
        notes: what one must know to read the tables.
        groups: of runs that it was made of.
        commands: that make it again.
    """

    name: str
    title: str
    text: str = ""
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    groups: Sequence[Group] = ()
    commands: Sequence[str] = ()


@dataclass(frozen=True)
class Highlight:
    """One number to remember.

    Attributes:
        number: with its unit.
        text: what it is.
    """

    number: str
    text: str


@dataclass(frozen=True)
class Report:
    """A whole report.

    Attributes:
        title: heading.
        lead: one paragraph.
        highlights: numbers to remember.
        sections: the parts.
    """

    title: str
    lead: str
    highlights: Sequence[Highlight] = field(default_factory=tuple)
    sections: Sequence[Section] = field(default_factory=tuple)
