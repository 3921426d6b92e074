"""Any module in a subspace: θ = θ0 + σ √(D/d) ⊙ P ω."""

import hashlib
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from subspace_nn import bits, projections
from subspace_nn.common.checks import require, whole
from subspace_nn.common.errors import InputError
from subspace_nn.format import container
from subspace_nn.format.container import Checkpoint
from subspace_nn.projections import Projection
from subspace_nn.projections.coordinates import coordinates
from subspace_nn.subspace import adapters as adapters_
from subspace_nn.subspace import copies, live, saving
from subspace_nn.subspace import tensors as tensors_
from subspace_nn.subspace import theta0 as theta0_
from subspace_nn.subspace.choice import Adapters
from subspace_nn.subspace.layout import Layout
from subspace_nn.subspace.memory import Memory, Weights
from subspace_nn.subspace.selection import Patterns, Selection
from subspace_nn.subspace.theta import Scale, Theta, check_choices

Theta0 = Literal["auto", "seed", "module"]

#: Where a module says that its weights come from a training, however much like a draw they look.
_MERGED = "_subspace_nn_merged"

_RELEASED = "This Subspace has ended: release() gave its module back. Make another of that."


class Subspace(nn.Module):
    """A module trained in d free parameters ω instead of its D weights θ.

        θ = θ0 + σ √(D/d) ⊙ P ω

    P is a random projection with PᵀP = I, σ the standard deviation of each tensor's initial
    weights. The factor √(D/d) undoes the isometry's shrinking, so that the learning rate of Adam
    means standard deviations of the initial weights per step, for every model and every d.
    (Training in a random subspace: Greydanus, 2017; Li et al., "Measuring the intrinsic
    dimension of objective landscapes", 2018.)

    `net.module` is the module with the weights θ(ω), always: whoever reads a weight computes it,
    in any thread, from any caller. It is an instance of a subclass of its own class, and its
    trainable parameters are ω, named `subspace_omega`, and what `train` adds; empty ones, named
    `subspace_theta0`, have θ0's dtype and device, for modules that ask for those. ω starts at zero,
    where the function is that of θ0. Attributes and methods that the subspace does not have, such
    as `net.config` and `net.generate(…)`, are the module's, to read and to set.

    Args:
        module: any module, copied unless `copy=False`. Parameters with `requires_grad=False` stay
            as they are, outside of D.
        dim: number of free parameters d, from 1 to D; "full" is D.
        projection: the name of a kind, or a projection made for this D and dim. "hashed" by
            default. "orthonormal" is the form of 2017: θ = σ √(D/d) ⊙ P ω through the origin,
            with θ0 on the first axis. "layerwise:hashed" gives each tensor a map of its own;
            D/d is then that of the tensor (`Projection.widening`).
        seed: of P, and of θ0 where that is drawn from it; 0 by default. A projection made
            beforehand brings its own.
        theta0: "seed" draws θ0 from the seed, by PyTorch's default initialisers, so that a
            checkpoint need not hold it; "module" takes the module's values; "auto", the default,
            is "seed" if every weight still looks like an untouched draw of its default
            initialiser, and "module" otherwise (pretrained, initialised in another way, or from
            `merge`).
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
            with ω: parameters of this module, under their own names, with a learning rate in
            the units of weights. The optimiser needs a group of its own for them.
        memory: how long computed weights live. "whole" makes all of them at once, once a call;
            in evaluation mode without gradients once for each ω. "layer" makes a layer's weights
            when it runs, keeps none of them for the backward pass, which makes them again, and
            turns their gradient into d numbers at once: for large models. "auto", the default, is
            "whole" up to 2^26 weights.
        copy: whether to copy the module. Without a copy the module itself becomes `net.module`;
            `release` gives it back as it was.

    Attributes:
        module: the module with the weights θ(ω).
        layout: which tensors make up θ.
        selection: include, exclude and train.
        seed: of P and θ0.
        scale: as given.
        base: name of the model that θ0 is the weights of, if this was loaded with one.

    Raises:
        InputError: if an argument is out of range, "seed" is asked for and some parameter's
            initialiser is not known, a pattern matches nothing, or the module is none, or cannot
            live in a subspace, or not be saved from it: TorchScript, compiled or sparse parts,
            tensors on the device meta or of a dtype that the format lacks, extra state that is no
            tensor, weights that are not finite.

    Example:
        >>> net = Subspace(nn.Linear(20, 10), dim=15)
        >>> net
        Subspace(
          D=210, dim=15, projection=hashed, seed=0, theta0=seed
          (module): Linear(in_features=20, out_features=10, bias=True)
        )
        >>> net(torch.zeros(3, 20)).shape, net.module.weight.shape
        (torch.Size([3, 10]), torch.Size([10, 20]))
    """

    def __init__(
        self,
        module: nn.Module,
        dim: int | Literal["full"],
        projection: str | Projection = "hashed",
        *,
        seed: int | None = None,
        theta0: Theta0 = "auto",
        scale: Scale = "init",
        include: Patterns = "*",
        exclude: Patterns = (),
        train: Patterns = (),
        memory: Memory = "auto",
        copy: bool = True,
    ) -> None:
        super().__init__()
        choices = {"theta0": (theta0, Theta0), "scale": (scale, Scale), "memory": (memory, Memory)}
        check_choices(projection, choices)
        self.selection = Selection.of(include, exclude, train)
        saving.check_state(module)
        self.layout = Layout.of(module, self.selection)
        live.check(module, self.layout)
        D = self.layout.D
        _, dim = projections.check_sizes(D, D if dim == "full" else dim)
        self.seed, self.scale = _common_seed(projection, seed), scale
        self.base: str | None = None
        module = copies.copied(module) if copy else module
        # What can fail comes first: a module that was not copied is as it was if something does.
        self._originals = {e.name: module.get_parameter(e.name) for e in self.layout.entries}
        laws = _laws(module, self.layout, self._originals, theta0)
        theta = Theta(
            self.layout, _own(self._originals) if laws and not copy else self._originals,
            dim=dim, projection=projection, seed=self.seed, scale=scale, laws=laws,
        )  # fmt: skip
        device = next(iter(theta.origin.values())).device
        omega = nn.Parameter(theta.start().to(device=device, dtype=theta.dtype))
        written = live.written_to(module, self.layout)
        self._weights = Weights(theta, module, live.OMEGA, memory, written)
        self._places = live.install(module, self.layout, self._weights, omega, self._recipe(theta))
        for name in self.layout.held:
            module.get_parameter(name).requires_grad = False
        self._adapters = Adapters()
        self.training = module.training
        self.module = module
        self._tensors_then = tensors_.tensors(module)

    @property
    def omega(self) -> Tensor:
        """The free parameters, shape (d,); a parameter of `module`."""
        return self._weights.omega

    @property
    def projection(self) -> Projection:
        """The map P."""
        return self._theta.projection

    @property
    def sigma(self) -> dict[str, float]:
        """σ of each tensor, by name."""
        return dict(self._theta.sigma)

    @property
    def steps(self) -> dict[str, float]:
        """Factor before P ω for each tensor, by name: σ √(D/d), or 1; without λ."""
        return dict(self._theta.steps)

    @property
    def theta0_from(self) -> Literal["seed", "module"]:
        """Where θ0 is from."""
        return self._theta.source

    @property
    def D(self) -> int:
        """Number of weights."""
        return self.layout.D

    @property
    def dim(self) -> int:
        """Number of free parameters d."""
        return self.omega.numel()

    @property
    def stages(self) -> int:
        """Number of stages: 1, and one more for each `next_stage`."""
        return 1 + len(self._theta.stages)

    @property
    def stored(self) -> dict[str, int]:
        """How many numbers a checkpoint of this net holds, by what they are.

        The parts are those of `format.md`: "omega", which is d; "stages", the ω of earlier stages;
        "theta0", the D weights that no seed draws, and which a `base` spares; "projection", what
        defines a P that no seed makes; "module", buffers and parameters that are not in θ.
        """
        return saving.stored(self)

    def next_stage(self, seed: int | None = None) -> None:
        """Go on from here in another random subspace: K stages train K·d numbers.

            θ = θ0 + Σ_k σ_k √(D/d) ⊙ P_k ω_k

        The function stays the same, up to the rounding of weights; they are θ0 from now on, ω is
        zero again, in the same parameter, and P is drawn from another seed. A checkpoint holds all
        ω and seeds. If it holds θ0 anyway, which was not drawn, it holds the new one, no earlier ω,
        and σ is that of the new one.

        ω has no gradient then. What an optimiser remembers of ω, such as Adam's moments, has no
        meaning in the next stage: make a new one, or see `subspace_nn.tasks.staged.Staged`. Nor
        has an average over ω, such as `AveragedModel` takes.

        Args:
            seed: of the new P. By default that of the last one plus 2^32, so that it is no other
                run's, whose seeds are small.

        Raises:
            InputError: if the projection is not portable, or was not given by its name; the net
                has adapters; ω is not finite, sharded, or in a subspace itself; or a weight of θ
                is not finite.

        Example:
            >>> net = Subspace(nn.Linear(20, 10), dim=15)
            >>> before = net.theta().detach()
            >>> net.next_stage()
            >>> net.stages, net.stored["stages"], torch.equal(net.theta(), before)
            (2, 15, True)
        """
        theta = self._theta
        seed = bits.check_seed((self.projection.seed + 2**32) % 2**64 if seed is None else seed)
        require(stage_problems(self))
        theta.next_stage(self.omega, seed)
        with torch.no_grad():
            self.omega.copy_(theta.start())
        self.omega.grad = None  # of the last P
        self._weights.forget()
        self._weights.is_shared = False  # to be compared with other processes again
        live.name(self.module, self._recipe(theta))

    def forward(self, /, *args: Any, **kwargs: Any) -> Any:
        """What the module computes.

        Args:
            *args: passed on.
            **kwargs: passed on, but for `adapters`: the name of the adapter to compute with, or
                one for each row of the batch; None stands for the base. The rows of each adapter
                are a call of their own, with every tensor argument of as many rows cut to them:
                k adapters cost k calls of smaller batches, and k times the making of weights.
                A module with an argument of its own of this name: `net.module(…)`.

        Returns:
            Whatever the module returns.
        """
        if "adapters" in kwargs:
            return adapters_.call(self, kwargs.pop("adapters"), args, kwargs)
        return self.module(*args, **kwargs)

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the adapters, in the order in which they were added."""
        return tuple(self._adapters.named)

    @property
    def active_adapter(self) -> str | None:
        """Name of the adapter that holds here; None for the base."""
        chosen = self._adapters.chosen()
        return None if chosen is None else chosen.name

    @property
    def keep(self) -> int:
        """For how many ω the weights are kept for inference: 1, unless it is set."""
        return self._weights.keep

    @keep.setter
    def keep(self, value: int) -> None:
        require(whole("keep", value, 1))
        self._weights.keep = value

    def add_adapter(self, name: str) -> None:
        """Add an ω of its own to this base, with extra parameters and buffers of its own.

        It starts as a new subspace does, at θ0, with the base's values of all else, and is not
        chosen: see `set_adapter`.

        Args:
            name: 1 to 128 letters (a-z, A-Z), digits and `_ . -`; no dot or dash at its beginning.

        Raises:
            InputError: if the name cannot be one or is taken; or the module is sharded, has extra
                state, or its ω is in a subspace itself.

        Example:
            >>> net = Subspace(nn.Linear(20, 10), dim=15)
            >>> net.add_adapter("acme")
            >>> net.set_adapter("acme")
            >>> net.adapters, net.active_adapter
            (('acme',), 'acme')
        """
        if adapters_.check_name(name) in self._adapters.named:
            raise InputError(f"There is an adapter {name!r}: delete it first, or name another.")
        adapter = adapters_.make(self, name)
        self._adapters.named[name] = adapter

    def load_adapter(
        self, name: str, path: str | os.PathLike[str], *, replace: bool = False
    ) -> None:
        """Add an adapter from a file, after it is verified to be for this base and this P.

        Nothing of the base is copied, and nothing changes if the file is refused. θ0's fingerprint
        is computed for the first file only.

        Args:
            name: as for `add_adapter`.
            path: a file that `save` wrote.
            replace: whether it may take the place of an adapter of that name. Code that runs
                with the old one in a block ends with that.

        Raises:
            InputError: as `add_adapter`.
            CheckpointError: if the file is damaged, or of another seed, projection or version of
                it, dim, scale, selection, architecture, base or dtype.
        """
        if adapters_.check_name(name) in self._adapters.named and not replace:
            raise InputError(f"There is an adapter {name!r}: replace=True puts this in its place.")
        saved = adapters_.read(self, path)
        adapter = adapters_.make(self, name)
        with self._adapters.pinned(adapter):
            self.load_values(saved.tensors)
        self.base = self.base or saved.spec.get("base")
        if self._adapters.active is not None and self._adapters.active.name == name:
            self._adapters.activate(adapter)
        self._adapters.named[name] = adapter

    def set_adapter(self, name: str | None) -> None:
        """Choose the adapter of all threads, but where a block of `adapter` holds.

        `net.omega`, `parameters()`, `state_dict()` and `save` are then the adapter's. An optimiser
        keeps the parameters it was made with: make one for each adapter.

        Args:
            name: of the adapter. None for the base: what the net holds without a name, which is
                θ0 in a net that was just made.

        Raises:
            InputError: if there is no such adapter.
        """
        self._adapters.activate(self._adapters.get(name))

    def adapter(self, name: str | None) -> AbstractContextManager[None]:
        """Choose an adapter for a block of code, in this thread or task only.

        In the block everything of the net is the adapter's, as after `set_adapter`. Other threads
        and tasks do not notice; those that are started in the block take it over as context
        variables are: tasks and `asyncio.to_thread` do, `threading.Thread` does not.
        A generator must not yield in the block, for its caller would run in it.

        Args:
            name: of the adapter; None for the base.

        Returns:
            A context manager.

        Raises:
            InputError: if there is no such adapter.

        Example:
            >>> net = Subspace(nn.Linear(20, 10), dim=15)
            >>> net.add_adapter("acme")
            >>> with net.adapter("acme"):
            ...     y = net(torch.zeros(3, 20))
            >>> net.active_adapter
        """
        return self._adapters.pinned(self._adapters.get(name))

    def delete_adapter(self, name: str) -> None:
        """Forget an adapter. Code that runs with it in a block ends with it.

        Args:
            name: of the adapter.

        Raises:
            InputError: if there is no such adapter, or `set_adapter` has chosen it.
        """
        adapter = self._adapters.get(name)
        if adapter is None or adapter is self._adapters.active:
            raise InputError(f"{name!r} is in use: choose another first, as in set_adapter(None).")
        del self._adapters.named[name]

    def summary(self) -> None:
        """Print what is trained, tensor by tensor: shape, number of weights, σ, and where it is.

        Example:
            >>> net = Subspace(nn.Linear(20, 10), dim=15)
            >>> net.summary()  # doctest: +ELLIPSIS +NORMALIZE_WHITESPACE
            Linear
            ...
            Trained: 15 numbers, 7.143 % of 210 (15 in ω)
            θ: D = 210 weights, D/d = 14.0, hashed, seed 0
            Held: 0 weights
            A file holds: 15 numbers (15 omega)
        """
        from rich.console import Console  # noqa: PLC0415  # who serves nets needs no terminal

        from subspace_nn.subspace.summary import summary  # noqa: PLC0415

        Console().print(summary(self))

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
        return {name: tensor.detach() for name, tensor in self._theta.dense().items()}

    def merge(self) -> nn.Module:
        """An ordinary module with the trained weights, independent of this one.

        Wrapped again, they are θ0, which no default redraws.

        Returns:
            A copy of the module; its weights require gradients where the module's did.

        Raises:
            InputError: if it cannot be copied, as what `fully_shard` has sharded.
        """
        require(copies.shards(self))
        twin = cast("Subspace", copies.copied(self))
        twin.set_adapter(self.active_adapter)
        plain = twin.release()
        with torch.no_grad():
            for name, tensor in self._tensors().items():
                parameter = plain.get_parameter(name)
                if copies.is_quantised(parameter):  # cannot hold these numbers
                    owner, _, last = name.rpartition(".")
                    plain.get_submodule(owner)._parameters[last] = nn.Parameter(tensor)
                else:
                    parameter.copy_(tensor)
        for part in () if self._is_draw() else plain.modules():
            part.__dict__[_MERGED] = True
        return plain

    def _is_draw(self) -> bool:
        """Whether nothing has trained since θ0 was drawn."""
        omega, theta = self.omega.detach(), self._theta
        drawn = bool(theta.laws) and not (theta.stages or self.layout.extra)
        return drawn and torch.equal(omega, theta.start().to(omega))

    def release(self) -> nn.Module:
        """The module as it was before it was wrapped; this subspace ends, and its adapters.

        The class, the parameters and which of them require gradients are those of before. What
        `train` matched, buffers, device and dtype are as they are now. For the trained weights,
        call `merge` first.

        Returns:
            The module, the very object where it was not copied.

        Raises:
            InputError: if a part of it was given another class meanwhile, as by `fully_shard`.
        """
        require(copies.shards(self))
        origin = self._theta.origin
        moved = [name for name, own in self._originals.items() if own is not origin[name]]
        for name in moved if self._theta.laws or self._theta.stages else ():
            like = origin[name]
            self._originals[name].data = self._originals[name].data.to(like.device, like.dtype)
        parameters = dict(enumerate(self._originals.values()))
        adapters_.release(self._adapters)
        live.release(self._weights, self._places, parameters)
        for name in self.layout.held:
            self.module.get_parameter(name).requires_grad = True
        module = self.module
        del self.module, self._weights
        return module

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
            if outside := _outside(self._tensors(), theta, self.steps):
                self.omega.copy_(before)
                raise InputError(
                    f"The module's weights do not lie in this subspace: {', '.join(outside)}. "
                    "Expected those of a merge of a Subspace with the same θ0, projection and seed."
                )
        rest = copies.state(module)
        own = copies.state(self.module).keys() - {live.OMEGA}
        copies.set_state(self.module, {name: rest[name] for name in own})

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        dtype: str | None = None,
        base: str | None = None,
        adapter: str | None = None,
    ) -> None:
        """Write a checkpoint: ω, the recipe, and what cannot be recomputed from them.

        θ0 goes into the file only where it was not drawn from the seed and no base is named.

        Args:
            path: the file to write, atomically; its folder must exist. One that ends in .snn is
                written in the compact form, which is for "coded".
            dtype: what ω is rounded to in the file: "float32", "float16", "bfloat16"; "int8" or
                "int4" with a scale for each block; or "coded", an arithmetic code on a grid, exact
                after a training with `levels`. ω's own dtype by default. Loaded, it has the
                net's dtype again.
            base: a name for the model whose weights θ0 is; frozen parameters are taken for its
                own, too. The file then holds fingerprints of them only, and whoever loads it
                gives the model, `load(path, module)`: the name is for people and looked up
                nowhere. None by default, or the name that this was loaded with.
            adapter: the name of the adapter to save; by default the one that holds here, which is
                the base where none was chosen.

        Raises:
            InputError: if there is no such adapter, the dtype is unknown or ω does not fit into
                it; or a file of this net could not be loaded: a base is named and θ0 was drawn
                from the seed, or what the base stands for trains; θ0 was written to; the module
                has other tensors than when it was wrapped, or has folded weights for evaluation.
        """
        with nullcontext() if adapter is None else self.adapter(adapter):
            checkpoint = self.to_checkpoint(base or self.base)
        container.write(checkpoint.rounded(dtype) if dtype else checkpoint, path)

    def to_checkpoint(self, base: str | None = None) -> Checkpoint:
        """What `save` writes.

        Args:
            base: as for `save`; None puts θ0 into it, where it was not drawn from the seed.

        Returns:
            The specification and the tensors.

        Raises:
            InputError: as `save`.
        """
        return saving.checkpoint(self, base)

    def load_values(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what a checkpoint holds.

        Args:
            tensors: ω under "omega", in any dtype; the module's under "module." and their name.
        """
        omega = tensors["omega"]
        self.omega.data = omega.to(self.omega.device, copy=True)
        values = {name: tensor for name, tensor in tensors.items() if name.startswith("module.")}
        copies.set_state(self.module, {n.removeprefix("module."): t for n, t in values.items()})

    def extra_repr(self) -> str:
        """D, d, and the recipe.

        Returns:
            One line.
        """
        if "_weights" not in self.__dict__:
            return "released"
        kind, source = self.projection.kind, self.theta0_from
        text = f"D={self.D}, dim={self.dim}, projection={kind}, seed={self.seed}, theta0={source}"
        if self.layout.extra:
            extra = sum(self.module.get_parameter(name).numel() for name in self.layout.extra)
            text += f", extra={extra}"
        if self.adapters:
            text += f", adapters={len(self.adapters)}"
        if self.stages > 1:
            text += f", stages={self.stages}"
        if (stored := sum(self.stored.values())) != self.dim:
            text += f", stored={stored}"
        return text

    @property
    def _theta(self) -> Theta:
        theta = self._weights.theta
        theta.settle()
        return theta

    def _tensors(self) -> dict[str, Tensor]:
        """θ by entry name, each in the dtype of its θ0."""
        tensors = self._weights.theta.tensors(copies.whole(self.omega))
        return {e.name: t for e, t in zip(self.layout.entries, tensors, strict=True)}

    def _recipe(self, theta: Theta) -> Tensor:
        parts: tuple[object, ...] = (
            theta.projection._identity(), self.scale, theta.source, self.layout.fingerprint()
        )  # fmt: skip
        if theta.stages:
            parts += (container.fingerprint({"stages": theta.past().double()}),)
        digest = hashlib.sha256(repr(parts).encode()).digest()
        # Floating-point, for means of states are made of all their tensors alike.
        return torch.tensor(list(digest[:8]), dtype=torch.float32, device="cpu")

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        if f"{prefix}omega" in state_dict:  # as it was named before the module held it
            state_dict[f"{prefix}module.{live.OMEGA}"] = state_dict.pop(f"{prefix}omega")
        expected = f"{prefix}module."
        elsewhere = {n: t for n, t in state_dict.items() if not n.startswith(expected)}
        args[-1].extend(live.misnamed(elsewhere, expected))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """What the subspace does not have itself is the module's."""
        own = vars(Subspace).get(name)
        if isinstance(own, property):  # failed inside: not a missing attribute
            return own.__get__(self)
        try:
            return super().__getattr__(name)
        except AttributeError:
            module = self.__dict__.get("_modules", {}).get("module")
            if module is None and "_places" in self.__dict__ and not name.startswith("__"):
                raise AttributeError(_RELEASED) from None
            if module is None or name.startswith("__"):
                raise
        return getattr(module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """ω is set where it is, in the module, and so is what the module has and this has not."""
        own: Mapping[str, Any] = self.__dict__
        module = own.get("_modules", {}).get("module")
        known = name.startswith("_") or name in own or hasattr(type(self), name)
        if name == "omega":
            self.module._parameters[live.OMEGA] = value
        elif module is None or known or name in own["_modules"] or not hasattr(module, name):
            super().__setattr__(name, value)
        else:
            setattr(module, name, value)


def stage_problems(net: Subspace) -> list[str]:
    """Why a net cannot go on in another stage.

    Args:
        net: the net.

    Returns:
        A sentence for each reason.
    """
    problems = copies.shards(net)
    if not net.projection.portable:
        problems.append(
            f"The bits of {net.projection.kind} are not the same everywhere, and errors of stages "
            "would add up: take another projection, such as hashed."
        )
    if not net._theta.is_named:
        problems.append("Another P can be drawn of a kind only: give the projection by its name.")
    if net.adapters:
        problems.append("A net with adapters has one θ0 for all of them: delete them first.")
    if not bool(net.omega.isfinite().all()):
        problems.append("ω is not finite.")
    if live.OMEGA not in net.module._parameters:
        problems.append("ω must be a parameter of this subspace's own module.")
    return problems


def _own(originals: Mapping[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """Tensors to draw into, so that those of a module that was not copied stay as they are."""
    return {name: nn.Parameter(torch.empty_like(tensor)) for name, tensor in originals.items()}


def _laws(
    module: nn.Module, layout: Layout, tensors: Mapping[str, Tensor], theta0: Theta0
) -> dict[str, theta0_.AnyLaw] | None:
    """The laws that θ0 is to be drawn from, if it is."""
    if theta0 == "module" or (
        theta0 == "auto" and any(map(copies.is_quantised, module.parameters()))
    ):
        return None
    if quantised := [name for name, tensor in tensors.items() if copies.is_quantised(tensor)]:
        raise InputError(f"theta0='seed' cannot draw quantised weights: {', '.join(quantised)}.")
    known = theta0_.laws(module, layout)
    if theta0 == "auto":
        owners = [module.get_submodule(e.name.rpartition(".")[0]) for e in layout.entries]
        if any(_MERGED in owner.__dict__ for owner in owners):
            return None
        return known if theta0_.is_fresh(tensors, known) else None
    if missing := [name for name in tensors if name not in known]:
        raise InputError(
            "theta0='seed' needs PyTorch's default initialiser of every parameter; it is not "
            f"known for {', '.join(missing)}. Use theta0='module'."
        )
    return known


def _check_mergeable(net: Subspace, module: nn.Module) -> None:
    problems = copies.shards(net)
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


def _outside(
    got: Mapping[str, Tensor], expected: Mapping[str, Tensor], steps: Mapping[str, float]
) -> list[str]:
    """Tensors that differ by more than the rounding of all weights, in ω's units, explains."""
    sizes = {name: float(t.abs().max()) if t.numel() else 0.0 for name, t in expected.items()}
    eps = {name: torch.finfo(t.dtype).eps for name, t in got.items()}
    noise = max(eps[name] * size / steps[name] for name, size in sizes.items())
    return [
        name
        for name, tensor in got.items()
        if not torch.allclose(
            tensor, expected[name].to(tensor.dtype), rtol=0,
            atol=16 * max(noise * steps[name], eps[name] * sizes[name]),
        )
    ]  # fmt: skip


def _common_seed(projection: str | Projection, seed: int | None) -> int:
    if isinstance(projection, Projection):
        if seed not in {None, projection.seed}:
            raise InputError(f"The projection has the seed {projection.seed}; got seed={seed}.")
        return projection.seed
    return bits.check_seed(0 if seed is None else seed)
