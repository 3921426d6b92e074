"""A clone has what the working tree has."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="no checkout of git"
)
def test_no_source_is_ignored():
    """A pattern of .gitignore, as `runs/`, would hide a package of that name from every clone."""
    command = ["git", "-C", str(ROOT), "ls-files", "--others", "--ignored", "--exclude-standard"]
    words = [*command, "src", "tests", "docs", "evidence", "experiments", "benchmarks"]
    ignored = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    sources = [path for path in ignored if path.endswith((".py", ".toml", ".md", ".j2"))]
    built = ("docs/_build/", "docs/results/", "docs/cli.md")  # by `make docs`
    assert not [path for path in sources if not path.startswith(built)]
