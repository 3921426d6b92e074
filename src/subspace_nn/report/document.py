"""The parts of a report, before they become a page or Markdown.

Texts are plain: nothing in them is markup but words between backticks, which are code. Each medium
escapes them once, where it is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from subspace_nn.report.chart import Chart


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
    """A figure in a report.

    Attributes:
        name: of its files, without ending; a slug, unique in its report.
        caption: what it shows.
        chart: what is drawn.
    """

    name: str
    caption: str
    chart: Chart


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        name: to link to; a slug, unique in its report.
        title: heading.
        text: a paragraph to begin with.
        pictures: figures; two neighbours stand side by side where there is room.
        tables: tables.
        notes: how to read the tables.
        commands: that repeat it.
        folded: whether a page shows only the heading until the reader opens the section.
    """

    name: str
    title: str
    text: str = ""
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    commands: Sequence[str] = ()
    folded: bool = False


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
