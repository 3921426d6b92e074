"""`subspace-nn projections`, as its user meets it."""

import json

import pytest

from subspace_nn.projections import KINDS, costs, make

KEYS = {
    "name", "reason", "label", "fingerprint", "distortion", "isometry_error", "coverage",
    "stored_bytes", "setup_ms", "forward_ms", "adjoint_ms", "rounds",
}  # fmt: skip


@pytest.fixture
def run(command, monkeypatch):
    """The verb, in a terminal of so many columns."""

    def call(line, columns=80):
        monkeypatch.setenv("COLUMNS", str(columns))
        return command("projections", *line.split())

    return call


@pytest.mark.parametrize("columns", [80, 120])
def test_table_of_every_kind_fits_and_tells_what_is_not_measured(run, columns):
    code, out, err = run("--model fc-16 --dim 50 --seconds 1", columns)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert max(map(len, lines)) <= columns
    assert lines[0].startswith("fc-16: D = 12,730, d = 50, float32, ")
    rows = {line.split()[0]: line for line in lines[3:] if line.strip()}
    for kind in KINDS:
        assert kind in rows or f"{kind}:" in rows
        if kind not in {"identity", "layerwise"}:
            assert make(kind, 12_730, 50).fingerprint() in rows[kind]
            assert "100 %" in rows[kind]
    assert ("bound" in out) == ("set-up" in out) == (columns == 120)
    assert "identity: identity is the full space: dim must be 12,730, got 50." in out
    assert "copy of θ" in out


def test_json(run):
    code, out, _ = run("hashed layerwise:hadamard identity --model fc-16 --dim 50 --json")
    found = json.loads(out)
    assert code == 0
    assert (found["D"], found["dim"]) == (12_730, 50)
    assert found["copy_ms"] > 0
    assert found["environment"]["torch"]
    kinds = {cost["name"]: cost for cost in found["kinds"]}
    assert list(kinds) == ["hashed", "layerwise:hadamard", "identity"]
    assert all(cost.keys() == KEYS for cost in kinds.values())
    assert kinds["hashed"]["fingerprint"] == make("hashed", 12_730, 50).fingerprint()
    assert kinds["layerwise:hadamard"]["label"] == "layerwise/1:hadamard/1:tensor:weights"
    assert kinds["identity"]["reason"]


def test_without_tensors_there_is_no_layerwise_unless_it_is_named(run):
    found = json.loads(run("--D 500 --dim 20 --json")[1])
    assert [cost["name"] for cost in found["kinds"]] == [k for k in KINDS if k != "layerwise"]
    (cost,) = json.loads(run("layerwise --D 500 --dim 20 --json")[1])["kinds"]
    assert cost["fingerprint"] == make("layerwise", 500, 20).fingerprint()


def test_what_is_too_big_is_told_and_the_rest_is_measured(run):
    code, out, _ = run("orthonormal hashed gaussian --D 100000 --dim 9000 --memory 0.1")
    assert code == 0
    assert "orthonormal: It needs up to 36.0 GB; 0.1 are left. It needs about" in out
    assert "gaussian: It needs about" in out
    assert make("hashed", 100_000, 9000).fingerprint() in out


def test_what_is_slow_says_so(run, monkeypatch):
    monkeypatch.setattr(costs, "_seconds", lambda work: (work(), 1.0)[1])  # all takes a second
    _, out, _ = run("hashed --D 1000 --dim 100 --seconds 20")
    assert "hashed: No estimate of ‖PᵀP-I‖ in this time; raise --seconds." in out


@pytest.mark.parametrize(("line", "messages"), [
    ("--D 0", ["D must be a whole number of at least 1, got 0"]),
    ("--D 1.5", ["D must be a whole number of at least 1, got '1.5'"]),
    ("--D 10 --model fc", ["Give either --D or --model, not both"]),
    ("--D 10 --dim 11", ["dim must be a whole number from 1 to the number of weights, 10; got 11"]),
    ("--D 1000000000000 --dim 5", ["θ and a copy take 8,000,000,000,000 bytes"]),
    ("hashd --seed -1 --memory 0 --seconds nan", [
        "Unknown projection 'hashd'. Did you mean 'hashed'",
        "seed must be",
        "memory must be a number above 0, got 0.0",
        "seconds must be a number above 0, got nan",
    ]),
    ("--memory much", ["memory must be a number above 0, got 'much'"]),
    ("--model cnov", ["Unknown model 'cnov'. Did you mean 'conv'"]),
])  # fmt: skip
def test_mistakes_are_told_together_without_a_traceback(run, line, messages):
    code, out, err = run(line)
    assert (code, out) == (2, "")
    for message in messages:
        assert message in err
    assert "Traceback" not in err
