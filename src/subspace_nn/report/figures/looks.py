"""Pictures of one trained net: what it gets wrong, its filters, the loss around it."""

import copy
import math

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from subspace_nn import bits
from subspace_nn.report.colours import INK, PALETTE
from subspace_nn.report.figures.theme import look
from subspace_nn.subspace.wrapper import Subspace
from subspace_nn.tasks.subject import Subject

#: Inputs that are shown of those a net gets wrong.
SHOWN = 24

#: Filters that are shown, at most, of a layer.
_FILTERS = 16

#: Inputs that the loss is the mean over, and steps of either axis.
_INPUTS, _STEPS = 400, 13

#: The directions end at this multiple of the way from θ0 to the trained net.
_REACH = 2.0


def pictures(subject: Subject) -> dict[str, Figure]:
    """All pictures that a net and its data allow.

    Args:
        subject: a net and its test set.

    Returns:
        Figures by name: `wrong` and `confusion` of a classifier, the former if its inputs are
        images; `filters` of a net whose first layer sees images; `loss` around any net.
    """
    found: dict[str, Figure] = {}
    outputs, targets = (part.cpu() for part in subject.outputs())
    classes = subject.problem.loss in {None, cross_entropy} and outputs.ndim == 2
    if classes and not targets.is_floating_point():
        inputs = torch.cat([x.cpu() for x, _ in subject.problem.test])
        if (images := _as_images(inputs)) is not None:
            found["wrong"] = wrong(images, outputs, targets)
        found["confusion"] = confusion(outputs, targets)
    if _first_layer(subject.net) is not None:
        found["filters"] = filters(subject.net)
    found["loss"] = loss(subject)
    return found


@look()
def wrong(images: Tensor, outputs: Tensor, targets: Tensor) -> Figure:
    """The test images that a classifier is surest of and gets wrong.

    Args:
        images: shape (n, h, w), or (n, h, w, 3).
        outputs: logits, shape (n, classes).
        targets: classes, shape (n,).

    Returns:
        A figure of at most 24 images, each with the net's answer and the right one.
    """
    sure, answers = outputs.softmax(1).max(1)
    mistakes = (answers != targets).nonzero().flatten()
    chosen = mistakes[sure[mistakes].argsort(descending=True)][:SHOWN].tolist()
    rows = max(1, math.ceil(len(chosen) / 8))
    figure = Figure(figsize=(7.2, 0.7 + 1.2 * rows), layout="constrained")
    figure.suptitle(
        f"{len(mistakes):,} of {len(targets):,} wrong; those it is surest of", fontweight="bold"
    )
    panels = figure.subplots(rows, 8, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, i in zip(panels, chosen, strict=False):
        axes.imshow(images[i].numpy(), cmap="gray_r")
        axes.set_title(f"{answers[i]}, not {targets[i]}", fontsize=8.5, color=INK)
    return figure


@look()
def confusion(outputs: Tensor, targets: Tensor) -> Figure:
    """How often each class is taken for which.

    Args:
        outputs: logits, shape (n, classes).
        targets: classes, shape (n,).

    Returns:
        A figure: rows are the right classes, columns the answers, in percent of the row; the
        counts are written where there is room.
    """
    count = outputs.shape[1]
    answers = outputs.argmax(1)
    table = torch.bincount(count * targets + answers, minlength=count * count).view(count, count)
    shares = (100 * table / table.sum(1, keepdim=True).clamp(min=1)).numpy()
    figure = Figure(figsize=(5.6, 5.0), layout="constrained")
    axes = figure.subplots()
    accuracy = 100 * float((answers == targets).double().mean())
    axes.set_title(f"{accuracy:.2f} % of {len(targets):,} right", fontweight="bold")
    # The diagonal would leave one colour to all mistakes.
    shown = axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=10)
    bar = figure.colorbar(shown, ax=axes, ticks=[0, 1, math.sqrt(10), 5, 10], shrink=0.8)
    bar.ax.set_yticklabels(["0", "1", "10", "25", "100 %"])
    axes.grid(visible=False)
    axes.set(xlabel="answer", ylabel="right class")
    if count <= 20:
        axes.set(xticks=range(count), yticks=range(count))
        for row, column in np.argwhere(table.numpy()):
            ink = "white" if shares[row, column] > 45 else INK
            text = str(int(table[row, column]))
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=ink)
    return figure


@look()
def filters(net: Subspace) -> Figure:
    """The first layer before and after training: θ0, θ, and how far the subspace moved it.

    Args:
        net: whose first layer with weights is a convolution, or linear on square images.

    Returns:
        A figure with a row for each; red is positive, blue negative, one scale for θ0 and θ.

    Raises:
        ValueError: if the first layer sees no images.
    """
    name = _first_layer(net)
    if name is None:
        raise ValueError("the first layer sees no images")
    with torch.no_grad():
        after = _tiles(_weights(net)[name])
        before = _tiles(net.theta0()[name].cpu())
    rows = {"θ0": before, "θ": after, "θ - θ0": after - before}
    figure = Figure(figsize=(0.7 + 0.55 * len(after), 2.5), layout="constrained")
    figure.suptitle(f"{name}: from θ0 to θ", fontweight="bold")
    panels = figure.subplots(3, len(after), squeeze=False)
    top = float(torch.stack([before, after]).abs().max())
    limits = [top, top, float((after - before).abs().max()) or top]
    for line, (words, tiles), limit in zip(panels, rows.items(), limits, strict=True):
        for axes, tile in zip(line, tiles, strict=True):
            axes.imshow(tile.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(words, rotation=0, ha="right", va="center")
    return figure


@look()
def loss(subject: Subject) -> Figure:
    """The loss along two directions of the subspace.

    The first leads from θ0 (at 0) to the trained net (at 1), the second is random, at a right
    angle to it in ω and as long; with an isometric P that is so for the weights in units of σ, too.
    (Goodfellow, Vinyals and Saxe, "Qualitatively characterizing neural network optimization
    problems", 2015; Li et al., "Visualizing the loss landscape of neural nets", 2018.)

    Args:
        subject: a net and its test set.

    Returns:
        A figure of contour lines over 13 × 13 points, each the mean loss of the first 400 test
        inputs; of a net with one free parameter a line.
    """
    net = copy.deepcopy(subject.net)
    start = torch.zeros_like(net.omega)
    origin = net.projection.omega0()
    start[: len(origin)] = origin.to(start)
    first = net.omega.detach() - start
    second = bits.normal(net.seed, "look/direction", 0, net.dim).to(first)
    length = first.norm().clamp(min=1e-12)
    second -= first * (second @ first) / length**2
    second *= length / second.norm().clamp(min=1e-12)
    inputs, targets = _some(subject)
    measured = subject.problem.loss or (lambda outputs, y: cross_entropy(outputs, y.long()))

    def at(a: float, b: float) -> float:
        with torch.no_grad():
            net.omega.copy_(start + a * first + b * second)
            return float(measured(net(inputs), targets))

    along = np.linspace(1 - _REACH, _REACH, _STEPS)
    figure = Figure(figsize=(5.8, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.set_title("Loss around the trained net", fontweight="bold")
    axes.set_xlabel("from θ0 (0) to the trained net (1)")
    if net.dim == 1:
        axes.plot(along, [at(a, 0.0) for a in along], color=PALETTE[0])
        axes.set_ylabel("test loss")
        return figure
    across = along - 0.5
    values = np.array([[at(a, b) for a in along] for b in across])
    _contours(figure, axes, along, across, values)
    axes.set_ylabel("a random direction, as long")
    for x, words in ((0, "θ0"), (1, "trained")):
        axes.plot(x, 0, "o", color=INK, markersize=5)
        axes.annotate(words, (x, 0), xytext=(5, 5), textcoords="offset points", fontsize=9)
    return figure


def _contours(figure: Figure, axes: Axes, along: object, across: object, values: object) -> None:
    found = np.ma.masked_invalid(np.asarray(values, dtype=float))
    low, high = max(float(found.min()), 1e-6), float(found.max())
    levels = np.geomspace(low, max(high, 1.01 * low), 14)
    kept = found.clip(low, levels[-1])
    shown = axes.contourf(along, across, kept, levels=levels, norm="log", cmap="viridis_r")
    axes.grid(visible=False)
    axes.contour(along, across, kept, levels=levels, norm="log", colors="white", linewidths=0.4)
    ticks = levels[::3]
    bar = figure.colorbar(shown, ax=axes, ticks=ticks, label="test loss")
    bar.ax.set_yticklabels([f"{tick:.2g}" for tick in ticks])
    bar.ax.minorticks_off()


def _some(subject: Subject) -> tuple[Tensor, Tensor]:
    pairs: list[tuple[Tensor, Tensor]] = []
    for pair in subject.problem.test:
        pairs.append(pair)
        if sum(len(y) for _, y in pairs) >= _INPUTS:
            break
    inputs, targets = zip(*pairs, strict=True)
    x, y = torch.cat(inputs)[:_INPUTS], torch.cat(targets)[:_INPUTS]
    return x.to(subject.device), y.to(subject.device)


def _as_images(inputs: Tensor) -> Tensor | None:
    """Inputs as pictures: (n, h, w), or (n, h, w, 3); None if they are none."""
    if inputs.ndim == 4 and inputs.shape[1] in {1, 3}:
        pictures = inputs.permute(0, 2, 3, 1)
        low, high = pictures.min(), pictures.max()
        return ((pictures - low) / (high - low).clamp(min=1e-12)).squeeze(-1)
    if inputs.ndim == 3:
        return inputs
    side = math.isqrt(inputs.shape[-1])
    square = inputs.ndim == 2 and side > 3 and side * side == inputs.shape[1]
    return inputs.view(-1, side, side) if square else None


def _weights(net: Subspace) -> dict[str, Tensor]:
    """θ by the names of θ0."""
    values = net.theta().detach().cpu()
    entries = net.layout.entries
    return {e.name: values[e.start : e.start + e.numel].view(e.shape) for e in entries}


def _first_layer(net: Subspace) -> str | None:
    """The name of the first layer's weights in θ, if they can be seen as pictures."""
    known = net.theta0()
    first = next((name for name, tensor in known.items() if tensor.ndim > 1), "")  # no norm
    path, _, kind = first.rpartition(".")
    part = dict(net.module.named_modules()).get(path) if kind == "weight" else None
    is_linear = isinstance(part, nn.Linear) and _as_images(known[first]) is not None
    return first if is_linear or isinstance(part, nn.Conv2d) else None


def _tiles(weight: Tensor) -> Tensor:
    """The first filters as pictures, shape (n, h, w); of several channels the mean."""
    first = weight[:_FILTERS].float()
    if first.ndim == 4:
        return first.mean(1)
    side = math.isqrt(first.shape[1])
    return first.view(-1, side, side)
