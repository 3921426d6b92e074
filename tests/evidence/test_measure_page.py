"""The page docs/measure.md: what it tells a reader to do is done here."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from subspace_nn.dimension import KNOWN

PAGE = Path(__file__).parents[2] / "docs" / "measure.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_a_model_of_ones_own_in_under_25_lines(tmp_path):
    pytest.importorskip("sklearn")
    (block,) = re.findall(r"```python\n   # mine\.py\n(.*?)```", TEXT, re.DOTALL)
    lines = [line[3:] for line in block.splitlines()]
    assert len([line for line in lines if line.strip()]) < 25
    (tmp_path / "mine.py").write_text("\n".join(lines))
    command = next(line for line in TEXT.splitlines() if "subspace-nn measure mine:digits" in line)
    program = Path(sys.executable).with_name("subspace-nn")
    options = ["--budget", "7", "--jobs", "1"]
    done = run([program, *command.split()[1:], *options], tmp_path)
    assert "d_int" in done
    assert "7 runs" in done
    assert len(list((tmp_path / "records").glob("*.json"))) == 7
    # The same from Python: nothing is left to run.
    script = (tmp_path / "mine.py").read_text().replace('"records")', '"records", budget=7)')
    (tmp_path / "mine.py").write_text(script)
    printed = run([sys.executable, "mine.py"], tmp_path)
    assert re.fullmatch(r"\d+ \d+ \d+ [\d.]+\n", printed)
    assert len(list((tmp_path / "records").glob("*.json"))) == 7


def run(words, folder):
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_name_is_told():
    table = TEXT.split("## Names")[1].split("## ")[0]
    reported = {name for row in table.splitlines() if row.startswith("| `")
            for name in re.findall("`([a-z0-9-]+)`", row.split("|")[1])}  # fmt: skip
    assert reported == set(KNOWN)
