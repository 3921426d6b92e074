"""A subspace as a method of PEFT: `get_peft_model(model, SubspaceConfig(dim=1000))`.

Importing this module makes the method known to PEFT, whose own list of methods is closed: a program
that loads such an adapter must import it, too.
"""

import contextlib
import enum
import hashlib
import math
import warnings
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from peft import PeftConfig
from peft.mapping import (
    PEFT_TYPE_TO_CONFIG_MAPPING,
    PEFT_TYPE_TO_PREFIX_MAPPING,
    PEFT_TYPE_TO_TUNER_MAPPING,
)
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer, check_adapters_to_merge
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from subspace_nn import bits, projections
from subspace_nn.common.checks import one_of, require, whole
from subspace_nn.common.errors import CheckpointError, InputError, problems_of
from subspace_nn.projections import Rows
from subspace_nn.projections.linear import shifted
from subspace_nn.subspace import theta0


class SubspaceType(enum.StrEnum):
    """The name of the method in an adapter's configuration, as PEFT's own are members of one."""

    SUBSPACE = "SUBSPACE"


#: How the names of an adapter's tensors begin.
PREFIX = "subspace_"
_OMEGA, _SIGMA, _SIZES, _RECIPE = (PREFIX + n for n in ("omega", "sigma", "sizes", "recipe"))

#: How far σ of a tensor may be from the one in the file, relatively, before the base is another.
_SAME = 1e-6


@dataclass
class SubspaceConfig(PeftConfig):
    """The configuration of an adapter θ = θ0 + σ √(D/d) ⊙ P ω.

    θ are the weights and biases of the target modules, in the order of the model, and θ0 those of
    the base. The map is that of `Subspace(model, dim, projection, seed=seed, scale=scale,
    theta0="module", include=target_modules)`.

    Args:
        dim: number of free parameters d.
        projection: name of a kind, "hashed" by default; "orthonormal" is refused, for its subspace
            does not pass through the base.
        seed: of P.
        scale: "init" as above, "none" for θ = θ0 + P ω.
        target_modules: as for PEFT's other methods: names, a regular expression, or "all-linear",
            the default. Modules with submodules, and recurrent ones, are refused.
        exclude_modules: names or a regular expression of modules to leave out.
        modules_to_save: names of modules that train as they are and are saved, such as a new head.
        layers_to_transform: numbers of the layers to adapt, all by default.
        layers_pattern: name of the list of layers, where PEFT does not know it.
        init_weights: False starts from random ω in place of zeros, to test with.

    Raises:
        InputError: if an argument is out of range.

    Example:
        >>> from peft import get_peft_model
        >>> model = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 2))
        >>> model = get_peft_model(model, SubspaceConfig(dim=50, target_modules=["0", "2"]))
        >>> model.print_trainable_parameters()
        trainable params: 50 || all params: 742 || trainable%: 6.7385
    """

    dim: int = 1000
    projection: str = "hashed"
    seed: int = 0
    scale: str = "init"
    target_modules: Any = "all-linear"
    exclude_modules: Any = None
    modules_to_save: list[str] | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None
    init_weights: bool = True

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        self.peft_type = SubspaceType.SUBSPACE
        problems = problems_of(lambda: bits.check_seed(self.seed))
        try:
            kind, options = projections.parse(self.projection)
            if kind.takes_anchor and "anchor" not in options:
                problems.append(f"projection={self.projection!r} does not pass through the base.")
        except InputError as error:
            problems += error.problems
        require(problems, whole("dim", self.dim, 1), one_of("scale", self.scale, ("init", "none")))
        for name in ("target_modules", "exclude_modules"):
            if isinstance(value := getattr(self, name), list):
                setattr(self, name, set(value))


@dataclass(frozen=True)
class _Place:
    """A parameter of a layer in θ."""

    name: str
    rows: Rows
    shape: torch.Size
    sigma: float
    scaled: bool

    def move(self, omega: Tensor) -> Tensor:
        """σ √(D/d) P ω of this parameter, at least in float32."""
        part = self.rows.rows
        step = self.sigma * self.rows.projection.widening(part.start, part.stop)
        wide = omega.to(torch.promote_types(omega.dtype, torch.float32))
        move = self.rows.__matmul__(wide)  # the compiler does not follow the operator
        return (move * (step if self.scaled else 1.0)).view(self.shape)

    def recipe(self) -> Tensor:
        """8 bytes that identify P and the scale, which all places of an adapter share."""
        text = repr((self.rows.projection._recipe(), self.scaled))
        digest = hashlib.sha256(text.encode()).digest()
        return torch.tensor([*digest[:8]], dtype=torch.float32, device="cpu")


class SubspaceLayer(nn.Module, BaseTunerLayer):
    """A layer of the base with the weights θ(ω) of the active adapters.

    Args:
        base_layer: the layer.
        omega: ω by adapter, shared by all layers.
    """

    adapter_layer_names = (_OMEGA,)
    other_param_names = ("subspace_places",)

    def __init__(self, base_layer: nn.Module, omega: nn.ParameterDict) -> None:
        super().__init__()
        self.base_layer, self.subspace_omega = base_layer, omega
        self.subspace_places: dict[str, Sequence[_Place]] = {}
        self.merged_adapters: list[str] = []
        self._before: dict[str, nn.Parameter] = {}
        # That PEFT's tools read.
        self.in_features = getattr(base_layer, "in_features", None)
        self.out_features = getattr(base_layer, "out_features", None)

    def own(self) -> dict[str, Tensor]:
        """The base's parameters that are in θ, as they are without any adapter."""
        parameters = self.get_base_layer()._parameters.items()
        return {
            name: self._before.get(name, value).detach()
            for name, value in parameters
            if value is not None and value.is_floating_point() and value.itemsize > 1
        }

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the base layer, with its weights or those of the active adapters.

        Args:
            *args: passed on.
            **kwargs: passed on.

        Returns:
            Whatever the layer returns.
        """
        if self.disable_adapters and self.merged:
            self.unmerge()
        base: Any = self.base_layer
        if (
            self.disable_adapters
            or self.merged
            or not (values := self._values(self.active_adapters))
        ):
            return base(*args, **kwargs)
        if torch.compiler.is_compiling():
            return torch.func.functional_call(base, values, args, kwargs)
        twin = _twin(base, values)
        before = dict(twin.__dict__)
        try:
            return twin(*args, **kwargs)
        finally:  # what the layer has kept of the call is the layer's
            own = {n: v for n, v in twin.__dict__.items() if before.get(n, before) is not v}
            base.__dict__.update(own)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:  # noqa: FBT001, FBT002
        """Write θ(ω) into the base layer.

        Args:
            safe_merge: whether to refuse weights that are not finite.
            adapter_names: the adapters, the active ones by default.

        Raises:
            ValueError: if weights are not finite.
        """
        for adapter in check_adapters_to_merge(self, adapter_names) or ():
            if adapter not in self.subspace_places:
                continue
            values = self._values([*self.merged_adapters, adapter])
            if safe_merge and not all(bool(value.isfinite().all()) for value in values.values()):
                raise ValueError(
                    f"NaNs detected in the merged weights. The adapter {adapter} seems to be broken"
                )
            for name, value in values.items():
                parameters: Any = self.get_base_layer()._parameters
                own = self._before.setdefault(name, parameters[name])
                # Not in place: another layer may have the same parameter, and no adapter.
                parameters[name] = nn.Parameter(value.detach(), own.requires_grad)
            self.merged_adapters.append(adapter)

    def unmerge(self) -> None:
        """Give the base layer its own weights back, to the bit."""
        parameters: Any = self.get_base_layer()._parameters
        for name, own in self._before.items():
            own.data = own.data.to(parameters[name].device, parameters[name].dtype)
            parameters[name] = own
        self._before.clear()
        self.merged_adapters.clear()

    def get_delta_weight(self, adapter: str) -> Tensor:
        """How far an adapter moves the layer's weight.

        Args:
            adapter: its name.

        Returns:
            A tensor of the weight's shape and dtype.
        """
        place = next(place for place in self.subspace_places[adapter] if place.name == "weight")
        return place.move(self.subspace_omega[adapter]).to(self.weight)

    def _values(self, adapters: Sequence[str]) -> dict[str, Tensor]:
        """θ0 + the moves of some adapters, by the name of the parameter."""
        moves: dict[str, Tensor] = {}
        for adapter in adapters:
            for place in self.subspace_places.get(adapter, ()):
                move = place.move(self.subspace_omega[adapter])
                moves[place.name] = moves[place.name] + move if place.name in moves else move
        own = self.own() if moves else {}
        return {name: shifted(move, own[name]) for name, move in moves.items()}


class SubspaceLinear(SubspaceLayer):
    """Of a linear layer: "all-linear" of a second adapter finds it by the name of its class."""


class SubspaceModel(BaseTuner):
    """The base with its target modules in a subspace; `get_peft_model` makes it."""

    uses_shared_state = True
    prefix = PREFIX
    tuner_layer_cls = SubspaceLayer
    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012  # PEFT's
    subspace_omega: nn.ParameterDict

    def inject_adapter(
        self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any
    ) -> None:
        """As PEFT's; ω is one for all layers.

        Args:
            model: the base.
            adapter_name: the adapter.
            *args: passed on.
            **kwargs: passed on.

        Raises:
            InputError: if a target module cannot be in a subspace, or θ has fewer weights than ω.
        """
        config = cast("SubspaceConfig", self.peft_config[adapter_name])
        if _OMEGA not in self._modules:
            self.subspace_omega = nn.ParameterDict()
        most = sum(parameter.numel() for parameter in model.parameters())
        dim = min(config.dim, most)  # too large a one is refused before it takes memory
        start = torch.zeros(dim) if config.init_weights else torch.randn(dim)
        self.subspace_omega[adapter_name] = nn.Parameter(start)
        try:
            super().inject_adapter(model, adapter_name, *args, **kwargs)
            _place(model, adapter_name, config)
        except InputError:
            if len(self.peft_config) == 1:
                self.unload()
            else:
                self.delete_adapter(adapter_name)
            raise

    @contextlib.contextmanager
    def _enable_peft_forward_hooks(self, *_: Any, **kwargs: Any) -> Generator[None]:
        """What PEFT asks before a call, which would drop `adapter_names` without a word."""
        if kwargs.get("adapter_names") is not None:
            raise InputError(
                "This method takes no adapter_names: all rows have the adapter of set_adapter. A "
                "Subspace takes another for each row: net(x, adapters=[…])."
            )
        yield

    def _create_and_replace(  # noqa: PLR0917  # PEFT's
        self,
        peft_config: PeftConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,  # noqa: ARG002  # PEFT's
    ) -> None:
        if isinstance(target, SubspaceLayer):
            layer = target
        else:
            _check_target(current_key, target)
            kind = SubspaceLinear if isinstance(target, nn.Linear | Conv1D) else SubspaceLayer
            layer = kind(target, self.subspace_omega)
            self._replace_module(parent, target_name, layer, target)
        layer.subspace_places[adapter_name] = ()
        layer._move_adapter_to_device_of_base_layer(adapter_name)
        layer.set_adapter(self.active_adapters, inference_mode=peft_config.inference_mode)

    @classmethod
    def _get_adapter_state_dict(
        cls,
        model: nn.Module,
        config: PeftConfig,  # noqa: ARG003
        adapter_name: str,
        state_dict: Mapping[str, Tensor],
        unwanted_adapter_names: Sequence[str],  # noqa: ARG003
    ) -> dict[str, Tensor]:
        layers = (layer for _, layer in _layers(model, adapter_name))
        places = [place for layer in layers for place in layer.subspace_places[adapter_name]]
        tensors = {
            _OMEGA: state_dict[f"base_model.{_OMEGA}.{adapter_name}"],
            _RECIPE: places[0].recipe(),
            _SIGMA: torch.tensor([place.sigma for place in places], dtype=torch.float64),
            _SIZES: torch.tensor([place.shape.numel() for place in places]),
        }
        return {f"base_model.{name}.{adapter_name}": tensor for name, tensor in tensors.items()}

    @classmethod
    def _remap_adapter_state_dict_for_load(
        cls,
        model: nn.Module,
        config: PeftConfig,  # noqa: ARG003
        adapter_name: str,
        state_dict: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        named = {name.rpartition(".")[2]: tensor for name, tensor in state_dict.items()}
        if missing := [name for name in (_OMEGA, _SIGMA, _SIZES) if name not in named]:
            raise CheckpointError(f"No file of this method: it has no {', '.join(missing)}.")
        _set_sigma(dict(_layers(model, adapter_name)), adapter_name, named)
        rest = {n: t for n, t in state_dict.items() if not n.rpartition(".")[2].startswith(PREFIX)}
        places = (n for n in model.state_dict() if n.endswith(f"{_OMEGA}.{adapter_name}"))
        return rest | dict.fromkeys(places, named[_OMEGA])


def _check_target(name: str, module: nn.Module) -> None:
    """Refuse a module that computes with other things than its own weights."""
    what = type(module).__name__
    if next(module.children(), None) is not None:
        raise InputError(f"{name} ({what}) has submodules: name those that are to be adapted.")
    if isinstance(module, nn.modules.linear.NonDynamicallyQuantizableLinear):
        raise InputError(
            f"{name} ({what}) is not called: its MultiheadAttention reads its weights. Leave it "
            f"out, exclude_modules={[name.rpartition('.')[2]]}, or use Subspace(model, dim)."
        )
    if isinstance(module, nn.RNNBase):
        raise InputError(
            f"{name} ({what}) is recurrent. Use Subspace(model, dim, include={name!r})."
        )
    if not SubspaceLayer(module, nn.ParameterDict()).own():
        raise InputError(f"{name} ({what}) has no floating-point parameters of 16 bits or more.")


def _layers(model: nn.Module, adapter: str) -> Iterator[tuple[str, SubspaceLayer]]:
    """The layers that an adapter is in, in the order of the model."""
    for name, module in model.named_modules():
        if isinstance(module, SubspaceLayer) and adapter in module.subspace_places:
            yield name, module


def _place(model: nn.Module, adapter: str, config: SubspaceConfig) -> None:
    """Give each parameter in θ its rows of P."""
    layers = dict(_layers(model, adapter))
    tensors = {f"{at}.{name}": t for at, layer in layers.items() for name, t in layer.own().items()}
    shared = {t.data_ptr(): name for name, t in tensors.items() if t.numel()}
    if tied := [n for n, t in tensors.items() if t.numel() and shared[t.data_ptr()] != n]:
        raise InputError(
            f"Tied to a tensor that is in θ, too: {', '.join(tied)}. Target one of them."
        )
    held = Counter(id(p) for part in model.modules() for p in part._parameters.values())
    parts = [(at, layer.get_base_layer()._parameters) for at, layer in layers.items()]
    if tied := [
        f"{at}.{n}"
        for at, own in parts
        for n, p in own.items()
        if p is not None and held[id(p)] > 1
    ]:
        warnings.warn(
            f"Tied to a tensor that is not in θ: {', '.join(tied)}. The adapter moves it where it "
            "is targeted alone, so that a merge unties the two; a model that ties its weights when "
            "it is loaded (tie_word_embeddings) must not. Subspace(model, dim) moves both.",
            stacklevel=2,
        )
    sizes = {name: tensor.numel() for name, tensor in tensors.items()}
    projection = projections.make(
        config.projection, sum(sizes.values()), config.dim, config.seed, tensors=sizes
    )
    sigma = theta0.scales(tensors)
    start = 0
    for at, layer in layers.items():
        places = []
        for name, tensor in layer.own().items():
            rows = projection[start : (start := start + tensor.numel())]
            own = sigma[f"{at}.{name}"]
            places.append(_Place(name, rows, tensor.shape, own, config.scale == "init"))
        layer.subspace_places[adapter] = tuple(places)


def _set_sigma(
    layers: Mapping[str, SubspaceLayer], adapter: str, saved: Mapping[str, Tensor]
) -> None:
    """Take σ from a file, so that the adapter is the same on a base of another dtype."""
    sigma, sizes = saved[_SIGMA].tolist(), saved[_SIZES].tolist()
    places = [place for layer in layers.values() for place in layer.subspace_places[adapter]]
    got = [place.shape.numel() for place in places]
    if got != sizes:
        raise CheckpointError(
            "Another base or other target modules than the adapter was saved with: expected "
            f"{len(sizes)} tensors of {sum(sizes):,} weights, got {len(got)} of {sum(got):,}, or "
            "in another order."
        )
    recipe = places[0].recipe()
    if not torch.equal(
        saved.get(_RECIPE, recipe).cpu().float().round(), recipe
    ):  # older files have none
        raise CheckpointError(
            "Another seed, projection, dim or scale than the adapter was saved with: load it under "
            "a new name, with the configuration of its folder."
        )
    if len(sigma) != len(places) or not all(0 < value < math.inf for value in sigma):
        raise CheckpointError("The file is damaged: expected one σ above 0 for each tensor.")
    apart = max(abs(value / place.sigma - 1) for place, value in zip(places, sigma, strict=True))
    if not apart < _SAME:
        warnings.warn(
            "The base has other weights than the one that the adapter was trained on, or another "
            f"dtype: σ of its tensors differs by up to {100 * apart:.2g} %.",
            stacklevel=2,
        )
    values = iter(sigma)
    for layer in layers.values():
        own = layer.subspace_places[adapter]
        layer.subspace_places[adapter] = tuple(replace(place, sigma=next(values)) for place in own)


def _twin(layer: nn.Module, values: Mapping[str, Tensor]) -> nn.Module:
    """A layer with other values of parameters; the layer itself, which threads share, stays."""
    twin = object.__new__(type(layer))
    rest = {name: value for name, value in layer._parameters.items() if name not in values}
    twin.__dict__.update(layer.__dict__ | {"_parameters": rest} | dict(values))
    return twin


# PEFT has `register_peft_method` for the names in its own enumeration alone.
_REGISTRY: tuple[tuple[dict[Any, Any], Any], ...] = (
    (PEFT_TYPE_TO_CONFIG_MAPPING, SubspaceConfig),
    (PEFT_TYPE_TO_TUNER_MAPPING, SubspaceModel),
    (PEFT_TYPE_TO_PREFIX_MAPPING, PREFIX),
)
for _names, _value in _REGISTRY:
    _names[SubspaceType.SUBSPACE] = _value

__all__ = ["SubspaceConfig", "SubspaceLayer", "SubspaceModel"]
