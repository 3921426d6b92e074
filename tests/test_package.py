"""What `import subspace_nn` gives, and what it costs."""

import subprocess
import sys

import subspace_nn as sn

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
