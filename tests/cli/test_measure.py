"""`measure` at the command line."""

import pytest

from subspace_nn.runs.run import Run
from subspace_nn.runs.store import Store

TASK, PROBE = "tests.dimension.synthetic:train", "tests.dimension.synthetic:probe"


@pytest.fixture
def run(command, monkeypatch, tmp_path):
    """The verb, with its records in a folder of their own."""
    monkeypatch.setenv("COLUMNS", "200")
    place = ["--out", tmp_path / "out", "--engine", "serial"]
    return lambda *words: command("measure", *words, *place)


def test_an_answer_with_its_files(run, tmp_path):
    code, out, _ = run(TASK, "answer=70", "--budget", "40")
    assert code == 0
    assert out.startswith(f"{TASK} answer=70: how many free parameters?")
    assert "the interval is as narrow as requested (20 %)" in out
    (answer,) = (tmp_path / "out" / "measurements").glob("*.json")
    assert answer.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert f"{len(Store(tmp_path / 'out').read())} (0." in out
    code, again, _ = run(TASK, "answer=70", "--budget", "40")
    assert again.splitlines()[-6:] == out.splitlines()[-6:]


def test_options_make_the_definition(run):
    words = ["answer=70", "--metric", "test_error", "--better", "lower", "--threshold", "10"]
    code, out, _ = run(
        TASK, *words, "--kind", "absolute", "--precision", "0.5", "--confidence", "0.9"
    )
    assert code == 0
    assert "10 (absolute)" in out
    assert "90 % interval" in out
    assert "(50 %)" in out


def test_a_share_of_the_gain_over_a_baseline_that_is_run(run, tmp_path):
    words = ["answer=300", "--threshold", "0.75", "--baseline", f"{PROBE} noise=0.2"]
    code, out, err = run(TASK, *words)
    assert (code, err) == (0, "")
    assert "next: 5 × baseline" in out
    assert "75 % of the full model's gain over the baseline)" in out
    assert f"n = 5 ({PROBE} noise=0.2)" in out
    made = [record for record in Store(tmp_path / "out").read() if record["task"] == PROBE]
    assert len(made) == 5


def test_a_task_with_a_name(run):
    code, out, _ = run("toy", "projection=gaussian", "--budget", "7")
    assert code == 0
    assert "ten constraints on 1,000 weights" in out
    assert "Li et al. 2018  10" in out
    assert "budget exhausted" in out


def test_a_file_of_measurements(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(
        f"[[measure]]\ntask = '{TASK}'\nbudget = 9\nout = 'a'\n"
        f"[[measure]]\ntask = '{TASK}'\nbudget = 8\narguments = {{ answer = 70 }}\nout = 'b'\n"
    )
    code, out, err = command("measure", "mine.toml", "--engine", "serial")
    assert (code, err) == (0, "")
    assert f"{TASK} answer=70: how many" in out
    assert [len(Store(tmp_path / name).read()) for name in "ab"] == [9, 8]
    code, _, err = command("measure", "mine.toml", "answer=3", "--budget", "4")
    assert (code, "answer=3, --budget" in err) == (2, True)


def test_every_folder_is_tried_before_the_first_measurement(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("a", "file", "file/b")
    text = "".join(f"[[measure]]\ntask = '{TASK}'\nbudget = 9\nout = '{n}'\n" for n in names)
    (tmp_path / "mine.toml").write_text(text)
    (tmp_path / "file").touch()
    code, out, err = command("measure", "mine.toml", "--engine", "serial")
    assert (code, out, err.count("cannot be written: Not a directory")) == (2, "", 2)
    assert not (tmp_path / "a").exists()


def test_names_in_a_strangers_records_cannot_command_the_terminal(run, tmp_path):
    store = Store(tmp_path / "out")
    for name in ("\x1b[2J\x1b]0;x\x07", "x" * 10_000):
        arguments = {"dim": 3, "seed": 0, "answer": 70, name: 1}
        record = Run("tests.dimension.synthetic:open_to_all", arguments).failed("")
        store.write(record | {"status": "done", "result": {"D": 10_000, "test_accuracy": 1.0}})
    (tmp_path / "out" / f"{'0' * 16}.json").write_text('{"id": "\\u001b[2J"}')
    code, out, err = run("tests.dimension.synthetic:open_to_all", "answer=70", "--budget", "5")
    assert code == 0
    assert "left out" in out
    assert "\x1b" not in out + err
    assert len(out + err) < 5000


@pytest.mark.parametrize(("words", "messages"), [
    (["tyo"], ["Did you mean 'toy'?"]),
    (["mnist", "model=cnov", "--threshold", "90", "--precision", "0"],
     ["Did you mean 'conv'?", "share above 0", "precision must be"]),
    ([TASK, "70"], ["expected name=value"]),
    ([TASK, "--budget", "0"], ["budget must be"]),
    ([TASK, "--better", "more"], ["Unknown better 'more'"]),
    ([TASK, "--engine-option", "gpu"], ["--engine-option: expected name=value, got 'gpu'"]),
    (["mnist-fc-pixels", "optimiser=cma-es"], ["cma-es is for at most 1,000 free parameters"]),
    (["toy", "projection=nope"], ["Unknown projection 'nope'"]),
    (["digits", "lr=abc", "projection=nope", "epochs=0"],
     ["lr must be a number above 0, got 'abc'", "Unknown projection", "epochs must be"]),
    ([":train"], ["cannot be imported: ValueError"]),
    ([TASK, "--baseline", PROBE, "--probe", "3"], ["got baseline and probe with kind gain"]),
    ([TASK, "--baseline", PROBE, "--kind", "absolute"], ["got baseline with kind absolute"]),
    ([TASK, "--baseline", f"{PROBE} noize=3", "--budget", "4"],
     ["Did you mean 'noise'?", "budget with a baseline must be a whole number of at least 6"]),
    ([TASK, "--baseline", "nowhere:probe", "--precision", "0"],
     ["'nowhere:probe' cannot be imported", "precision must be"]),
    (["tyo", "--baseline", "nowhere:probe", "--precision", "0"],
     ["Did you mean 'toy'?", "'nowhere:probe' cannot be imported", "precision must be"]),
    ([TASK, "--baseline", "dim=3"], ["is one of the runs to try: set least to 4 or more"]),
    (["math:hypot"], ["is not a function written in Python"]),
    (["tests.dimension.synthetic:own_name"], ["own_name needs d.", "takes dim and seed"]),
    (["tests.dimension.synthetic:failing"], ["RuntimeError: no luck", "Fix the task"]),
], ids=" ".join)  # fmt: skip
def test_mistakes(run, words, messages):
    code, out, err = run(*words)
    assert code == 2
    for message in messages:
        assert message in err
    assert "Traceback" not in out + err
