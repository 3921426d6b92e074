"""Errors a caller can act on: what was expected, what was got, what to do."""

import difflib
from collections.abc import Callable, Iterable


class InputError(ValueError):
    """Something the caller gave cannot be used.

    Args:
        *problems: one sentence for each thing that is wrong; all of them are shown together.

    Attributes:
        problems: the sentences, in the order given.

    Example:
        >>> print(InputError("dim must be at least 1, got 0.", "lr must be positive, got -1."))
        dim must be at least 1, got 0.
        lr must be positive, got -1.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class DataError(InputError):
    """A data set is missing, incomplete, or not the one that was asked for."""


class CheckpointError(InputError):
    """A checkpoint cannot be read, or does not fit the module it is loaded into."""


def unknown_name(what: str, got: object, valid: Iterable[str], meant: str | None = None) -> str:
    """Say that a name is not one of the valid ones, and suggest the nearest.

    Args:
        what: what the name is for, in the caller's words.
        got: the name that was given.
        valid: the valid names.
        meant: the name to suggest; by default the most similar one, if any is.

    Returns:
        One sentence.

    Example:
        >>> unknown_name("model", "cnov", ["conv", "fc"])
        "Unknown model 'cnov'. Did you mean 'conv'? Valid: conv, fc."
    """
    names = list(valid)
    near = [meant] if meant else difflib.get_close_matches(str(got), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"Unknown {what} {got!r}.{hint} Valid: {', '.join(names)}."


def problems_of(attempt: Callable[[], object]) -> list[str]:
    """The problems of an attempt.

    Args:
        attempt: what may raise an `InputError`.

    Returns:
        Its sentences; none if it raises nothing.

    Example:
        >>> from subspace_nn.projections import parse
        >>> problems_of(lambda: parse("hashed")), len(problems_of(lambda: parse("hash")))
        ([], 1)
    """
    try:
        attempt()
    except InputError as error:
        return list(error.problems)
    return []
