"""`certify`: a net, its training data, and a number that holds for data nobody has seen."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler, Subset, SubsetRandomSampler

from subspace_nn.certificates import bounds, message
from subspace_nn.common.atomic import write_atomically
from subspace_nn.common.checks import number, require, whole
from subspace_nn.common.errors import InputError
from subspace_nn.format import container, packing
from subspace_nn.format.container import Checkpoint
from subspace_nn.projections import KINDS, LEARNED
from subspace_nn.subspace.wrapper import Subspace

#: The version of the message's code and of a certificate's fields.
VERSION = 1

Batches = Iterable[tuple[Any, Tensor]]


@dataclass(frozen=True)
class Certificate:
    """With probability 1 - δ over the draw of the training data, the true error is below `bound`.

    Attributes:
        bound: on the true error, a share: the inverted tail of the binomial distribution.
        train_error: share of all n training examples that are wrong; of a sample its upper bound.
        test_error: share of the test examples that are wrong, for comparison; None without any.
        bits: length of the whole message.
        n: number of training examples that the bound is about.
        delta: the probability δ with which the bound may fail.
        errors: number of training examples that are wrong; of a sample as for `train_error`.
        terms: lengths of the message's parts in bits, by name.
        bounds: all bounds by their names in `subspace_nn.certificates.bounds`.
        among: choices that the file does not hold, by the number of possibilities each was one of.
        prior: where θ0 is from if it was learnt, in words; None if it was not.
        sample: examples and errors of the sample, if the training error is estimated from one.
        test: number of test examples and errors; None without any.
        file: SHA-256 and bytes of the file of the net.
        data: SHA-256 of the training inputs and targets, in order.
    """

    bound: float
    train_error: float
    test_error: float | None
    bits: float
    n: int
    delta: float
    errors: int
    terms: Mapping[str, float]
    bounds: Mapping[str, float]
    among: Mapping[str, int]
    prior: str | None
    sample: Mapping[str, int] | None
    test: Mapping[str, int] | None
    file: Mapping[str, Any]
    data: Mapping[str, str]

    def to_json(self) -> str:
        """As a text, which `docs/certificates.md` says how to check.

        Returns:
            One JSON object.
        """
        return json.dumps({"certificate": VERSION, **vars(self)}, indent=1) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the certificate, atomically.

        Args:
            path: the file; its folder must exist.
        """
        write_atomically(path, self.to_json().encode())

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Compare with a certificate that somebody gave.

        Args:
            other: its JSON object.

        Returns:
            One sentence for each field that is not as here, to 1e-9.
        """
        own = json.loads(self.to_json())
        return [
            f"{name}: expected {own.get(name, 'nothing')!r}, got {other.get(name, 'nothing')!r}."
            for name in sorted({*own, *other})
            if not _alike(own.get(name, "nothing"), other.get(name, "nothing"))
        ]


def certify(
    net: Subspace,
    data: Batches,
    *,
    test: Batches | None = None,
    delta: float = 0.05,
    among: Mapping[str, int] | None = None,
    prior: str | None = None,
    of: int | None = None,
    prepare: Callable[[Any], Any] = lambda inputs: inputs,
    wrong: Callable[[Any, Tensor], Tensor] = lambda outputs, targets: outputs.argmax(1) != targets,
    file: str | os.PathLike[str] | None = None,
) -> Certificate:
    """Bound the true error of a net by its errors on the training data and the bits it takes.

    With probability 1 - δ over the draw of n independent examples, every net h with k errors among
    them and a message of L(h) bits has a true error below the largest q with

        P(Binomial(n, q) ≤ k) ≥ δ 2^-L(h)

    (Langford, 2005; for nets in random subspaces Lotfi et al., "PAC-Bayes compression bounds so
    tight that they can explain generalization", 2022.) The message is a prefix code of everything
    that was chosen with a look at the data: see `docs/certificates.md`. The architecture of a
    module of one's own must have been fixed before, or be one of `among`.

    Args:
        net: the subspace; evaluated in evaluation mode. Its ω must be on a grid, as after a
            training with `levels`, or be that of `file`.
        data: inputs and targets of all n training examples, each once, in batches that can be
            iterated once; with `of`, of a sample of them. The certificate names their bytes, so a
            `DataLoader` that shuffles is read in order, and whole.
        test: the same of test examples, which prove nothing about the bound.
        delta: δ, from above 0 to below 1.
        among: choices that are not in the file, such as the architecture, each by the number of
            possibilities; their logarithms are added to the message.
        prior: says in words how θ0, and whatever else the file holds but ω, was learnt from *other*
            data, as in "trained on images 0 to 29,999"; it is then no part of the message. The
            examples of `data` must not have been among those.
        of: number n of all training examples, if `data` are only some that were drawn at random
            with replacement, after the training. Half of δ pays for the sample, as in Lotfi et
            al., "Non-vacuous generalization bounds for large language models" (2024).
        prepare: makes the net's inputs of those of `data`, whose bytes the certificate names.
        wrong: from outputs and targets, whether each example is wrong; by default the largest
            output is not at the target.
        file: the file that the net was loaded from; by default that which
            `net.save("net.snn", dtype="coded")` writes, or "net.safetensors" where there are other
            tensors.

    Returns:
        The certificate.

    Raises:
        InputError: if an argument is out of range, there are no examples, ω is on no grid, or not
            that of the file; or the message would lack what may have been learnt from the data.

    Example:
        >>> x = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
        >>> data = [(x, (x.sum(1) > 0).long())]
        >>> net = Subspace(torch.nn.Linear(8, 2), dim=2)
        >>> certificate = certify(net, data)
        >>> certificate.n, certificate.bits, certificate.bound > certificate.train_error
        (500, 47, True)
    """
    if not isinstance(net, Subspace):
        raise InputError(f"Expected a Subspace, as sn.load gives, got a {type(net).__name__}.")
    require(number("delta", delta, above=0, below=1), whole("of", of, 1) if of else [])
    saved, content = _content(net, file)
    _check_omega(net, saved)
    _check_decided(net, saved, prior)
    terms = message.terms(saved, among or {}, is_prior=prior is not None)
    bits = sum(terms.values())
    digests = hashlib.sha256(), hashlib.sha256()
    ordered = data if of else _in_order(data)
    count, errors = _count(net, ordered, prepare, wrong, digests)
    sample = None
    log_delta = math.log(delta)
    if of is not None:
        sample, log_delta = {"n": count, "errors": errors}, log_delta - math.log(2)
        errors = math.floor(of * bounds.binomial(errors, count, log_delta))
    n = of or count
    log_share = log_delta - bits * math.log(2)
    found = {name: bound(errors, n, log_share) for name, bound in bounds.BOUNDS.items()}
    tested = None if test is None else _count(net, test, prepare, wrong)
    return Certificate(
        bound=found["binomial"],
        train_error=errors / n,
        test_error=tested[1] / tested[0] if tested else None,
        bits=bits,
        n=n,
        delta=delta,
        errors=errors,
        terms=terms,
        bounds=found,
        among=dict(among or {}),
        prior=prior,
        sample=sample,
        test={"n": tested[0], "errors": tested[1]} if tested else None,
        file={"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)},
        data={"inputs": digests[0].hexdigest(), "targets": digests[1].hexdigest()},
    )


def _content(net: Subspace, file: str | os.PathLike[str] | None) -> tuple[Checkpoint, bytes]:
    """What a file holds, and its bytes."""
    if file is not None:
        return container.read(file, None), Path(file).read_bytes()
    saved = net.to_checkpoint(net.base).rounded(packing.CODED)
    return saved, container.encode(saved, is_compact=saved.tensors.keys() == {"omega"})


def _check_omega(net: Subspace, saved: Checkpoint) -> None:
    """Refuse to certify one ω by the bits of another."""
    apart = float((saved.omega.to(net.omega) - net.omega.detach()).abs().max())
    if apart:
        raise InputError(
            f"The net's ω is not that of the file: they differ by {apart:.3g}. Train with levels, "
            'or certify what load gives of the file that save(path, dtype="coded") wrote.'
        )


def _check_decided(net: Subspace, saved: Checkpoint, prior: str | None) -> None:
    """Refuse a message without what the data may have decided."""
    spec, base = saved.spec, saved.spec.get("base")
    label = spec["projection"]
    known = label in LEARNED or label.partition("/")[0] in KINDS
    missing = [] if base is None else [f"θ0, the weights of {base!r}"]
    missing += [] if known else [f"P ({label})"]
    if missing and prior is None:
        raise InputError(
            f"The file does not hold {' and '.join(missing)}, and the message must have what was "
            "learnt from these data. Save it without a base and with in_file=True; or, if it was "
            "made without these data, say how: prior=…"
        )
    if prior is not None and net.stages > 1 and "stages" not in saved.tensors:
        raise InputError(
            f"prior={prior!r}: earlier stages, which may have seen these data, are in θ0 now. Name "
            "the model that it was, net.base = …: then the message has them."
        )


def _in_order(data: Batches) -> Batches:
    """The examples of a loader that shuffles, in the order of its data set."""
    if not isinstance(data, DataLoader):
        return data
    examples: Any = data.dataset
    match data.sampler:
        case RandomSampler(replacement=False) as sampler if len(sampler) == len(examples):
            pass
        case SubsetRandomSampler() as sampler:
            examples = Subset(examples, sorted(sampler.indices))
        case _:
            return data
    size, workers = data.batch_size, data.num_workers
    return DataLoader(examples, size, collate_fn=data.collate_fn, num_workers=workers)


def _count(
    net: Subspace,
    batches: Batches,
    prepare: Callable[[Any], Any],
    wrong: Callable[[Any, Tensor], Tensor],
    digests: Sequence["hashlib._Hash"] = (),
) -> tuple[int, int]:
    """Examples, and those that are wrong."""
    was_training = net.training
    net.eval()
    count = errors = 0
    try:
        with torch.no_grad():
            for inputs, targets in batches:
                for digest, part in zip(digests, (inputs, targets), strict=False):
                    for tensor in _tensors(part):
                        digest.update(_bytes(tensor))
                missed = wrong(net(prepare(inputs)), targets.to(net.omega.device))
                if missed.shape != targets.shape[:1]:
                    raise InputError(
                        "wrong must say of each example whether it is: expected shape "
                        f"{tuple(targets.shape[:1])}, got {tuple(missed.shape)}."
                    )
                count, errors = count + len(missed), errors + int(missed.sum())
    finally:
        net.train(was_training)
    if not count:
        raise InputError("The data have no example.")
    return count, errors


def _tensors(part: Any) -> Iterator[Tensor]:
    """The tensors of a batch's inputs, in the order of a mapping's names."""
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, Mapping):
        for name in sorted(part):
            yield from _tensors(part[name])
    elif isinstance(part, Sequence) and not isinstance(part, str | bytes):
        for one in part:
            yield from _tensors(one)


def _bytes(tensor: Tensor) -> Any:
    """Row by row, in the tensor's own dtype."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[n], other[n]) for n in one)
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=0, abs_tol=1e-9)
    return type(one) is type(other) and one == other
