"""What a shell completes."""

import shutil
import subprocess

import pytest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_knows_the_verbs_and_their_options(command, shell):
    code, out, err = command("completion", shell)
    assert (code, err) == (0, "")
    for word in ("measure", "threshold", "train", "batch-size"):
        assert word in out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=out, text=True, check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_a_verb_and_an_option(command):
    script = command("completion", "bash")[1]
    asked = (
        "COMP_WORDS=(subspace-nn {words}); COMP_CWORD={at}; COMP_LINE='subspace-nn {words}'; "
        "COMP_POINT=${{#COMP_LINE}}; $(complete -p subspace-nn | sed 's/.*-F \\([^ ]*\\).*/\\1/'); "
        'printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    for words, at, expected in (("meas", 1, "measure"), ("sweep --sav", 2, "--save")):
        done = subprocess.run(
            [shutil.which("bash"), "-c", f"{script}\n{asked.format(words=words, at=at)}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert expected in done.stdout.split()


def test_a_shell_that_is_not_known_is_named(command):
    code, _, err = command("completion", "tcsh")
    assert code == 2
    assert "tcsh" in err
