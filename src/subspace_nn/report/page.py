"""A report as one self-contained page."""

import re
from importlib.resources import files

import jinja2
from markupsafe import Markup

from subspace_nn.common.text import visible
from subspace_nn.report.document import Picture, Report
from subspace_nn.report.theme import THEME, inline_svg


def page(report: Report, command: str = "") -> str:
    """A page that opens offline: everything is in it.

    Args:
        report: what to show.
        command: that writes the page again, if it is known.

    Returns:
        HTML; the same for the same report.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_without_control_characters,
    )
    environment.filters["svg"] = _drawn
    environment.filters["code"] = _code
    template = environment.from_string(
        (files("subspace_nn.report") / "page.html.j2").read_text(encoding="utf-8")
    )
    return template.render(report=report, theme=THEME, command=command)


def _without_control_characters(value: object) -> object:
    return visible(value) if type(value) is str else value


def _drawn(picture: Picture) -> Markup:
    """A picture as SVG, twice if it differs on narrow screens."""
    wide = _labelled(inline_svg(picture.draw(), picture.name), picture.caption)
    if picture.narrow is None:
        return Markup(wide)  # noqa: S704  # made by matplotlib, which escapes names
    narrow = _labelled(inline_svg(picture.narrow(), f"{picture.name}-narrow"), picture.caption)
    return Markup(f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>')  # noqa: S704


def _labelled(element: str, caption: str) -> str:
    label = Markup.escape(visible(caption))
    return element.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _code(text: str) -> Markup:
    """Words between backticks as code."""
    escaped = str(Markup.escape(visible(text)))
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", escaped))  # noqa: S704
