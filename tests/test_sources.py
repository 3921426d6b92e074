"""Where a subspace comes from: what the directions are, and that files hold them if asked."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import subspace_nn as sn
from subspace_nn import bits, sources
from subspace_nn.common.errors import CheckpointError, InputError
from subspace_nn.format import container
from subspace_nn.projections import Dense, Hashed


def full(module=None):
    net = sn.Subspace(module or nn.Linear(5, 3), dim=18, projection="identity")
    with torch.no_grad():
        net.omega.copy_(bits.normal(1, "test", 0, 18))
    return net


def rows(count, D, seed=0):
    return bits.normal(seed, "test/rows", 0, count * D).view(count, D).float()


def share(P, vectors):
    """Part of the vectors' squares that lies in the subspace."""
    inside = vectors @ P.dense(torch.float32)
    return float(inside.square().sum() / vectors.square().sum())


@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_stream_of_a_few_dimensions_is_kept_whole(count, dim, seed):
    vectors = rows(count, dim, seed) @ rows(dim, 50, seed + 1)
    if count < dim:
        with pytest.raises(InputError, match=f"at least {dim} independent directions"):
            sources.trajectory(vectors, dim)
        return
    P = sources.trajectory(vectors, dim)
    assert share(P, vectors) > 1 - 1e-4


def test_the_leading_directions_are_nearly_those_of_all_vectors_at_once():
    # Sizes that fall off, as those of a training do
    vectors = rows(300, 40) * torch.arange(1, 41).float() ** -1 @ rows(40, 200, 1)
    best = torch.linalg.svd(vectors, full_matrices=False)[2][:5].T.contiguous()
    most = share(Dense(best), vectors)
    assert share(sources.trajectory(vectors, 5, rank=10), vectors) > 0.999 * most


def test_memory_is_that_of_the_rank():
    recorder = sources.Recorder(dim=3, rank=4)
    for vector in rows(100, 10):
        recorder.add(vector)
        assert len(recorder._rows) <= 8


def test_a_recording_is_not_changed_by_the_training_that_goes_on():
    recorder, state = sources.Recorder(dim=1), torch.tensor([1.0, 0.0])
    recorder.add(state)
    state.copy_(torch.tensor([0.0, 1.0]))
    assert recorder.projection().matrix.abs().tolist() == [[1], [0]]


def test_gradients_are_the_leading_ones():
    net = full()
    x = rows(6, 5)
    P = sources.gradients(net, (net(one).square().sum() for one in x[:, None]), dim=4)
    grads = torch.stack([torch.autograd.grad(net(one).square().sum(), net.omega)[0] for one in x])
    best = torch.linalg.svd(grads, full_matrices=False)[2][:4].T.contiguous()
    assert share(P, grads) == pytest.approx(share(Dense(best), grads), rel=1e-4)


def test_the_end_of_the_run_is_in_the_subspace():
    net = full()
    end = net.omega.detach()
    for P in (sources.lottery(end, 2), sources.trajectory([end, rows(1, 18)[0]], 2)):
        other = sn.Subspace(nn.Linear(5, 3), 2, P)
        with torch.no_grad():
            other.omega.copy_(P.T @ end / other._theta.projection.widening(0, 18))
        torch.testing.assert_close(other.theta(), net.theta(), rtol=0, atol=1e-5)


def test_aligned_columns_hold_more_than_random_ones():
    vector = bits.normal(3, "test", 0, 200)
    P = sources.aligned(vector, 20)
    sizes = (P._all.T @ vector).abs()
    assert sizes[P.columns].min() >= sizes.topk(20).values.min()


MADE = {
    "trajectory": lambda seed, in_file: sources.trajectory(
        rows(9, 18), 4, seed=seed, in_file=in_file
    ),
    "lottery": lambda seed, in_file: sources.lottery(rows(1, 18)[0], 4, seed=seed, in_file=in_file),
    "aligned": lambda seed, in_file: sources.aligned(rows(1, 18)[0], 4, seed=seed),  # noqa: ARG005
}
STORED = {"trajectory": 72, "lottery": 18, "aligned": 4}


@pytest.mark.parametrize("source", list(MADE))
@pytest.mark.parametrize("scale", ["init", "learned"])
def test_a_file_holds_the_projection(source, scale, tmp_path):
    dim = 4 + 2 * (scale == "learned")
    net = sn.Subspace(nn.Linear(5, 3), dim, MADE[source](6, True), scale=scale)
    with torch.no_grad():
        net.omega.normal_(generator=torch.Generator().manual_seed(1))
    assert net.stored == {"omega": dim, "projection": STORED[source]}
    net.save(tmp_path / "net.safetensors")
    again = sn.load(tmp_path / "net.safetensors", nn.Linear(5, 3))
    assert torch.equal(again.theta(), net.theta())
    assert again.to_checkpoint().spec == net.to_checkpoint().spec
    net.load_adapter("a", tmp_path / "net.safetensors")
    with pytest.raises(InputError, match=r"not the same everywhere|by its name"):
        again.next_stage()


@pytest.mark.parametrize(("source", "size"), [("trajectory", "288"), ("lottery", "72")])
def test_what_nobody_asked_for_is_not_written(source, size, tmp_path):
    path = tmp_path / "net.safetensors"
    net = sn.Subspace(nn.Linear(5, 3), 4, MADE[source](0, None))
    with pytest.raises(InputError, match=f"{STORED[source]} numbers, {size} bytes"):
        net.save(path)
    net.projection.in_file = False
    net.save(path)
    with pytest.raises(CheckpointError, match="give it"):
        sn.load(path, nn.Linear(5, 3))
    again = sn.load(path, nn.Linear(5, 3), MADE[source](0, False))
    assert torch.equal(again.theta(), net.theta())


def test_a_matrix_computes_as_its_reader_from_when_a_file_is_to_hold_it(tmp_path):
    matrix = torch.linalg.qr(rows(227, 8))[0].T.contiguous().T
    net = sn.Subspace(nn.Linear(226, 1), 8, Dense(matrix))
    net.projection.in_file = True
    with torch.no_grad():
        net.omega.copy_(rows(1, 8)[0])
    net.save(tmp_path / "net.safetensors")
    again = sn.load(tmp_path / "net.safetensors", nn.Linear(226, 1))
    assert torch.equal(again.theta(), net.theta())


@pytest.mark.parametrize("in_files", [(True, None), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("source", ["trajectory", "lottery"])
def test_whoever_has_p_needs_no_file_of_it(source, in_files, tmp_path):
    writer, reader = in_files
    path = tmp_path / "net.safetensors"
    net = sn.Subspace(nn.Linear(5, 3), 4, MADE[source](0, writer))
    with torch.no_grad():
        net.omega.normal_(generator=torch.Generator().manual_seed(1))
    net.save(path)
    again = sn.load(path, nn.Linear(5, 3), MADE[source](0, reader))
    assert torch.equal(again.theta(), net.theta())
    again.load_adapter("a", path)


def test_a_p_that_is_nearly_the_files_is_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    matrix = MADE["trajectory"](0, True).matrix
    sn.Subspace(nn.Linear(5, 3), 4, Dense(matrix, in_file=True)).save(path)
    other = Dense(matrix + 1e-7, in_file=True)
    with pytest.raises(CheckpointError, match="numbers of P are others"):
        sn.load(path, nn.Linear(5, 3), other)
    with pytest.raises(CheckpointError, match=r"net\.safetensors: .*numbers of P are others"):
        sn.Subspace(nn.Linear(5, 3), 4, other).load_adapter("a", path)


@pytest.mark.parametrize(
    ("make", "in_file", "message"),
    [
        (lambda: Hashed(18, 4), True, "kind hashed"),
        (lambda: MADE["trajectory"](0, True) | Hashed(18, 1), True, "kind hstack"),
        (lambda: Dense(torch.eye(3).double()), True, "float32"),
        (lambda: Dense(torch.eye(3).to_sparse()), None, "sparse"),
        (lambda: Dense(torch.eye(3)), "no", "True, False or None, got 'no'"),
        (lambda: MADE["lottery"](0, True), 1, "True, False or None, got 1"),
        (lambda: MADE["aligned"](0, True), False, "every checkpoint"),
    ],
)
def test_what_no_file_can_hold_is_refused_where_it_is_asked_for(make, in_file, message):
    P = make()
    before = P.in_file
    with pytest.raises(InputError, match=message):
        P.in_file = in_file
    assert P.in_file is before


SPARSE = torch.eye(18)[:, :4].to_sparse()
OTHERS = {
    "trajectory": [lambda seed: MADE["trajectory"](0, None) if seed else Dense(rows(18, 4))],
    "lottery": [lambda seed: sources.lottery(rows(1, 18, seed)[0], 4)],
    "aligned": [lambda seed: sources.aligned(rows(1, 18, seed)[0], 4)],
    "sparse": [lambda seed: Dense(SPARSE * (1 + seed))],
    "part": [lambda seed: sources.lottery(rows(1, 18, seed)[0], 3) | Hashed(18, 1)],
}


@pytest.mark.parametrize("make", [each for (each,) in OTHERS.values()], ids=OTHERS)
def test_a_state_is_refused_by_another_p(make):
    state = sn.Subspace(nn.Linear(5, 3), 4, make(0)).state_dict()
    sn.Subspace(nn.Linear(5, 3), 4, make(0)).load_state_dict(state)
    with pytest.raises(RuntimeError, match="another subspace"):
        sn.Subspace(nn.Linear(5, 3), 4, make(1)).load_state_dict(state)


@pytest.mark.parametrize("selected", [{}, {"include": "@head"}])
def test_a_burn_in_is_kept_however_little_it_moved(selected):
    def module():
        return nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 3))

    burnt = sn.Subspace(module(), "full", "identity", **selected)
    assert sn.Subspace(burnt.merge(), 4).theta0_from == "seed"
    with torch.no_grad():
        burnt.omega += 1e-4
    for plain in (burnt.merge(), copy.deepcopy(burnt.merge())):
        net = sn.Subspace(plain, 4, exclude="@head" if selected else ())
        assert net.theta0_from == "module"
        assert torch.equal(net(torch.ones(2, 10)), burnt(torch.ones(2, 10)))


def test_a_new_head_on_a_burn_in_is_drawn():
    burnt = sn.Subspace(nn.Linear(10, 16), 4)
    with torch.no_grad():
        burnt.omega += 1
    both = nn.Sequential(burnt.merge(), nn.Linear(16, 3))
    assert sn.Subspace(both, 4).theta0_from == "module"
    assert sn.Subspace(both, 4, exclude="0").theta0_from == "seed"


def test_losses_of_one_graph_are_taken():
    net, x = full(), rows(6, 5)
    together = sources.gradients(net, net(x).square().sum(1), dim=2)
    alone = sources.gradients(net, (net(one).square().sum() for one in x), dim=2)
    assert share(together, alone.matrix.T) > 1 - 1e-4


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"projection.matrix": torch.zeros(18, 4).double()}, "projection.matrix"),
        ({"projection.matrix": torch.zeros(18, 5)}, "projection.matrix"),
        ({"projection.matrix": None}, "projection.matrix"),
        ({"projection.columns": torch.zeros(4)}, "projection.columns"),
        ({"stages": torch.zeros(1, 4)}, "stages"),
    ],
)
def test_what_no_writer_writes_is_refused(tensors, message):
    net = sn.Subspace(nn.Linear(5, 3), 4, MADE["trajectory"](0, True))
    saved = net.to_checkpoint()
    changed = {n: t for n, t in {**saved.tensors, **tensors}.items() if t is not None}
    with pytest.raises(InputError, match=message):
        container.encode(container.Checkpoint(saved.spec, changed))


@pytest.mark.parametrize(
    ("source", "tensors", "message"),
    [
        ("trajectory", {"projection.matrix": torch.full((18, 4), torch.nan)}, "finite"),
        (
            "trajectory",
            {"projection.matrix": torch.eye(18)[:, :4].contiguous()},
            r"another (sketch of )?P",
        ),
        ("lottery", {"projection.pieces": torch.zeros(18)}, "zero on"),
        ("lottery", {"projection.pieces": torch.full((18,), 0.5)}, "unit norm"),
        ("aligned", {"projection.columns": torch.tensor([0, 1, 2, 10**9])}, "from 0 to 15"),
        ("aligned", {"projection.columns": torch.tensor([0, 0, 1, 2])}, "different"),
        ("aligned", {"projection.columns": torch.tensor([2, 1, 0, 3])}, "ascending"),
        ("aligned", {"projection.columns": torch.tensor([0, 1, 2, 4])}, r"another (sketch of )?P"),
    ],
)
def test_forged_numbers_are_refused(source, tensors, message, tmp_path):
    net = sn.Subspace(nn.Linear(5, 3), 4, MADE[source](0, True))
    saved = net.to_checkpoint()
    path = tmp_path / "net.safetensors"
    container.write(container.Checkpoint(saved.spec, {**saved.tensors, **tensors}), path)
    with pytest.raises(CheckpointError, match=message):
        sn.load(path, nn.Linear(5, 3))


def test_a_large_projection_of_a_stranger_is_refused_before_it_is_read(tmp_path):
    net = sn.Subspace(nn.Linear(5, 3), 4, MADE["trajectory"](0, True))
    net.save(tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match="max_entries"):
        sn.load(tmp_path / "net.safetensors", nn.Linear(5, 3), max_entries=71)


def test_a_strangers_matrix_takes_no_decomposition(tmp_path, monkeypatch):
    matrix = rows(18, 4)
    matrix /= matrix.norm(dim=0)
    sn.Subspace(nn.Linear(5, 3), 4, Dense(matrix, in_file=True)).save(tmp_path / "net.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(torch.linalg, "matrix_norm", None)
        P = sn.load(tmp_path / "net.safetensors", nn.Linear(5, 3)).projection
        again = pickle.loads(pickle.dumps(P))
    expected = float(torch.linalg.matrix_norm(matrix.T @ matrix - torch.eye(4), ord=2))
    for each in (P, again):
        with torch.autocast("cpu", torch.bfloat16):
            assert each.distortion == pytest.approx(expected, abs=1e-5)


def whole():
    return sn.Subspace(nn.Linear(4, 3), 15, projection="identity")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sources.Recorder(0), "dim must be"),
        (lambda: sources.Recorder(3, rank=2), "at least dim"),
        (lambda: sources.Recorder(3).projection(), "got 0"),
        (lambda: sources.trajectory([torch.ones(3), torch.ones(4)], 1), "3 numbers"),
        (lambda: sources.trajectory([torch.full((3,), torch.nan)], 1), "finite"),
        (lambda: sources.aligned(torch.ones(6), 5), "at most 4"),
        (lambda: sources.aligned(torch.zeros(6), 2), "not zero"),
        (lambda: sources.aligned(torch.full((6,), torch.nan), 2), "6 of 6 numbers"),
        (lambda: sources.gradients(sn.Subspace(nn.Linear(4, 3), 5), [], 2), "identity, got hashed"),
        (lambda: sources.trajectory([torch.ones(3)], 4), "from 1 to the number of weights, 3"),
        (lambda: sources.trajectory([[1.0, 2.0]], 1), "got a list"),
        (lambda: sources.trajectory([torch.arange(3)], 1), "int64"),
        (lambda: sources.trajectory([torch.tensor([1e99, 1]).double()], 1), "1 of 2 numbers"),
        (lambda: sources.lottery([1.0, 2.0], 1), "got a list"),
        (lambda: sources.aligned(torch.ones(4, 4), 2), r"shape \(4, 4\)"),
        (lambda: sources.gradients(nn.Linear(4, 3), [], 2), "got a Linear"),
        (lambda: sources.gradients(whole(), [1.0], 2), "got a float"),
        (lambda: sources.gradients(whole(), torch.ones(()), 2), "one by one"),
        (lambda: sources.gradients(whole(), [whole().omega.sum()], 2), "another's"),
        (lambda: sources.gradients(whole(), [torch.ones(())], 2), "requires_grad=False"),
        (lambda: sources.gradients(whole(), [whole()(torch.ones(2, 4))], 2), r"shape \(2, 3\)"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(InputError, match=message):
        make()
