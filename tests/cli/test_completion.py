"""What a shell completes."""

import os
import pty
import shutil
import subprocess
import time

import pytest


def needs(shell):
    return pytest.mark.skipif(
        shutil.which(shell) is None, reason=f"{shell} is not installed (Debian's package {shell})"
    )


#: What is typed before Tab, and what it becomes.
TYPED = {
    "subspace-nn meas": "measure",
    "subspace-nn train --thr": "--threads",
    "subspace-nn sweep --engine sl": "slurm",
    "subspace-nn measure mnist-lenet-p": "mnist-lenet-pixels",
    "subspace-nn train --dim 10 fashion-f": "fashion-fc",
    "subspace-nn evaluate omega.safetensors brea": "breast-cancer",
    "subspace-nn sweep --save conv-sm": "conv-small-2017",
    "subspace-nn sweep m": "mine.toml",
    "subspace-nn sweep --task cart": "cartpole",
}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_knows_the_verbs_and_their_options(command, shell):
    code, out, err = command("completion", shell)
    assert (code, err) == (0, "")
    for word in ("measure", "threshold", "train", "batch-size"):
        assert word in out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=out, text=True, check=True)


@needs("bash")
def test_bash_completes_what_is_typed(command, tmp_path):
    (tmp_path / "mine.toml").touch()
    script = command("completion", "bash")[1]
    asked = (
        "COMP_LINE='{typed}'; COMP_WORDS=({typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
        "COMP_POINT=${{#COMP_LINE}}; $(complete -p subspace-nn | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
        'printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    not_there = {"subspace-nn sweep --out mnist-f": "mnist-fc", "subspace-nn runs mnis": "mnist"}
    for typed, expected in [*TYPED.items(), *not_there.items()]:
        done = subprocess.run(
            [shutil.which("bash"), "-c", f"{script}\n{asked.format(typed=typed)}"],
            capture_output=True, text=True, check=True, cwd=tmp_path,
        )  # fmt: skip
        assert (expected in done.stdout.split()) == (typed in TYPED), typed


@needs("bash")
def test_bash_puts_a_slash_behind_a_folder(command):
    assert (
        "compopt -o filenames 2>/dev/null; COMPREPLY=( $(compgen -f"
        in command("completion", "bash")[1]
    )


@needs("fish")
def test_fish_completes_what_is_typed(command, tmp_path):
    (tmp_path / "mine.toml").touch()
    script = tmp_path / "subspace-nn.fish"
    script.write_text(command("completion", "fish")[1], encoding="utf-8")
    for typed, expected in TYPED.items():
        done = subprocess.run(
            [shutil.which("fish"), "--no-config", "-c", f"source {script}; complete -C '{typed}'"],
            capture_output=True, text=True, check=True, cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
        )  # fmt: skip
        assert expected in [line.split("\t")[0] for line in done.stdout.splitlines()]


@needs("zsh")
@pytest.mark.parametrize("way", ["sourced", "in fpath"])
def test_zsh_completes_what_is_typed_at_the_first_tab(command, tmp_path, way):
    (tmp_path / "mine.toml").touch()
    script = tmp_path / "_subspace-nn"
    script.write_text(command("completion", "zsh")[1], encoding="utf-8")
    setup = {
        "sourced": f"autoload -U compinit; compinit -u -D; . {script}",
        "in fpath": f"fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -D",
    }[way]
    for typed, expected in TYPED.items():
        assert expected in _after_tab(setup, typed, expected, tmp_path)


def _after_tab(setup, typed, expected, home):
    """What an interactive zsh shows after Tab."""
    ours, its = pty.openpty()
    options = {"stdin": its, "stdout": its, "stderr": its, "start_new_session": True}
    env = {**os.environ, "HOME": str(home), "TERM": "vt100"}
    with subprocess.Popen([shutil.which("zsh"), "-f", "-i"], env=env, cwd=home, **options) as shell:
        os.close(its)
        os.set_blocking(ours, False)
        os.write(ours, f"{setup}; echo re''ady\n".encode())
        _read_until(ours, "ready")
        os.write(ours, f"{typed}\t".encode())
        shown = _read_until(ours, expected)
        shell.kill()
    os.close(ours)
    return shown


def _read_until(terminal, words, patience=30.0):
    shown, end = "", time.monotonic() + patience
    while words not in shown and time.monotonic() < end:
        try:
            shown += os.read(terminal, 4096).decode(errors="replace")
        except BlockingIOError:
            time.sleep(0.05)
    return shown


def test_a_shell_that_is_not_known_is_named(command):
    code, _, err = command("completion", "tcsh")
    assert code == 2
    assert "tcsh" in err
