"""What `import subspace_nn` gives, and what it costs."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import subspace_nn as sn

ROOT = Path(__file__).resolve().parents[1]

#: In a process of its own: here everything is imported already.
PROGRAM = """
import sys
import subspace_nn as sn
names = dir(sn)
assert "torch" not in sys.modules
print(*[name for name in names if getattr(sn, name) is not None])
"""


def test_completion_lists_what_there_is_and_imports_nothing():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    found = done.stdout.split()
    assert found == dir(sn) == sorted(found)
    assert {*sn.__all__, "dimension", "models", "projections"} <= set(found)
    assert not [name for name in found if name.startswith("_")]


def test_extras_that_messages_and_pages_name_are_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].keys()
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("[!_]*.md")]
    for path in [*(ROOT / "src").rglob("*.py"), *pages]:
        text = path.read_text(encoding="utf-8")
        for names in re.findall(r"(?:subspace-nn|\.)\[([a-z,]+)\]['\"]", text):
            assert set(names.split(",")) <= extras, f"{path.name}: {names}"


#: What a server of nets does, where nothing but these three packages is installed.
SERVER = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
import torch
import subspace_nn as sn

net = sn.Subspace(torch.nn.Linear(20, 10), dim=15)
net(torch.ones(3, 20)).sum().backward()
net.save("net.safetensors")
again = sn.load("net.safetensors", module=torch.nn.Linear(20, 10))
again.load_adapter("one", "net.safetensors")
sn.save_pretrained(again, "folder")
sn.from_pretrained("folder", torch.nn.Linear(20, 10)).merge()
"""


def test_nets_are_made_saved_and_loaded_with_torch_numpy_and_safetensors_alone(tmp_path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}
    absent = names - {"torch", "numpy", "safetensors", "jinja2"}  # PyTorch's own needs the last
    program = SERVER.replace("{absent}", repr(absent))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
