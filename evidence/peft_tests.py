"""PEFT's own tests of custom models, run with `SubspaceConfig` and with methods of the same sort.

Needs the folder `tests` of PEFT's source distribution, of the installed version, and what these
tests import (`datasets`, `parameterized`):

    pip download --no-deps --no-binary :all: peft==$(pip show peft | awk '/^Version/ {print $2}')
    tar xzf peft-*.tar.gz
    python -m evidence.peft_tests results/peft_tests.json peft-*/tests

The tests are copied. The only change to the copy is that its lists of cases get more: those of
Uni-LoRA with `SubspaceConfig` in its place, and two adapters on different layers.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET  # of a report that pytest wrote here
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import output

METHODS = ("SubspaceConfig", "UniLoraConfig", "VeraConfig")
FILE = "test_custom_models.py"
CASES = """
from subspace_nn.integrations.peft import SubspaceConfig
_LIN0 = {"target_modules": ["lin0"], "dim": 5, "init_weights": False}
TEST_CASES += [
    (name.replace("UniLora", "Subspace"), model, SubspaceConfig,
     {("dim" if key == "theta_d_length" else key): 5 if key == "theta_d_length" else value
      for key, value in options.items()})
    for name, model, config, options in TEST_CASES if config is UniLoraConfig
]
"""
PAIRS = """
MULTIPLE_ACTIVE_ADAPTERS_TEST_CASES += [
    ("Subspace Same", "subspace", SubspaceConfig, _LIN0, _LIN0),
    ("Subspace Different", "subspace", SubspaceConfig, _LIN0, _LIN0 | {"target_modules": ["lin1"]}),
]
"""


def prepare(tests: Path, folder: Path) -> None:
    """Copy the tests, and add the cases before the names that the lists are read under."""
    copy = folder / "tests"
    shutil.copytree(tests, copy)
    (copy / "__init__.py").touch()
    text = (copy / FILE).read_text("utf-8")
    for cases, before in ((CASES, "ALL_PEFT_CONFIG_CLASSES ="), (PAIRS, "class MLP(nn.Module)")):
        first, mark, rest = text.partition(f"\n{before}")
        if not mark:
            raise SystemExit(f"{FILE} has no line that begins with {before!r}: another version?")
        text = f"{first}\n{cases}\n{before}{rest}"
    (copy / FILE).write_text(text, "utf-8")


def run(folder: Path, method: str) -> dict[str, Any]:
    """The outcomes of one method's tests."""
    report = folder / f"{method}.xml"
    chosen = f"{method} and not P{method}"  # `-k` knows no case: PveraConfig has VeraConfig in it
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(folder)]
    plugins = ["-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist"]
    options = [*plugins, "-k", chosen, f"--junitxml={report}", f"tests/{FILE}"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *options], cwd=folder, env=environment, check=False)
    outcomes: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    for case in ET.parse(report).getroot().iter("testcase"):  # noqa: S314
        child = next((c.tag for c in case if c.tag in {"failure", "error", "skipped"}), "passed")
        kind = {"failure": "failed", "error": "failed"}.get(child, child)
        outcomes[kind].append(f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name')}")
    skipped = Counter(re.sub(r"\[.*", "", name) for name in outcomes["skipped"])
    return {
        "run": len(outcomes["passed"]) + len(outcomes["failed"]),
        "passed": len(outcomes["passed"]),
        "failed": sorted(outcomes["failed"]),
        "skipped": dict(sorted(skipped.items())),
    }


def main() -> None:
    """Run the tests of each method, and write the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("tests", type=Path, help="the folder of PEFT's tests")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(options.tests, folder)
        found = {method: run(folder, method) for method in METHODS}
    command = "python -m evidence.peft_tests results/peft_tests.json peft-*/tests"
    output.write(options.out, command, peft=version("peft"), methods=found)
    for method, result in found.items():
        print(f"{method:16} {result['passed']:4} of {result['run']:4} passed")


if __name__ == "__main__":
    main()
