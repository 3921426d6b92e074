"""Stages: seeds and ω's, and nothing else, give the same weights everywhere."""

import copy

import pytest
import safetensors.torch
import torch
from torch import nn

import subspace_nn as sn
from subspace_nn import models
from subspace_nn.common.errors import CheckpointError, InputError
from subspace_nn.format import container
from subspace_nn.projections import Hashed
from tests.modules import CASES


def module():
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 4))


def move(net, seed):
    """As a training would, to some ω."""
    with torch.no_grad():
        net.omega.copy_(torch.randn(net.dim, generator=torch.Generator().manual_seed(seed)))


def staged(given=None, stages=3, **options):
    net = sn.Subspace(module() if given is None else given, dim=7, **options)
    for stage in range(1, stages):
        move(net, stage)
        net.next_stage()
    move(net, stages)
    return net


OPTIONS = {
    "drawn": {},
    "module": {"theta0": "module"},
    "learned scale": {"scale": "learned"},
    "no scale": {"scale": "none"},
    "layerwise": {"projection": "layerwise"},
    "layer by layer": {"memory": "layer"},
    "some tensors": {"include": "*.weight", "exclude": "1"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_file_gives_the_same_net(options, tmp_path):
    net = staged(**options)
    net.save(tmp_path / "net.safetensors")
    again = sn.load(tmp_path / "net.safetensors", module())
    assert torch.equal(again.theta(), net.theta())
    tensors = container.read(tmp_path / "net.safetensors").tensors
    assert sum(t.numel() for t in tensors.values()) == sum(net.stored.values())
    again.save(tmp_path / "again.safetensors")
    same = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("net", "again")]
    assert same[0] == same[1]
    plain = net.merge().eval()
    x = torch.ones(3, 6)
    assert torch.equal(plain(x), again(x))


def test_drawn_stages_hold_seeds_and_omegas_only(tmp_path):
    net = staged(models.build("conv"))
    net.save(tmp_path / "net.safetensors")
    again = sn.load(tmp_path / "net.safetensors")
    assert (again.stages, again.stored) == (3, {"omega": 7, "stages": 14})
    assert torch.equal(again.theta(), net.theta())


def test_a_base_is_named_and_led_on(tmp_path):
    base = module()
    net = staged(base, theta0="module")
    net.save(tmp_path / "net.safetensors", base="mine")
    tensors = safetensors.torch.load_file(tmp_path / "net.safetensors")
    assert {n for n in tensors if not n.startswith("module.1.")} == {"omega", "stages"}
    again = sn.load(tmp_path / "net.safetensors", base)
    assert torch.equal(again.theta(), net.theta())
    with torch.no_grad():
        base[0].weight[0, 0] += 1e-3
    with pytest.raises(CheckpointError, match="another θ0"):
        sn.load(tmp_path / "net.safetensors", base)


def test_the_sum_is_the_one_of_the_formula():
    net = sn.Subspace(module().double(), dim=7, theta0="seed", seed=3)
    expected = net.theta().detach()
    for seed in (3, 4, 9):
        if seed != 3:
            net.next_stage(seed)
        move(net, seed)
        P = Hashed(net.D, 7, seed)
        sizes = torch.tensor([entry.numel for entry in net.layout.entries])
        steps = torch.tensor([*net.steps.values()], dtype=torch.float64).repeat_interleave(sizes)
        expected = expected + steps * (P @ net.omega.detach())
    torch.testing.assert_close(net.theta(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", ["tied weights", "lstm", "attention", "weight norm"])
def test_the_function_and_the_gradient_go_on(case):
    net = sn.Subspace(CASES[case].make(), dim=7)
    move(net, 1)
    before, omega = net.theta().detach(), net.omega
    net.next_stage()
    assert net.omega is omega
    assert torch.equal(net.theta(), before)
    net.theta().square().sum().backward()
    assert omega.grad.abs().sum() > 0


@pytest.mark.parametrize("theta0", ["seed", "module"])
def test_inference_sees_the_new_stage(theta0):
    net = sn.Subspace(module(), dim=7, theta0=theta0).eval()
    x = torch.ones(2, 6)
    with torch.no_grad():
        move(net, 1)
        before = net(x)
        net.next_stage()
        assert torch.equal(net(x), before)
        move(net, 2)
        assert not torch.equal(net(x), before)


def test_a_module_that_was_not_copied_is_as_it_was():
    own = module()
    before = {n: p.detach().clone() for n, p in own.named_parameters()}
    net = staged(own, theta0="module", copy=False)
    net.to(torch.float64)
    assert net.release() is own
    for name, parameter in own.named_parameters():
        assert torch.equal(parameter, before[name].double()), name


def test_a_cast_draws_all_stages_again(tmp_path):
    net = staged()
    net.double()
    net.save(tmp_path / "net.safetensors")
    again = sn.load(tmp_path / "net.safetensors", module().double())
    assert torch.equal(again.theta(), net.theta())
    other = staged(theta0="module").double()
    with pytest.raises(InputError, match="dtype of the weights was changed"):
        other.save(tmp_path / "net.safetensors", base="mine")
    other.save(tmp_path / "net.safetensors")
    assert torch.equal(
        sn.load(tmp_path / "net.safetensors", module().double()).theta(), other.theta()
    )


def test_what_the_number_of_threads_decides_is_led_from_no_base(tmp_path):
    path, base = tmp_path / "net.safetensors", module().double()
    net = staged(base, theta0="module")
    with pytest.raises(InputError, match="another number of threads"):
        net.save(path, base="mine")
    net.save(path)
    assert torch.equal(sn.load(path, base).theta(), net.theta())


@pytest.mark.parametrize("theta0", ["seed", "module"])
@pytest.mark.parametrize("last", [None, torch.float16, torch.float64])
@pytest.mark.parametrize("first", [torch.float16, torch.bfloat16, torch.float64])
def test_a_cast_of_omega_between_stages_is_no_writing_to_theta0(first, last, theta0, tmp_path):
    path, given = tmp_path / "net.safetensors", module().to(first)
    net = sn.Subspace(module(), dim=7, theta0=theta0).to(first)
    move(net, 1)
    net.next_stage()
    move(net, 2)
    if theta0 == "module" and first != torch.float64:  # the base leads to it
        net.save(path, base="mine")
        assert torch.equal(sn.load(path, given).theta(), net.theta())
    net.to(last or first)
    net.next_stage()
    move(net, 3)
    net.save(path)
    assert torch.equal(sn.load(path, module().to(last or first)).theta(), net.theta())


@pytest.mark.parametrize("memory", ["whole", "layer"])
@pytest.mark.parametrize("theta0", ["seed", "module"])
def test_a_stage_that_begins_in_inference_mode_trains(theta0, memory, tmp_path):
    net = sn.Subspace(module(), dim=7, theta0=theta0, memory=memory)
    move(net, 1)
    with torch.inference_mode():
        net.next_stage()
    net(torch.ones(3, 6)).square().sum().backward()
    assert net.omega.grad.abs().sum() > 0
    net.save(tmp_path / "net.safetensors")
    assert torch.equal(copy.deepcopy(net).theta(), net.theta())


@pytest.mark.parametrize("theta0", ["seed", "module"])
def test_weights_that_overflow_end_no_stage(theta0):
    net = sn.Subspace(module().half(), dim=7, theta0=theta0)
    with torch.no_grad():
        net.omega.fill_(1e6)
    before = net.projection
    with pytest.raises(InputError, match=r"θ is not finite: 0\.weight"):
        net.next_stage()
    assert net.stages == 1
    assert net.projection is before


def test_gradients_of_another_p_are_forgotten():
    net = sn.Subspace(module(), dim=7)
    net.theta().sum().backward()
    net.next_stage()
    assert net.omega.grad is None


def test_copies_go_their_own_ways():
    net = staged()
    twin = copy.deepcopy(net)
    twin.next_stage()
    assert (net.stages, twin.stages) == (3, 4)
    assert torch.equal(net.theta(), twin.theta())


def test_a_state_of_another_stage_is_refused():
    net = staged(stages=2)
    state = copy.deepcopy(net.state_dict())
    net.load_state_dict(state)
    net.next_stage()
    with pytest.raises(RuntimeError, match="another seed, projection, scale, stage"):
        net.load_state_dict(state)


def test_a_state_fits_a_file_after_a_cast(tmp_path):
    net = staged().double()
    net.save(tmp_path / "net.safetensors")
    again = sn.load(tmp_path / "net.safetensors", module().double())
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.theta(), net.theta())


def test_adapters_of_a_staged_net(tmp_path):
    net = staged(stages=2)
    net.save(tmp_path / "a.safetensors")
    net.load_adapter("a", tmp_path / "a.safetensors")
    with net.adapter("a"):
        assert torch.equal(net.theta(), sn.load(tmp_path / "a.safetensors", module()).theta())
    with pytest.raises(CheckpointError, match="seeds of later stages"):
        sn.Subspace(module(), dim=7).load_adapter("a", tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="adapters"):
        net.next_stage()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"projection": "gaussian"}, "not the same everywhere"),
        ({"projection": "orthonormal"}, "not the same everywhere"),
        ({"projection": Hashed(66, 7)}, "by its name"),
    ],
)
def test_what_has_no_next_stage(options, message):
    net = sn.Subspace(nn.Linear(10, 6), dim=7, **options)
    with pytest.raises(InputError, match=message):
        net.next_stage()
    assert net.stages == 1


def test_theta0_that_was_written_to_is_noticed(tmp_path):
    net = staged()
    next(iter(net._theta.origin.values())).data.add_(1)
    with pytest.raises(InputError, match="written to"):
        net.save(tmp_path / "net.safetensors")


def forged(path, **fields):
    """A file with other fields and tensors, and the right digest."""
    saved = container.read(path)
    tensors = {**saved.tensors, **fields.pop("tensors", {})}
    spec = {k: v for k, v in {**saved.spec, **fields}.items() if v is not None}
    return container.Checkpoint(spec, {n: t for n, t in tensors.items() if t is not None})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stages": [1]}, "tensor 'stages'"),
        ({"stages": []}, "must have 1 to"),
        ({"stages": [1, -1]}, "seeds from 0"),
        ({"stages": [1, True]}, "seeds from 0"),
        ({"stages": [1] * 5000}, "must have 1 to 4,095 seeds"),
        ({"stages": None}, "tensor 'stages': expected none"),
        ({"tensors": {"stages": None}}, "got none"),
        ({"tensors": {"stages": torch.zeros(2, 8)}}, "tensor 'stages'"),
        ({"tensors": {"stages": torch.zeros(2, 7, dtype=torch.int64)}}, "tensor 'stages'"),
        ({"tensors": {"projection.matrix": torch.zeros(2, 7)}}, "projection.matrix"),
    ],
)
def test_what_no_writer_writes_is_refused(fields, message, tmp_path):
    path = tmp_path / "net.safetensors"
    staged().save(path)
    with pytest.raises(InputError, match=message):
        container.encode(forged(path, **fields))


@pytest.mark.parametrize(
    "fields", [{"stages": [1, 3]}, {"tensors": {"stages": torch.full((2, 7), torch.inf)}},
               {"tensors": {"stages": torch.zeros(2, 7)}}],
)  # fmt: skip
def test_other_stages_than_were_saved_are_refused(fields, tmp_path):
    path = tmp_path / "net.safetensors"
    staged().save(path)
    path.write_bytes(container.encode(forged(path, **fields)))
    with pytest.raises(CheckpointError, match=r"another (θ0|P|sketch)|not finite"):
        sn.load(path, module())


def test_many_stages_of_a_stranger_count(tmp_path):
    path = tmp_path / "net.safetensors"
    net = staged()
    net.save(path)
    with pytest.raises(CheckpointError, match="max_entries"):
        sn.load(path, module(), max_entries=net.D)
    assert sn.load(path, module(), max_entries=2 * net.D).stages == 3
