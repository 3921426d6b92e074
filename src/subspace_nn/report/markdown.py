"""A report as Markdown, for documentation."""

import re
from collections.abc import Callable, Sequence

from subspace_nn.common.text import markdown as escaped
from subspace_nn.common.text import visible
from subspace_nn.report.document import Picture, Report, Section, Table

_NOTE = "<!-- Generated; do not edit. -->"


def markdown(report: Report, show: Callable[[Picture], str] | None = None) -> str:
    """A report as a Markdown page.

    Args:
        report: what to write.
        show: makes Markdown of a figure; none are shown without it.

    Returns:
        The page's text.
    """
    parts = [_NOTE, f"# {plain(report.title)}", plain(report.lead)]
    parts += ["\n".join(f"- **{plain(h.number)}** {plain(h.text)}" for h in report.highlights)]
    for section in report.sections:
        parts += _section(section, show)
    return "\n\n".join(filter(None, parts)) + "\n"


def table(one: Table) -> str:
    """A table in Markdown.

    Args:
        one: the table.

    Returns:
        Its lines.

    Example:
        >>> print(table(Table(["net", "d"], [["fc", "10"]])))
        | net | d |
        | --- | ---: |
        | fc | 10 |
    """
    rules = ["---"] * one.words + ["---:"] * (len(one.columns) - one.words)
    rows = [[plain(cell) for cell in cells] for cells in (one.columns, *one.rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (rows[0], rules, *rows[1:]))


def plain(text: str) -> str:
    r"""A text as Markdown shows it; words between backticks are code.

    Args:
        text: of a report.

    Returns:
        One line of Markdown.

    Example:
        >>> print(plain("`P` of <b>"))
        `P` of \<b\>
    """
    parts = re.split(r"(`[^`\n|]*`)", text)
    return "".join(
        visible(part) if index % 2 else escaped(part) for index, part in enumerate(parts)
    )


def linked(picture: Picture, folder: str) -> str:
    """A figure as a link to its file, with its caption.

    Args:
        picture: the figure.
        folder: of the files, relative to the page.

    Returns:
        Two paragraphs of Markdown.
    """
    caption = plain(picture.caption)
    return f"![{caption}]({folder}/{picture.name}.svg)\n\n{caption}"


def _section(section: Section, show: Callable[[Picture], str] | None) -> list[str]:
    parts = [f"## {plain(section.title)}", plain(section.text)]
    parts += [show(one) for one in section.pictures] if show else []
    for one in section.tables:
        parts += [plain(one.caption), table(one)]
    parts += map(plain, section.notes)
    return [*parts, _block(section.commands)]


def _block(commands: Sequence[str]) -> str:
    """Commands as a block of code, in a fence that none of them can close."""
    if not commands:
        return ""
    lines = [" ".join(visible(command).splitlines()) for command in commands]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}sh", *lines, fence])
