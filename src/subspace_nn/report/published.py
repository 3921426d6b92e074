"""Figures from the literature, to stand beside the measured ones."""

from collections.abc import Mapping
from typing import Any

GREYDANUS = "Greydanus 2017"

#: Test accuracy in percent by experiment, and there by (argument, value). `~` values were read
#: off a plot and are good to about two points.
PUBLISHED: dict[str, dict[tuple[str, Any], str]] = {
    "conv-large-2017": {
        ("dim", 1000): "93.5",
        ("dim", 3000): "97.0",
        ("dim", 10000): "98.8",
        ("dim", "full"): "99.0",
    },
    "conv-small-2017": {
        ("dim", 3): "~9",
        ("dim", 10): "~13",
        ("dim", 30): "~31",
        ("dim", 100): "~54",
        ("dim", 300): "~78",
        ("dim", 1000): "~89",
        ("dim", "full"): "98.5",
    },
    "fc-2017": {
        ("dim", 3): "~10",
        ("dim", 10): "~12",
        ("dim", 30): "~21",
        ("dim", 100): "~51",
        ("dim", 300): "~75",
        ("dim", 1000): "~90",
        ("dim", "full"): "97.8",
    },
    "zoo": {
        ("model", "fc-16"): "94.5",
        ("model", "fc-32"): "96.5",
        ("model", "conv-6-6"): "95.6",
        ("model", "conv-8-16"): "97.6",
    },
    "tutorials": {
        ("model", "tensorflow-softmax"): "92",
        ("model", "conv"): "99.0",
        ("model", "elite-cnn"): "99+",
        ("model", "mastery-cnn"): "98.9",
        ("model", "lasagne-cnn"): "99+",
        ("model", "caffe-cnn"): "98.9",
        ("model", "mastery-fc"): "98",
        ("model", "lasagne-fc"): "98-99",
        ("model", "tensorflow-cnn"): "99.2",
    },
}


def published(experiment: str, arguments: Mapping[str, Any]) -> str:
    """What was published for a configuration.

    Args:
        experiment: its name, that of the sweep file.
        arguments: of the runs.

    Returns:
        The figure as printed, or an empty text.

    Example:
        >>> published("conv-large-2017", {"dim": 1000})
        '93.5'
    """
    table = PUBLISHED.get(experiment, {})
    return next((table[item] for item in arguments.items() if item in table), "")
