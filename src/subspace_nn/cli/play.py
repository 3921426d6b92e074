"""`play`: a page that reads your handwriting."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from subspace_nn.checkpoint.hub import checkpoint_of
from subspace_nn.cli._app import Terminal, gather
from subspace_nn.common.atomic import write_atomically
from subspace_nn.common.errors import InputError
from subspace_nn.play import look, packaged, page


def play(
    *files: Annotated[
        Path,
        Parameter(help="Checkpoints of your own, or their folders, of conv or fc, for the slider."),
    ],
    out: Annotated[Path, Parameter(help="The page to write.")] = Path("play.html"),
    force: Annotated[bool, Parameter(help="Overwrite that page.")] = False,
) -> None:
    """Write a page on which you draw a digit and a file of 4 kB reads it, in the browser, offline.

    Without files it holds nets with 3 to 10,000 trained numbers. Example: play --out play.html

    Raises:
        InputError: if the page exists, or a file is no checkpoint of conv or fc.
    """
    out = out.expanduser()
    if out.exists() and not force:
        raise InputError(f"{out} exists. Choose another --out, or give --force to overwrite it.")
    if files:
        paths = [checkpoint_of(file.expanduser()) for file in files]
        looks = {str(path): lambda path=path: look(path) for path in paths}
        nets = sorted(gather(**looks).values(), key=lambda net: net["dim"])
    else:
        nets = packaged()
    write_atomically(out, page(nets).encode())
    Terminal().print(
        f"Wrote {out}. Open it in a browser: it needs no network.", markup=False, soft_wrap=True
    )
