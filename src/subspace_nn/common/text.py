"""Text on its way out: what a stranger wrote is shown, and never obeyed."""

import re

#: Control characters, those that turn the direction of text, and halves of surrogate pairs.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#$~!&])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str) -> str:
    r"""Text for a terminal or a page, in which nothing but letters, spaces and line ends is left.

    Args:
        text: any.

    Returns:
        The text; a control character is written as Python escapes it.

    Example:
        >>> print(visible("conv\x1b[2J"))
        conv\x1b[2J
    """
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def markdown(text: str) -> str:
    r"""Text as it appears in one line of Markdown, a table's cell among them.

    Args:
        text: any.

    Returns:
        Markdown that is shown as the text.

    Example:
        >>> print(markdown("a|b <b>"))
        a\|b \<b\>
    """
    return _MARKDOWN.sub(r"\\\1", " ".join(visible(text).split("\n")))


def csv_cell(value: object) -> object:
    """A value as a cell of a CSV file: a spreadsheet takes no text for a formula.

    Args:
        value: any; numbers stay numbers.

    Returns:
        The value; a text that would begin a formula gets an apostrophe in front.

    Example:
        >>> csv_cell("=1+1"), csv_cell(-1.5)
        ("'=1+1", -1.5)
    """
    if not isinstance(value, str):
        return value
    shown = visible(value)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
