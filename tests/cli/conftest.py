"""What tests of the command line share."""

import sys

import pytest


@pytest.fixture(autouse=True)
def no_pydantic(monkeypatch):
    """As where a command starts: where pydantic is imported, cyclopts checks options by it."""
    monkeypatch.delitem(sys.modules, "pydantic", raising=False)
