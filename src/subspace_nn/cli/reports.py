"""`report`: records as a page."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from subspace_nn.cli._app import app
from subspace_nn.errors import InputError
from subspace_nn.files import write_atomically
from subspace_nn.report import page
from subspace_nn.store import Store


@app.command
def report(
    *folders: Annotated[Path, Parameter(help="Folders of records, each a section of its own.")],
    out: Annotated[Path, Parameter(help="The page.")] = Path("report.html"),
) -> None:
    """Make one self-contained page of finished sweeps; it opens without a network."""
    if not folders:
        raise InputError("Name at least one folder of records, as in results/fc-2017.")
    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise InputError(*(f"The folder {folder} does not exist." for folder in missing))
    html = page({folder.name: Store(folder).read() for folder in folders})
    write_atomically(out, html.encode())
    Console().print(f"{out}, {len(html.encode()):,} bytes", markup=False, soft_wrap=True)
