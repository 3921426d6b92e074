"""θ0: the point a subspace passes through, and σ, each tensor's unit of a step.

A module fresh from its constructor holds draws of PyTorch's default initialisers. `draw` makes
the like of them from `bits`, so that θ0 need not be stored: the seed is enough, on any device and
any version of PyTorch. Draws are exact in IEEE arithmetic: uniform and constant ones as they are,
normal ones as sums of uniform numbers. A module with another initialisation keeps its own values.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from subspace_nn import bits
from subspace_nn.bits import normals
from subspace_nn.subspace.layout import Layout

#: Changed when the same seed comes to mean another θ0.
VERSION = 1

#: Weights that are widened to float64 at once.
_PIECE = 2**20


@dataclass(frozen=True)
class Law:
    """An initialiser's distribution: uniform in ±bound around a centre; constant if bound is 0.

    Attributes:
        centre: the mean.
        bound: half the width, at least 0.
    """

    centre: float
    bound: float

    @property
    def std(self) -> float:
        """Standard deviation: bound / √3."""
        return self.bound / math.sqrt(3)

    def draw(self, seed: int, start: int, shape: torch.Size) -> Tensor:
        """Draw a tensor: centre + bound · (2u - 1), u from the stream "theta0".

        Args:
            seed: of the stream.
            start: place of the tensor's first weight in θ, which is its index in the stream.
            shape: of the tensor.

        Returns:
            float64 tensor of that shape on the CPU.
        """
        u = bits.uniform(seed, "theta0", start, shape.numel())
        return u.mul_(2).sub_(1).mul_(self.bound).add_(self.centre).view(shape)

    def explains(self, tensor: Tensor) -> bool:
        """Whether a tensor may be a draw of this law.

        No entry may lie outside, entries of a uniform law must differ, and their mean square
        must be within six of its standard deviations; training breaks the first almost surely.

        Args:
            tensor: of any shape.

        Returns:
            True if it may.
        """
        n = tensor.numel()
        if not n:
            return True
        rounding = 2 * torch.finfo(tensor.dtype).eps * max(abs(self.centre), self.bound)
        least, most, square = math.inf, -math.inf, 0.0
        for piece in _pieces(tensor):
            away = piece - self.centre
            least, most = min(least, float(away.min())), max(most, float(away.max()))
            if max(-least, most) > self.bound + rounding:
                return False
            square += float(away.square().sum())
        if self.bound and n > 1 and least == most:
            return False
        # The mean square of n draws has mean b²/3 and standard deviation b² √(4/45n).
        spread = self.bound**2 * math.sqrt(4 / (45 * n))
        return abs(square / n - self.bound**2 / 3) <= 6 * spread + rounding**2


@dataclass(frozen=True)
class Normal:
    """An initialiser's distribution: normal around 0; one row may be zeros.

    Attributes:
        std: the standard deviation, above 0.
        zeros: number of the row of zeros, as the padding of an embedding; None without.
    """

    std: float
    zeros: int | None = None

    def draw(self, seed: int, start: int, shape: torch.Size) -> Tensor:
        """Draw a tensor, std · z, with z from the stream "theta0/normal" by `normals.twelve`.

        Args:
            seed: of the stream.
            start: place of the tensor's first weight in θ, which is its index in the stream.
            shape: of the tensor.

        Returns:
            float64 tensor of that shape on the CPU.
        """
        z = normals.twelve(seed, "theta0/normal", start, shape.numel()).view(shape)
        if self.zeros is not None:
            z[self.zeros] = 0
        return z.mul_(self.std)

    def explains(self, tensor: Tensor) -> bool:
        """Whether a tensor may be a draw of this law.

        Args:
            tensor: of at least one dimension.

        Returns:
            True if it may: `normals.may_be_normal`, and zeros where they belong.
        """
        values = tensor.detach()
        if self.zeros is not None:
            if bool(values[self.zeros].any()):
                return False
            values = torch.cat((values[: self.zeros], values[self.zeros + 1 :]))
        if not values.numel():
            return True
        rows = values.reshape(-1, tensor.shape[-1])
        # Weights that were trained or scaled fail in their first rows, which spares a copy of all.
        parts = {min(len(rows), _PIECE // tensor.shape[-1] + 1), len(rows)}
        return all(
            normals.may_be_normal(rows[:count].double() / self.std) for count in sorted(parts)
        )


AnyLaw = Law | Normal


def laws(module: nn.Module, layout: Layout) -> dict[str, AnyLaw]:
    """The law of each tensor's default initialiser, for the modules whose law is known.

    Weights of linear and convolutional layers and their biases are uniform in ±1/√fan_in,
    recurrent ones in ±1/√hidden_size, as PyTorch draws them (after He et al., "Delving deep into
    rectifiers", 2015, with its gain for a leaky slope of √5); attention's input weights in
    ±√(6/(fan_in + fan_out)) (Glorot and Bengio, 2010) with zero biases, as all matrices of
    `nn.Transformer`; norms start at 1 and 0; embeddings are normal.

    Args:
        module: any module.
        layout: its layout.

    Returns:
        Law by entry name; entries of modules that are not known are missing.
    """
    by_slot = dict(_laws_of_slots(module))
    found = {entry.name: {by_slot.get(slot) for slot in entry.slots} for entry in layout.entries}
    return {
        name: law
        for name, candidates in found.items()
        if len(candidates) == 1 and (law := next(iter(candidates))) is not None
    }


def is_fresh(tensors: Mapping[str, Tensor], known: Mapping[str, AnyLaw]) -> bool:
    """Whether every tensor may be an untouched draw of its default initialiser.

    Args:
        tensors: by entry name.
        known: their laws, from `laws`.

    Returns:
        True if all have a known law that explains them.

    Example:
        >>> module = nn.Linear(100, 100)
        >>> layout = Layout.of(module)
        >>> is_fresh(dict(module.named_parameters()), laws(module, layout))
        True
    """
    return all(name in known and known[name].explains(t) for name, t in tensors.items())


def draw(layout: Layout, known: Mapping[str, AnyLaw], seed: int) -> dict[str, Tensor]:
    """θ0 from a seed.

    Args:
        layout: of the module.
        known: a law for every entry, from `laws`.
        seed: any integer from 0 to 2^64 - 1.

    Returns:
        float64 tensors on the CPU by entry name.
    """
    return {e.name: known[e.name].draw(seed, e.start, e.shape) for e in layout.entries}


def scales(
    tensors: Mapping[str, Tensor], known: Mapping[str, AnyLaw] | None = None
) -> dict[str, float]:
    """σ of each tensor: the standard deviation of its initial weights.

    It is the law's where θ0 was drawn from one, else that of the tensor's own values. A constant
    tensor (a zero bias, a norm's ones) has none and takes the root mean square of the others,
    weighted by their sizes, for plain Adam moves all weights alike; if all are constant, σ is 1.

    Args:
        tensors: θ0 by entry name.
        known: the laws they were drawn from, if they were.

    Returns:
        σ by entry name, each above 0.

    Example:
        >>> scales({"weight": torch.tensor([-2.0, 2.0]), "bias": torch.zeros(2)})
        {'weight': 2.0, 'bias': 2.0}
    """
    own = {name: known[name].std if known else _deviation(t) for name, t in tensors.items()}
    varied = [name for name, std in own.items() if std > 0]
    weights = sum(tensors[name].numel() for name in varied)
    square = sum(own[name] ** 2 * tensors[name].numel() for name in varied)
    typical = math.sqrt(square / weights) if weights else 1.0
    return {name: std or typical for name, std in own.items()}


def fingerprint(layout: Layout, tensors: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits that identify this θ0.

    Args:
        layout: of the module.
        tensors: θ0 by entry name.

    Returns:
        The first 64 bits of the SHA-256 of its values as little-endian float64.
    """
    digest = hashlib.sha256()
    for entry in layout.entries:
        for piece in _pieces(tensors[entry.name]):
            digest.update(piece.cpu().numpy().astype("<f8", copy=False).data)
    return digest.hexdigest()[:16]


def _deviation(tensor: Tensor) -> float:
    """The standard deviation, from the sizes, variances and means of the pieces."""
    # Python's numbers: a tensor kept from each piece would hold the heap open between the pieces.
    found = [
        (len(piece), *(float(moment) for moment in torch.var_mean(piece, correction=0)))
        for piece in _pieces(tensor)
    ]
    n = tensor.numel() or 1
    centre = sum(size * mean for size, _, mean in found) / n
    return math.sqrt(sum(size * (var + (mean - centre) ** 2) for size, var, mean in found) / n)


def _pieces(tensor: Tensor) -> Iterator[Tensor]:
    """The values in their order as float64, a few at a time: a copy of all is 8 bytes a weight."""
    return (piece.double() for piece in tensor.detach().reshape(-1).split(_PIECE) if len(piece))


def _laws_of_slots(module: nn.Module) -> Iterator[tuple[str, AnyLaw]]:
    transformers = [p for p, m in module.named_modules() if isinstance(m, nn.Transformer)]
    for path, submodule in module.named_modules():
        inside = any(f"{path}.".startswith(f"{p}.".lstrip(".")) for p in transformers)
        rule = next((rule for kind, rule in _RULES.items() if isinstance(submodule, kind)), None)
        if rule is None or _initialises_otherwise(submodule):
            continue
        for name, parameter in submodule.named_parameters(recurse=False):
            if inside and parameter.dim() > 1:  # drawn again by nn.Transformer's own initialiser
                yield f"{path}.{name}".lstrip("."), _glorot(parameter)
            elif law := rule(submodule, name, parameter):
                yield f"{path}.{name}".lstrip("."), law


def _initialises_otherwise(submodule: nn.Module) -> bool:
    """Whether a subclass of one of PyTorch's own classes has an initialiser of its own."""
    kind = type(submodule)
    stock = next(c for c in kind.__mro__ if c.__module__.startswith("torch.nn."))
    names = ("reset_parameters", "_reset_parameters")
    return any(getattr(kind, name, None) is not getattr(stock, name, None) for name in names)


def _fan_in(submodule: nn.Module, name: str, parameter: Tensor) -> Law | None:  # noqa: ARG001
    weight = submodule._parameters.get("weight")
    # A weight that is computed from others (weight_norm and the like) has no law of its own.
    return None if weight is None else Law(0.0, 1 / math.sqrt(weight.shape[1:].numel()))


def _hidden(submodule: nn.Module, name: str, parameter: Tensor) -> Law:  # noqa: ARG001
    return Law(0.0, 1 / math.sqrt(int(getattr(submodule, "hidden_size"))))  # noqa: B009


def _glorot(parameter: Tensor) -> Law:
    return Law(0.0, math.sqrt(6 / sum(parameter.shape)))


def _attention(submodule: nn.Module, name: str, parameter: Tensor) -> AnyLaw:  # noqa: ARG001
    if name.endswith("weight"):
        return _glorot(parameter)
    # bias_k and bias_v: √(2 / (fan_in + fan_out)), and both are the number of features
    return Law(0.0, 0.0) if name == "in_proj_bias" else Normal(1 / math.sqrt(parameter.shape[-1]))


def _attention_output(submodule: nn.Module, name: str, parameter: Tensor) -> Law | None:
    return _fan_in(submodule, name, parameter) if name == "weight" else Law(0.0, 0.0)


def _norm(submodule: nn.Module, name: str, parameter: Tensor) -> Law:  # noqa: ARG001
    return Law(1.0 if name == "weight" else 0.0, 0.0)


def _embedding(submodule: nn.Module, name: str, parameter: Tensor) -> Normal:  # noqa: ARG001
    zeros = getattr(submodule, "padding_idx")  # noqa: B009
    return Normal(1.0, None if zeros is None else int(zeros))


def _bilinear(submodule: nn.Module, name: str, parameter: Tensor) -> Law:  # noqa: ARG001
    return Law(0.0, 1 / math.sqrt(int(getattr(submodule, "in1_features"))))  # noqa: B009


def _slope(submodule: nn.Module, name: str, parameter: Tensor) -> Law:  # noqa: ARG001
    return Law(float(getattr(submodule, "init")), 0.0)  # noqa: B009


_RULES: dict[type[nn.Module], Callable[[nn.Module, str, Tensor], AnyLaw | None]] = {
    nn.modules.linear.NonDynamicallyQuantizableLinear: _attention_output,
    nn.Linear: _fan_in,
    nn.modules.conv._ConvNd: _fan_in,
    nn.RNNBase: _hidden,
    nn.RNNCellBase: _hidden,
    nn.MultiheadAttention: _attention,
    nn.Bilinear: _bilinear,
    nn.Embedding: _embedding,
    nn.EmbeddingBag: _embedding,
    nn.PReLU: _slope,
    nn.modules.batchnorm._NormBase: _norm,
    nn.LayerNorm: _norm,
    nn.GroupNorm: _norm,
    nn.RMSNorm: _norm,
}
