"""DDP and FSDP2 in every order, and the files they write: two processes, or one for each GPU."""

import json
import os
import subprocess
import sys

import pytest
import torch

from tests.frameworks import pages


def run_worker(folder, processes, *words):
    """What the first of some processes prints."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", "-m", "tests.frameworks.worker", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(pages.ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_two_processes_end_where_one_does(tmp_path):
    results = run_worker(tmp_path, 2)
    assert {n: d for n, d in results["distances"].items() if d > 1e-5} == {}
    refusals = results["refusals"]
    assert all("fully_shard" in refused for refused in refusals.values()), refusals
    assert "0.weight" in refusals["sharded before"]
    assert "one adapter only" in refusals["with adapters"]
    assert results["outside"] == [True, True, "meta"]
    assert "Call net.set_adapter(name) first" in results["another"]
    assert all("in different subspaces" in refused for refused in results["apart"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_process_for_each_gpu_ends_where_one_does(tmp_path):
    results = run_worker(tmp_path, torch.cuda.device_count(), "cuda")
    assert {n: d for n, d in results["distances"].items() if d > 1e-5} == {}
