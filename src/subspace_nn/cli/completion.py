"""`completion`: what a shell completes."""

import sys
from typing import Annotated, Literal, get_args

from cyclopts import Parameter

from subspace_nn.cli._app import app
from subspace_nn.cli.grammar import options_of
from subspace_nn.common.checks import one_of, require
from subspace_nn.runs.grid import packaged
from subspace_nn.runs.task import NAMED

Shell = Literal["bash", "zsh", "fish"]

#: With it bash puts a slash behind a folder, not a space; bash 3 does not have it.
_BASH_FILES = "compopt -o filenames 2>/dev/null; "

_WITH_TASKS = ("sweep", "measure", "train", "evaluate", "show")

#: What follows the script of each shell, which knows no names of tasks: they are words of no fixed
#: choice. Upper-case words are filled in.
_TASKS = {
    "bash": """
_subspace_nn_tasks() {
  _subspace_nn "$@"
  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}"
  [[ $COMP_CWORD -lt 2 || "$cur" == [-=]* || "$prev" == "=" ]] && return
  [[ "$prev" != --task && " VALUED " == *" $prev "* ]] && return
  case "${COMP_WORDS[1]}" in
    sweep) COMPREPLY+=( $(compgen -W "TASKS SWEEPS" -- "$cur") ) ;;
    measure|train) COMPREPLY+=( $(compgen -W "TASKS" -- "$cur") ) ;;
    evaluate|show) [[ $COMP_CWORD -gt 2 ]] && COMPREPLY+=( $(compgen -W "TASKS" -- "$cur") ) ;;
  esac
  case "${COMP_WORDS[1]}" in
    sweep|measure) FILES COMPREPLY+=( $(compgen -f -- "$cur") ) ;;
  esac
}

complete -F _subspace_nn_tasks subspace-nn
""",
    # The first Tab calls the file itself, in which zsh looks for the function; `source` does not.
    "zsh": """
_subspace-nn-tasks() {
  local -a typed=("${words[@]}")
  local at=$CURRENT found=1
  _cyclopts_subspace-nn "$@" && found=0
  [[ $at -lt 3 || $typed[at] == -* || $typed[at] == *=* ]] && return $found
  [[ $typed[at-1] != --task && " VALUED " == *" $typed[at-1] "* ]] && return $found
  case $typed[2] in
    sweep) compadd -- TASKS SWEEPS && found=0 ;;
    measure|train) compadd -- TASKS && found=0 ;;
    evaluate|show) [[ $at -gt 3 ]] && compadd -- TASKS && found=0 ;;
  esac
  [[ $typed[2] == (sweep|measure) ]] && _files && found=0
  return $found
}

if [[ ${funcstack[1]} == _subspace-nn ]]; then
  _subspace-nn-tasks "$@"
else
  compdef _subspace-nn-tasks subspace-nn
fi
""",
    "fish": """
for verb in sweep measure train evaluate show
    complete -c subspace-nn -n "__fish_subspace-nn_using_command $verb" -a 'TASKS' -d task
end
for verb in sweep measure
    complete -c subspace-nn -n "__fish_subspace-nn_using_command $verb" -l task -x -a 'TASKS'
end
complete -c subspace-nn -n '__fish_subspace-nn_using_command sweep' -a 'SWEEPS' -d 'packaged sweep'
""",
}


def completion(shell: Annotated[Shell, Parameter(help="bash, zsh or fish.")], /) -> None:
    """Print the script by which a shell completes verbs, options and names of tasks.

    bash: save it as ~/.subspace-nn.bash, and put ". ~/.subspace-nn.bash" into ~/.bashrc. zsh: the
    same with ~/.subspace-nn.zsh and ~/.zshrc, after compinit. fish: save it as
    ~/.config/fish/completions/subspace-nn.fish.
    """
    require(one_of("shell", shell, get_args(Shell)))
    script = app.generate_completion(prog_name="subspace-nn", shell=shell)
    if shell == "bash":
        files = "COMPREPLY=( $(compgen -f"
        script = script.replace(files, _BASH_FILES + files)
    verbs = ("sweep", "measure", "train", "evaluate", "show")
    valued = sorted(
        {name for verb in verbs for name, takes in options_of(app, verb).items() if takes}
    )
    tasks = _TASKS[shell].replace("TASKS", " ".join(NAMED)).replace("FILES", _BASH_FILES)
    tasks = tasks.replace("SWEEPS", " ".join(packaged())).replace("VALUED", " ".join(valued))
    sys.stdout.write(f"{script}\n{tasks}")
