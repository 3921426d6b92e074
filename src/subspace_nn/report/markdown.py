"""A report as Markdown, for documentation."""

from collections.abc import Sequence

from subspace_nn.report.document import Report, Section, Table

_NOTE = "<!-- Written by `subspace-nn report … --markdown`; do not edit. -->"


def markdown(report: Report, figures: str | None = None) -> str:
    """A report as a Markdown page.

    Args:
        report: what to write.
        figures: folder of the figures' files, relative to the page; none are shown without it.

    Returns:
        The page's text.
    """
    parts = [_NOTE, f"# {report.title}", report.lead]
    parts += [f"- **{one.number}** {one.text}" for one in report.highlights]
    for section in report.sections:
        parts += _section(section, figures)
    return "\n\n".join(_together(parts)) + "\n"


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
    return "\n".join(_row(cells) for cells in (one.columns, rules, *one.rows))


def _section(section: Section, figures: str | None) -> list[str]:
    parts = [f"## {section.title}", section.text]
    if figures is not None:
        parts += [f"![{p.caption}]({figures}/{p.name}.svg)" for p in section.pictures]
    for one in section.tables:
        parts += [one.caption, table(one)]
    parts += section.notes
    if section.commands:
        parts.append("```sh\n" + "\n".join(section.commands) + "\n```")
    return [part for part in parts if part]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _together(parts: Sequence[str]) -> list[str]:
    """Items of one list as one block."""
    blocks: list[str] = []
    for part in parts:
        if blocks and part.startswith("- ") and blocks[-1].startswith("- "):
            blocks[-1] += "\n" + part
        else:
            blocks.append(part)
    return blocks
