"""Claims: one owner at a time, and none that is dead."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from subspace_nn.common import claims, process

HOLD = """
import sys, time
from pathlib import Path
from subspace_nn.common.claims import claim
with claim(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "claims" / "a"


@pytest.fixture
def holder(path):
    """Another process that holds the claim."""
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"True\n"
        yield other
        other.kill()


def test_only_one_of_many_gets_it(path):
    got = []
    held = threading.Barrier(20)

    def take():
        with claims.claim(path) as mine:
            got.append(mine)
            held.wait()

    threads = [threading.Thread(target=take) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 19 + [True]
    assert not path.exists()


def test_another_process_keeps_it_until_it_is_killed(path, holder):
    assert claims.is_held(path)
    with claims.claim(path) as mine:
        assert not mine
    assert claims.is_held(path)
    holder.send_signal(signal.SIGSTOP)  # it renews nothing, and is alive
    assert claims.is_held(path)
    holder.kill()
    holder.wait()
    assert not claims.is_held(path)
    with claims.claim(path) as mine:
        assert mine


def test_a_killed_process_that_nobody_waited_for_is_dead(path, holder):
    holder.kill()
    deadline = time.monotonic() + 10
    while claims.is_held(path) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not claims.is_held(path)


def test_only_one_takes_over(path):
    path.parent.mkdir()
    machine, *_ = process.me()
    path.write_text(f"{machine} {os.getpid()} 1")  # an earlier process of the same number
    test_only_one_of_many_gets_it(path)


@pytest.mark.parametrize(("seconds", "held"), [(0, True), (60, True), (150, False)])
@pytest.mark.parametrize("content", ["elsewhere 1 1", "", "x" * 5000])
def test_a_claim_of_another_machine_is_dead_when_it_is_not_renewed(path, seconds, held, content):
    path.parent.mkdir()
    path.write_text(content)
    os.utime(path, (time.time() - seconds,) * 2)
    assert claims.is_held(path) == held
    with claims.claim(path) as mine:
        assert mine != held


def test_a_claim_is_renewed(path, monkeypatch):
    monkeypatch.setattr(claims, "RENEWED", 0.01)
    with claims.claim(path):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def test_a_claim_that_was_taken_over_is_left_to_its_new_owner(path):
    with claims.claim(path):
        path.write_text("elsewhere 1 1")
    assert path.read_text() == "elsewhere 1 1"


def test_a_claim_that_cannot_be_written_is_not_left(path):
    """An empty one is nobody's, so it would be waited for as if another machine had it."""
    program = f"""
import resource
from pathlib import Path
from subspace_nn.common.claims import claim
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # as on a full disk: the file is made, and empty
try:
    with claim(Path({str(path)!r})):
        pass
except OSError as error:
    print(error.strerror)
"""
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "File too large\n"
    assert list(path.parent.iterdir()) == []
    with claims.claim(path) as mine:
        assert mine
