"""A mistake in the grammar of a command line: what is wrong, and how to write it."""

import inspect
import re
from collections.abc import Iterator

from cyclopts import App, CycloptsError, MissingArgumentError, UnknownOptionError
from cyclopts.exceptions import UnusedCliTokensError

#: Options that people expect of a training.
_OPTIMISERS = {"--optimizer", "--optimiser"}


def explain(app: App, error: CycloptsError) -> str:
    """What is wrong with a command line, and how it would be right.

    Args:
        app: the command.
        error: what parsing has raised.

    Returns:
        One line.
    """
    return " ".join([_sentence(error), *_hints(app, error)])


def _sentence(error: CycloptsError) -> str:
    """What is wrong, in the words of the usage line."""
    if isinstance(error, UnusedCliTokensError):
        return f"Unexpected: {' '.join(error.unused_tokens or [])}."
    if not isinstance(error, MissingArgumentError) or error.argument is None:
        return str(error)
    if error.keyword:
        return f"{error.keyword} needs a value."
    name, verb = error.argument.name, " ".join(error.command_chain or ())
    if error.argument.field_info.kind is inspect.Parameter.KEYWORD_ONLY:
        return f"{name} is missing: see subspace-nn {verb} --help."
    return f"{name.lstrip('-').upper()} is missing: see subspace-nn {verb} --help."


def _hints(app: App, error: CycloptsError) -> Iterator[str]:
    """How options and words of the verb are written, for those that were written the other way."""
    if not error.command_chain:
        return
    arguments = app[error.command_chain[0]].assemble_argument_collection()
    kinds = {argument.name: argument.field_info.kind for argument in arguments}
    for token in error.unused_tokens or []:
        found = re.fullmatch(r"(\w+)=(.+)", token)
        if found and f"--{found[1]}" in kinds:
            yield f"Options are written --{found[1]} {found[2]}."
    takes_words = inspect.Parameter.VAR_POSITIONAL in kinds.values()
    token = error.token if isinstance(error, UnknownOptionError) else None
    if token is not None and (token.keyword or token.value) in _OPTIMISERS:
        yield (
            "Named tasks take optimiser=l-bfgs, as in subspace-nn sweep fashion-fc; a function of "
            "your own gives a Problem with optimizer=torch.optim.SGD (see docs/measure.md)."
        )
    if takes_words and token is not None:
        name = (token.keyword or token.value).lstrip("-").partition("=")[0]
        yield f"If it is an argument of the task, write {name}=VALUE."


__all__ = ["explain"]
