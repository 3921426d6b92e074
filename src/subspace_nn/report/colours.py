"""The colours of pages and figures, on a light and on a dark ground."""

from collections.abc import Mapping

INK, SOFT, GRID, GROUND = "#22262b", "#6a7178", "#dfe3e6", "#ffffff"

#: For things without an order. They differ in lightness too, for the colour-blind (Okabe and Ito,
#: "Color universal design", 2008).
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#b3568b", "#c98800", "#3f9fd8", "#5d5fa8", "#8a6d3b")
_PALETTE_DARK = (
    "#4aa8e0", "#ff8a3d", "#2fc79b", "#e08cbd", "#f0b840", "#8fd0f7", "#a5a7ee", "#c7a86f",
)  # fmt: skip

#: For things with an order, from the faintest to the strongest on each ground: viridis (van der
#: Walt and Smith, 2015), from 0.82 to 0 and from 0.3 to 1.
SHADES = (
    "#86d549", "#5ac864", "#37b878", "#22a785", "#1f958b", "#25838e", "#2c718e", "#355f8d",
    "#3e4a89", "#463480", "#481c6e", "#440154",
)  # fmt: skip
_SHADES_DARK = (
    "#355f8d", "#2d708e", "#277f8e", "#218e8d", "#1e9d89", "#26ad81", "#3bbb75", "#5ac864",
    "#81d34d", "#aadc32", "#d5e21a", "#fde725",
)  # fmt: skip

#: Variables of the style sheet: the colour on a light and on a dark ground.
THEME: Mapping[str, tuple[str, str]] = {
    "ink": (INK, "#e6e8ea"),
    "soft": (SOFT, "#a2a9b0"),
    "grid": (GRID, "#363c43"),
    "ground": (GROUND, "#16191d"),
    "tint": ("#f4f6f8", "#20252b"),
    "link": ("#0062a3", "#6cb8ee"),
    **{f"c{i}": pair for i, pair in enumerate(zip(PALETTE, _PALETTE_DARK, strict=True))},
    **{f"s{i}": pair for i, pair in enumerate(zip(SHADES, _SHADES_DARK, strict=True))},
}

#: Markers in addition to the colours, so that lines stay distinct in greyscale.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")


def colour(index: int) -> str:
    """The variable of the index-th of things without an order; they repeat after the last."""
    return f"c{index % len(PALETTE)}"


def marker(index: int) -> str:
    """The marker of the index-th thing: another one where the colours begin again."""
    return MARKERS[(index + index // len(PALETTE)) % len(MARKERS)]


def shade(index: int, count: int) -> str:
    """The variable of the index-th of `count` things with an order.

    Args:
        index: from 0.
        count: number of things.

    Returns:
        A variable; that of the last is the strongest.

    Example:
        >>> shade(4, 5), shade(0, 1)
        ('s11', 's11')
    """
    last = len(SHADES) - 1
    return f"s{last if count == 1 else round(index * last / (count - 1))}"


def style_sheet(*, switch: bool = False) -> str:
    """The variables as CSS.

    Args:
        switch: whether the page has a switch between light and dark, as furo's has; otherwise it
            follows the system.

    Returns:
        Rules.
    """
    light, dark = (
        " ".join(f"--{name}: {pair[i]};" for name, pair in THEME.items()) for i in range(2)
    )
    place, more = ("body", ':not([data-theme="light"])') if switch else (":root", "")
    rules = f"{place} {{ {light} }}\n"
    rules += f"@media screen and (prefers-color-scheme: dark) {{ {place}{more} {{ {dark} }} }}\n"
    return rules + (f'body[data-theme="dark"] {{ {dark} }}\n' if switch else "")
