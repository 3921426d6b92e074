"""One grammar: options and words mean the same to every verb that trains or evaluates."""

import pytest

from subspace_nn import cli
from subspace_nn.cli.grammar import normal, value_of
from subspace_nn.common.errors import InputError

SWEPT = "sweep mnist model=fc dim=3,10 --jobs=2 --out=runs/fc --save"


@pytest.mark.parametrize(("typed", "meant"), [
    ("train --dim 3", "train --dim=3"),
    ("train dim=3 batch_size=100 --force", "train --dim=3 --batch-size=100 --force"),
    ("train --lr -1 --force=maybe", "train --lr=-1 --force=maybe"),
    ("train mnist-lenet dim=3", "train mnist-lenet --dim=3"),
    ("train --model fc --dim 3,10 --jobs 2", SWEPT),
    ("train model=fc dim=3,10 --jobs=2", SWEPT),
    ("train mnist-fc dim=3,10", "sweep mnist-fc dim=3,10 --out=runs/mnist-fc --save"),
    ("train --seed range(0,3) --out x --save",
     "sweep mnist seed=range(0,3) --out=x --save"),
    ("train ./mine.py:digits --dim 10 width=32",
     "sweep ./mine.py:digits dim=10 width=32 --out=runs/mine-digits --save"),
    ("train toy", "sweep toy --out=runs/toy --save"),
    ("sweep toy --dim 3,10 --out x", "sweep toy dim=3,10 --out=x"),
    ("sweep mnist --batch-size=100 --save", "sweep mnist batch_size=100 --save"),
    ("measure toy --epochs 3 --least 2", "measure toy epochs=3 --least=2"),
    ("measure toy --presicion 0.1", "measure toy --presicion=0.1"),
    ("evaluate results/x --dim 10,30", "evaluate results/x dim=10,30"),
    ("show results/x --dim=10 --out y", "show results/x dim=10 --out=y"),
    ("sweep toy --dim", "sweep toy --dim"),
    ("sweep --help --dim 3", "sweep --help --dim 3"),
    ("inspect a --dim 3", "inspect a --dim 3"),
    ("", ""),
])  # fmt: skip
def test_what_is_typed_is_what_the_verb_takes(typed, meant):
    assert " ".join(normal(cli.app, typed.split())) == meant


def test_what_is_for_one_training_only_is_refused_for_several():
    with pytest.raises(InputError, match="--force, --dtype: for one training"):
        normal(cli.app, ["train", "--dim", "3,10", "--force", "--dtype", "int8"])


def test_the_value_of_an_option_however_it_is_written():
    assert value_of(["--a", "1", "--b=2"], "--a") == "1"
    assert value_of(["--a", "1", "--b=2"], "--b") == "2"
    assert value_of(["--a", "1"], "--b") is None


def test_several_trainings_are_records_whose_weights_are_tested_and_drawn(
    command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    tiny = ["model=fc-16", "epochs=1", "batch_size=30000", "--engine", "serial", "--threads", "1"]
    code, out, err = command("train", "--dim", "3,10", *tiny)
    assert (code, err) == (0, "")
    assert "Next: subspace-nn report runs/fc-16\n      subspace-nn evaluate runs/fc-16\n" in out
    code, out, _ = command("evaluate", "runs/fc-16")
    found = {line.split()[1]: float(line.split()[-1]) for line in out.splitlines()[1:3]}
    code, out, _ = command("runs", "runs")
    assert "2 runs" in out
    for dim in ("3", "10"):
        code, out, _ = command("evaluate", "runs/fc-16", "--dim", dim)
        assert f"{found[dim]:.2f} %"[:4] in out
    code, out, _ = command("show", "runs/fc-16", "--dim", "3")
    assert code == 0
    pictures = [line for line in out.splitlines() if line.endswith(".png")]
    assert len(pictures) == 4
    for path in pictures:
        assert (tmp_path / path).read_bytes().startswith(b"\x89PNG")
    code, _, err = command("evaluate", "runs/fc-16", "--dim", "7")
    assert code == 2
    assert "Make the runs with --save" in err


def test_a_function_of_ones_own_is_trained_and_tested_under_one_name(command, tmp_path):
    task = "tests.dimension.problems:digits"
    words = ["dim=10,30", "epochs=1", "--engine", "serial", "--out", tmp_path]
    assert command("train", task, *words)[0] == 0
    code, out, _ = command("runs", tmp_path, "dim=30")
    code, out, err = command("evaluate", tmp_path, task, "dim=30")
    assert (code, err) == (0, "")
    assert "test examples right: " in out


def test_a_recipe_by_name(command, tmp_path):
    words = ["--recipe", "2017", "--projection", "hashed", "--model", "fc", "--dim", "3"]
    tiny = ["--epochs", "1", "--batch-size", "60000", "--threads", "1", "--out", tmp_path]
    code, out, err = command("train", *words, *tiny)
    assert (code, err) == (0, "")
    assert "recipe of 2017" in out
    code, out, _ = command("runs", tmp_path)
    assert "1 run" in out
    code, _, err = command("train", "--recipe", "2016")
    assert code == 2
    assert "Unknown recipe '2016'. Did you mean '2018'? Valid: 2017" in err


def test_a_packaged_sweep_goes_by_its_name(command, tmp_path):
    words = ["dim=3", "seed=0", "epochs=1", "projection=hashed", "--engine", "serial"]
    code, out, err = command("sweep", "fc-2017", *words, "--out", tmp_path)
    assert (code, err) == (0, "")
    assert out.startswith("The fully connected net in ultra small subspaces")
    assert "1 of 1 runs done" in out
