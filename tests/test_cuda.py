"""On a GPU everything is as on a CPU: P, θ0, θ and files to the bit, and each run as the last."""

import json

import pytest
import torch
from torch import nn

import subspace_nn as sn
from benchmarks import gpu, step_time
from subspace_nn import testing
from subspace_nn.common.errors import InputError
from subspace_nn.projections import KINDS, _affine, hashed, kernels, make
from tests.golden_cases import CASES as FILES
from tests.golden_cases import EXPECTED, path_of, summary
from tests.projections.cases import CASES, LARGE, digests

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    # Where the first product of autograd's thread is its first use of the device.
    pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS:UserWarning"),
]
WRITTEN = json.loads(EXPECTED.read_text("utf-8"))


@pytest.fixture(autouse=True, params=["kernels", "plain"])
def way(request, monkeypatch):
    """`hashed`, and what is made of it, by kernels at any size, or in plain torch."""
    monkeypatch.setattr(hashed, "LEAST", 1)
    if request.param == "plain":
        monkeypatch.setattr(kernels, "usable", lambda _: False)
    else:
        assert kernels.usable(torch.empty(0, device="cuda").device)


@pytest.mark.parametrize("case", [*CASES, *LARGE])
def test_products_have_the_bits_of_the_cpu(case):
    P = (CASES | LARGE)[case]()
    here, there = digests(P), digests(P, "cuda")
    assert there == here if P.portable else there == pytest.approx(here, abs=1e-4)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_moves_at_every_size(kind):
    for D, dim in testing.EDGES.values():
        try:
            P = make(kind, D, dim, 7, tensors={"a": D})
        except InputError:  # identity, for one, has one size
            continue
        testing.moves_to_devices(P)


@pytest.mark.parametrize("case", [*CASES, *LARGE])
def test_sums_have_one_order(case):
    P = (CASES | LARGE)[case]()
    g = torch.randn(2, P.D, device="cuda")
    first = P.T @ g
    assert all(torch.equal(P.T @ g, first) for _ in range(5))


@pytest.mark.parametrize("case", list(CASES))
def test_first_and_second_derivatives_and_transforms(case):
    P = CASES[case]()
    omega = torch.randn(P.dim, dtype=torch.float64, device="cuda", requires_grad=True)
    assert torch.autograd.gradcheck(P.__matmul__, omega, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(P.__matmul__, omega, fast_mode=True)
    batch = torch.randn(3, P.dim, dtype=torch.float64, device="cuda")
    by_hand = torch.stack([P @ one for one in batch])
    torch.testing.assert_close(torch.func.vmap(P.__matmul__)(batch), by_hand)
    slopes = torch.func.vmap(torch.func.grad(lambda w: (P @ w).square().sum()))(batch)
    torch.testing.assert_close(slopes, 2 * (P.T @ by_hand))


@pytest.mark.parametrize("case", list(CASES))
def test_autocast_leaves_products_alone(case):
    P = CASES[case]()
    omega, g = torch.randn(P.dim, device="cuda"), torch.randn(P.D, device="cuda")
    forward, back = P @ omega, P.T @ g
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert torch.equal(P @ omega, forward)
        assert torch.equal(P.T @ g, back)


@pytest.mark.parametrize("name", WRITTEN)
def test_golden_files_load_to_the_same_weights(name):
    expected = {key: value for key, value in WRITTEN[name].items() if key != "sha256"}
    if FILES[name].make is None:
        net = FILES[name].load(path_of(name)).to("cuda")
    else:
        net = sn.load(path_of(name), FILES[name].module().to("cuda"))
    assert net.omega.is_cuda
    got = summary(net)
    if isinstance(expected["theta"], list):
        assert got.pop("theta") == pytest.approx(expected.pop("theta"), rel=1e-5, abs=1e-6)
    assert got == expected


@pytest.mark.parametrize("name", WRITTEN)
def test_files_are_those_of_the_cpu(name, tmp_path):
    case, here, there = FILES[name], tmp_path / "cpu.safetensors", tmp_path / "cuda.safetensors"
    case.net().save(here, dtype=case.dtype, base=case.base)
    case.net().to("cuda").save(there, dtype=case.dtype, base=case.base)
    assert here.read_bytes() == there.read_bytes()


@pytest.mark.parametrize("module", [
    nn.Linear(5, 7), nn.Conv2d(3, 4, 3), nn.Embedding(9, 6), nn.LSTM(4, 5),
    nn.MultiheadAttention(8, 2), nn.Bilinear(2, 3, 4), nn.TransformerEncoderLayer(8, 2, 16),
], ids=lambda module: type(module).__name__)  # fmt: skip
def test_theta0_and_theta_of_a_module_there(module):
    here, there = (sn.Subspace(module.to(d), 5, seed=3, theta0="seed") for d in ("cpu", "cuda"))
    assert there.omega.is_cuda
    with torch.no_grad():
        for net in (here, there):
            net.omega.copy_(torch.linspace(-1, 1, 5))
    for one, other in zip(here.theta0().values(), there.theta0().values(), strict=True):
        assert torch.equal(one, other.cpu())
    assert torch.equal(here.theta(), there.theta().cpu())
    merged = there.merge()
    there.unmerge(merged)
    torch.testing.assert_close(there.omega, here.omega.to("cuda"), rtol=0, atol=1e-5)


@pytest.mark.parametrize("memory", ["whole", "layer"])
def test_a_step_in_a_cuda_graph_is_a_step(memory):
    x, y = torch.randn(8, 5, device="cuda"), torch.randint(3, (8,), device="cuda")
    nets, steps = [], []
    for _ in range(2):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)).to("cuda")
        nets.append(sn.Subspace(module, 10, memory=memory))
        steps.append(step_time.training_step(nets[-1], x, y, capturable=True))
    replay = gpu.captured(steps[0])
    for step in range(6):
        steps[1]()
        if step >= 3:  # three were taken to warm up; capturing takes none
            replay()
            assert torch.equal(nets[0].omega, nets[1].omega)


def test_recomputed_needs_a_piece_at_a_time_and_by_kernels_next_to_nothing():
    P, omega = make("hashed:recomputed", 40_000_000, 1000), torch.ones(1000, device="cuda")
    theta = P @ omega
    P.T @ theta
    for product, operand, result in (
        (P.__matmul__, omega, theta.nbytes),
        (P.T.__matmul__, theta, 0),
    ):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        product(operand)
        peak = torch.cuda.max_memory_allocated() - before - result
        assert peak < (theta.nbytes / 50 if P._blocks else 80 * _affine._WIDE_CHUNK)


def test_training_by_command_is_the_same_each_time_and_loads_on_the_cpu(command, tmp_path):
    files = []
    for run in ("one", "two"):
        words = "train --model fc --dim 50 --epochs 1 --device cuda --out"
        assert command(*words.split(), tmp_path / run)[0] == 0
        (file,) = (tmp_path / run).glob("*.safetensors")
        files.append(file.read_bytes())
        code, printed, _ = command("evaluate", file, "--device", "cpu")
        assert code == 0, printed
    assert files[0] == files[1]
