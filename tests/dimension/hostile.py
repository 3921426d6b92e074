"""Files of measurements as a stranger might write them, or a disk damage them."""

import contextlib
import json
import random
from typing import Any

from subspace_nn.dimension import Question

#: Values that are put anywhere.
VALUES: list[Any] = [
    None, True, -1, 0, 1.5, 10**12, 10**400, 1e308, -1e308, "", "x" * 10_000, "\x1b[2J\x1b]0;x\x07",
    "../../escaped", "<script>", "=1+1", "$x^2$", "\ud800", [], {}, [[[[]]]], {"a": {"b": {}}},
    ["0" * 16], {"dim": 1}, "nan", "full", "\u202eabc",
]  # fmt: skip


def damaged(content: dict[str, Any], dice: random.Random) -> tuple[str, bytes]:
    """The name and the bytes of a file, with values replaced, removed or added, and bytes cut."""
    for _ in range(dice.randint(1, 3)):
        _change(content, dice)
    try:
        text = json.dumps(content).encode()
    except (ValueError, UnicodeEncodeError):
        text = b"{}"
    how, place = dice.randrange(8), dice.randrange(len(text))
    if how == 0:
        text = text[:place]
    elif how == 1:
        text = text[:place] + bytes([dice.randrange(256)]) + text[place + 1 :]
    return _name(content, dice), text


def _name(content: dict[str, Any], dice: random.Random) -> str:
    """What a measurement calls the file, if it can be one."""
    with contextlib.suppress(Exception):
        return Question(**content["question"]).name
    return dice.choice(["x", "\x1b[2Jx", "=1+1"])


def _change(content: Any, dice: random.Random) -> None:
    """Replace, remove or add one value at any depth."""
    while True:
        keys = list(content) if isinstance(content, dict) else list(range(len(content)))
        key = dice.choice(keys) if keys else None
        inner = None if key is None else content[key]
        if isinstance(inner, dict | list) and inner and dice.random() < 0.7:
            content = inner
            continue
        break
    action = dice.randrange(3)
    if key is not None and action == 0:
        del content[key]
    elif key is not None and action == 1:
        content[key] = dice.choice(VALUES)
    elif isinstance(content, dict):
        content[str(dice.choice(VALUES))[:50]] = dice.choice(VALUES)
    else:
        content.append(dice.choice(VALUES))
