"""Two processes on gloo: DDP and FSDP2, in every order, and the files that they write."""

import json
import os
import subprocess
import sys

from tests.frameworks import pages


def test_two_processes_end_where_one_does(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "tests.frameworks.worker"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(pages.ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    results = json.loads(done.stdout.splitlines()[-1])
    assert {n: d for n, d in results["distances"].items() if d > 1e-5} == {}
    refusals = results["refusals"]
    assert all("fully_shard" in refused for refused in refusals.values()), refusals
    assert "0.weight" in refusals["sharded before"]
    assert "one adapter only" in refusals["with adapters"]
    assert results["outside"] == [True, True, "meta"]
    assert "Call net.set_adapter(name) first" in results["another"]
