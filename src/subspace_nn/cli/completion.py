"""`completion`: what a shell completes."""

import sys
from typing import Annotated, Literal, get_args

from cyclopts import Parameter

from subspace_nn.cli._app import app
from subspace_nn.common.checks import one_of, require

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Annotated[Shell, Parameter(help="bash, zsh or fish.")], /) -> None:
    """Print the script by which a shell completes verbs and options.

    bash: eval "$(subspace-nn completion bash)" in ~/.bashrc. zsh: save it as _subspace-nn in a
    folder of $fpath. fish: save it as ~/.config/fish/completions/subspace-nn.fish.
    """
    require(one_of("shell", shell, get_args(Shell)))
    sys.stdout.write(app.generate_completion(prog_name="subspace-nn", shell=shell) + "\n")
