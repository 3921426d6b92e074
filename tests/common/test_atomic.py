"""A file is the old one or the new one, never a part of either, and nothing else is left."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from subspace_nn.common import atomic
from subspace_nn.common.atomic import try_writing, write_atomically
from subspace_nn.common.errors import InputError

CONTENTS = [pytest.param(b"", id="empty"), pytest.param(bytes(range(256)) * 999, id="binary")]


@pytest.fixture
def old(tmp_path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    return path


def assert_only(path: Path, content: bytes) -> None:
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("given", [str, Path], ids=["str", "Path"])
@pytest.mark.parametrize("content", CONTENTS)
def test_new_file(tmp_path, given, content):
    write_atomically(given(tmp_path / "new"), content)
    assert_only(tmp_path / "new", content)


@pytest.mark.parametrize("content", CONTENTS)
def test_old_file_is_replaced(old, content):
    write_atomically(old, content)
    assert_only(old, content)


def test_a_name_without_a_folder_is_in_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_atomically("new", b"new")
    assert_only(tmp_path / "new", b"new")


def test_a_reader_keeps_what_it_opened(old):
    with old.open("rb") as reader:
        write_atomically(old, b"new")
        assert reader.read() == b"old"


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002], ids=oct)
def test_permissions_follow_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "new", b"")
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize(
    ("owner", "step"),
    [(os, "fsync"), (Path, "chmod"), (Path, "replace")],
    ids=["flush", "mode", "name"],
)
@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), id="full disk"),
        pytest.param(KeyboardInterrupt(), id="interrupt"),
    ],
)
def test_failure_leaves_the_old_file_and_no_other(old, monkeypatch, owner, step, error):
    def fail(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, fail)
        with pytest.raises(type(error)):
            write_atomically(old, b"new")
    assert_only(old, b"old")


def test_a_full_disk_is_told_with_the_name_of_the_file(old, monkeypatch):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_atomically(old, b"new")
    assert caught.value.filename == str(old)


def test_a_killed_process_leaves_the_old_file(old):
    code = (
        "import os, runpy, signal, sys; "
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL); "
        "runpy.run_path(sys.argv[1])['write_atomically'](sys.argv[2], b'new')"
    )
    command = [sys.executable, "-c", code, atomic.__file__, old]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert old.read_bytes() == b"old"


def test_a_folder_that_cannot_be_written_is_told_with_the_name_of_the_file(tmp_path):
    target = tmp_path / "missing" / "net"
    with pytest.raises(FileNotFoundError) as info:
        write_atomically(target, b"new")
    assert info.value.filename == str(target)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        pytest.param("missing/new", FileNotFoundError, id="no such folder"),
        pytest.param("file.bin/new", NotADirectoryError, id="below a file"),
        pytest.param("folder", IsADirectoryError, id="a folder in its place"),
    ],
)
def test_bad_place(old, name, error):
    (old.parent / "folder").mkdir()
    before = sorted(old.parent.rglob("*"))
    with pytest.raises(error):
        write_atomically(old.parent / name, b"new")
    assert sorted(old.parent.rglob("*")) == before


LIMITED = """
import resource, sys
from subspace_nn.common.atomic import try_writing
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try_writing(sys.argv[1])
"""


def test_a_disk_without_room_is_found_out_before(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "new" / "file"], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "cannot be written: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_can_be_written_is_tried_and_leaves_nothing(tmp_path):
    (tmp_path / "old").write_text("stays")
    for name in ("old", "new", "a/b/c"):
        try_writing(tmp_path / name, 3_000_000)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(("name", "message"), [
    ("folder", "it is a folder"), ("file/below", "Not a directory"),
    ("/proc/none", "No such file or directory|Permission denied"),
])  # fmt: skip
def test_what_cannot_be_written_is_named(tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=message):
        try_writing(tmp_path / name)
