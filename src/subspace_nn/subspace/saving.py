"""What a checkpoint of a net holds, and what decides its function besides that."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from subspace_nn import models, projections
from subspace_nn.common.errors import CheckpointError, InputError
from subspace_nn.format import container, packing
from subspace_nn.format.container import Checkpoint
from subspace_nn.projections import Projection
from subspace_nn.subspace import copies, live, theta0
from subspace_nn.subspace import tensors as tensors_
from subspace_nn.subspace.layout import Layout

if TYPE_CHECKING:
    from subspace_nn.subspace.wrapper import Subspace

#: How a checkpoint says where θ0 is from: drawn from the seed by this version, in the file, or
#: the weights of a model that whoever loads it gives.
DRAWN = f"seed/{theta0.VERSION}"
STORED = "file"
BASE = "base"

#: What the names of tensors begin with that define a P which no seed makes.
PROJECTION = "projection."

#: Fields that decide what ω means, and what they are called.
FIELDS = {
    "seed": "seed",
    "projection": "projection",
    "dim": "number of free parameters d",
    "D": "number of weights D",
    "architecture": "architecture",
    "scale": "scale",
    "include": "selection (include)",
    "exclude": "selection (exclude)",
    "train": "selection (train)",
    "stages": "list of seeds of later stages",
    "theta0": "θ0",
    "frozen": "set of frozen parameters",
    "P": "P",
}


def checkpoint(
    net: "Subspace", base: str | None = None, spec: Mapping[str, Any] | None = None
) -> Checkpoint:
    """What `save` writes.

    Args:
        net: the net.
        base: as for `save`; None puts θ0 into it, where it was not drawn from the seed.
        spec: the specification of another adapter of this net with this base, which is the same
            and takes long to make; None to make it.

    Returns:
        The specification and the tensors.

    Raises:
        InputError: if a base is named and θ0 was drawn from the seed, or what the base stands
            for trains; θ0 was written to; the module has other tensors than when it was
            wrapped; or it is in evaluation mode and has folded weights for that.
    """
    if spec is None:
        _check_origin(net, base)
    _check_folded(net.module)
    state = copies.state(net.module)
    quantised = [n for n, t in (state | net._theta.origin).items() if copies.is_quantised(t)]
    if quantised and base is None:
        raise InputError(
            f"Cannot be saved: quantised, {', '.join(quantised)}. Name the model that they are "
            "of: save(path, base=…)."
        )
    values = {name: copies.dense(copies.whole(tensor)) for name, tensor in state.items()}
    tensors = {"omega": values.pop(live.OMEGA).detach()}
    tensors |= {f"module.{name}": tensor for name, tensor in values.items()}
    held: dict[str, Tensor] = {}
    if base is not None:
        if training := [name for name, p in frozen(net).items() if p.requires_grad]:
            raise InputError(
                f"base={base!r}: {', '.join(training)} may have been trained, and base would "
                "leave them out of the file. Name them in train=… when the Subspace is made, "
                "set requires_grad=False, or save without a base."
            )
        held = {name: tensors.pop(name) for name in frozen(net)}
    elif net.theta0_from == "module":
        tensors |= {f"theta0.{copies.canonical(n)}": t for n, t in net.theta0().items()}
    if _needs_stages(net, base is not None):
        if net.theta0_from == "module":
            _check_led(net, base)
        tensors["stages"] = net._theta.past()
    tensors |= {f"{PROJECTION}{n}": t for n, t in _numbers(net.projection).items()}
    if spec is None:
        source = {} if base is None else {"theta0_from": BASE, "base": base}
        source |= {"frozen": container.fingerprint(held)} if held else {}
        spec = identify(net, base=base is not None) | source | _named(net)
    return Checkpoint(spec, tensors)


def _check_origin(net: "Subspace", base: str | None) -> None:
    """Refuse to save a net whose θ0 or tensors are not what they were, or no base's."""
    if base is not None and net.theta0_from == "seed":
        raise InputError(
            f"base={base!r}: θ0 was drawn from the seed, it is no model's weights. Leave the "
            'base out, or make the subspace with theta0="module".'
        )
    if apart := tensors_.changes(net._tensors_then, tensors_.tensors(net.module)):
        raise InputError(
            "Cannot be saved: the module is another than when it was wrapped. "
            f"{' '.join(apart)} Change the module first, then make the Subspace."
        )
    if changed := net._theta.changed():
        raise InputError(
            "Cannot be saved: θ0 was written to after the module was wrapped, "
            f"{', '.join(changed)}. Set the module's weights first, then make the Subspace."
        )


def _check_led(net: "Subspace", base: str | None) -> None:
    """Refuse stages that do not lead from a base to θ0, here or elsewhere."""
    without = "save without a base, net.base = None."
    if net._theta.is_cast:
        raise InputError(
            f"base={base!r}: the dtype of the weights was changed after the first stage, and "
            f"the base does not lead to them any more. Change it before, or {without}"
        )
    if net._theta.dtype == torch.float64:  # float32 hides the last bits of σ
        raise InputError(
            f"base={base!r}: in float64 the stages would lead to other bits on another number of "
            f"threads, which load refuses. Train in float32, or {without}"
        )


def stored(net: "Subspace") -> dict[str, int]:
    """How many numbers a checkpoint holds.

    Args:
        net: the net.

    Returns:
        The number by part of the file, without those that are 0.
    """
    state = {f"module.{name}": tensor for name, tensor in copies.state(net.module).items()}
    left_out = {f"module.{live.OMEGA}", *(() if net.base is None else frozen(net))}
    P = net.projection
    numbers = P.stated(*P.shape).values() if P.in_file is not False else ()
    counts = {
        "omega": net.dim,
        "stages": (net.stages - 1) * net.dim * _needs_stages(net, net.base is not None),
        "theta0": net.D if net.theta0_from == "module" and net.base is None else 0,
        "projection": sum(math.prod(shape) for _, shape in numbers),
        "module": sum(t.numel() for name, t in state.items() if name not in left_out),
    }
    return {part: count for part, count in counts.items() if count}


def _needs_stages(net: "Subspace", base: bool) -> bool:  # noqa: FBT001
    """Whether there are earlier stages, and the present θ0 is not in the file."""
    return net.stages > 1 and (base or net.theta0_from == "seed")


def _numbers(projection: Projection) -> Mapping[str, Tensor]:
    """What the file holds of P."""
    numbers = projection.numbers()
    if numbers and projection.in_file is None:
        count = sum(t.numel() for t in numbers.values())
        size = sum(t.nbytes for t in numbers.values())
        raise InputError(
            f"Cannot be saved: P is defined by {count:,} numbers, {size:,} bytes, which no seed "
            "makes. Set net.projection.in_file = True for a file that holds them, or False for "
            "one that does not: whoever loads it gives the projection."
        )
    return numbers if projection.in_file else {}


def identify(net: "Subspace", *, base: bool = False) -> dict[str, Any]:
    """The fields of a checkpoint that decide what ω means.

    Args:
        net: the net.
        base: whether the file names a base; without one it holds θ0 if that was not drawn.

    Returns:
        The fields.
    """
    projection, with_stages = net.projection, _needs_stages(net, base)
    spec: dict[str, Any] = {
        "D": net.D,
        "P": projection.fingerprint(),
        "architecture": net.layout.fingerprint(),
        "dim": net.dim,
        "projection": projection.label,
        "seed": net.seed if with_stages else projection.seed,
        "theta0": theta0.fingerprint(net.layout, net.theta0()),
        "theta0_from": DRAWN if net.theta0_from == "seed" else STORED,
    }
    if not projection.portable:
        spec["sketch"] = list(projection.sketch())
    if net.scale != "init":
        spec["scale"] = net.scale
    if with_stages:
        spec["stages"] = [seed for _, seed in net._theta.stages]
    return spec | net.selection.recipe()


def identity(net: "Subspace", *, base: bool = False) -> dict[str, Any]:
    """As `identify`, with a fingerprint of the frozen parameters; computed once.

    Args:
        net: the net.
        base: whether the file names a base.

    Returns:
        The fields. What is written through `.data` of θ0 is not noticed here; `save` does.
    """
    theta, held = net._theta, frozen(net)
    tensors = [*theta.origin.values(), *held.values()]
    versions = [(id(t), t.dtype, 0 if t.is_inference() else t._version) for t in tensors]
    key = base, theta.moves, net.stages, versions
    known = net.__dict__.get("_known", ((), {}))
    if known[0] != key:
        spec = identify(net, base=base)
        if held:
            spec["frozen"] = container.fingerprint({n: copies.dense(t) for n, t in held.items()})
        known = net.__dict__["_known"] = key, spec
    return known[1]


#: What differs, what it is in a file, and what it is elsewhere.
Difference = tuple[str, object, object]


def differences(saved: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[Difference]:
    """What decides what ω means and is not the same, field by field.

    Args:
        saved: the specification of a file.
        own: that of another, or the `identity` of a net.

    Yields:
        What differs.
    """
    saved, own = map(_unfiled, (saved, own))
    skipped = set[str]()
    if any(saved[name] != own[name] for name in ("seed", "projection", "dim", "D")):
        skipped |= {"P"}  # which follows from these
    is_drawn = [spec["theta0_from"] == DRAWN for spec in (saved, own)]
    if all(is_drawn) and saved["seed"] != own["seed"]:
        skipped |= {"theta0"}
    if is_drawn[0] != is_drawn[1]:
        yield "way of making θ0", saved["theta0_from"], own["theta0_from"]
    if "base" not in saved:
        skipped |= {"frozen"}  # its file holds them
    for field, what in FIELDS.items():
        if field not in skipped and saved.get(field) != own.get(field):
            yield what, saved.get(field), own.get(field)
    if not _are_close(saved.get("sketch"), own.get("sketch")):
        yield "sketch of P", saved.get("sketch"), own.get("sketch")


def _unfiled(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A specification without a word on whether the file holds P."""
    return {**spec, "projection": spec["projection"].removesuffix(projections.STORED)}


def described(difference: Difference) -> str:
    """A difference from what was saved, as a sentence.

    Args:
        difference: what, what the file says of it, and what it is here.

    Returns:
        The sentence.
    """
    what, saved, own = difference
    return f"another {what} than the one it was saved with: expected {saved}, got {own}."


def problems(saved: Mapping[str, Any], net: "Subspace") -> list[str]:
    """Why a file is not for a net, in sentences.

    Args:
        saved: the specification of the file.
        net: the net.

    Returns:
        None if what ω means is the same.
    """
    return [
        described(found) + (f" {_dtype_of(saved, net)}" if found[0] == "θ0" else "")
        for found in differences(saved, identity(net, base="base" in saved))
    ]


def check_numbers(tensors: Mapping[str, Tensor], net: "Subspace") -> None:
    """Refuse a file whose P is only nearly that of a net.

    Args:
        tensors: of the file.
        net: the net.

    Raises:
        CheckpointError: if the file holds P, and numbers of it are others.
    """
    filed = {n: t for n, t in tensors.items() if n.startswith(PROJECTION)}
    own = net.projection.numbers() if filed else {}
    if odd := [n for n, t in filed.items() if not torch.equal(t, own[n.removeprefix(PROJECTION)])]:
        raise CheckpointError(f"{', '.join(odd)}: the numbers of P are others than those given.")


def _are_close(saved: object, own: object) -> bool:
    """Whether two sketches are of one P, which is portable to a tolerance only."""
    if not (isinstance(saved, list) and isinstance(own, list)):
        return saved is own
    return len(saved) == len(own) and all(
        isinstance(a, float) and abs(a - b) < 1e-4 for a, b in zip(saved, own, strict=True)
    )


def _dtype_of(saved: Mapping[str, Any], net: "Subspace") -> str:
    """Whether θ0 would be the file's in another dtype."""
    own = net.theta0()
    for name, dtype in packing.FLOATS.items():
        cast = {entry: tensor.to(dtype) for entry, tensor in own.items()}
        if theta0.fingerprint(net.layout, cast) == saved["theta0"]:
            return f"It is that of this base in {name}: net.to(torch.{name})."
    got = ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in own.values()}))
    return f"Here it is of dtype {got}."


def frozen(net: "Subspace") -> dict[str, Tensor]:
    """The module's parameters that are neither in θ nor trained with ω.

    Args:
        net: the net.

    Returns:
        The tensors by the names that they have in a checkpoint, not copied.
    """
    free = {id(net.module.get_parameter(name)) for name in (*net.layout.extra, live.OMEGA)}
    own = net.module.named_parameters(remove_duplicate=False)
    named = ((copies.canonical(n), p) for n, p in own if not n.endswith(copies.LIKE))
    return {f"module.{name}": p for name, p in named if id(p) not in free}


def _named(net: "Subspace") -> dict[str, str]:
    """The fields that name the net, if it is as `models.build` makes it, but for its dtype."""
    name = models.name_of(net.module)
    weights = copies.state(net.module) | net.theta0()
    del weights[live.OMEGA]
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


def check_state(module: nn.Module) -> None:
    """Refuse a module whose state no file could hold.

    Args:
        module: any module.

    Raises:
        InputError: if it is no module, or some of its state is no dense tensor with values, of a
            dtype of the format.
    """
    if not isinstance(module, nn.Module):
        raise InputError(f"A subspace is of a torch.nn.Module, got a {type(module).__name__}.")
    state = copies.state(module)
    problems = []
    if odd := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        problems.append(
            f"The module's extra state is no tensor, and no checkpoint could hold it: "
            f"{', '.join(odd)}. Have get_extra_state return a tensor."
        )
    problems += [
        f"{name} is {what}, which no checkpoint can hold. Expected a dense tensor with values."
        for name, value in state.items()
        if isinstance(value, Tensor) and (what := _unlike_dense(value))
    ]
    if problems:
        raise InputError(*problems)


def _unlike_dense(tensor: Tensor) -> str | None:
    """What a tensor is that has no values, not one for each of its places, or unknown ones."""
    if tensor.is_meta:
        return "on the device meta"
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.layout is not torch.strided:
        return f"of layout {tensor.layout}"
    return None if tensor.dtype in container.DTYPES.values() else f"of {tensor.dtype}"


def _check_folded(module: nn.Module) -> None:
    """Refuse a state that `train` changes: a file does not say which mode it is of."""
    if any(not part.training for part in module.modules()) and (
        changed := folded(module, mode=True)
    ):
        raise InputError(
            f"Cannot be saved in evaluation mode, for which {', '.join(changed)} was folded: call "
            "train() first."
        )


def folded(module: nn.Module, *, mode: bool) -> list[str]:
    """What `train` changes, in modules that add products to their weights for evaluation.

    Args:
        module: any module; it stays as it is.
        mode: that of the call.

    Returns:
        Names of its state.
    """
    stock = {nn.Module, live.Live}
    kinds = {kind for part in module.modules() for kind in type(part).__mro__} - stock
    if not any("train" in vars(kind) for kind in kinds):
        return []
    twin = copies.copied(module)
    before = {name: tensor.clone() for name, tensor in copies.state(twin).items()}
    after = copies.state(twin.train(mode))
    return [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]
