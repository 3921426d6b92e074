"""The command `subspace-nn`, also as `python -m subspace_nn`.

In a folder with a stranger's `subspace_nn.py`, `python -m` would run that: give it the option -P.
"""

import os
import signal
import sys

if __name__ == "__main__" and sys.path and sys.path[0] in {"", os.getcwd()}:  # noqa: PTH109
    del sys.path[0]  # python -m puts the current folder first, whose files are not the command's


def main() -> None:
    """Run the command; Ctrl-C ends it quietly from the first import to the last worker's end."""
    try:
        from subspace_nn import cli  # noqa: PLC0415  # inside of the guard

        cli.main()
    except (KeyboardInterrupt, Exception) as error:
        if not _is_interrupt(error):
            raise
        sys.exit(130)
    finally:
        for number in signal.valid_signals():  # Python would say where it was
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is at the root: where a class is made, Python 3.11 raises another error."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


if __name__ == "__main__":
    main()
