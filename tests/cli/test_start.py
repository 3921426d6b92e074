"""How the command begins and ends: before PyTorch is imported, and when no one reads."""

import io
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import version

import pytest
from rich.console import Console

from subspace_nn import cli
from subspace_nn.cli._app import Terminal
from subspace_nn.runs.store import Store

#: As the command, with Ctrl-C on: a shell starts what runs in its background without.
START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
{}
from subspace_nn.__main__ import main
main()
"""

#: Ctrl-C at the moment at which a module is about to be imported.
PRESS = """
import os
class Press:
    def find_spec(self, name, *_):
        if name == {!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press())
"""


def command(*words, before=""):
    return [sys.executable, "-c", START.format(before), *map(str, words)]


@pytest.mark.parametrize("module", [
    "subspace_nn.cli", "cyclopts", "rich.console", "subspace_nn.cli.checkpoints", "torch",
    "torch.nn",
])  # fmt: skip
def test_ctrl_c_at_any_import_ends_quietly(module, tmp_path):
    words = command("inspect", tmp_path / "none", before=PRESS.format(module))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_while_a_class_is_made_ends_quietly(tmp_path):
    press = "os.kill(os.getpid(), signal.SIGINT)"
    before = PRESS.format("rich.console").replace(press, "type('C', (), {'field': Field()})")
    field = """
class Field:
    def __set_name__(self, *_):
        os.kill(os.getpid(), signal.SIGINT)
"""
    words = command("inspect", tmp_path / "none", before=f"import os{field}{before}")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_while_python_ends_is_quiet():
    press = "import atexit, os; atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))"
    words = command("--version", before=press)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_what_needs_no_pytorch_does_not_wait_for_it(words):
    program = f"""
import sys
sys.argv[1:] = {words}
from subspace_nn import cli
try:
    cli.main()
except SystemExit:
    pass
assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "subspace-nn" in done.stdout or version("subspace-nn") in done.stdout


VERBS = [name for name in cli.app if not name.startswith("-")]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_shows_its_options_and_explains_each(verb):
    console = Console(file=io.StringIO(), width=100)
    cli.app.help_print([verb], console=console)
    out = console.file.getvalue()
    assert out.startswith(f"Usage: subspace-nn {verb} ")
    arguments = cli.app[verb].assemble_argument_collection()
    for argument in [a for a in arguments if not a.children]:
        assert re.search(rf"{argument.name}( [A-Z|.]+)? {{2,}}\w", out), argument.name


def test_no_two_verbs_have_the_same_help():
    assert len({cli.app[verb].help for verb in VERBS}) == len(VERBS) >= 13


@pytest.mark.parametrize("columns", ["0", "2", "19", "1000000", "9" * 20])
def test_a_width_that_is_no_width_is_passed_over(columns):
    words, environment = command("--help"), {**os.environ, "COLUMNS": columns}
    done = subprocess.run(
        words, capture_output=True, text=True, check=True, timeout=30, env=environment
    )
    assert "Measure how many free parameters" in done.stdout
    assert max(map(len, done.stdout.splitlines())) == 80


def test_a_number_is_not_cut_in_two_by_colours():
    console = Terminal(file=io.StringIO(), force_terminal=True, width=80)
    console.print("1,000 free parameters, runs/conv-1000-0")
    assert console.file.getvalue() == "1,000 free parameters, runs/conv-1000-0\n"


def test_python_m_is_the_command():
    words = [sys.executable, "-m", "subspace_nn", "--version"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == (
        version("subspace-nn") + "\n"
    )


def heads_first_line(*words, cwd):
    """`command | head -1`; gives the line and how the command ended."""
    with subprocess.Popen(
        command(*words), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    return line, process.returncode, errors


def test_a_training_goes_on_when_no_one_reads(tmp_path):
    words = ["--model", "fc", "--batch-size", "20000", "--epochs", "3", "--threads", "1"]
    line, code, errors = heads_first_line("train", *words, "--out", "out", cwd=tmp_path)
    assert (line.partition(":")[0], code, errors) == ("fc", 0, "")
    assert (tmp_path / "out" / "omega.safetensors").exists()


def test_a_sweep_goes_on_when_no_one_reads(tmp_path):
    words = ["--task", "tests.toy:quick", "dim=range(1,9)", "--engine", "serial"]
    line, code, errors = heads_first_line("sweep", *words, "--out", tmp_path, cwd=os.curdir)
    assert (line.partition(" ")[0], code, errors) == ("dim=1", 0, "")
    assert len(Store(tmp_path).finished()) == 8
