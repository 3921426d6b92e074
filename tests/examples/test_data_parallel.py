"""Two processes train as one does, and send ω's gradient alone."""

import json
import os
import subprocess
import sys

import pytest
import torch.distributed as dist

from tests.examples.scripts import ROOT, script

STEPS, BATCH, DIM = 5, 32, 300


def in_two_processes():
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["examples/data_parallel.py", f"--steps={STEPS}", f"--batch={BATCH}", f"--dim={DIM}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def in_one_process():
    if not dist.is_initialized():  # once: to end a group and begin another can deadlock
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    return script("data_parallel").train(STEPS, BATCH, DIM)


def test_two_processes_on_gloo_have_the_losses_of_one():
    one, two = in_one_process(), in_two_processes()
    assert (one["processes"], two["processes"]) == (1, 2)
    assert one["losses"][-1] < one["losses"][0]
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert one["bytes_per_step"] == two["bytes_per_step"] == 4 * DIM
