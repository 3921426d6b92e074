"""The command as its user meets it: what it prints, what it leaves, how it ends."""

import dataclasses
import errno
import gzip
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
import safetensors.torch
import torch

import subspace_nn
from subspace_nn import cli
from subspace_nn.cli import training
from subspace_nn.format import container
from subspace_nn.format.container import Checkpoint
from subspace_nn.runs.task import NAMED
from subspace_nn.tasks.classifier import count_correct
from subspace_nn.tasks.config import RunConfig
from subspace_nn.tasks.data import Dataset, Split, mnist
from tests.command import COMMAND
from tests.tasks.test_classifier import subset

PACKAGED = Path(subspace_nn.__file__).parent / "tasks" / "mnist"
FILES = ["curve.png", "history.json", "omega.safetensors"]

TRAIN = ["train", "--model", "fc", "--threads", "1", "--device", "cpu"]
# The whole data set, sixty steps an epoch.
WHOLE = [*TRAIN, "--batch-size", "1000", "--epochs"]
# On the small set: six steps.
SMALL = [*TRAIN, "--batch-size", "200", "--epochs", "2"]


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return mnist()


@pytest.fixture
def whole_set(monkeypatch, digits) -> None:
    """The packaged data set, read once; a folder that is named is read as ever."""
    monkeypatch.setattr(
        training, "mnist", lambda folder: digits if folder is None else mnist(folder)
    )


@pytest.fixture
def small_set(monkeypatch, digits) -> None:
    small = subset(digits)
    monkeypatch.setattr(
        training, "mnist", lambda folder: small if folder is None else mnist(folder)
    )


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """An empty current folder, and a place to print to that is no terminal."""
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def run(monkeypatch, capsys):
    """The command in this process."""

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["subspace-nn", *map(str, arguments)])
        monkeypatch.setattr(cli.app, "config", ())  # else the last call's file, before its own
        code, threads = 0, torch.get_num_threads()
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        finally:
            torch.set_num_threads(threads)
        return Done(code, *capsys.readouterr())

    return call


def run_apart(*arguments: object) -> Done:
    """The installed command, in a process of its own."""
    command = [Path(sys.executable).with_name("subspace-nn"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def files_in(folder: Path) -> list[str]:
    """The names of the files, without the record of a training that came to its end."""
    records = [path for path in folder.iterdir() if re.fullmatch(r"[0-9a-f]{16}\.json", path.name)]
    assert len(records) <= 1
    return sorted(path.name for path in {*folder.iterdir()} - {*records})


def history_in(folder: Path) -> dict:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads((folder / "history.json").read_text("utf-8"), parse_constant=refuse)


def assert_outputs_fit(folder: Path, test: Split) -> dict:
    """A folder holds three whole files, and the checkpoint is what the history says."""
    assert files_in(folder) == FILES
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    history = history_in(folder)
    last = history["evaluations"][-1]
    net = subspace_nn.load(folder / "omega.safetensors")
    assert count_correct(net, test)[0] == last["test_correct"]
    return history


@dataclass(frozen=True)
class Trained:
    """A training in a process of its own."""

    folder: Path
    done: Done

    @property
    def checkpoint(self) -> Path:
        return self.folder / "omega.safetensors"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    folder = tmp_path_factory.mktemp("trained") / "new" / "folder"
    return Trained(folder, run_apart(*WHOLE, 1, "--out", folder))


def test_train_leaves_three_files(trained, digits):
    assert (trained.done.code, trained.done.err) == (0, "")
    assert trained.checkpoint.stat().st_size <= 4600
    history = assert_outputs_fit(trained.folder, digits.test)
    assert history["config"] == dataclasses.asdict(RunConfig(model="fc", epochs=1, batch_size=1000))
    assert history["D"] == 199_210
    assert history["environment"]["threads"] == 1
    assert len(history["losses"]) == history["steps"] == 60
    assert [e["step"] for e in history["evaluations"]] == [60]
    assert history["stopped"] is None


def test_train_prints_plain_lines(trained):
    last = history_in(trained.folder)["evaluations"][-1]
    lines = trained.done.out.splitlines()
    assert lines[0] == "fc: 1,000 free parameters for 199,210 weights"
    assert lines[1].startswith("epoch 1/1  step 60  loss ")
    assert f"  test {last['test_accuracy']:.2f} %  " in lines[1]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", trained.done.out)


def test_summary_says_what_came_of_it(trained):
    last = history_in(trained.folder)["evaluations"][-1]
    values = dict(re.findall(r"^ ?(\S.*?)  +(\S.*?) *$", trained.done.out, re.MULTILINE))
    assert values["D (weights)"] == "199,210"
    assert values["d (free parameters)"] == "1,000"
    assert values["D/d"] == "199.2"
    expected = f"{last['test_accuracy']:.2f} % ({last['test_correct']:,} images right)"
    assert values["test accuracy"] == expected
    size = trained.checkpoint.stat().st_size
    assert values["checkpoint"] == f"{trained.checkpoint}, {size:,} bytes"


def test_evaluate_apart_counts_what_the_training_counted(trained, here):
    alone = here / "renamed"
    alone.write_bytes(trained.checkpoint.read_bytes())
    done = run_apart("evaluate", alone, "--threads", 1, "--device", "cpu")
    last = history_in(trained.folder)["evaluations"][-1]
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"{last['test_correct']:,} of 10,000 test images right: "
        f"{last['test_accuracy']:.2f} % (loss {last['test_loss']:.4f})\n"
        f"Next: subspace-nn show {alone}\n"
    )


@pytest.mark.usefixtures("whole_set")
def test_same_seed_same_bytes_in_any_process(run, trained, here):
    assert run(*WHOLE, 1, "--out", "again").code == 0
    again = here / "again" / "omega.safetensors"
    assert again.read_bytes() == trained.checkpoint.read_bytes()
    assert history_in(here / "again")["losses"] == history_in(trained.folder)["losses"]


@pytest.mark.usefixtures("small_set")
def test_another_seed_another_net(run, here):
    for seed in (0, 1):
        run(*SMALL, "--seed", seed)
    one, other = (here / "runs" / f"fc-1000-{seed}" / "omega.safetensors" for seed in (0, 1))
    assert one.read_bytes() != other.read_bytes()


@pytest.mark.usefixtures("small_set")
def test_full_is_all_weights(run, here):
    done = run(*SMALL, "--dim", "full")
    assert done.out.startswith("fc: 199,210 free parameters for 199,210 weights")
    assert files_in(here / "runs" / "fc-full-0") == FILES


def test_inspect_tells_the_recipe(run, trained):
    done = run("inspect", trained.checkpoint)
    spec = container.read(trained.checkpoint).spec
    assert (done.code, done.err) == (0, "")
    for part in (
        "199,210",
        "1,000",
        "hashed/1, seed 0",
        *(spec[name] for name in ("P", "theta0", "architecture")),
        f"{trained.checkpoint.stat().st_size:,} bytes",
    ):
        assert part in done.out


@pytest.mark.usefixtures("small_set")
@pytest.mark.parametrize("held", FILES)
def test_results_of_an_earlier_run_are_kept_unless_forced(run, here, held):
    (here / "out").mkdir()
    (here / "out" / held).write_bytes(b"old")
    refused = run(*SMALL, "--out", "out")
    assert (refused.code, refused.out) == (2, "")
    assert f"out holds the results of an earlier run ({held})" in refused.err
    assert "--force" in refused.err
    assert (here / "out" / held).read_bytes() == b"old"
    assert run(*SMALL, "--out", "out", "--force").code == 0
    assert files_in(here / "out") == FILES
    assert (here / "out" / held).read_bytes() != b"old"


@pytest.mark.usefixtures("small_set")
@pytest.mark.parametrize("key", ["batch-size", "batch_size"])
def test_options_come_from_a_file_and_flags_override_them(run, here, key):
    (here / "a.toml").write_text(
        f'model = "fc"\ndim = 30\nepochs = 1\n{key} = 300\nlr = 1\nout = "there"\nthreads = 1\n'
    )
    assert run("train", "--dim", 33, "--config", "a.toml", "--device", "cpu").code == 0
    history = history_in(here / "there")
    assert history["config"] == dataclasses.asdict(
        RunConfig(model="fc", dim=33, epochs=1, batch_size=300, lr=1)
    )
    assert history["environment"]["threads"] == 1


@pytest.mark.usefixtures("small_set")
def test_a_file_of_options_with_a_byte_order_mark_and_a_path_from_home(run, here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    (here / "a.toml").write_text('model = "fc-16"\nout = "~/there"\n', encoding="utf-8-sig")
    assert run("train", "--config", "~/a.toml", "--epochs", 1, "--device", "cpu").code == 0
    assert files_in(here / "there") == FILES


@pytest.mark.usefixtures("small_set")
def test_a_named_task_sets_the_options_that_are_not_given(run, here):
    (here / "a.toml").write_text("lr = 0.25\n")
    words = ["--epochs", 1, "--config", "a.toml", "--out", "out", "--device", "cpu"]
    assert run("train", "mnist-fc-2018", *words).code == 0
    got = history_in(here / "out")["config"]
    named = {**NAMED["mnist-fc-2018"].arguments, "epochs": 1, "lr": 0.25}
    assert got == dataclasses.asdict(RunConfig(**named))


def test_file_of_options_serves_evaluate_too(run, trained, here):
    (here / "a.toml").write_text('data = "nowhere"\n')
    done = run("evaluate", trained.checkpoint, "--config", "a.toml")
    assert done.code == 2
    assert "The data folder nowhere does not exist" in done.err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        pytest.param(["--help"], ["train", "evaluate", "inspect", "--config"], id="all"),
        pytest.param([], ["train", "evaluate", "inspect", "--config"], id="nothing given"),
        pytest.param(
            ["train", "--help"],
            [
                *(f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(RunConfig)),
                *("--data", "--out", "--force", "--device", "--threads", "--config"),
                *("[default: conv]", "[default: 1000]", "[default: hashed]", "[default: auto]"),
            ],
            id="train",
        ),
        pytest.param(
            ["evaluate", "-h"], ["FILE", "--data", "--device", "--threads"], id="evaluate"
        ),
        pytest.param(["inspect", "--help"], ["FILE"], id="inspect"),
        pytest.param(["--version"], [version("subspace-nn")], id="version"),
    ],
)
def test_help(run, arguments, parts):
    done = run(*arguments)
    assert (done.code, done.err) == (0, "")
    text = " ".join(re.sub("[╭─╮│╰╯]", " ", done.out).split())
    assert [part for part in parts if part not in text] == []


def test_interrupt_keeps_the_best_weights(here, digits):
    command = [*COMMAND, *WHOLE, "1000", "--out", "out"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        first = next((line for line in process.stdout if line.startswith("epoch 1/")), None)
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=60)
    assert first
    assert (process.returncode, err) == (130, "")
    history = assert_outputs_fit(here / "out", digits.test)
    assert history["stopped"] == f"interrupted after step {len(history['losses'])}"
    assert f"Stopped: {history['stopped']}." in rest
    assert f"({history['evaluations'][-1]['test_correct']:,} images right)" in rest


def test_diverged_keeps_the_best_weights(run, here, monkeypatch, digits):
    small = subset(digits)
    images = small.train.images.float()
    images[0] = float("nan")
    bad = dataclasses.replace(small, train=Split(images, small.train.labels))
    monkeypatch.setattr(training, "mnist", lambda _: bad)
    done = run(*TRAIN, "--batch-size", 4, "--epochs", 1, "--lr", 0.25, "--out", "out")
    history = assert_outputs_fit(here / "out", small.test)
    step = len(history["losses"]) + 1
    assert step > 10
    assert history["stopped"] == f"the loss became nan at step {step} of 150, lr 0.25"
    assert done.code == 2
    assert done.err.startswith(f"error: Stopped: {history['stopped']}. ")
    assert f"({history['evaluations'][-1]['test_correct']:,} images right)" in done.out


def full_from(count: int):
    """A disk that is full when it is written to for the count-th time."""
    calls = itertools.count(1)

    def fsync(_):
        if next(calls) >= count:
            raise OSError(errno.ENOSPC, "No space left on device")

    return fsync


@pytest.mark.usefixtures("small_set")
def test_a_full_disk_is_found_before_the_training(run, here, monkeypatch):
    monkeypatch.setattr(training, "fit", lambda *_, **__: pytest.fail("trained"))
    monkeypatch.setattr(os, "fsync", full_from(1))
    done = run(*SMALL, "--out", "out", "--lr", -1)
    assert (done.code, done.out) == (2, "")
    assert "out/omega.safetensors cannot be written: No space left on device" in done.err
    assert "lr must be" in done.err  # together with all other mistakes
    assert list(here.iterdir()) == []


@pytest.mark.usefixtures("small_set")
def test_a_disk_that_fills_up_during_the_training_leaves_no_part_of_a_file(run, here, monkeypatch):
    monkeypatch.setattr(os, "fsync", full_from(5))
    done = run(*SMALL, "--out", "out")
    assert (done.code, done.err) == (2, "error: out/omega.safetensors: No space left on device.\n")
    assert list((here / "out").iterdir()) == []


@pytest.mark.usefixtures("small_set")
def test_a_folder_has_one_training_at_a_time(run, here):
    command = [*COMMAND, *WHOLE, "1000", "--out", "out"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert any(line.startswith("fc: ") for line in process.stdout)
        for more in ([], ["--force"]):
            done = run(*SMALL, "--out", "out", *more)
            assert (done.code, done.out) == (2, "")
            assert "Another process is training into out" in done.err
        process.kill()
        process.stdout.read()
    assert not [path for path in (here / "out").iterdir() if path.name in FILES]
    # The claim of a killed process is taken over.
    assert run(*SMALL, "--out", "out").code == 0
    assert {path.name for path in (here / "out").iterdir()} >= {*FILES}


@pytest.mark.usefixtures("small_set")
def test_the_next_step_works_as_it_is_printed(run):
    done = run(*SMALL, "--out", "out")
    last = done.out.splitlines()[-2:]
    assert last == ["Next: subspace-nn show out", "      subspace-nn report out"]
    for command in last:
        assert run(*command.removeprefix("Next:").split()[1:]).code == 0


@pytest.mark.usefixtures("small_set")
@pytest.mark.parametrize("name", ["[/b]", "[red]x", ":smile:", "long-" * 20])
def test_any_name_of_a_folder_is_printed_as_it_is(run, name):
    done = run(*SMALL, "--out", name)
    assert (done.code, done.err) == (0, "")
    assert f"{name}/omega.safetensors" in done.out
    done = run("inspect", f"{name}/omega.safetensors")
    assert (done.code, done.err) == (0, "")
    assert f"{name}/omega.safetensors" in done.out


def damaged_header(content: bytes, **fields: object) -> bytes:
    """A checkpoint with some fields of its specification changed, digest and all else as before."""
    tensors = safetensors.torch.load(content)
    length = int.from_bytes(content[:8], "little")
    spec = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["subspace_nn"])
    text = json.dumps({**spec, **fields})
    return safetensors.torch.save(tensors, metadata={"subspace_nn": text})


def changed(saved: Checkpoint, **fields: object) -> bytes:
    """A whole checkpoint with another specification."""
    return container.encode(Checkpoint({**saved.spec, **fields}, saved.tensors))


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory, trained) -> Path:
    """A folder of files and folders that cannot be used, by what is wrong with them."""
    folder = tmp_path_factory.mktemp("bad")
    good = trained.checkpoint.read_bytes()
    saved = container.read(trained.checkpoint)
    unnamed = Checkpoint({k: v for k, v in saved.spec.items() if k != "model"}, saved.tensors)
    contents = {
        "empty": b"",
        "short": good[:5],
        "header": good[:100],
        "truncated": good[:-1],
        "random": bytes(range(256)) * 8,
        "foreign": safetensors.torch.save({"omega": torch.zeros(3)}),
        "altered": good[:-1] + bytes([good[-1] ^ 1]),
        "newer": damaged_header(good, format=99),
        "fieldless": damaged_header(good, seed=None, more=1),
        "architecture": changed(saved, architecture="0" * 16),
        "theta0": changed(saved, theta0="0" * 16),
        "P": changed(saved, P="0" * 16),
        "stranger": changed(saved, model="[/b]"),
        "projection": changed(saved, projection="hashed/99"),
        "unnamed": container.encode(unnamed),
        "nothing": damaged_header(good, dim=0),
        "unknown.toml": b"dims = 30\n",
        "malformed.toml": b"dim = 30\nlr = = 1\n",
        "latin1.toml": b'model = "\xe9"\n',
        "value.toml": b'dim = 2.5\nlr = "x"\nepochs = true\n',
        "section.toml": b"[train]\ndim = 0\n",
        "file": b"",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    images, *rest = sorted(PACKAGED.glob("*.gz"))
    damages = {
        "incomplete": None,
        "cut": images.read_bytes()[:5000],
        "corrupt": images.read_bytes()[:10] + b"\xff" * 99,
        "other": gzip.compress(bytes(99), 1),
    }
    for name, content in damages.items():
        (folder / name).mkdir()
        for path in rest:
            (folder / name / path.name).symlink_to(path)
        if content is not None:
            (folder / name / images.name).write_bytes(content)
    return folder


NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
DIM = "dim must be a whole number from 1 to 21,840, got"
EPOCHS = "epochs must be a whole number from 1 to 100,000, got"
BATCH = "must be a whole number from 1 to 60,000, got"
LR = "lr must be a number above 0 and at most 1,000, got"
DROPOUT = "dropout must be a number of at least 0 and below 1, got"
SEED = "seed must be a whole number from 0 to 18,446,744,073,709,551,615, got"
THREADS = "threads must be a whole number from 1 to 1,024, got"
MODEL = "Unknown model 'cnov'. Did you mean 'conv'? Valid: conv, fc,"
DEVICE = "Unknown device 'cud'. Did you mean 'cuda'? Valid: auto, cpu, cuda, mps."

# What is given, and for each line of the answer a part of it, or several with … between.
BAD_TRAININGS = [
    ("--dim 0", [f"{DIM} 0."]),
    ("--dim -5", [f"{DIM} -5."]),
    ("--dim abc", [f"{DIM} 'abc'."]),
    ("--dim 1.5", [f"{DIM} '1.5'."]),
    ("--dim 21841", [f"{DIM} 21841."]),
    ("--dim 199211 --model fc", ["dim must be a whole number from 1 to 199,210, got 199211."]),
    ("--dim", ["--dim needs a value"]),
    ("--model cnov", [MODEL]),
    ("--projection hahsed", ["Unknown projection 'hahsed'. Did you mean 'hashed'?"]),
    ("--schedule one-cycel", ["Unknown schedule 'one-cycel'. Did you mean 'one-cycle'?"]),
    ("--init 2018", ["Unknown init '2018'. Did you mean '2017'?"]),
    ("--scale one", ["Unknown scale 'one'."]),
    ("--projection identity", ["dim must be 21,840, all weights of conv, with identity."]),
    ("--device cud", [DEVICE]),
    ("--device gpu", ["Unknown device 'gpu'. Did you mean 'cuda'?"]),
    ("--data fashion", ["Fashion-MNIST is a task: subspace-nn sweep fashion-fc"]),
    ("--model mymodel.py", ["Unknown model 'mymodel.py'. … subspace-nn sweep mine:function"]),
    ("mnist-lenet --dim 44427", ["dim must be a whole number from 1 to 44,426, got 44427."]),
    ("--optimizer sgd", ["--optimizer … optimizer=torch.optim.SGD"]),
    ("--device cuda:99", ["Device 'cuda:99' cannot be used here: "]),
    pytest.param("--device cuda", ["Device 'cuda' cannot be used here: "], marks=NO_CUDA),
    ("--lr 0", [f"{LR} 0.0."]),
    ("--lr -1", [f"{LR} -1.0."]),
    ("--lr nan", [f"{LR} nan."]),
    ("--lr inf", [f"{LR} inf."]),
    ("--lr 1e9", [f"{LR} 1000000000.0."]),
    ("--epochs 0", [f"{EPOCHS} 0."]),
    ("--epochs -3", [f"{EPOCHS} -3."]),
    ("--epochs 1.5", [f"{EPOCHS} '1.5'."]),
    ("--epochs many", [f"{EPOCHS} 'many'."]),
    ("--epochs 99999999999999999999", [f"{EPOCHS} 99999999999999999999."]),
    ("--batch-size 0", [f"{BATCH} 0."]),
    ("--batch-size 60001", [f"{BATCH} 60001."]),
    ("--seed -1", [f"{SEED} -1."]),
    ("--seed 18446744073709551616", [f"{SEED} 18446744073709551616."]),
    ("--threads 0", [f"{THREADS} 0."]),
    ("--threads many", [f"{THREADS} 'many'."]),
    ("--dropout 1", [f"{DROPOUT} 1.0."]),
    ("--dropout -0.1", [f"{DROPOUT} -0.1."]),
    ("--force=maybe", ["--force"]),
    ("--dims 3", ["Unknown option: --dims. Did you mean --dim?"]),
    ("--dim 3 --dim 4", ["--dim specified multiple times"]),
    ("word", ["word"]),
    ("--data nowhere", ["The data folder nowhere does not exist."]),
    ("--data file", ["The data folder file is not a folder."]),
    ("--data incomplete", ["Missing: t10k-images-idx3-ubyte. Looked in incomplete"]),
    ("--data cut", ["t10k-images-idx3-ubyte: it is truncated."]),
    ("--data corrupt", ["t10k-images-idx3-ubyte: it is corrupt"]),
    ("--data other", ["t10k-images-idx3-ubyte: its content differs."]),
    ("--out file", ["file/omega.safetensors cannot be written: "]),
    ("--out file/below", ["file/below/omega.safetensors cannot be written: "]),
    ("--out /dev/null/below", ["/dev/null/below/omega.safetensors cannot be written: "]),
    ("--config nowhere.toml", ["nowhere.toml: No such file"]),
    ("--config incomplete", ["incomplete"]),
    ("--config unknown.toml", ["dims … unknown.toml"]),
    ("--config malformed.toml", ["malformed.toml … at line 2"]),
    ("--config latin1.toml", ["latin1.toml"]),
    ("--config value.toml", [f"{DIM} '2.5'.", f"{EPOCHS} 'True'.", f"{LR} 'x'."]),
    ("--config section.toml", ["train … section.toml"]),
    (
        "--dim 0 --model cnov --init 2018 --lr -1 --data /no --device cud --threads 0 --out file",
        [
            "The data folder /no does not exist.",
            MODEL,
            "Unknown init '2018'.",
            "dim must be a whole number of at least 1, got 0.",
            f"{LR} -1.0.",
            DEVICE,
            f"{THREADS} 0.",
            "file/omega.safetensors cannot be written: ",
        ],
    ),
]

UNREADABLE = [
    ("nowhere", "cannot be read (No such file or directory)."),
    ("/dev/zero", "not a file."),
    ("empty", "the file is empty."),
    ("short", "truncated, or not a safetensors file"),
    ("header", "truncated, or not a safetensors file"),
    ("truncated", "not a whole safetensors file"),
    ("random", "truncated, or not a safetensors file"),
    ("foreign", "a safetensors file, but not a checkpoint of subspace-nn"),
    ("altered", "its content was altered"),
    ("newer", "of format 99, newer than 3"),
    ("nothing", "expected 1 ≤ dim ≤ D < 2^63, got 0"),
]
MISFITS = [
    ("architecture", "another architecture than the one it was saved with"),
    ("theta0", "another θ0 than the one it was saved with"),
    ("P", "another P than the one it was saved with"),
    ("stranger", "Unknown model '[/b]'. Valid: conv, fc,"),
    ("projection", "another version of projection 'hashed'"),
]
OTHER_MISTAKES = [
    ("trian", ['Unknown command "trian". Did you mean "train"?']),
    ("evaluate", ["FILE is missing"]),
    ("evaluate unnamed", ["unnamed names no packaged net … mine:function"]),
    ("evaluate fieldless", ["fieldless: unknown field 'more'", "field 'seed' must be of type int"]),
    (
        "evaluate empty --data nowhere --device cud --threads 0",
        ["empty: the file is empty.", "nowhere does not exist", DEVICE, f"{THREADS} 0."],
    ),
    ("inspect", ["FILE is missing"]),
    ("inspect random more", ["more"]),
    ("inspect incomplete", ["incomplete/omega.safetensors: cannot be read"]),
]


def mistakes():
    """Every case of what is given and what is answered, its command line as its id."""
    for case in BAD_TRAININGS:
        given, parts = case if isinstance(case, tuple) and len(case) == 2 else case.values
        marks = getattr(case, "marks", ())
        yield pytest.param(f"train {given}", parts, id=f"train {given}", marks=marks)
    for verb, cases in (("evaluate", [*UNREADABLE, *MISFITS]), ("inspect", UNREADABLE)):
        for name, part in cases:
            yield pytest.param(f"{verb} {name}", [f"{name}: {part}"], id=f"{verb} {name}")
    for given, parts in OTHER_MISTAKES:
        yield pytest.param(given, parts, id=given)


@pytest.mark.usefixtures("small_set")
@pytest.mark.parametrize(("given", "parts"), list(mistakes()))
def test_mistake(run, here, bad_files, given, parts):
    for path in bad_files.iterdir():
        (here / path.name).symlink_to(path)
    done = run(*given.split())
    assert done.code == 2
    assert done.out == ""
    lines = done.err.splitlines()
    assert [line for line in lines if not line.startswith("error: ")] == []
    assert len(lines) == len(parts)
    for line, part in zip(lines, parts, strict=True):
        assert all(piece in line for piece in part.split(" … ")), part


@pytest.mark.usefixtures("small_set")
@pytest.mark.parametrize(
    "given",
    ["--dim 0", "--model ../out/of/here", "--data nowhere", "--out new/folder --lr 0"],
)
def test_a_mistake_leaves_no_folder(run, here, given):
    (here / "cwd").mkdir()
    os.chdir(here / "cwd")
    assert run("train", *given.split()).code == 2
    assert [path.name for path in here.rglob("*")] == ["cwd"]


def start(*words, script="exec {}"):
    command = shlex.join([*COMMAND, *WHOLE, *words])
    return subprocess.Popen(
        ["/bin/bash", "-c", script.format(command)], stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


def test_a_full_disk_is_found_out_before_the_training(here):
    process = start("1", "--out", str(here / "out"), script="ulimit -f 100; trap '' XFSZ; exec {}")
    assert "omega.safetensors cannot be written: File too large" in process.communicate()[1]
    assert process.returncode == 2
    assert not (here / "out").exists()
