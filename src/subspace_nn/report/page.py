"""A report as one self-contained page."""

import base64
import hashlib
import json
import re
from functools import lru_cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from subspace_nn.common.text import visible
from subspace_nn.report.colours import style_sheet
from subspace_nn.report.document import Picture, Report

#: What draws the charts: two libraries, as released, and the package's own code.
SCRIPTS = ("d3.min.js", "plot.min.js", "charts.js")


def page(report: Report, command: str = "") -> str:
    """A page that opens offline: everything is in it, and its policy forbids to load anything.

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
    environment.filters["figure"] = figure
    environment.filters["code"] = _code
    scripts = _scripts() if any(section.pictures for section in report.sections) else []
    return environment.from_string(asset("page.html.j2")).render(
        report=report,
        command=command,
        colours=Markup(style_sheet()),  # noqa: S704  # the package's own
        styles=Markup(asset("charts.css")),  # noqa: S704
        scripts=[Markup(one) for one in scripts],  # noqa: S704
        policy=" ".join(map(_digest, scripts)) or "'none'",
    )


def figure(picture: Picture) -> Markup:
    """A figure as an element, which `SCRIPTS` draw on.

    Args:
        picture: the figure.

    Returns:
        HTML, with the data in it.
    """
    chart = picture.chart
    size = "chart wide" if chart.wide else "chart"
    return Markup(
        '<figure class="{}" id="figure-{}"><p class="title">{}</p><div class="controls"></div>'
        '<div class="plot"></div><script type="application/json">{}</script>'
        "<figcaption>{}</figcaption></figure>"
    ).format(
        size, picture.name, visible(chart.title), _data(chart.as_json()), visible(picture.caption)
    )


@lru_cache
def asset(name: str) -> str:
    """A file of the folder `web`.

    Args:
        name: of the file.

    Returns:
        Its text.
    """
    return (files("subspace_nn.report") / "web" / name).read_text(encoding="utf-8")


def _data(value: Any) -> Markup:
    """JSON that ends no script element and holds nothing invisible."""
    text = visible(json.dumps(_visible(value), ensure_ascii=False, separators=(",", ":")))
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))  # noqa: S704


def _visible(value: Any) -> Any:
    """The same with texts that show all their letters."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {name: _visible(one) for name, one in value.items()}
    return [_visible(one) for one in value] if isinstance(value, list) else value


def _scripts() -> list[str]:
    """The scripts of a page with figures; a library comes with its licence."""
    licence = f"/*\n{asset('LICENSES.md')}*/\n"
    return [licence + asset(SCRIPTS[0]), *map(asset, SCRIPTS[1:])]


def _digest(script: str) -> str:
    """The source of a content security policy that allows a script, and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _without_control_characters(value: object) -> object:
    return visible(value) if type(value) is str else value


def _code(text: str) -> Markup:
    """Words between backticks as code."""
    escaped = str(Markup.escape(visible(text)))
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", escaped))  # noqa: S704
