"""A report as one self-contained page."""

import re
from importlib.resources import files

import jinja2
from markupsafe import Markup

from subspace_nn.report.document import Picture, Report
from subspace_nn.report.theme import THEME, inline_svg


def page(report: Report, command: str = "") -> str:
    """A page that opens offline: everything is in it.

    Args:
        report: what to show.
        command: that makes the page again, if it is known.

    Returns:
        HTML; the same for the same report.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["svg"] = _drawn
    environment.filters["code"] = _code
    template = environment.from_string(
        (files("subspace_nn.report") / "page.html.j2").read_text(encoding="utf-8")
    )
    return template.render(report=report, theme=THEME, command=command)


def _drawn(picture: Picture) -> Markup:
    """A picture as SVG, twice where it has another form for narrow screens."""
    wide = _labelled(inline_svg(picture.draw(), picture.name), picture.caption)
    if picture.narrow is None:
        return Markup(wide)  # noqa: S704  # made by matplotlib, from names that it escapes
    narrow = _labelled(inline_svg(picture.narrow(), f"{picture.name}-narrow"), picture.caption)
    return Markup(f'<div class="wide">{wide}</div><div class="narrow">{narrow}</div>')  # noqa: S704


def _labelled(element: str, caption: str) -> str:
    label = Markup.escape(caption)
    return re.sub(r"<svg ", f'<svg role="img" aria-label="{label}" ', element, count=1)


def _code(text: str) -> Markup:
    """Words between backticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(Markup.escape(text))))  # noqa: S704
