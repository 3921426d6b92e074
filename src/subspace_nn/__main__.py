"""The command `subspace-nn`, also as `python -m subspace_nn`.

Beside a stranger's `subspace_nn.py`, `python -m` would run that: give it the option -P.
"""

import os
import sys

if __name__ == "__main__" and sys.path and sys.path[0] in {"", os.getcwd()}:  # noqa: PTH109
    del sys.path[0]  # python -m puts the current folder first, whose files are not the command's


def main() -> None:
    """Run the command; Ctrl-C ends it quietly from the first import on."""
    try:
        from subspace_nn import cli  # noqa: PLC0415  # inside of the guard

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
