"""Any module in a subspace: θ = θ0 + σ √(D/d) ⊙ P ω."""

import functools
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from subspace_nn import bits, models, projections
from subspace_nn.common.errors import InputError, unknown_name
from subspace_nn.format import container, packing
from subspace_nn.format.container import Checkpoint
from subspace_nn.projections import Projection
from subspace_nn.projections.coordinates import coordinates
from subspace_nn.subspace import calls
from subspace_nn.subspace import theta0 as theta0_
from subspace_nn.subspace.layout import Layout
from subspace_nn.subspace.selection import Patterns, Selection

Theta0 = Literal["auto", "seed", "module"]
Scale = Literal["init", "none", "learned"]

#: How a checkpoint says where θ0 is from: drawn from the seed by this version, in the file, or
#: the weights of a model that whoever loads it gives.
DRAWN = f"seed/{theta0_.VERSION}"
STORED = "file"
BASE = "base"


class Subspace(nn.Module):
    """A module trained in d free parameters ω instead of its D weights θ.

        θ = θ0 + σ √(D/d) ⊙ P ω

    P is a random projection with PᵀP = I, σ the standard deviation of each tensor's initial
    weights. The factor √(D/d) undoes the isometry's shrinking, so that the learning rate of Adam
    means standard deviations of the initial weights per step, for every model and every d.
    (Training in a random subspace: Greydanus, 2017; Li et al., "Measuring the intrinsic
    dimension of objective landscapes", 2018.)

    The module given is copied and never changed. The only parameter of the wrapper is `omega`,
    unless `train` adds some; it starts at zero, where the function is that of θ0.

    Args:
        module: any module. Parameters with `requires_grad=False` stay as they are, outside of D.
        dim: number of free parameters d, from 1 to D.
        projection: the name of a kind, or a projection made for this D and dim. "hashed" by
            default. "orthonormal" is the form of 2017: θ = σ √(D/d) ⊙ P ω through the origin,
            with θ0 on the first axis. "layerwise:hashed" gives each tensor a map of its own;
            D/d is then that of the tensor (`Projection.widening`).
        seed: of P, and of θ0 where that is drawn from it; 0 by default. A projection made
            beforehand brings its own.
        theta0: "seed" draws θ0 from the seed, by PyTorch's default initialisers, so that a
            checkpoint need not hold it; "module" takes the module's values; "auto", the default,
            is "seed" if every weight still looks like an untouched draw of its default
            initialiser, and "module" otherwise (pretrained, or initialised in another way).
        scale: "init" as above, "none" for θ = θ0 + P ω. "learned" is "init" with a factor λ for
            each of the m tensors, θ = θ0 + λ σ √(D/d) ⊙ P ω, that is trained, too: the last m of
            the d free parameters are λ - 1 and P has d - m columns (the structure-aware
            subspace of Aghajanyan, Zettlemoyer and Gupta, "Intrinsic dimensionality explains the
            effectiveness of language model fine-tuning", 2020). θ is not linear in λ and ω.
        include: pattern or patterns of the names of the parameters that make up θ; all by
            default. What is not in θ keeps its values, as do parameters with
            `requires_grad=False`. `Selection` says how names and patterns match.
        exclude: patterns of what is not in θ, though included.
        train: patterns of parameters, such as a new head, that are not in θ either, but train
            beside ω: parameters of this module, under their own names, with a learning rate in
            the units of weights. The optimiser needs a group of its own for them.

    Attributes:
        omega: the parameter, shape (d,).
        module: the copy of the module; its own parameters hold θ0.
        projection: the map P.
        layout: which tensors make up θ.
        sigma: σ of each tensor, by name.
        steps: factor before P ω for each tensor, by name: σ √(D/d), or 1; without λ.
        theta0_from: "seed" or "module".
        selection: include, exclude and train.
        base: name of the model that θ0 is the weights of, if this was loaded with one.

    Raises:
        InputError: if an argument is out of range, "seed" is asked for and some parameter's
            initialiser is not known, a pattern matches nothing, or the module is TorchScript.

    Example:
        >>> net = Subspace(nn.Linear(20, 10), dim=15)
        >>> net
        Subspace(
          D=210, dim=15, projection=hashed, seed=0, theta0=seed
          (module): Linear(in_features=20, out_features=10, bias=True)
        )
        >>> net(torch.zeros(3, 20)).shape
        torch.Size([3, 10])
    """

    def __init__(
        self,
        module: nn.Module,
        dim: int,
        projection: str | Projection = "hashed",
        *,
        seed: int | None = None,
        theta0: Theta0 = "auto",
        scale: Scale = "init",
        include: Patterns = "*",
        exclude: Patterns = (),
        train: Patterns = (),
    ) -> None:
        super().__init__()
        calls.check(module)
        _check_choices(projection, theta0, scale)
        self.selection = Selection.of(include, exclude, train)
        self.layout = Layout.of(module, self.selection)
        _, dim = projections.check_sizes(self.layout.D, dim)
        self.module = calls.copied(module)
        for name in self.layout.held:
            self.module.get_parameter(name).requires_grad = False
        self._placement = calls.Placement(self.module)
        self.seed = seed = _common_seed(projection, seed)
        self.scale = scale
        self.theta0_from, self.sigma = _place(self.module, self.layout, seed, theta0)
        origin = self.theta0()
        factors = _count_factors(self.layout, dim, scale)
        sigma = self.sigma if scale != "none" else None
        self.projection = _project(
            projection, dim - factors, seed=seed, layout=self.layout, origin=origin, sigma=sigma
        )
        self.steps = {
            e.name: sigma[e.name] * self.projection.widening(e.start, e.start + e.numel)
            if sigma
            else 1.0
            for e in self.layout.entries
        }
        # Half precision would lose the small steps of ω, which costs nothing to keep.
        dtypes = (tensor.dtype for tensor in origin.values())
        dtype = functools.reduce(torch.promote_types, dtypes, torch.float32)
        device = next(iter(origin.values())).device
        omega = torch.cat((self.projection.omega0(), torch.zeros(factors, dtype=torch.float64)))
        self.omega = nn.Parameter(omega.to(device=device, dtype=dtype))
        self.base: str | None = None

    @property
    def D(self) -> int:
        """Number of weights."""
        return self.layout.D

    @property
    def dim(self) -> int:
        """Number of free parameters d."""
        return self.omega.numel()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes with the weights θ(ω).

        Args:
            *args: passed on.
            **kwargs: passed on.

        Returns:
            Whatever the module returns.
        """
        return self.call("__call__", *args, **kwargs)

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """What another method of the module computes with the weights θ(ω).

        Args:
            method: its name, as "generate"; with dots for a submodule's, as "encoder.forward".
            *args: passed on.
            **kwargs: passed on.

        Returns:
            Whatever the method returns.

        Example:
            >>> net = Subspace(nn.Sequential(nn.Linear(4, 3), nn.Tanh()), dim=5)
            >>> net.call("0.forward", torch.zeros(2, 4)).shape
            torch.Size([2, 3])
        """
        weights = self.layout.fill_slots(self._tensors())
        output = calls.call(self.module, method, weights, args, kwargs)
        self._placement.in_backward_of(output, weights)
        return output

    def theta(self) -> Tensor:
        """All weights as one vector, differentiable in ω.

        Returns:
            Shape (D,).
        """
        return self.layout.flatten(self._tensors())

    def theta0(self) -> dict[str, Tensor]:
        """The point the subspace passes through (with an anchor: its starting point).

        Returns:
            The tensors by name, not copied; tied ones once.
        """
        own = dict(self.module.named_parameters()) | self._placement.own
        return {entry.name: own[entry.name] for entry in self.layout.entries}

    def merge(self) -> nn.Module:
        """An ordinary module with the trained weights, independent of this one.

        Returns:
            A copy of the wrapped module; its weights require gradients where the module's did.
        """
        self._placement.restore()
        plain = calls.copied(self.module)
        with torch.no_grad():
            for name, tensor in self._tensors().items():
                plain.get_parameter(name).copy_(tensor)
                plain.get_parameter(name).requires_grad = True
        for name in self.layout.held:
            plain.get_parameter(name).requires_grad = True
        return plain

    def unmerge(self, module: nn.Module) -> None:
        """Take ω back from a plain module's weights: the inverse of `merge`.

            ω = Pᵀ ((θ - θ0) / (σ √(D/d)))

        Buffers and the parameters that are not in θ are copied from the module. ω is as exact as
        the rounding of the weights to the module's dtype lets it be.

        Args:
            module: of the same architecture, with weights that lie in this subspace.

        Raises:
            InputError: if the architecture is another, the weights lie outside of the subspace,
                or `scale` is "learned", where θ is not linear in the free parameters.
        """
        _check_mergeable(self, module)
        weights = dict(module.named_parameters())
        theta = {name: weights[name].detach().to(self.omega.device) for name in self.theta0()}
        moves = {name: tensor.double() for name, tensor in theta.items()}
        if not self.projection.anchored:
            moves = {name: moves[name] - origin for name, origin in self.theta0().items()}
        moves = {name: move / self.steps[name] for name, move in moves.items()}
        before = self.omega.detach().clone()
        with torch.no_grad():
            self.omega.copy_(coordinates(self.projection, self.layout.flatten(moves)))
            if outside := [n for n, got in self._tensors().items() if not _same(got, theta[n])]:
                self.omega.copy_(before)
                raise InputError(
                    f"The module's weights do not lie in this subspace: {', '.join(outside)}. "
                    "Expected those of a merge of a Subspace with the same θ0, projection and seed."
                )
        rest = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
        own = self.state_dict()
        self.load_state_dict({name: rest.get(name, tensor) for name, tensor in own.items()})

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        dtype: str | None = None,
        base: str | None = None,
    ) -> None:
        """Write a checkpoint: ω, the recipe, and what cannot be recomputed from them.

        θ0 goes into the file only where it was not drawn from the seed and no base is named.

        Args:
            path: the file to write, atomically; its folder must exist.
            dtype: what ω is rounded to in the file: "float32", "float16", "bfloat16", or "int8"
                or "int4" with a scale for each block; ω's own dtype by default. Loaded, it has
                the net's dtype again.
            base: a name for the model whose weights θ0 is; frozen parameters are taken for its
                own, too. The file then holds fingerprints of them only, and whoever loads it
                gives the model, `load(path, module)`: the name is for people and looked up
                nowhere. None by default, or the name that this was loaded with.

        Raises:
            InputError: if a base is named and θ0 was drawn from the seed, the dtype is unknown,
                or ω does not fit into it.
        """
        checkpoint = self.to_checkpoint(base or self.base)
        container.write(checkpoint.rounded(dtype) if dtype else checkpoint, path)

    def named_parameters(
        self,
        prefix: str = "",
        recurse: bool = True,  # noqa: FBT001, FBT002  # nn.Module's signature
        remove_duplicate: bool = True,  # noqa: FBT001, FBT002
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """ω, and what `train` has matched: the other weights are not free.

        Args:
            prefix: put before the names.
            recurse: whether to go into the module; without, only ω is left.
            remove_duplicate: whether a tied parameter comes once.

        Yields:
            Names and parameters, first ("omega", ω).
        """
        beside = (self.module.get_parameter(name) for name in self.layout.beside)
        free = {id(self.omega), *map(id, beside)}
        for name, parameter in super().named_parameters(prefix, recurse, remove_duplicate):
            if id(parameter) in free:
                yield name, parameter

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # pyrefly: ignore[bad-override]
        """ω, the module's buffers and its parameters outside of θ; never θ, θ0 or P.

        Args:
            *args: as for any module.
            **kwargs: as for any module.

        Returns:
            The tensors by name.
        """
        self._placement.restore()
        state = super().state_dict(*args, **kwargs)
        prefix = kwargs.get("prefix", "")
        for path in self._theta0_paths():
            del state[f"{prefix}module.{path}"]
        return state

    def extra_repr(self) -> str:
        """D, d, and the recipe.

        Returns:
            One line.
        """
        kind, source = self.projection.kind, self.theta0_from
        text = f"D={self.D}, dim={self.dim}, projection={kind}, seed={self.seed}, theta0={source}"
        if self.layout.beside:
            beside = sum(parameter.numel() for parameter in self.parameters()) - self.dim
            text += f", beside={beside}"
        return text

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles are made of.

        Returns:
            The attributes.
        """
        self._placement.restore()
        return self.__dict__

    def _apply(self, *args: Any, **kwargs: Any) -> "Subspace":
        self._placement.restore()
        return super()._apply(*args, **kwargs)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        self._placement.restore()
        # A state holds no θ0, so the module below is handed its own: nothing is missing to it.
        own = dict(self.module.named_parameters(remove_duplicate=False))
        for path in self._theta0_paths():
            state_dict[f"{prefix}module.{path}"] = own[path]
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _theta0_paths(self) -> list[str]:
        """Every path that leads to a weight of θ, a shared submodule's second name included."""
        members = {id(parameter) for parameter in self.theta0().values()}
        named = self.module.named_parameters(remove_duplicate=False)
        return [path for path, parameter in named if id(parameter) in members]

    # A compiler cannot trace a Function with a forward derivative; the module is what it is for.
    @torch.compiler.disable
    def _tensors(self) -> dict[str, Tensor]:
        """θ by entry name, each in the dtype of its θ0."""
        omega, factors = self.omega.tensor_split([self.projection.dim])
        moves = self.layout.split(self.projection @ omega)
        if factors.numel():
            moves = {n: m * (1 + f) for (n, m), f in zip(moves.items(), factors, strict=True)}
        moves = {name: move * self.steps[name] for name, move in moves.items()}
        origins = self.theta0()
        if not self.projection.anchored:
            moves = {name: _shifted(move, origins[name]) for name, move in moves.items()}
        return {name: move.to(origins[name].dtype) for name, move in moves.items()}

    def frozen(self) -> dict[str, Tensor]:
        """The module's parameters that are neither in θ nor trained beside ω.

        Returns:
            The tensors by the names that they have in `state_dict`, not copied.
        """
        theirs = {id(self.module.get_parameter(name)) for name in self.layout.beside}
        theirs |= {id(tensor) for tensor in self.theta0().values()}
        named = self.module.named_parameters(remove_duplicate=False)
        return {f"module.{path}": p for path, p in named if id(p) not in theirs}

    def to_checkpoint(self, base: str | None = None) -> Checkpoint:
        """What `save` writes.

        Args:
            base: as for `save`; None puts θ0 into it, where it was not drawn from the seed.

        Returns:
            The specification and the tensors.

        Raises:
            InputError: if a base is named and θ0 was drawn from the seed.
        """
        if base is not None and self.theta0_from == "seed":
            raise InputError(
                f"base={base!r}: θ0 was drawn from the seed, it is no model's weights. Leave the "
                'base out, or make the subspace with theta0="module".'
            )
        tensors = dict(self.state_dict())
        source: dict[str, Any] = {"theta0_from": DRAWN if self.theta0_from == "seed" else STORED}
        if base is not None:
            frozen = {name: tensors.pop(name) for name in self.frozen()}
            source = {"theta0_from": BASE, "base": base}
            source |= {"frozen": container.fingerprint(frozen)} if frozen else {}
        elif self.theta0_from == "module":
            tensors |= {f"theta0.{name}": t for name, t in self.theta0().items()}
        projection = self.projection
        spec: dict[str, Any] = {
            "D": self.D,
            "P": projection.fingerprint(),
            "architecture": self.layout.fingerprint(),
            "dim": self.dim,
            "projection": projection.label,
            "seed": self.seed,
            "theta0": theta0_.fingerprint(self.layout, self.theta0()),
            **source,
        }
        if not projection.portable:
            spec["sketch"] = list(projection.sketch())
        if self.scale != "init":
            spec["scale"] = self.scale
        spec |= self.selection.recipe()
        return Checkpoint(spec | _named(self), tensors)


def _shifted(move: Tensor, origin: Tensor) -> Tensor:
    """θ0 + move; in the place of the move where that has the sum's dtype."""
    # Detached, for a larger module's requires_grad_() would reach θ0, too. And the move was scaled
    # before, not by add(alpha=…): where a processor fuses it, it rounds differently.
    if torch.promote_types(move.dtype, origin.dtype) == move.dtype:
        return move.add_(origin.detach())
    return move + origin.detach()


def _named(net: Subspace) -> dict[str, str]:
    """The fields that name the net, if it is as `models.build` makes it, but for its dtype."""
    name = models.name_of(net.module)
    rest = {n.removeprefix("module."): t for n, t in net.state_dict().items() if n != "omega"}
    weights = rest | net.theta0()
    dtypes = {str(t.dtype).removeprefix("torch.") for t in weights.values()}
    if name is None or len(dtypes) > 1 or not dtypes <= packing.FLOATS.keys():
        return {}
    with torch.device("meta"):
        built = models.build(name)
    if _shapes(built.state_dict()) != _shapes(weights):
        return {}
    if Layout.of(built, net.selection).fingerprint() != net.layout.fingerprint():
        return {}
    (dtype,) = dtypes
    return {"model": name} | ({} if dtype == "float32" else {"dtype": dtype})


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _check_choices(projection: str | Projection, theta0: object, scale: object) -> None:
    problems = []
    if not isinstance(projection, Projection):
        try:
            projections.parse(projection)
        except InputError as error:
            problems += error.problems
    if theta0 not in get_args(Theta0):
        problems.append(unknown_name("theta0", theta0, get_args(Theta0)))
    if scale not in get_args(Scale):
        problems.append(unknown_name("scale", scale, get_args(Scale)))
    if problems:
        raise InputError(*problems)


def _check_mergeable(net: Subspace, module: nn.Module) -> None:
    problems = []
    got = Layout.of(module, net.selection).fingerprint()
    if got != net.layout.fingerprint():
        problems.append(
            "The module has another architecture than the one that was wrapped: expected "
            f"{net.layout.fingerprint()}, got {got}."
        )
    if net.scale == "learned":
        problems.append("With scale='learned' θ is not linear in the free parameters.")
    if problems:
        raise InputError(*problems)


def _same(got: Tensor, expected: Tensor) -> bool:
    """Equal up to the rounding of weights and of the ω that was found from them."""
    expected = expected.to(got.dtype)
    size = max(float(t.abs().max()) for t in (got, expected)) if got.numel() else 0.0
    return torch.allclose(got, expected, rtol=0, atol=16 * size * torch.finfo(got.dtype).eps)


def _common_seed(projection: str | Projection, seed: int | None) -> int:
    if isinstance(projection, Projection):
        if seed not in {None, projection.seed}:
            raise InputError(f"The projection has the seed {projection.seed}; got seed={seed}.")
        return projection.seed
    return bits.check_seed(0 if seed is None else seed)


def _place(
    module: nn.Module, layout: Layout, seed: int, theta0: Theta0
) -> tuple[Literal["seed", "module"], dict[str, float]]:
    """Put θ0 into the module's own parameters and freeze them; returns its source and σ."""
    parameters = dict(module.named_parameters())
    origin = {entry.name: parameters[entry.name] for entry in layout.entries}
    known = theta0_.laws(module, layout)
    drawn = theta0 == "seed" or (theta0 == "auto" and theta0_.is_fresh(origin, known))
    if drawn:
        _check_laws(origin, known)
        for name, values in theta0_.draw(layout, known, seed).items():
            origin[name].data.copy_(values)
    for parameter in origin.values():
        parameter.requires_grad = False
        parameter.grad = None
    sigma = theta0_.scales(origin, known if drawn else None)
    return "seed" if drawn else "module", sigma


def _check_laws(origin: Mapping[str, Tensor], known: Mapping[str, theta0_.AnyLaw]) -> None:
    missing = [name for name in origin if name not in known]
    if missing:
        raise InputError(
            "theta0='seed' needs PyTorch's default initialiser of every parameter; it is not "
            f"known for {', '.join(missing)}. Use theta0='module'."
        )


def _count_factors(layout: Layout, dim: int, scale: Scale) -> int:
    """How many of the d free parameters are factors λ of tensors."""
    count = len(layout.entries) if scale == "learned" else 0
    if dim <= count:
        raise InputError(
            f"scale='learned' takes one free parameter for each of the {count} tensors: dim must "
            f"be at least {count + 1}, got {dim}."
        )
    return count


def _project(
    projection: str | Projection,
    dim: int,
    *,
    seed: int,
    layout: Layout,
    origin: Mapping[str, Tensor],
    sigma: Mapping[str, float] | None,
) -> Projection:
    if isinstance(projection, Projection):
        if projection.shape != (layout.D, dim):
            raise InputError(
                f"The projection must be of shape {(layout.D, dim)}, got {projection.shape}."
            )
        return projection
    options = {}
    kind, words = projections.parse(projection)
    if kind.takes_anchor and "anchor" not in words:
        widen = math.sqrt(layout.D / dim)
        steps = {name: sigma[name] * widen if sigma else 1.0 for name in origin}
        scaled = {name: t.detach().cpu().double() / steps[name] for name, t in origin.items()}
        options["anchor"] = layout.flatten(scaled)
    tensors = {entry.name: entry.numel for entry in layout.entries}
    return projections.make(projection, layout.D, dim, seed, tensors=tensors, **options)
