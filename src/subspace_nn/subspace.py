"""Any module in a subspace: θ = θ0 + σ √(D/d) ⊙ P ω."""

import copy
import functools
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from subspace_nn import fileformat, models, projections
from subspace_nn import theta0 as theta0_
from subspace_nn.errors import InputError, unknown_name
from subspace_nn.fileformat import Checkpoint
from subspace_nn.layout import Layout
from subspace_nn.projections import Projection

Theta0 = Literal["auto", "seed", "module"]
Scale = Literal["init", "none"]

#: How a checkpoint says where θ0 is from: drawn from the seed by this version, or in the file.
DRAWN = f"seed/{theta0_.VERSION}"
STORED = "file"


class Subspace(nn.Module):
    """A module trained in d free parameters ω instead of its D weights θ.

        θ = θ0 + σ √(D/d) ⊙ P ω

    P is a random projection with PᵀP = I, σ the standard deviation of each tensor's initial
    weights. The factor √(D/d) undoes the isometry's shrinking, so that the learning rate of Adam
    means standard deviations of the initial weights per step, for every model and every d.
    (Training in a random subspace: Greydanus, 2017; Li et al., "Measuring the intrinsic
    dimension of objective landscapes", 2018.)

    The module given is copied and never changed. The only parameter of the wrapper is `omega`;
    it starts at zero, where the function is that of θ0.

    Args:
        module: any module. Parameters with `requires_grad=False` stay as they are, outside of D.
        dim: number of free parameters d, from 1 to D.
        projection: the name of a kind, or a projection made for this D and dim. "hashed" by
            default. "orthonormal" is the form of 2017: θ = σ √(D/d) ⊙ P ω through the origin,
            with θ0 on the first axis.
        seed: of P, and of θ0 where that is drawn from it; 0 by default. A projection made
            beforehand brings its own.
        theta0: "seed" draws θ0 from the seed, by PyTorch's default initialisers, so that a
            checkpoint need not hold it; "module" takes the module's values; "auto", the default,
            is "seed" if every weight still looks like an untouched draw of its default
            initialiser, and "module" otherwise (pretrained, or initialised in another way).
        scale: "init" as above, "none" for θ = θ0 + P ω.

    Attributes:
        omega: the parameter, shape (d,).
        module: the copy of the module; its own parameters hold θ0.
        projection: the map P.
        layout: which tensors make up θ.
        sigma: σ of each tensor, by name.
        steps: factor before P ω for each tensor, by name: σ √(D/d), or 1.
        theta0_from: "seed" or "module".

    Raises:
        InputError: if an argument is out of range, or "seed" is asked for and some parameter's
            initialiser is not known.

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
    ) -> None:
        super().__init__()
        _check_choices(projection, theta0, scale)
        self.layout = Layout.of(module)
        projections.check_sizes(self.layout.D, dim)
        self.module = copy.deepcopy(module)
        self.seed = seed = _common_seed(projection, seed)
        self.scale = scale
        self.theta0_from, self.sigma = _place(self.module, self.layout, seed, theta0)
        widen = math.sqrt(self.layout.D / dim)
        self.steps = {n: s * widen if scale == "init" else 1.0 for n, s in self.sigma.items()}
        origin = self.theta0()
        self.projection = _project(
            projection, dim, seed=seed, layout=self.layout, origin=origin, steps=self.steps
        )
        # Half precision would lose the small steps of ω, which costs nothing to keep.
        dtypes = (tensor.dtype for tensor in origin.values())
        dtype = functools.reduce(torch.promote_types, dtypes, torch.float32)
        device = next(iter(origin.values())).device
        self.omega = nn.Parameter(self.projection.omega0().to(device=device, dtype=dtype))

    @property
    def D(self) -> int:
        """Number of weights."""
        return self.layout.D

    @property
    def dim(self) -> int:
        """Number of free parameters d."""
        return self.projection.dim

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes with the weights θ(ω).

        Args:
            *args: passed on.
            **kwargs: passed on.

        Returns:
            Whatever the module returns.
        """
        slots = self.layout.fill_slots(self._tensors())
        # Slots are complete and unique, so torch need not (and, for a submodule under two
        # names, must not) look for ties itself: it would restore the weights wrongly.
        return torch.func.functional_call(self.module, slots, args, kwargs, tie_weights=False)

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
        own = dict(self.module.named_parameters())
        return {entry.name: own[entry.name] for entry in self.layout.entries}

    def merge(self) -> nn.Module:
        """An ordinary module with the trained weights, independent of this one.

        Returns:
            A copy of the wrapped module; its weights require gradients again.
        """
        plain = copy.deepcopy(self.module)
        parameters = dict(plain.named_parameters())
        with torch.no_grad():
            for name, tensor in self._tensors().items():
                parameters[name].copy_(tensor)
                parameters[name].requires_grad_()
        return plain

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint: ω, the recipe, and what cannot be recomputed from them.

        θ0 goes into the file only where it was not drawn from the seed.

        Args:
            path: the file to write, atomically; its folder must exist.
        """
        fileformat.write(self._to_checkpoint(), path)

    def named_parameters(
        self,
        prefix: str = "",
        recurse: bool = True,  # noqa: FBT001, FBT002  # nn.Module's signature
        remove_duplicate: bool = True,  # noqa: FBT001, FBT002
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Only ω: the weights of the wrapped module are not free.

        Args:
            prefix: put before the name.
            recurse: has no effect.
            remove_duplicate: has no effect.

        Yields:
            ("omega", ω).
        """
        del recurse, remove_duplicate
        yield f"{prefix}.omega".lstrip("."), self.omega

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # pyrefly: ignore[bad-override]
        """ω, the module's buffers and its frozen parameters; never θ, θ0 or P.

        Args:
            *args: as for any module.
            **kwargs: as for any module.

        Returns:
            The tensors by name.
        """
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
        return f"D={self.D}, dim={self.dim}, projection={kind}, seed={self.seed}, theta0={source}"

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
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

    def _tensors(self) -> dict[str, Tensor]:
        """θ by entry name, each in the dtype of its θ0."""
        moves = self.layout.split(self.projection @ self.omega)
        return {
            name: (
                moves[name] * self.steps[name]
                if self.projection.anchored
                else torch.add(origin, moves[name], alpha=self.steps[name])
            ).to(origin.dtype)
            for name, origin in self.theta0().items()
        }

    def _to_checkpoint(self) -> Checkpoint:
        tensors = dict(self.state_dict())
        if self.theta0_from == "module":
            tensors |= {f"theta0.{name}": t for name, t in self.theta0().items()}
        projection = self.projection
        spec: dict[str, Any] = {
            "D": self.D,
            "P": projection.fingerprint(),
            "architecture": self.layout.fingerprint(),
            "dim": self.dim,
            "projection": f"{projection.kind}/{projection.version}",
            "seed": self.seed,
            "theta0": theta0_.fingerprint(self.layout, self.theta0()),
            "theta0_from": DRAWN if self.theta0_from == "seed" else STORED,
        }
        if not projection.portable:
            spec["sketch"] = list(projection.sketch())
        if self.scale != "init":
            spec["scale"] = self.scale
        if name := models.name_of(self.module):
            spec["model"] = name
        return Checkpoint(spec, tensors)


def _check_choices(projection: object, theta0: object, scale: object) -> None:
    problems = []
    if not isinstance(projection, Projection) and projection not in projections.KINDS:
        problems.append(unknown_name("projection", projection, projections.KINDS))
    if theta0 not in get_args(Theta0):
        problems.append(unknown_name("theta0", theta0, get_args(Theta0)))
    if scale not in get_args(Scale):
        problems.append(unknown_name("scale", scale, get_args(Scale)))
    if problems:
        raise InputError(*problems)


def _common_seed(projection: str | Projection, seed: int | None) -> int:
    if isinstance(projection, Projection):
        if seed not in {None, projection.seed}:
            raise InputError(f"The projection has the seed {projection.seed}; got seed={seed}.")
        return projection.seed
    return 0 if seed is None else seed


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


def _check_laws(origin: Mapping[str, Tensor], known: Mapping[str, theta0_.Law]) -> None:
    missing = [name for name in origin if name not in known]
    if missing:
        raise InputError(
            "theta0='seed' needs PyTorch's default initialiser of every parameter; it is not "
            f"known for {', '.join(missing)}. Use theta0='module'."
        )


def _project(
    projection: str | Projection,
    dim: int,
    *,
    seed: int,
    layout: Layout,
    origin: Mapping[str, Tensor],
    steps: Mapping[str, float],
) -> Projection:
    if isinstance(projection, Projection):
        if projection.shape != (layout.D, dim):
            raise InputError(
                f"The projection must be of shape {(layout.D, dim)}, got {projection.shape}."
            )
        return projection
    options = {}
    if projections.KINDS[projection].takes_anchor:
        scaled = {name: t.detach().cpu().double() / steps[name] for name, t in origin.items()}
        options["anchor"] = layout.flatten(scaled)
    return projections.make(projection, layout.D, dim, seed, **options)
