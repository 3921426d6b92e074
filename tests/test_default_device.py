"""A default device that the user has set changes nothing: here `meta`, which cannot compute."""

import dataclasses

import pytest
import torch

import subspace_nn
from subspace_nn import Subspace, bits, models
from subspace_nn.bits import normals
from subspace_nn.projections import KINDS, make
from subspace_nn.runs.run import Run, find_task
from subspace_nn.tasks.classifier import fit
from subspace_nn.tasks.data import Split, mnist
from subspace_nn.tasks.optimise import CMAES, LBFGS
from subspace_nn.tasks.recipe import Recipe


@pytest.fixture(autouse=True)
def one_thread():
    """Sums have one order only on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def same_on_meta(compute):
    """Compute twice, and with another default device; returns both results."""
    expected = compute()
    with torch.device("meta"):
        return expected, compute()


@pytest.mark.parametrize("draw", [
    lambda: bits.words(1, "a", 0, 9), lambda: bits.normal(1, "a", 0, 9),
    lambda: bits.signs(1, "a", 0, 9), lambda: bits.uniform(1, "a", 0, 9),
    lambda: bits.permutation(1, "a", 9), lambda: normals.twelve(1, "a", 0, 9),
])  # fmt: skip
def test_bits(draw):
    expected, got = same_on_meta(draw)
    assert got.device.type == "cpu"
    assert torch.equal(got, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_projections(kind):
    options = {"tensors": {"a": 40, "b": 60}} if KINDS[kind].takes_tensors else {}
    dim = 100 if kind == "identity" else 10

    def compute():
        P = make(kind, 100, dim, 3, **options)
        omega, theta = (torch.ones(n, device="cpu") for n in (dim, 100))
        return P.fingerprint(), (P @ omega).tolist(), (P.T @ theta).tolist(), P.dense().tolist()

    expected, got = same_on_meta(compute)
    assert got == expected


def test_theta0_and_checkpoints(tmp_path):
    module = models.build("fc-16")

    def compute():
        net = Subspace(module, 10, seed=3, theta0="seed")
        net.save(tmp_path / "a.safetensors")
        loaded = subspace_nn.load(tmp_path / "a.safetensors")
        origin = {name: tensor.tolist() for name, tensor in loaded.theta0().items()}
        return origin, (tmp_path / "a.safetensors").read_bytes()

    expected, got = same_on_meta(compute)
    assert got == expected


@pytest.mark.parametrize("recipe", [
    Recipe(epochs=1, batch_size=50), LBFGS(1, images=50, iterations=5),
    CMAES(generations=2, images=50),
], ids=lambda recipe: recipe.label)  # fmt: skip
def test_trainings(recipe):
    whole = mnist()
    parts = {
        name: Split(getattr(whole, name).images[:100], getattr(whole, name).labels[:100])
        for name in ("train", "test")
    }
    small, module = dataclasses.replace(whole, **parts), models.build("fc-16")

    def compute():
        net = Subspace(module, 8, seed=3, theta0="seed")
        return fit(net, small, recipe, device="cpu").losses, net.omega.tolist()

    expected, got = same_on_meta(compute)
    assert got == expected


@pytest.mark.parametrize(("name", "arguments"), [
    ("toy", {}), ("mnist-fc", {"model": "fc-16", "batch_size": 30_000}),
    ("mnist-fc-pixels", {"model": "fc-16", "images": 50, "init": "2017"}), ("digits", {}),
    ("cartpole", {"width": 4, "evaluations": 8}),
])  # fmt: skip
def test_tasks(name, arguments):
    def compute():
        run = Run.of(name, {"dim": 4, **arguments, **({"epochs": 1} if "mnist" in name else {})})
        result = dict(find_task(run.task)(**run.arguments))
        result.pop("evaluations", None)  # which hold seconds
        return run.id, result

    expected, got = same_on_meta(compute)
    assert got == expected
