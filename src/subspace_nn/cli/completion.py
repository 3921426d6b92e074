"""`completion`: what a shell completes."""

import sys
from typing import Annotated, Literal, get_args

from cyclopts import Parameter

from subspace_nn.cli._app import app
from subspace_nn.common.checks import one_of, require

Shell = Literal["bash", "zsh", "fish"]

#: The first Tab calls the file itself, in which zsh looks for the function; `source` does not.
_ZSH_END = """
if [[ ${funcstack[1]} == _subspace-nn ]]; then
  _cyclopts_subspace-nn "$@"
else
  compdef _cyclopts_subspace-nn subspace-nn
fi
"""

#: With it bash puts a slash behind a folder, not a space; bash 3 does not have it.
_BASH_FILES = "compopt -o filenames 2>/dev/null; "


def completion(shell: Annotated[Shell, Parameter(help="bash, zsh or fish.")], /) -> None:
    """Print the script by which a shell completes verbs and options.

    bash: save it as ~/.subspace-nn.bash, and put ". ~/.subspace-nn.bash" into ~/.bashrc. zsh: the
    same with ~/.subspace-nn.zsh and ~/.zshrc, after compinit. fish: save it as
    ~/.config/fish/completions/subspace-nn.fish.
    """
    require(one_of("shell", shell, get_args(Shell)))
    script = app.generate_completion(prog_name="subspace-nn", shell=shell)
    if shell == "zsh":
        script += _ZSH_END
    if shell == "bash":
        files = "COMPREPLY=( $(compgen -f"
        script = script.replace(files, _BASH_FILES + files)
    sys.stdout.write(f"{script}\n")
