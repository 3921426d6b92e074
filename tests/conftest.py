"""What tests in every folder use, and what they all pin: threads and PyTorch's generator."""

import os
import sys

# Before PyTorch is imported, here and in every process that a test starts.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

from subspace_nn.cli import main

torch.set_num_threads(1)  # a plugin may have imported PyTorch before


def pytest_runtest_setup():
    """Give each test the same draws of PyTorch's, whichever tests ran before it."""
    torch.manual_seed(0)


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    """Say how to repeat the order of a run that failed, which `-q` leaves out."""
    if exitstatus and (seed := config.getoption("randomly_seed", None)) is not None:
        terminalreporter.write_line(f"The order of this run: --randomly-seed={seed}")


@pytest.fixture
def command(monkeypatch, capsys):
    """The command, in this process: its exit code, what it printed, its errors."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["subspace-nn", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call
