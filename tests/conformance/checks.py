"""What must hold for every module in a subspace: the columns of the conformance table.

A check takes a `Row`, returns nothing, and raises AssertionError where the property does not hold.
It raises `Nothing` where the module has nothing of the kind, and `Plain` where the plain module
cannot do the thing either.
"""

import asyncio
import contextlib
import copy
import itertools
import operator
import pickle
import tempfile
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from typing import Any

import torch
import torch.distributed as dist
import transformers as hf
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

import subspace_nn as sn
from subspace_nn.format import container
from subspace_nn.subspace.copies import state
from subspace_nn.subspace.saving import folded
from tests.conformance.rows import Row


class Nothing(Exception):  # noqa: N818  # no error
    """The module has nothing that the property is about."""


class Plain(Exception):  # noqa: N818
    """The plain module cannot do it either."""


# What checks are made of


def wrap(row: Row, dtype: torch.dtype = torch.float32, *, move: bool = True, **options: Any):
    """The module and its subspace; away from ω = 0 if `move`."""
    module = row.build(dtype)
    total = sum(p.numel() for p in module.parameters() if p.requires_grad)
    options = {"dim": min(16, total // 2), "theta0": "module", **options}
    net = sn.Subspace(module, **options)
    if move:
        with torch.no_grad():
            start = torch.randn(net.dim, generator=torch.Generator().manual_seed(2))
            net.omega.add_(0.3 * start)
    return module, net


def run(module: Callable[..., Any], row: Row, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """All floating-point tensors of the output, with the same random numbers in every call."""
    args, kwargs = row.inputs(dtype)
    torch.manual_seed(3)
    return list(leaves(module(*args, **kwargs)))


def leaves(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from leaves(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from leaves(value)
    elif is_dataclass(output):
        for field in fields(output):
            yield from leaves(getattr(output, field.name))


def loss(outputs: list[Tensor]) -> Tensor:
    """Weighted sums of squares: without weights those of a norm's output would not change."""
    return torch.stack([
        torch.arange(t.numel()).double().cos().dot((t.double().flatten() + 0.3) ** 2)
        for t in outputs
    ]).sum()  # fmt: skip


def gradient(module: nn.Module, row: Row, dtype: torch.dtype, of: list[Tensor]) -> list[Tensor]:
    value = loss(run(module, row, dtype))
    grads = torch.autograd.grad(value, of, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(of, grads, strict=True)]


def same(one: list[Tensor], other: list[Tensor]) -> None:
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))
        assert torch.equal(a.isnan(), b.isnan())


def close(one: Tensor, other: Tensor, tolerance: float) -> None:
    one, other = one.detach(), other.detach()
    assert float((one - other).norm()) <= tolerance * float(other.norm())
    assert other.any()


@contextlib.contextmanager
def plain_can() -> Iterator[None]:
    """What the plain module is asked first."""
    try:
        yield
    except Exception as error:
        text = str(error).partition("\n")[0].replace("`", "'")
        raise Plain(
            textwrap.shorten(f"{type(error).__name__}: {text}", 110, placeholder=" …")
        ) from error


def identities(module: nn.Module) -> list[list[str]]:
    """The names of each parameter, those that lead to one tensor together."""
    names: dict[int, list[str]] = {}
    for name, p in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(p), []).append(name)
    return sorted(names.values())


def step(net: nn.Module, row: Row) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    loss(run(net, row)).backward()
    optimizer.step()


# The properties, in the order of the table


def starts_as_the_module(row: Row) -> None:
    """With ω = 0 the same outputs, bit for bit, in training and in evaluation."""
    module, net = wrap(row, move=False)
    for training in (True, False):
        module.train(training)
        net.train(training)
        same(run(net, row), run(module, row))
    own = dict(module.named_parameters())
    flat = torch.cat([own[e.name].flatten() for e in net.layout.entries])
    assert torch.equal(net.theta(), flat)


def gradient_is_the_adjoint(row: Row) -> None:
    """∂/∂ω = Pᵀ (σ √(D/d) ⊙ ∂/∂θ), to 1e-12 of its length, in float64."""
    module, net = wrap(row, torch.float64, move=False)
    own = dict(module.named_parameters())
    theta = [own[e.name] for e in net.layout.entries]
    for training in (True, False):
        module.train(training)
        net.train(training)
        grads = gradient(module, row, torch.float64, theta)
        scaled = {
            e.name: g * net.steps[e.name] for e, g in zip(net.layout.entries, grads, strict=True)
        }
        expected = net.projection.T @ net.layout.flatten(scaled)
        (got,) = gradient(net, row, torch.float64, [net.omega])
        close(got, expected, 1e-12)


def train_and_eval(row: Row) -> None:
    """They reach every submodule; dropout drops in training alone."""
    _, net = wrap(row)
    net.eval()
    assert not any(m.training for m in net.modules())
    args, kwargs = row.inputs()
    with torch.no_grad():
        same(list(leaves(net(*args, **kwargs))), list(leaves(net(*args, **kwargs))))
    net.train()
    assert all(m.training for m in net.modules())
    drops = [m for m in net.modules() if isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0]
    if drops:
        a, b = (torch.cat([t.flatten() for t in leaves(net(*args, **kwargs))]) for _ in range(2))
        assert not torch.equal(a, b)


def buffers(row: Row) -> None:
    """Statistics are updated as in the plain module, and saved where it saves them."""
    module, net = wrap(row, move=False)
    if not list(module.named_buffers()):
        raise Nothing
    for training in (True, True, False):
        module.train(training)
        net.train(training)
        run(module, row)
        run(net, row)
    inside = dict(net.module.named_buffers())
    for name, buffer in module.named_buffers():
        assert torch.equal(inside[name], buffer), name
    saved = {f"module.{n}" for n, _ in module.named_buffers() if n in module.state_dict()}
    assert saved <= set(net.state_dict())


def ties(row: Row) -> None:
    """What is one tensor under several names stays one, and counts once."""
    module, net = wrap(row)
    unique = [p for p in module.parameters() if p.requires_grad]
    assert sum(p.numel() for p in unique) == net.D
    if all(len(names) == 1 for names in identities(module)):
        raise Nothing
    assert identities(net.merge()) == identities(module)


def frozen(row: Row) -> None:
    """Parameters with requires_grad=False stay out of D and as they are."""
    module = row.build()
    parameters = list(module.parameters())
    if len(parameters) < 2:
        raise Nothing
    parameters[0].requires_grad = False
    net = sn.Subspace(module, 1, theta0="module")
    assert sum(p.numel() for p in parameters if p.requires_grad) == net.D
    step(net, row)
    first = next(net.merge().parameters())
    assert torch.equal(first, parameters[0])
    assert not first.requires_grad


def patterns(row: Row) -> None:
    """`exclude` holds parameters, `train` trains them with ω, by their own gradient."""
    module = row.build(torch.float64).eval()
    names = [
        names[0] for names in identities(module) if module.get_parameter(names[0]).requires_grad
    ]
    if len(names) < 3:
        raise Nothing
    held, extra = names[0], names[1]
    net = sn.Subspace(module, 1, theta0="module", exclude=held, train=extra)
    out = module.get_parameter(held).numel() + module.get_parameter(extra).numel()
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == net.D + out
    free = [n for n, p in net.named_parameters() if p.requires_grad]
    assert sorted(free) == sorted(["module.subspace_omega", f"module.{extra}"])
    plain = gradient(module, row, torch.float64, [module.get_parameter(extra)])
    same(gradient(net, row, torch.float64, [net.module.get_parameter(extra)]), plain)


def _in_dtype(dtype: torch.dtype) -> Callable[[Row], None]:
    def check(row: Row) -> None:
        module, net = wrap(row, dtype, move=False)
        with plain_can():
            expected = run(module, row, dtype)
            loss(expected).backward()
        got = run(net, row, dtype)
        same(got, expected)
        loss(got).backward()
        assert net.omega.dtype == torch.float32
        assert net.omega.grad.isfinite().all()
        assert net.omega.grad.any()

    check.__doc__ = f"A module in {str(dtype)[6:]} computes and differentiates as the plain one."
    return check


def autocast(row: Row) -> None:
    """Under torch.autocast the same as the plain module, with a gradient."""
    module, net = wrap(row, move=False)
    with torch.autocast("cpu", torch.bfloat16):
        with plain_can():
            expected = run(module, row)
            loss(expected).backward()
        got = run(net, row)
    same(got, expected)
    loss(got).backward()
    assert net.omega.grad.dtype == torch.float32
    assert net.omega.grad.any()


def accumulation_and_clipping(row: Row) -> None:
    """Gradients add up over backward passes, and clip by their norm."""
    _, net = wrap(row, torch.float64)
    net.eval()
    (once,) = gradient(net, row, torch.float64, [net.omega])
    for _ in range(2):
        loss(run(net, row, torch.float64)).backward()
    close(net.omega.grad, 2 * once, 1e-13)
    norm = torch.nn.utils.clip_grad_norm_(net.parameters(), float(once.norm()))
    close(norm, 2 * once.norm(), 1e-13)
    close(net.omega.grad, once, 1e-3)  # clipping divides by the norm plus 1e-6


class _Checkpointed(nn.Module):
    """Computes its inner module once more in the backward pass."""

    def __init__(self, inner: nn.Module, *, reentrant: bool) -> None:
        super().__init__()
        self.inner = inner
        self.reentrant = reentrant

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        # The reentrant form differentiates only if an input asks for it, and takes no keywords.
        asks = torch.zeros((), requires_grad=True)
        call = lambda _: self.inner(*args, **kwargs)  # noqa: E731
        return checkpoint(call, asks, use_reentrant=self.reentrant)


def checkpointing(row: Row) -> None:
    """Activation checkpointing inside of the module, and around the subspace: same gradients."""
    module, net = wrap(row, torch.float64)
    (expected,) = gradient(net.eval(), row, torch.float64, [net.omega])
    options = {"dim": net.dim, "theta0": "module"}
    inside = [
        sn.Subspace(_Checkpointed(module, reentrant=reentrant), **options)
        for reentrant in (False, True)
    ]
    for twin in inside:
        with torch.no_grad():
            twin.omega.copy_(net.omega)
        twin.eval()
    for outer, omega in (
        (inside[0], inside[0].omega),
        (_Checkpointed(net, reentrant=False), net.omega),
        (inside[1], inside[1].omega),
    ):
        omega.grad = None
        outputs = run(outer, row, torch.float64)
        if outer is inside[1] and not any(t.requires_grad for t in outputs):
            continue  # the reentrant form does not look into lists and dictionaries
        loss(outputs).backward()
        close(omega.grad, expected, 1e-12)


def copies(row: Row) -> None:
    """deepcopy and pickle, after a training step: equal and independent."""
    module, net = wrap(row)
    step(net, row)
    net.eval()
    expected = run(net, row)
    twins = [copy.deepcopy(net)]
    with contextlib.suppress(Plain), plain_can():
        pickle.dumps(module)
        twins.append(pickle.loads(pickle.dumps(net)))
    for twin in twins:
        same(run(twin, row), expected)
        with torch.no_grad():
            twin.omega.zero_()
        same(run(net, row), expected)
    with plain_can():
        pickle.dumps(module)


def state_dict(row: Row) -> None:
    """It holds ω, buffers and what is not in θ, no more, and loads into another subspace."""
    module, net = wrap(row)
    step(net, row)
    trained = {n for n, p in module.named_parameters(remove_duplicate=False) if p.requires_grad}
    held = net.state_dict()
    own = {"module.subspace_omega", "module.subspace_recipe"}
    assert set(held) == own | {f"module.{n}" for n in module.state_dict() if n not in trained}
    _, other = wrap(row, move=False)
    other.load_state_dict(held)
    # A buffer that is not saved is not in it either.
    for name, buffer in net.module.named_buffers():
        if f"module.{name}" not in held:
            other.module.get_buffer(name).copy_(buffer)
    same(run(other.eval(), row), run(net.eval(), row))


def merge_and_unmerge(row: Row) -> None:
    """A merge is a plain module with the same outputs; unmerge finds ω again."""
    module, net = wrap(row, torch.float64)
    plain = net.merge()
    assert type(plain) is type(module)
    assert list(plain.state_dict()) == list(module.state_dict())
    flags = {n: p.requires_grad for n, p in module.named_parameters()}
    assert {n: p.requires_grad for n, p in plain.named_parameters()} == flags
    same(run(plain.eval(), row, torch.float64), run(net.eval(), row, torch.float64))
    twin = copy.deepcopy(net)
    with torch.no_grad():
        twin.omega.zero_()
    twin.unmerge(plain)
    close(twin.omega, net.omega, 1e-12)


def methods(row: Row) -> None:
    """Methods other than forward run with the weights θ(ω), generate of language models too."""
    if not row.methods:
        raise Nothing
    _, net = wrap(row)
    net.eval()
    plain = net.merge()
    for name, arguments in row.methods.items():
        _, kwargs = Row(row.make, kwargs=arguments).inputs()
        expected = getattr(plain.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2])(
            **kwargs
        )
        assert torch.equal(operator.attrgetter(name)(net)(**kwargs), expected)


def optimisers(row: Row) -> None:
    """Adam and LBFGS lower the loss."""
    for make in (
        lambda p: torch.optim.Adam(p, lr=0.01),
        lambda p: torch.optim.LBFGS(p, max_iter=4, line_search_fn="strong_wolfe"),
    ):
        _, net = wrap(row, torch.float64)
        net.eval()
        optimizer = make(net.parameters())

        def closure(net=net, optimizer=optimizer):
            optimizer.zero_grad()
            value = loss(run(net, row, torch.float64))
            value.backward()
            return value

        before = closure().item()
        for _ in range(3):
            optimizer.step(closure)
        assert closure().item() < before


def functional(row: Row) -> None:
    """torch.func: grad, and vmap over several ω."""
    module, net = wrap(row, torch.float64)
    net.eval()
    args, kwargs = row.inputs(torch.float64)

    def value(omega: Tensor) -> Tensor:
        return loss(list(leaves(torch.func.functional_call(net, {"omega": omega}, args, kwargs))))

    (expected,) = gradient(net, row, torch.float64, [net.omega])
    close(torch.func.grad(value)(net.omega.detach()), expected, 1e-12)
    points = torch.stack([net.omega.detach(), torch.zeros_like(net.omega)])
    with plain_can():
        module.eval()
        stacked, held = torch.func.stack_module_state([copy.deepcopy(module)] * 2)
        torch.func.vmap(
            lambda p, b: loss(
                list(leaves(torch.func.functional_call(module, (p, b), args, kwargs)))
            )
        )(stacked, held)
    together = torch.func.vmap(value)(points)
    close(together, torch.stack([value(point) for point in points]), 1e-6)


def data_parallel(row: Row) -> None:
    """DistributedDataParallel sends ω's gradient and nothing else."""
    _, net = wrap(row, torch.float64)
    net.eval()
    (expected,) = gradient(net, row, torch.float64, [net.omega])
    sent = []

    def hook(_: Any, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
        sent.append(bucket.buffer().numel())
        future = torch.futures.Future()
        future.set_result(bucket.buffer())
        return future

    if not dist.is_initialized():  # once: to end a group and begin another can deadlock
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    twin = copy.deepcopy(net)
    parallel = DistributedDataParallel(twin)
    parallel.register_comm_hook(None, hook)
    loss(run(parallel, row, torch.float64)).backward()
    assert sum(sent) == net.dim
    close(twin.omega.grad, expected, 1e-12)


def compiled(row: Row) -> None:
    """torch.compile: the module becomes graphs, with the same outputs and gradients."""
    module, net = wrap(row)
    net.eval()
    graphs = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's, about its own work
        with plain_can():
            run(torch.compile(module.eval(), backend=backend), row)
        graphs.clear()
        expected = run(net, row)
        got = run(torch.compile(net, backend=backend), row)
    assert graphs
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b)
    (one,), (other,) = (
        torch.autograd.grad(loss(outputs), [net.omega]) for outputs in (got, expected)
    )
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def one_layer_at_a_time(row: Row) -> None:
    """memory="layer": the same outputs to the bit, gradients to 1e-12 in float64."""
    nets = [wrap(row, torch.float64, memory=memory)[1] for memory in ("whole", "layer")]
    for training in (True, False):
        slopes = []
        for net in nets:
            net.train(training)
            slopes += gradient(net, row, torch.float64, [net.omega])
        close(slopes[1], slopes[0], 1e-12)
        with torch.no_grad():
            same(run(nets[1], row, torch.float64), run(nets[0], row, torch.float64))


def readers(row: Row) -> None:
    """A generator and a coroutine that run the module, or read a weight of a part, meet θ(ω)."""
    _, net = wrap(row)
    plain = net.eval().merge()

    def generator() -> Iterator[list[Tensor]]:
        for _ in range(2):
            yield run(net.module, row)

    async def coroutine() -> list[Tensor]:
        await asyncio.sleep(0)
        return run(net.module, row)

    async def together() -> list[list[Tensor]]:
        return await asyncio.gather(coroutine(), coroutine())

    expected = run(plain, row)
    for outputs in (*generator(), *asyncio.run(together())):
        same(outputs, expected)
    for entry in net.layout.entries:
        path, _, name = entry.name.rpartition(".")
        assert torch.equal(
            getattr(net.module.get_submodule(path), name), plain.get_parameter(entry.name)
        )


def threads(row: Row) -> None:
    """8 threads of 200 calls, with gradients and without, while one of them saves: all right."""
    _, net = wrap(row)
    net.eval()
    args, kwargs = row.inputs()

    def outputs(*, grad: bool) -> list[Tensor]:
        with torch.set_grad_enabled(grad):
            return list(leaves(net(*args, **kwargs)))

    expected = {grad: [t.detach() for t in outputs(grad=grad)] for grad in (True, False)}
    (slope,) = torch.autograd.grad(loss(outputs(grad=True)), net.omega)
    saved = _file(net)

    def work(number: int) -> None:
        for call in range(200):
            grad = call % 10 == 0
            got = outputs(grad=grad)
            same([t.detach() for t in got], expected[grad])
            if grad:
                close(torch.autograd.grad(loss(got), net.omega)[0], slope, 1e-4)
            if number == 0 and call % 50 == 0:
                assert _file(net) == saved

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def _file(net: sn.Subspace) -> bytes | None:
    """The bytes of a checkpoint; None if the module cannot be saved as it is."""
    try:
        return container.encode(net.to_checkpoint())
    except sn.InputError:
        return None


def averages(row: Row) -> None:
    """AveragedModel, with equal and with falling weights, averages ω and leaves θ0 alone."""
    _, net = wrap(row, move=False)
    decay = torch.optim.swa_utils.get_ema_avg_fn(0.9)
    for averaged in (
        torch.optim.swa_utils.AveragedModel(net),
        torch.optim.swa_utils.AveragedModel(net, avg_fn=decay),
    ):
        for value in (0.1, 0.3):
            with torch.no_grad():
                net.omega.fill_(value)
            averaged.update_parameters(net)
        twin = averaged.module
        for name, tensor in net.theta0().items():
            assert torch.equal(twin.theta0()[name], tensor)
        assert 0.1 < twin.omega.detach()[0].item() < 0.3
        with torch.no_grad():
            net.omega.copy_(twin.omega)
        # PyTorch averages frozen parameters, too, which moves them by a rounding.
        torch.testing.assert_close(run(twin.eval(), row), run(net.eval(), row))
        net.train()


def own_object(row: Row) -> None:
    """copy=False takes the very module; release gives it back as it was."""
    module, twin = row.build(), row.build()
    kinds = [type(part) for part in module.modules()]
    facts = [(n, id(p), p.requires_grad) for n, p in module.named_parameters()]
    net = sn.Subspace(module, 1, theta0="module", copy=False)
    with torch.no_grad():
        net.omega.fill_(0.5)
    module.eval()
    same(run(module, row), run(net.merge(), row))
    module.train()
    assert net.release() is module
    assert [type(part) for part in module.modules()] == kinds
    assert [(n, id(p), p.requires_grad) for n, p in module.named_parameters()] == facts
    for name, tensor in twin.named_parameters():
        if tensor.requires_grad:
            assert torch.equal(module.get_parameter(name), tensor)
        torch.testing.assert_close(module.get_parameter(name), tensor)  # folded, and unfolded


def adapters(row: Row) -> None:
    """Two adapters train and compute as subspaces of their own; layers that fold are refused."""
    _, net = wrap(row, move=False)
    if folded(net.module, mode=False):
        try:
            net.add_adapter("a")
        except sn.InputError:
            raise Nothing from None
        raise AssertionError
    base, own = run(net.eval(), row), {name: copy.deepcopy(net) for name in "ab"}
    for steps, (name, alone) in enumerate(own.items(), 1):
        net.add_adapter(name)
        net.set_adapter(name)
        for buffer, tensor in alone.module.named_buffers():
            if buffer not in state(alone.module):  # all adapters share what is not saved
                net.module.get_buffer(buffer).copy_(tensor)
        for each in (net, alone):
            each.train()
            for _ in range(steps):
                step(each, row)
    net.set_adapter(None)
    net.eval()
    for name, alone in own.items():
        with net.adapter(name):
            same(run(net, row), run(alone.eval(), row))
            same(run(net.merge(), row), run(net, row))
    same(run(net, row), base)


def hooks(row: Row) -> None:
    """Hooks that rename and drop what state_dict holds change nothing in a checkpoint."""
    _, net = wrap(row)
    step(net, row)

    def spoil(_: nn.Module, values: dict[str, Tensor], *__: Any) -> None:
        for number, name in enumerate([*values]):
            value = values.pop(name)
            if number % 2:
                values[f"other.{name}"] = value

    net.module._register_state_dict_hook(spoil)
    with tempfile.TemporaryDirectory() as folder:
        net.save(f"{folder}/net")
        again = sn.load(f"{folder}/net", row.build())
    # A buffer that is not saved is not in it either.
    held = state(net.module)
    for name, buffer in net.module.named_buffers():
        if name not in held:
            again.module.get_buffer(name).copy_(buffer)
    same(run(again, row), run(net.eval(), row))


def trainer(row: Row) -> None:
    """The Trainer of transformers trains, evaluates, saves and resumes the live module."""
    if "labels" not in row.kwargs:
        raise Nothing
    examples = [{n: v[i] for n, v in row.kwargs.items()} for i in (0, 1)] * 4
    with tempfile.TemporaryDirectory() as folder:
        options = {"max_steps": 4, "save_steps": 2, "report_to": [], "learning_rate": 1e-2}

        def train(**resume: Any) -> sn.Subspace:
            _, net = wrap(row, move=False)
            arguments = hf.TrainingArguments(folder, disable_tqdm=True, use_cpu=True, **options)
            hf.Trainer(net.module, arguments, train_dataset=examples).train(**resume)
            return net

        net = train()
        again = train(resume_from_checkpoint=f"{folder}/checkpoint-2")
    assert net.omega.any()
    assert torch.equal(net.omega, again.omega)


def unchanged(row: Row) -> None:
    """Wrapping, training, merging and saving leave the module that was given as it was."""
    module = row.build()
    before = copy.deepcopy(module.state_dict())
    facts = [(n, p.requires_grad, id(p)) for n, p in module.named_parameters()]
    modes = [m.training for m in module.modules()]
    names = sorted(itertools.chain.from_iterable(vars(m) for m in module.modules()))
    net = sn.Subspace(module, 1)
    step(net, row)
    net.eval()
    net.merge()
    after = module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert [(n, p.requires_grad, id(p)) for n, p in module.named_parameters()] == facts
    assert all(p.grad is None for p in module.parameters())
    assert [m.training for m in module.modules()] == modes
    assert sorted(itertools.chain.from_iterable(vars(m) for m in module.modules())) == names


#: The columns: a short name, and the check.
CHECKS: dict[str, Callable[[Row], None]] = {
    "ω = 0": starts_as_the_module,
    "gradient": gradient_is_the_adjoint,
    "train, eval": train_and_eval,
    "buffers": buffers,
    "ties": ties,
    "frozen": frozen,
    "patterns": patterns,
    "float16": _in_dtype(torch.float16),
    "bfloat16": _in_dtype(torch.bfloat16),
    "autocast": autocast,
    "accumulate, clip": accumulation_and_clipping,
    "checkpointing": checkpointing,
    "copy, pickle": copies,
    "state_dict": state_dict,
    "merge, unmerge": merge_and_unmerge,
    "methods": methods,
    "optimisers": optimisers,
    "torch.func": functional,
    "DDP": data_parallel,
    "unchanged": unchanged,
    "one layer": one_layer_at_a_time,
    "generator, coroutine": readers,
    "averages": averages,
    "copy=False": own_object,
    "adapters": adapters,
    "hooks": hooks,
}

#: Columns that take minutes: `python -m tests.conformance.table` checks them.
SLOW: dict[str, Callable[[Row], None]] = {
    "torch.compile": compiled, "threads": threads, "Trainer": trainer,
}  # fmt: skip
