"""Test accuracies from Greydanus's post of 2017, to compare with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from subspace_nn.report.frame import Setting
from subspace_nn.report.parts.sweeps import About

_SOURCE = "Greydanus 2017"


@dataclass(frozen=True)
class Experiment:
    """An experiment of the post that a sweep repeats.

    Attributes:
        title: its name there.
        values: test accuracy in percent by (argument, value), as printed. `~` values were read off
            a plot and are good to about two points.
        parameters: numbers of weights by model, as printed, where they are not those of the net.
        notes: how to read the values.
    """

    title: str
    values: Mapping[tuple[str, Any], str]
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
    "kinds": Experiment("Kinds of projections", {}),
}


def about(name: str) -> About:
    """What a report says of a sweep of this project in addition to its records.

    Args:
        name: of the sweep.

    Returns:
        Title, notes, and the columns of published values.
    """
    known = EXPERIMENTS.get(name, Experiment(name, {}))
    columns: dict[str, Callable[[Setting], str]] = {
        "D as printed": lambda one: known.parameters.get(one.model, ""),
        f"published, % ({_SOURCE})": lambda one: published(known, one),
    }
    return About(known.title, "", known.notes, columns, drawn=True)


def published(known: Experiment, one: Setting) -> str:
    """The published accuracy of a setting as printed, or an empty text."""
    found = (known.values[item] for item in one.arguments.items() if _is_key(item, known))
    return next(found, "")


def _is_key(item: tuple[str, Any], known: Experiment) -> bool:
    return isinstance(item[1], str | int) and item in known.values


def as_number(text: str) -> float | None:
    """A value as printed, as a number.

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
