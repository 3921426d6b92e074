"""Findings become a report."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from subspace_nn.common import numbers
from subspace_nn.report import text
from subspace_nn.report.document import Highlight, Report, Section
from subspace_nn.report.findings import Findings
from subspace_nn.report.parts import environments, measurements, sweeps

#: A part of a report: sections made from findings, none if these say nothing of it.
Part = Callable[[Findings], Iterable[Section]]

#: The parts that make sense for any task, in the order of the page.
PARTS: tuple[Part, ...] = (
    measurements.summary,
    sweeps.sections,
    measurements.pictures,
    environments.sections,
)

#: The question, if a report has no other title.
TITLE = "How many parameters are enough?"

_LEAD = (
    "Models trained in d numbers instead of their D weights; means ± standard deviations over n "
    "seeds."
)


def build(
    found: Findings,
    parts: Sequence[Part] = PARTS,
    *,
    title: str = TITLE,
    lead: str = _LEAD,
    highlights: Sequence[Highlight] = (),
    unfolded: int = 2,
) -> Report:
    """Make a report.

    Args:
        found: what some folders of records hold.
        parts: functions that make its sections, in order; a client adds its own here.
        title: heading.
        lead: one paragraph.
        highlights: numbers to remember, in front of the number of runs.
        unfolded: number of sections that a page shows in full; the others open on a click.

    Returns:
        The report; all names in it are unique.

    Example:
        >>> build(Findings.of([])).sections
        []
    """
    sections = _with_own_names(section for part in parts for section in part(found))
    folded = [
        replace(section, folded=number >= unfolded) for number, section in enumerate(sections)
    ]
    return Report(title, lead, [*highlights, *_runs(found)], folded)


def _runs(found: Findings) -> Iterator[Highlight]:
    done = found.runs[found.runs.done].drop_duplicates("id")
    if len(done):
        time = numbers.duration(done.seconds.sum())
        yield Highlight(numbers.counted(len(done), "runs"), f"in all, {time} of training")


def _with_own_names(sections: Iterable[Section]) -> list[Section]:
    """Each section, and each picture, under a name that no other has."""
    found = list(sections)
    names = text.unique(section.name for section in found)
    pictures = iter(text.unique(one.name for section in found for one in section.pictures))
    return [
        replace(
            section,
            name=name,
            pictures=[replace(one, name=next(pictures)) for one in section.pictures],
        )
        for section, name in zip(found, names, strict=True)
    ]
