"""Figures from the literature, to stand beside the measured ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GREYDANUS = "Greydanus 2017"


@dataclass(frozen=True)
class Experiment:
    """An experiment of the literature that a sweep repeats.

    Attributes:
        title: what it was called.
        figures: test accuracy in percent by (argument, value), as printed. `~` values were read
            off a plot and are good to about two points.
        parameters: numbers of weights by model, as printed, where they are not those of the net.
        notes: what to know.
    """

    title: str
    figures: Mapping[tuple[str, Any], str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


_PLOT = "~ was read off the plot of 2017, and is good to about two points."
_SAMPLED = (
    "In 2017 accuracy was that of 39 random batches with repeats; here it is that of the whole "
    "test set."
)

#: By name of the sweep.
EXPERIMENTS: dict[str, Experiment] = {
    "conv-small-2017": Experiment(
        "Ultra small subspaces: the conv net, 10 epochs",
        {
            ("dim", 3): "~9",
            ("dim", 10): "~13",
            ("dim", 30): "~31",
            ("dim", 100): "~54",
            ("dim", 300): "~78",
            ("dim", 1000): "~89",
            ("dim", "full"): "98.5",
        },
        notes=(_PLOT, _SAMPLED),
    ),
    "conv-large-2017": Experiment(
        "Large subspaces: the conv net, 100 epochs",
        {
            ("dim", 1000): "93.5",
            ("dim", 3000): "97.0",
            ("dim", 10000): "98.8",
            ("dim", "full"): "99.0",
        },
        notes=(_SAMPLED,),
    ),
    "fc-2017": Experiment(
        "The fully connected net, 10 epochs",
        {
            ("dim", 3): "~10",
            ("dim", 10): "~12",
            ("dim", 30): "~21",
            ("dim", 100): "~51",
            ("dim", 300): "~75",
            ("dim", 1000): "~90",
            ("dim", "full"): "97.8",
        },
        notes=(_PLOT, _SAMPLED),
    ),
    "zoo": Experiment(
        "“MNIST lite”: small nets, all weights free",
        {
            ("model", "fc-16"): "94.5",
            ("model", "fc-32"): "96.5",
            ("model", "conv-6-6"): "95.6",
            ("model", "conv-8-16"): "97.6",
        },
    ),
    "tutorials": Experiment(
        "The tutorials' nets, all weights free",
        {
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
        parameters={"caffe-cnn": "366,030", "tensorflow-cnn": "3,274,625"},
        notes=(
            (
                "The printed numbers of weights of caffe-cnn and tensorflow-cnn do not follow from "
                "their architectures; those of the nets are given."
            ),
        ),
    ),
    "conv-hashed": Experiment("The conv net, new recipe", {}),
    "fc-hashed": Experiment("The fully connected net, new recipe", {}),
    "big-models": Experiment("Big nets in small subspaces, new recipe", {}),
    "projections": Experiment("Kinds of projections", {}),
}


def published(experiment: str, arguments: Mapping[str, Any]) -> str:
    """What was published for a configuration.

    Args:
        experiment: its name, that of the sweep.
        arguments: of the runs.

    Returns:
        The figure as printed, or an empty text.

    Example:
        >>> published("conv-large-2017", {"dim": 1000})
        '93.5'
    """
    if experiment not in EXPERIMENTS:
        return ""
    figures = EXPERIMENTS[experiment].figures
    return next((figures[item] for item in arguments.items() if item in figures), "")


def as_number(text: str) -> float | None:
    """A figure as printed, as a number.

    Args:
        text: such as "93.5" or "~54".

    Returns:
        The number; None for what is no single one ("99+", "98-99").

    Example:
        >>> as_number("~54"), as_number("99+")
        (54.0, None)
    """
    try:
        return float(text.removeprefix("~"))
    except ValueError:
        return None
