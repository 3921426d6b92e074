"""The nets of 2017: plain modules for 28 × 28 images, with names that a checkpoint can hold."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own spelling
from torch import Tensor, nn

from subspace_nn import bits
from subspace_nn.common.errors import InputError, unknown_name

Init = Literal["default", "2017"]


class Conv(nn.Module):
    """784 → (10, 5×5) → (20, 5×5) → 50 → 10: D = 21,840, the net of PyTorch's MNIST example.

    Args:
        dropout: probability of dropping a channel after the second convolution, and a unit after
            the first linear layer; 0.5 in the experiments of 2017, 0 by default.

    Example:
        >>> import torch
        >>> Conv()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.channel_dropout = nn.Dropout2d(dropout)
        self.fc1 = nn.Linear(320, 50)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(50, 10)

    def forward(
        self,
        x: Tensor,  # (n, 1, 28, 28)
    ) -> Tensor:  # (n, 10)
        """Compute the logits of the ten classes.

        Args:
            x: images, shape (n, 1, 28, 28).

        Returns:
            Logits, shape (n, 10).
        """
        x = F.max_pool2d(self.conv1(x), 2).relu()
        x = F.max_pool2d(self.channel_dropout(self.conv2(x)), 2).relu()
        x = self.fc1(x.flatten(1)).relu()
        return self.fc2(self.dropout(x))


class FC(nn.Module):
    """784 → 200 → 200 → 10: D = 199,210.

    Args:
        dropout: probability of dropping a unit after each hidden layer; 0 by default.

    Example:
        >>> import torch
        >>> FC()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(784, 200)
        self.fc2 = nn.Linear(200, 200)
        self.fc3 = nn.Linear(200, 10)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,  # (n, 1, 28, 28)
    ) -> Tensor:  # (n, 10)
        """Compute the logits of the ten classes.

        Args:
            x: images, shape (n, 1, 28, 28).

        Returns:
            Logits, shape (n, 10).
        """
        x = self.dropout(self.fc1(x.flatten(1)).relu())
        x = self.dropout(self.fc2(x).relu())
        return self.fc3(x)


def initialise_2017(module: nn.Module, seed: int) -> None:
    """Initialise a net as the experiments of 2017 did, in place.

    Weights are normal with standard deviation 0.005 in the conv net, and 0.001, 0.001 and 0.01 in
    the three layers of fc; biases are zero.

    Args:
        module: a `Conv` or an `FC`; other nets get 0.005 in all layers.
        seed: of the stream "init-2017".
    """
    stds = [0.001, 0.001, 0.01] if isinstance(module, FC) else itertools.repeat(0.005)
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    start = 0
    for layer, std in zip(layers, stds, strict=False):
        count = layer.weight.numel()
        values = bits.normal(seed, "init-2017", start, count).mul_(std)
        layer.weight.data.copy_(values.view(layer.weight.shape))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        start += count


class Net(nn.Sequential):
    """A plain stack of layers for 28 × 28 images: convolutions with pooling, then linear layers.

    Args:
        convs: for each convolution its channels, kernel size, padding, and the size of the
            pooling that follows, with a ReLU after that.
        hidden: units of each hidden linear layer.
        inputs: channels of the images, and their size.
        conv_bias: whether the convolutions have biases.
        dropout: probability of dropping a channel after the last convolution, as in `Conv`, and a
            unit after each hidden layer; 0 by default.

    Example:
        >>> sum(p.numel() for p in Net(hidden=(16,)).parameters())
        12730
    """

    def __init__(
        self,
        convs: Sequence[tuple[int, int, int, int]] = (),
        hidden: Sequence[int] = (),
        *,
        inputs: tuple[int, int] = (1, 28),
        conv_bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        layers: list[nn.Module] = []
        channels, size = inputs
        for out, kernel, padding, pool in convs:
            conv = nn.Conv2d(channels, out, kernel, padding=padding, bias=conv_bias)
            layers += [conv, nn.MaxPool2d(pool), nn.ReLU()]
            channels, size = out, (size + 2 * padding - kernel + 1) // pool
        if convs:  # within one layer, for the layers' numbers are in the names of the weights
            layers[-2] = nn.Sequential(nn.Dropout2d(dropout), layers[-2])
        layers.append(nn.Flatten())
        units = channels * size * size
        for out in hidden:
            layers += [nn.Linear(units, out), nn.ReLU(), nn.Dropout(dropout)]
            units = out
        super().__init__(*layers, nn.Linear(units, 10))


class Strokes(Net):
    """A `Net` that sees the directions of strokes: eight maps of 7 × 7, `directions` of `upright`.

    Args:
        hidden: as for `Net`.
        dropout: as for `Net`.

    Example:
        >>> Strokes((64,))(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(self, hidden: Sequence[int] = (), *, dropout: float = 0.0) -> None:
        super().__init__(hidden=hidden, inputs=(8, 7), dropout=dropout)

    def forward(
        self,
        input: Tensor,  # noqa: A002  # Sequential's name; (n, 1, 28, 28)
    ) -> Tensor:  # (n, 10)
        """Compute the logits of the ten classes.

        Args:
            input: images, shape (n, 1, 28, 28).

        Returns:
            Logits, shape (n, 10).
        """
        return super().forward(directions(upright(input)))


def upright(
    x: Tensor,  # (n, 1, h, w)
) -> Tensor:  # (n, 1, h, w)
    """Move an image's centre of mass to the middle, and shear its slant away.

    With u and v a pixel's distances from the centre of mass, to the right and down, and means over
    the image's mass, the output has at (u, v) from the middle what the image has there at

        (u + v · mean(uv) / mean(v²), v)

    from its centre of mass, between pixels the linear mean of four, and 0 outside. So u and v are
    then uncorrelated: slant, which says nothing of the digit, is gone (LeCun et al.,
    "Gradient-based learning applied to document recognition", 1998, compare nets with and without).

    Args:
        x: images, shape (n, 1, h, w), at least 0.

    Returns:
        Images of the same shape; one without mass stays empty.

    Example:
        >>> slanted = torch.eye(5)[None, None]
        >>> upright(slanted)[0, 0].round().int().tolist()[1]
        [0, 0, 1, 0, 0]
    """
    n, _, h, w = x.shape
    mass = x.detach().clamp_min(1e-6)[:, 0]
    mass = mass / mass.sum((1, 2), keepdim=True)
    u = (torch.arange(w, device=x.device, dtype=x.dtype) - (w - 1) / 2).expand(n, 1, w)
    v = (torch.arange(h, device=x.device, dtype=x.dtype) - (h - 1) / 2).view(h, 1).expand(n, h, 1)
    right, down = ((mass * d).sum((1, 2), keepdim=True) for d in (u, v))
    slant = (mass * (u - right) * (v - down)).sum((1, 2), keepdim=True)
    slant = slant / (mass * (v - down).square()).sum((1, 2), keepdim=True)
    grid = torch.stack(
        ((u + right + slant * v) * (2 / w), (v + down).expand(n, h, w) * (2 / h)), dim=-1
    )
    return F.grid_sample(x, grid, align_corners=False)


def directions(
    x: Tensor,  # (n, 1, h, w)
) -> Tensor:  # (n, 8, h // 4, w // 4)
    """Slopes in eight directions, of Sobel's filters S, where they rise; means of 4 × 4 pixels.

        4 · mean(max(0, (cos(kπ/4) S + sin(kπ/4) Sᵀ) ∗ x)),    k = 0 … 7

    Histograms of oriented gradients (Dalal and Triggs, 2005) without their normalisation.

    Args:
        x: images, shape (n, 1, h, w).

    Returns:
        Shape (n, 8, h // 4, w // 4).

    Example:
        >>> edge = torch.ones(8, 8).tril()[None, None]
        >>> directions(edge)[0, :, 0, 0].argmax()
        tensor(3)
    """
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=x.dtype, device=x.device) / 4
    angles = [k * math.pi / 4 for k in range(8)]
    filters = torch.stack([math.cos(a) * sobel + math.sin(a) * sobel.T for a in angles])
    return 4 * F.avg_pool2d(F.conv2d(x, filters[:, None], padding=1).relu(), 4)


#: Every net by its name; each takes dropout=….
MODELS: dict[str, Callable[..., nn.Module]] = {
    "conv": Conv,
    "fc": FC,
    # LeNet as in Li et al. (2018).
    "lenet": partial(Net, [(6, 5, 0, 2), (16, 5, 0, 2)], (120, 84)),
    # "MNIST lite", the small nets with which the post compares subspaces.
    "fc-16": partial(Net, hidden=(16,)),
    "fc-32": partial(Net, hidden=(32,)),
    "conv-6-6": partial(Net, [(6, 4, 0, 2), (6, 4, 0, 2)], (25,)),
    "conv-8-16": partial(Net, [(8, 4, 0, 2), (16, 4, 0, 2)], (32,)),
    # The tutorials' nets; "conv" is PyTorch's.
    "tensorflow-softmax": Net,
    "elite-cnn": partial(Net, [(32, 3, 0, 2), (32, 3, 0, 2)], (128,)),
    # The printed 149,674 follows from a map of 6 × 6 and convolutions without biases.
    "mastery-cnn": partial(Net, [(32, 5, 0, 4)], (128,), conv_bias=False),
    "lasagne-cnn": partial(Net, [(32, 5, 0, 2), (32, 5, 0, 2)], (256,)),
    # 431,080 parameters; the post prints 366,030, which does not follow from the architecture.
    "caffe-cnn": partial(Net, [(20, 5, 0, 2), (50, 5, 0, 2)], (500,)),
    "mastery-fc": partial(Net, hidden=(784,)),
    "lasagne-fc": partial(Net, hidden=(800, 800)),
    # 3,274,634 parameters; the post prints 3,274,625.
    "tensorflow-cnn": partial(Net, [(32, 5, 2, 2), (64, 5, 2, 2)], (1024,)),
    # A layer without weights, which knows of strokes and their slant, then a hidden one.
    "strokes": partial(Strokes, (64,)),
}


def build(name: str, **options: Any) -> nn.Module:
    """Build a net by name.

    Args:
        name: one of `MODELS`.
        **options: `dropout`.

    Returns:
        The module, initialised by PyTorch's default. `name_of` returns its name.

    Raises:
        InputError: if the name is unknown.

    Example:
        >>> sum(p.numel() for p in build("conv").parameters())
        21840
    """
    if name not in MODELS:
        raise InputError(unknown_name("model", name, MODELS))
    module = MODELS[name](**options)
    module.__dict__[_NAME] = name
    return module


def name_of(module: nn.Module) -> str | None:
    """Look up the name with which `build` made a module.

    Dropout does not change the trained function, so it is not part of the name.

    Args:
        module: any module.

    Returns:
        The name; None if `build` did not make the module.
    """
    return module.__dict__.get(_NAME)


_NAME = "_subspace_nn_name"
