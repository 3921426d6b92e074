"""θ from ω: everything that decides a subspace but ω, and the one place that computes weights."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from subspace_nn import projections
from subspace_nn.common.checks import one_of, require
from subspace_nn.common.errors import InputError
from subspace_nn.projections import Projection
from subspace_nn.projections.linear import place, shifted
from subspace_nn.subspace import theta0
from subspace_nn.subspace.copies import dense
from subspace_nn.subspace.layout import Entry, Layout

Scale = Literal["init", "none", "learned"]


class Theta:
    """The map θ(ω) = θ0 + σ √(D/d) ⊙ P ω of one module.

    P, σ and the steps are functions of θ0. When θ0 changes its dtype they are derived again, so
    that whoever has θ0 and the recipe can always compute them.

    Args:
        layout: which tensors make up θ.
        origin: θ0 by entry name. Tensors that are drawn are overwritten.
        dim: number of free parameters d.
        projection: a name, or the map itself.
        seed: of P, and of θ0 where it is drawn.
        scale: as for `Subspace`.
        laws: the law of each tensor, if θ0 is to be drawn from them.

    Raises:
        InputError: if θ0 is not finite, or the projection or dim does not fit it.

    Attributes:
        origin: θ0 by entry name; moved and cast by the modules that own the weights.
        projection: the map P.
        sigma: σ by entry name.
        steps: factor before P ω by entry name.
        moves: how often a tensor of θ0 was moved or cast.
        stages: the earlier stages: ω of each, and the seed of the P that followed. θ0 and P are
            those of the present one.
    """

    moves = 0
    stages: tuple[tuple[Tensor, int], ...] = ()
    #: Whether θ0 was cast after a stage, so that the stages do not lead to it any more.
    is_cast = False
    _is_meta = False

    def __init__(
        self,
        layout: Layout,
        origin: Mapping[str, Tensor],
        *,
        dim: int,
        projection: str | Projection,
        seed: int,
        scale: Scale,
        laws: Mapping[str, theta0.AnyLaw] | None,
    ) -> None:
        self.layout, self.origin, self.laws = layout, dict(origin), laws
        self.seed, self.scale = seed, scale
        self._given, self._stale = projection, False
        self.factors = _count_factors(layout, dim, scale)
        self._rank = dim - self.factors
        self._derive()
        if odd := [name for name, sigma in self.sigma.items() if not math.isfinite(sigma)]:
            raise InputError(f"Weights are not finite: {', '.join(odd)}. Expected numbers.")
        self.projection = self._project()
        self._finish()

    @property
    def source(self) -> Literal["seed", "module"]:
        """Where θ0 is from."""
        return "seed" if self.laws else "module"

    @property
    def dtype(self) -> torch.dtype:
        """That of ω: half precision would lose the small steps, which cost nothing to keep."""
        dtype = torch.float32
        for tensor in self.origin.values():
            dtype = torch.promote_types(dtype, tensor.dtype)
        return dtype

    @property
    def is_named(self) -> bool:
        """Whether P is of a kind, not a given map."""
        return not isinstance(self._given, Projection)

    def past(self) -> Tensor:
        """ω of the earlier stages, shape (K - 1, d)."""
        return torch.stack([omega for omega, _ in self.stages])

    def dense(self) -> dict[str, Tensor]:
        """θ0 by entry name, as ordinary numbers: quantised tensors are what they stand for."""
        return {name: dense(tensor) for name, tensor in self.origin.items()}

    def start(self) -> Tensor:
        """The ω to start from, at θ0: float64, shape (d,)."""
        zeros = torch.zeros(self.factors, dtype=torch.float64, device="cpu")
        return torch.cat((self.projection.omega0(), zeros))

    def tensors(self, omega: Tensor, index: int | None = None) -> list[Tensor]:
        """θ tensor by tensor, each in the dtype and on the device of its θ0; differentiable.

        Args:
            omega: shape (d,).
            index: number of the one entry to compute, at the cost of its rows; all by default.

        Returns:
            One tensor for each entry, or the one.

        Raises:
            InputError: if θ0 has no values, and ω has.
        """
        self.settle()
        if omega.is_meta:
            chosen = self.layout.entries if index is None else [self.layout.entries[index]]
            kinds = [(entry.shape, self.origin[entry.name].dtype) for entry in chosen]
            return [torch.empty(shape, dtype=dtype, device="meta") for shape, dtype in kinds]
        if self._is_meta:
            raise InputError(
                "θ0 is on the device meta and has no values, but ω has: leave the net on its "
                "device. A functional call needs a copy of it with its weights."
            )
        if index is None and not (self.factors or self.projection.anchored):
            return place(self.projection, omega, [*self.steps.values()], [*self.dense().values()])
        direction, factors = omega.tensor_split([self._rank])
        if index is None:
            sizes = [entry.numel for entry in self.layout.entries]
            moves = (self.projection @ direction).split(sizes, dim=-1)
            return [
                self._weight(entry, move, factors[number : number + 1], owned=False)
                for number, (entry, move) in enumerate(zip(self.layout.entries, moves, strict=True))
            ]
        entry, owned = self.layout.entries[index], False
        rows = self.projection[entry.start : entry.start + entry.numel]
        if not (self.factors or self.projection.anchored or torch.compiler.is_compiling()):
            return place(rows, omega, [self.steps[entry.name]], [dense(self.origin[entry.name])])
        move = rows.__matmul__(direction)  # the compiler does not follow the operator
        if not torch.compiler.is_compiling():
            # The library's own kinds return a tensor that is nobody else's, or a view of one.
            owned = type(self.projection) in projections.KINDS.values() and not move._is_view()
        return [self._weight(entry, move, factors[index : index + 1], owned=owned)]

    def move(self, index: int, fn: Any) -> None:
        """Do to a tensor of θ0 what a module does to its parameters in `to`, `half`, `cuda` ….

        Args:
            index: number of the entry.
            fn: makes a tensor from another.

        Raises:
            InputError: if it makes an empty one, and θ0 cannot be drawn again.
        """
        name = self.layout.entries[index].name
        held = self.origin[name]
        with torch.no_grad():
            moved = fn(held.data)
        self.moves += 1
        # After `to_empty` the values are gone.
        is_lost = "to_empty" in getattr(fn, "__qualname__", "") or held.is_meta
        if is_lost and not (moved.is_meta or self.laws):
            raise InputError(
                "to_empty: θ0 are the module's own weights, which would be lost, and no state_dict "
                "holds them. Make the Subspace on the device that it is for."
            )
        self._is_meta |= moved.is_meta
        self._stale |= moved.dtype != held.dtype or is_lost
        self.is_cast |= bool(self.stages) and moved.dtype != held.dtype
        if torch._has_compatible_shallow_copy_type(held, moved):
            held.data = moved
        else:
            self.origin[name] = torch.nn.Parameter(moved, requires_grad=False)

    def changed(self) -> list[str]:
        """The tensors of θ0 that somebody has written to.

        Returns:
            Names of entries whose values are not the draw, or whose deviation is not σ any more.
        """
        self.settle()
        sigma = theta0.scales(self.dense(), self.laws)
        again = self.origin
        if self.laws:
            twin = copy.copy(self)
            twin.origin = {n: torch.nn.Parameter(torch.empty_like(t)) for n, t in again.items()}
            twin._derive()
            again = twin.origin
        return [
            name
            for name, held in self.origin.items()
            if not math.isclose(sigma[name], self.sigma[name], rel_tol=1e-9)
            or not (again[name] is held or torch.equal(again[name], held))
        ]

    def next_stage(self, omega: Tensor, seed: int) -> None:
        """Make θ(ω) the point, and draw another P.

        Args:
            omega: of the stage that ends, shape (d,); copied.
            seed: of the P that follows.

        Raises:
            InputError: if a weight of θ(ω) is not finite; then nothing has changed.
        """
        with torch.inference_mode(mode=False), torch.no_grad():  # for it may train later
            omega = omega.detach().to(self.dtype)  # a reader's, whatever a cast made of ω
            values = self.tensors(omega)
            pairs = zip(self.origin, values, strict=True)
            if odd := [name for name, value in pairs if not value.isfinite().all()]:
                raise InputError(f"θ is not finite: {', '.join(odd)}. Another stage starts there.")
            self._begin(values, omega, seed)

    def _begin(self, values: Sequence[Tensor], omega: Tensor, seed: int) -> None:
        """Start a stage at the weights where the last one ended."""
        for name, value in zip(self.origin, values, strict=True):
            # Not in place: the tensors may be the module's own, as it was before.
            self.origin[name] = torch.nn.Parameter(value.detach().clone(), requires_grad=False)
        self.stages = (*self.stages, (omega.cpu().clone(), seed))
        self.sigma = theta0.scales(self.dense(), self.laws)
        self.projection = self._project()
        self._finish()

    def settle(self) -> None:
        """Derive again what depends on θ0, if that has changed its dtype."""
        if not self._stale or any(tensor.is_meta for tensor in self.origin.values()):
            return
        self._stale = self._is_meta = False
        with _disable_current_modes():  # an exporter's tensors have no values
            self._derive()
            if self.projection.anchored and self.is_named:
                self.projection = self._project()
            self._finish()

    def _weight(self, entry: Entry, move: Tensor, factor: Tensor, *, owned: bool) -> Tensor:
        """One tensor of θ from its part of P ω, in the place of that if it is `owned`."""
        if self.factors:
            move, owned = move * (1 + factor), True
        step, origin = self.steps[entry.name], dense(self.origin[entry.name])
        move = move.mul_(step) if owned else move * step
        move = move.view(entry.shape)
        if self.projection.anchored:
            return move.to(device=origin.device, dtype=origin.dtype)
        return shifted(move, origin)

    def _derive(self) -> None:
        """Draw θ0, where it is drawn, and go through the stages from there; measure σ."""
        if self.laws:
            for name, values in theta0.draw(self.layout, self.laws, self.seed).items():
                self.origin[name].data.copy_(values)
        self.sigma = theta0.scales(self.dense(), self.laws)
        if self.laws and self.stages:
            stages, self.stages = self.stages, ()
            self.projection = self._project()
            self._finish()
            device = next(iter(self.origin.values())).device
            with torch.inference_mode(mode=False), torch.no_grad():
                for omega, seed in stages:
                    ended = omega.to(device, self.dtype)
                    self._begin(self.tensors(ended), ended, seed)

    def _project(self) -> Projection:
        given, D = self._given, self.layout.D
        if isinstance(given, Projection):
            if given.shape != (D, self._rank):
                expected = (D, self._rank)
                raise InputError(f"The projection must be of shape {expected}, got {given.shape}.")
            return given
        options = {}
        kind, words = projections.parse(given)
        if kind.takes_anchor and "anchor" not in words:
            widen = math.sqrt(D / self._rank)
            options["anchor"] = self.layout.flatten({
                name: tensor.detach().cpu().double()
                / (1.0 if self.scale == "none" else self.sigma[name] * widen)
                for name, tensor in self.dense().items()
            })  # fmt: skip
        tensors = {entry.name: entry.numel for entry in self.layout.entries}
        seed = self.stages[-1][1] if self.stages else self.seed
        return projections.make(given, D, self._rank, seed, tensors=tensors, **options)

    def _finish(self) -> None:
        """Set what follows from P."""
        widening = self.projection.widening
        self.steps = {
            e.name: 1.0
            if self.scale == "none"
            else self.sigma[e.name] * widening(e.start, e.start + e.numel)
            for e in self.layout.entries
        }


def check_choices(projection: str | Projection, choices: Mapping[str, tuple[object, Any]]) -> None:
    """Check arguments that are one of a few names, all of them at once.

    Args:
        projection: a name, or a projection.
        choices: what was chosen, and the literal type of the valid names, by argument.

    Raises:
        InputError: if a name is unknown.
    """
    problems: list[str] = []
    if not isinstance(projection, Projection):
        try:
            projections.parse(projection)
        except InputError as error:
            problems += error.problems
    names = (one_of(argument, got, get_args(valid)) for argument, (got, valid) in choices.items())
    require(problems, *names)


def _count_factors(layout: Layout, dim: int, scale: Scale) -> int:
    """How many of the d free parameters are factors λ of tensors."""
    count = len(layout.entries) if scale == "learned" else 0
    if dim <= count:
        raise InputError(
            f"scale='learned' takes one free parameter for each of the {count} tensors: dim must "
            f"be at least {count + 1}, got {dim}."
        )
    return count


__all__ = ["Scale", "Theta", "check_choices"]
