"""What tests in every folder use."""

import sys

import pytest

from subspace_nn.cli import main


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
