"""The page of this project's results.

python -m experiments.report results --out runs/report.html [--figures FOLDER] [--markdown FILE]
"""

import argparse
from pathlib import Path

from experiments.report import report
from subspace_nn.report.files import rarely_collected, write_figures, write_markdown, write_page


def main() -> None:
    """Write the page, and what else is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path("runs/report.html"))
    parser.add_argument("--figures", type=Path, help="folder for the figures, as SVG, PNG and PDF")
    parser.add_argument("--markdown", type=Path, help="file for the tables")
    given = parser.parse_args()
    command = f"python -m experiments.report {given.folder} --out {given.out}"
    with rarely_collected():
        content = report(given.folder)
        size = write_page(content, given.out, command)
    print(f"{given.out}, {size:,} bytes")
    if given.markdown:
        write_markdown(content, given.markdown, given.figures)
    if given.figures:
        write_figures(content, given.figures)


if __name__ == "__main__":
    main()
