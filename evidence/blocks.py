"""Generated blocks in pages that are otherwise written by hand."""

import re
from collections.abc import Callable

_BLOCK = re.compile(r"(<!-- table ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def fill(page: str, block: Callable[[str], str]) -> str:
    r"""A page with its blocks filled in.

    A block stands between `<!-- table NAME -->` and `<!-- end -->`.

    Args:
        page: its text.
        block: the Markdown of a block, by name.

    Returns:
        The text.

    Example:
        >>> fill("<!-- table a -->\nold\n<!-- end -->", lambda name: f"new {name}")
        '<!-- table a -->\nnew a\n\n<!-- end -->'
    """
    return _BLOCK.sub(lambda found: f"{found[1]}{block(found[2])}\n\n{found[4]}", page)


def blocks(page: str) -> dict[str, str]:
    """The blocks of a page by name.

    Args:
        page: its text.

    Returns:
        The Markdown of each.
    """
    return {found[2]: found[3] for found in _BLOCK.finditer(page)}
